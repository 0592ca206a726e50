//! The queue's promises, on a real Postgres.

mod ack;
mod attempts;
mod cancel;
mod claim;
mod counts;
mod enqueue;
mod explain;
mod failures;
mod fairness;
mod gates;
mod groups;
mod history;
mod notes;
mod plans;
mod replay;
mod rescue;
mod rules;
mod steer;
mod worker;

use crate::harness::database::TestDatabase;
use recomamp::queue::error::Failure;
use recomamp::queue::gate::Rule;
use recomamp::queue::postgres::inspect::{self, JobRow};
use recomamp::queue::postgres::{Mode, PgStore};
use recomamp::queue::session::{SessionId, ThisProcess};
use recomamp::queue::share::Slots;
use recomamp::queue::steer::{Because, Cancelled};
use recomamp::queue::store::{Acked, Ask, Claimed, Lease, Store};
use recomamp::queue::{Attempt, Enqueued, Job, NewJob, Outcome, Queue, State, retry};
use serde::{Deserialize, Serialize};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use std::time::Duration;

/// Who steers in these tests.
pub const ANN: Because<'static> = Because { by: "ann", why: "a test" };

/// A database with one session on it, and verbs that read well in a test.
pub struct House {
    pub db: TestDatabase,
    pub store: PgStore,
    pub queue: Queue,
    pub session: SessionId,
}

impl House {
    pub async fn new() -> Self {
        let db = TestDatabase::new().await;
        let store = PgStore::new(db.pool().clone(), Mode::Listen);
        let session = store.begin_session(&ThisProcess::new()).await.expect("a session");
        Self { db, store, queue: Queue::new(), session }
    }

    /// Enqueues as a process of its own would: no hint of another one saves the hint of this one.
    pub async fn enqueue(&self, jobs: &[NewJob]) -> Vec<Enqueued> {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        Queue::new().enqueue(&mut connection, jobs).await.expect("enqueued")
    }

    pub async fn enqueue_one(&self, job: NewJob) -> i64 {
        self.enqueue(&[job]).await[0].id()
    }

    pub async fn claim(&self, limit: usize) -> Vec<Lease> {
        self.claim_as(self.session, limit).await.leases
    }

    /// A claim by another session, or one whose whole answer matters.
    pub async fn claim_as(&self, session: SessionId, limit: usize) -> Claimed {
        let slots = Slots::free_of_all(limit);
        let ask = Ask { queue: "default", slots, kinds: None };
        self.store.claim(session, &ask).await.expect("claimed")
    }

    pub async fn claim_one(&self) -> Lease {
        self.claim(1).await.pop().expect("a job is due")
    }

    /// Writes down how an attempt went, as the worker would.
    pub async fn end(&self, lease: &Lease, result: Result<Outcome, Failure>) -> Acked {
        let ack = retry::verdict(lease, result).expect("there is something to write down");
        self.store.ack(&[ack]).await.expect("the store answers")
    }

    pub async fn job(&self, id: i64) -> JobRow {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        inspect::job(&mut connection, id).await.expect("the store answers").expect("the job exists")
    }

    pub async fn state(&self, id: i64) -> State {
        self.job(id).await.state
    }

    pub async fn waiting_kinds(&self) -> Vec<String> {
        sqlx::query_scalar("select kind from engine.jobs where state = 'waiting' order by id")
            .fetch_all(self.db.pool())
            .await
            .expect("the store answers")
    }

    /// Lets time pass, and keeps our own session alive, as its renewals would have.
    pub async fn wait(&self, time: Duration) {
        self.db.advance_clock(time).await;
        self.store.renew(self.session).await.expect("renewed");
    }

    pub async fn connection(&self) -> PoolConnection<Postgres> {
        self.db.pool().acquire().await.expect("a connection")
    }

    pub async fn cancel(&self, id: i64) -> Cancelled {
        let mut connection = self.connection().await;
        let cancelled = self.queue.cancel(&mut connection, &[id], &ANN).await;
        cancelled.expect("the store answers")[0]
    }

    /// What was done to jobs, by whom and why: `what resource by: why (jobs)`.
    pub async fn events(&self) -> Vec<String> {
        sqlx::query_scalar(
            "select what || ' ' || resource || ' ' || by || ': ' || why
                || coalesce(' (' || jobs || ')', '')
            from engine.events order by id",
        )
        .fetch_all(self.db.pool())
        .await
        .expect("the store answers")
    }

    pub async fn release(&self, holder: &str) -> bool {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        self.queue.release(&mut connection, holder).await.expect("released")
    }

    pub async fn limit(&self, resource: &str, max_holds: i32) {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        let rule = Rule::Holds(Some(max_holds));
        self.queue.set_gate(&mut connection, resource, rule).await.expect("limited");
    }
}

/// A job that has only a name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Named {
    pub name: String,
}

impl Job for Named {
    type Tools = ();
    const KIND: &'static str = "named";
    const MAX_ATTEMPTS: i16 = 3;

    async fn run(&self, (): &(), _: &Attempt) -> Result<Outcome, Failure> {
        Ok(Outcome::Done)
    }
}

/// A job that has a key.
#[derive(Debug, Serialize, Deserialize)]
pub struct Keyed {
    pub key: String,
}

impl Job for Keyed {
    type Tools = ();
    const KIND: &'static str = "keyed";

    fn unique_key(&self) -> Option<String> {
        Some(self.key.clone())
    }

    async fn run(&self, (): &(), _: &Attempt) -> Result<Outcome, Failure> {
        Ok(Outcome::Done)
    }
}

pub fn named(name: &str) -> NewJob {
    NewJob::of(&Named { name: name.to_owned() }).expect("it is JSON")
}

pub fn keyed(key: &str) -> NewJob {
    NewJob::of(&Keyed { key: key.to_owned() }).expect("it is JSON")
}

/// The attempt, as acks name it.
pub fn key_of(lease: &Lease) -> (i64, i32) {
    (lease.job_id, lease.fence)
}

pub fn name_of(lease: &Lease) -> &str {
    lease.args["name"].as_str().expect("a name")
}

pub fn boom() -> Failure {
    Failure::transient(anyhow::anyhow!("boom"))
}
