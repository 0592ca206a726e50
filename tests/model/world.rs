//! The real store beside the model: each step is done to both.

use super::expected::{KINDS, Model, Place, RunAt, Session, queue_of};
use super::snapshot::{self, Snapshot};
use super::steps::{How, Plan, Set, Step};
use crate::harness::database::TestDatabase;
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::queue::gate::quota::Quota;
use recomamp::queue::gate::rate::Rate;
use recomamp::queue::gate::{Rule, breaker};
use recomamp::queue::job::Priority;
use recomamp::queue::postgres::{Mode, PgStore};
use recomamp::queue::session::{SessionId, ThisProcess};
use recomamp::queue::store::{Lease, Store};
use recomamp::queue::{Attempt, Enqueued, Failure, Job, NewJob, Outcome, Queue, Share};
use serde::{Deserialize, Serialize};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};
use std::collections::BTreeMap;
use std::time::Duration;

/// A process that has not renewed for so long is lost.
pub const PATIENCE: Duration = Duration::from_secs(15);
pub const MAX_ATTEMPTS: i16 = 4;

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
    /// Those that the step has finished, and how many have in all.
    pub finishing: Vec<i64>,
    pub finished: i64,
}

macro_rules! kind {
    ($name:ident, $kind:literal, $queue:literal) => {
        #[derive(Serialize, Deserialize)]
        struct $name {
            name: String,
            key: Option<u8>,
        }

        impl Job for $name {
            type Tools = ();
            const KIND: &'static str = $kind;
            const QUEUE: &'static str = $queue;
            const MAX_ATTEMPTS: i16 = MAX_ATTEMPTS;

            fn unique_key(&self) -> Option<String> {
                self.key.map(|key| key.to_string())
            }

            async fn run(&self, (): &(), _: &Attempt) -> Result<Outcome, Failure> {
                Ok(Outcome::Done)
            }
        }
    };
}

kind!(Alpha, "alpha", "default");
kind!(Beta, "beta", "default");
kind!(Gamma, "gamma", "other");

/// What is enqueued when the job of this name is discarded.
pub fn last_will() -> Plan {
    Plan {
        kind: 1,
        version: 1,
        key: None,
        delay_ms: 0,
        uses: Vec::new(),
        holder: None,
        priority: Priority::Normal,
        share: Share::Live,
        if_discarded: false,
    }
}

