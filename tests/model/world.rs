//! The real store beside the model: each step is done to both.

use super::expected::{Model, Place, Session, queue_of};
use super::jobs::new_job;
use super::snapshot::{Reader, Snapshot};
use super::steps::{Plan, Step};
use crate::harness::database::TestDatabase;
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::queue::error::Error;
use recomamp::queue::postgres::{Mode, PgStore};
use recomamp::queue::session::{SessionId, ThisProcess};
use recomamp::queue::store::{Lease, Store};
use recomamp::queue::{Enqueued, NewJob, Queue};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};
use std::collections::BTreeMap;
use std::time::Duration;

/// A process that has not renewed for so long is lost.
pub const PATIENCE: Duration = Duration::from_secs(15);

pub struct World {
    pub db: TestDatabase,
    connection: PoolConnection<Postgres>,
    /// One a process: each goes round its lanes on its own.
    pub stores: Vec<PgStore>,
    pub sessions: Vec<Session>,
    pub model: Model,
    /// When the store was last looked at.
    pub now: DateTime<Utc>,
    pub leases: BTreeMap<i64, Lease>,
    pub stale: Vec<Lease>,
    /// Those that the step has finished.
    pub finishing: Vec<i64>,
    pub reader: Reader,
}

/// Asks again while the machine is too busy for the time that the store gives itself to renew and
/// rescue: how fast it is decides nothing here.
pub async fn patiently<T>(ask: impl AsyncFn() -> Result<T, Error>) -> Result<T> {
    loop {
        match ask().await {
            Err(Error::Database(sqlx::Error::PoolTimedOut)) => {}
            Err(Error::Database(sqlx::Error::Database(error)))
                if error.code().as_deref() == Some("55P03") => {}
            answer => return Ok(answer?),
        }
    }
}

impl World {
    pub async fn new() -> Result<Self> {
        let db = TestDatabase::new().await;
        let mut connection = db.pool().acquire().await?;
        let now = recomamp::clock::now(&mut *connection).await?;
        let mut world = Self {
            db,
            connection,
            stores: Vec::new(),
            sessions: Vec::new(),
            model: Model::default(),
            now,
            leases: BTreeMap::new(),
            stale: Vec::new(),
            finishing: Vec::new(),
            reader: Reader::default(),
        };
        for at in 0..3 {
            world.begin_session(at).await?;
        }
        Ok(world)
    }

    /// The process starts, for the first time or again.
    pub async fn begin_session(&mut self, at: usize) -> Result<()> {
        if at == self.stores.len() {
            self.stores.push(PgStore::new(self.db.pool().clone(), Mode::Poll));
        }
        let store = &self.stores[at];
        let SessionId(id) =
            patiently(async || store.begin_session(&ThisProcess::new()).await).await?;
        let session = Session { id, alive: true, ended: false, seen_at: self.now };
        if at == self.sessions.len() {
            self.sessions.push(session);
        } else {
            self.sessions[at] = session;
        }
        Ok(())
    }

    /// Renews, and says whether it could.
    async fn renew(&self, at: usize) -> Result<bool> {
        let id = SessionId(self.sessions[at].id);
        patiently(async || self.stores[at].renew(id).await).await
    }

    pub async fn look(&mut self) -> Result<Snapshot> {
        Ok(self.reader.read(&mut self.connection, self.now).await?)
    }

    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub async fn apply(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Enqueue(plans) => self.enqueue(plans).await?,
            Step::Claim { session, slots, queue, old, dry } => {
                let queue = if *queue { "other" } else { "default" };
                self.claim(*session, *slots, queue, *old, *dry).await?;
            }
            Step::Ack(ends) => self.ack(ends).await?,
            Step::AckStale(which, how) => self.ack_stale(*which, how).await?,
            Step::Renew(at) => {
                let renewed = self.renew(*at).await?;
                let session = &mut self.sessions[*at];
                ensure!(renewed != session.ended, "renewed: {renewed}, of {session:?}");
                session.alive = renewed;
                session.seen_at = self.now;
            }
            Step::Freeze(at) => self.sessions[*at].alive = false,
            Step::Stop(at) => {
                let id = SessionId(self.sessions[*at].id);
                patiently(async || self.stores[*at].end_session(id).await).await?;
                (self.sessions[*at].alive, self.sessions[*at].ended) = (false, true);
            }
            Step::Rescue => self.rescue().await?,
            Step::GiveBack(at, mask) => self.give_back(*at, *mask).await?,
            Step::Pause(name, lasts) => self.pause(name, *lasts).await?,
            Step::Resume(name) => self.resume(name).await?,
            Step::Gate(name, set) => self.set_gate(name, set).await?,
            Step::Release(which) => self.release(*which).await?,
            Step::Open(name) => self.open(name).await?,
            Step::Hasten(key) => self.hasten(*key).await?,
            Step::Cancel(which) => self.cancel(which).await?,
            Step::CancelAll(which) => self.cancel_all(which).await?,
            Step::Discard(which) => self.discard(which).await?,
            Step::DiscardAll(which) => self.discard_all(which).await?,
            Step::Replay(which, how) => self.replay(*which, how).await?,
            Step::ReplayAll(which, how) => self.replay_all(which, how).await?,
            Step::Sweep => self.sweep().await?,
            Step::Wait(ms) => {
                self.db.advance_clock(Duration::from_millis(*ms)).await;
                let now = self.now + TimeDelta::milliseconds(i64::try_from(*ms)?);
                for at in 0..self.sessions.len() {
                    if self.sessions[at].alive {
                        ensure!(self.renew(at).await?, "a living session is not lost");
                        self.sessions[at].seen_at = now;
                    }
                }
            }
        }
        self.check().await
    }

    async fn enqueue(&mut self, plans: &[Plan]) -> Result<()> {
        let names: Vec<String> = plans.iter().map(|_| self.model.new_name()).collect();
        let jobs: Vec<NewJob> =
            names.iter().zip(plans).map(|(name, plan)| new_job(name, plan)).collect();
        for (name, plan) in names.iter().zip(plans) {
            self.model.expect(name, plan, None);
        }
        let answers = Queue::new().enqueue(&mut self.connection, &jobs).await?;
        for ((name, plan), answer) in names.iter().zip(plans).zip(answers) {
            match (self.model.coming.remove(name), answer) {
                (Some(job), Enqueued::Inserted(id)) => drop(self.model.jobs.insert(id, job)),
                (None, Enqueued::Existing(id)) => {
                    let other = self.model.jobs.get(&id).context("an unknown job exists")?;
                    ensure!(other.plan.key == plan.key && other.plan.kind == plan.kind);
                }
                (job, answer) => anyhow::bail!("{job:?} was expected, the answer is {answer:?}"),
            }
        }
        Ok(())
    }

    /// The leases that somebody may still end, in a fixed order.
    pub fn lease(&self, which: usize) -> Option<Lease> {
        let all: Vec<&Lease> = self.leases.values().collect();
        (!all.is_empty()).then(|| all[which % all.len()].clone())
    }

    pub fn kinds(old: bool) -> Option<&'static [(&'static str, i16)]> {
        old.then_some(&[("alpha", 1), ("beta", 1)])
    }

    pub fn knows(old: bool, plan: &Plan) -> bool {
        !old || (plan.kind < 2 && plan.version == 1)
    }

    /// How many slots of the queue the session's attempts use, by share.
    pub fn used(&self, session: i64, queue: &str) -> [usize; 3] {
        let mut used = [0; 3];
        for job in self.model.jobs.values() {
            if job.place == Place::Running(session) && queue_of(job.plan.kind) == queue {
                used[job.plan.share as usize] += 1;
            }
        }
        used
    }
}