pub fn new_job(name: &str, plan: &Plan) -> NewJob {
    let (name, key) = (name.to_owned(), plan.key);
    let will = plan.if_discarded.then(|| new_job(&format!("{name}d"), &last_will()));
    let job = match plan.kind {
        0 => NewJob::of(&Alpha { name, key }),
        1 => NewJob::of(&Beta { name, key }),
        _ => NewJob::of(&Gamma { name, key }),
    };
    let mut job = job
        .expect("it is JSON")
        .after(Duration::from_millis(plan.delay_ms))
        .with_priority(plan.priority)
        .with_share(plan.share)
        .of_version(plan.version);
    for (resource, cost) in &plan.uses {
        job = job.taking(*cost, (*resource).to_owned());
    }
    if let Some(holder) = plan.holder {
        job = job.holding_as(format!("h{holder}"));
    }
    match will {
        Some(will) => job.if_discarded(will),
        None => job,
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
            finished: 0,
        };
        for at in 0..3 {
            world.begin_session(at).await?;
        }
        Ok(world)
    }

    pub async fn begin_session(&mut self, at: usize) -> Result<()> {
        let store = PgStore::new(self.db.pool().clone(), Mode::Poll);
        let SessionId(id) = store.begin_session(&ThisProcess::new()).await?;
        let session = Session { id, alive: true, ended: false, seen_at: self.now };
        if at < self.sessions.len() {
            (self.stores[at], self.sessions[at]) = (store, session);
        } else {
            self.stores.push(store);
            self.sessions.push(session);
        }
        Ok(())
    }

    pub async fn snapshot(&mut self) -> Result<Snapshot> {
        Ok(snapshot::read(&mut self.connection, &self.finishing).await?)
    }

    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub async fn apply(&mut self, step: &Step) -> Result<()> {
        let queue = Queue::new();
        match step {
            Step::Enqueue(plans) => self.enqueue(plans).await?,
            Step::Claim { session, slots, queue, old, dry } => {
                let queue = if *queue { "other" } else { "default" };
                self.claim(*session, *slots, queue, *old, *dry).await?;
            }
            Step::Ack(ends) => self.ack(ends).await?,
            Step::AckStale(which, how) => self.ack_stale(*which, how).await?,
            Step::Renew(at) => {
                let session = &mut self.sessions[*at];
                let renewed = self.stores[*at].renew(SessionId(session.id)).await?;
                ensure!(renewed != session.ended, "renewed: {renewed}, of {session:?}");
                session.alive = renewed;
                session.seen_at = self.now;
            }
            Step::Freeze(at) => self.sessions[*at].alive = false,
            Step::Stop(at) => {
                self.stores[*at].end_session(SessionId(self.sessions[*at].id)).await?;
                (self.sessions[*at].alive, self.sessions[*at].ended) = (false, true);
            }
            Step::Rescue => self.rescue().await?,
            Step::GiveBack(at, mask) => self.give_back(*at, *mask).await?,
            Step::Pause(name, lasts) => {
                let lasts = lasts.map(Duration::from_secs);
                queue.pause(&mut self.connection, name, "ada", "because", lasts).await?;
                // When it ends is read back.
                self.model.resource(name).paused = Some(lasts.map(|_| self.now));
            }
            Step::Resume(name) => self.resume(name).await?,
            Step::Gate(name, set) => self.set_gate(name, set).await?,
            Step::Release(which) => self.release(*which).await?,
            Step::Open(name) => {
                let opened = queue.open(&mut self.connection, name).await?;
                let blocked = self.model.jobs.values_mut().filter(|j| j.blocked_by == Some(name));
                let mut expected = 0;
                for job in blocked {
                    job.blocked_by = None;
                    if !matches!(job.run_at, RunAt::Exactly(at) if at <= self.now) {
                        job.run_at = RunAt::After(TimeDelta::zero(), TimeDelta::zero());
                    }
                    expected += 1;
                }
                ensure!(opened == expected, "opened {opened} of {expected}");
            }
            Step::Hasten(key) => self.hasten(*key).await?,
            Step::Sweep => {
                let mended = queue.sweep(&mut self.connection).await?;
                ensure!(mended == 0, "nobody broke anything, but {mended} were mended");
                self.wake_overdue();
            }
            Step::Wait(ms) => {
                self.db.advance_clock(Duration::from_millis(*ms)).await;
                for at in 0..self.sessions.len() {
                    if self.sessions[at].alive {
                        let id = SessionId(self.sessions[at].id);
                        ensure!(self.stores[at].renew(id).await?, "a living session is not lost");
                        self.sessions[at].seen_at =
                            self.now + TimeDelta::milliseconds(i64::try_from(*ms)?);
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

    async fn hasten(&mut self, key: u8) -> Result<()> {
        let hastened =
            Queue::new().hasten(&mut self.connection, KINDS[0], &key.to_string()).await?;
        let full_key = format!("{}:{key}", KINDS[0]);
        let now = self.now;
        let due =
            |job: &super::expected::Job| matches!(job.run_at, RunAt::Exactly(at) if at <= now);
        let mut waiting = self.model.jobs.values_mut().filter(|job| {
            job.place == Place::Waiting && job.key().as_ref() == Some(&full_key) && !due(job)
        });
        match waiting.next() {
            Some(job) if hastened => {
                job.run_at = RunAt::After(TimeDelta::zero(), TimeDelta::zero());
            }
            // It may have become due by itself in the moment between.
            Some(job) => ensure!(
                matches!(job.run_at, RunAt::Exactly(at) if at < now + TimeDelta::seconds(1)),
                "{job:?} was not hastened"
            ),
            None => ensure!(!hastened, "nothing was to be hastened"),
        }
        Ok(())
    }

    async fn release(&mut self, which: usize) -> Result<()> {
        let holders = |resource: &super::expected::Resource| resource.holders.clone();
        let mut all: Vec<String> =
            self.model.resources.values().flat_map(holders).chain(["nobody".to_owned()]).collect();
        all.sort();
        all.dedup();
        let holder = &all[which % all.len()];
        let released = Queue::new().release(&mut self.connection, holder).await?;
        let mut expected = false;
        for resource in self.model.resources.values_mut() {
            expected |= resource.holders.remove(holder);
        }
        ensure!(released == expected, "released {holder}: {released}, not {expected}");
        Ok(())
    }

    async fn resume(&mut self, name: &'static str) -> Result<()> {
        let resumed = Queue::new().resume(&mut self.connection, name, "ada").await?;
        let resource = self.model.resource(name);
        let mut expected = resource.paused.take().is_some();
        if let Some(breaker) = &mut resource.breaker {
            expected |= breaker.phase != super::expected::Phase::Closed;
            breaker.resume();
        }
        ensure!(resumed == expected, "resumed {name}: {resumed}, not {expected}");
        Ok(())
    }

    async fn set_gate(&mut self, name: &'static str, set: &Set) -> Result<()> {
        let rule = match set {
            Set::Holds(max) => Rule::Holds(*max),
            Set::Running(max) => Rule::Running(*max),
            Set::Rate(rate) => {
                let rate = rate.map(|(tokens, s)| Rate::new(tokens, Duration::from_secs(s)));
                Rule::Rate(rate.transpose()?)
            }
            Set::Quota(limit) => {
                Rule::Quota(limit.map(|most| Quota::new(most, "UTC")).transpose()?)
            }
            Set::Breaker(rule) => Rule::Breaker(rule.map(|(k, probes, cool_down, manual)| {
                let trips = vec![breaker::Trip::Consecutive { k }];
                let cool_downs_s = vec![cool_down];
                breaker::Rule { trips, probes, cool_downs_s, manual, ..breaker::Rule::default() }
            })),
            Set::Weight(weight) => Rule::Weight(*weight),
        };
        Queue::new().set_gate(&mut self.connection, name, rule).await?;
        self.model.resource(name).set(set);
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

/// How an attempt ends, as its handler says it. `names` are those of the jobs that follow.
pub fn result(how: &How, names: &[String]) -> Result<Outcome, Failure> {
    let error = || anyhow::anyhow!("boom");
    match how {
        How::Done => Ok(Outcome::Done),
        How::Then(plans) => Ok(Outcome::Then(
            names.iter().zip(plans).map(|(name, plan)| new_job(name, plan)).collect(),
        )),
        How::Snooze(ms) => Ok(Outcome::Snooze(Duration::from_millis(*ms))),
        How::Transient => Err(Failure::transient(error())),
        How::Throttled(told, resource) => {
            Err(Failure::throttled(error(), told.map(Duration::from_secs), *resource))
        }
        How::Unauthorized(credential) => Err(Failure::unauthorized(error(), *credential)),
        How::Permanent => Err(Failure::permanent(error())),
        How::Cancelled => Err(Failure::new(recomamp::queue::error::Class::Cancelled, error())),
        How::Interrupted => Err(Failure::interrupted()),
    }
}
