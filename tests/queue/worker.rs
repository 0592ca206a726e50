//! Handlers run by real workers: wake-ups, panics, time limits, shutdown.

use super::{House, keyed};
use crate::harness::eventually::eventually;
use anyhow::anyhow;
use recomamp::queue::dispatcher::Settings;
use recomamp::queue::postgres::{Mode, PgStore};
use recomamp::queue::{Attempt, Catalog, Failure, Job, NewJob, Outcome, State, worker};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the test's handlers hold in their hands.
pub struct Tools {
    started: mpsc::UnboundedSender<String>,
    pub may_end: Semaphore,
}

#[derive(Serialize, Deserialize)]
pub enum Act {
    Finish,
    Panic,
    Hang,
    FailOnce,
    WaitForPermit,
    /// Goes on until it is stopped, and then something tells that its token had tripped.
    WatchToken,
}

/// Does what it is told.
#[derive(Serialize, Deserialize)]
pub struct Actor {
    name: String,
    act: Act,
}

impl Job for Actor {
    type Tools = Tools;
    const KIND: &'static str = "actor";
    const MAX_ATTEMPTS: i16 = 1;
    const TIMEOUT: Duration = Duration::from_millis(200);

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let _ = tools.started.send(format!("{} {}", self.name, attempt.number()));
        match self.act {
            Act::Finish => Ok(Outcome::Done),
            Act::Panic => panic!("as told"),
            Act::FailOnce => Err(Failure::transient(anyhow!("once"))),
            Act::Hang => std::future::pending().await,
            Act::WatchToken => {
                let (token, tell) = (attempt.cancelled().clone(), tools.started.clone());
                let name = self.name.clone();
                tokio::spawn(async move {
                    token.cancelled().await;
                    let _ = tell.send(format!("{name} stopped"));
                });
                std::future::pending().await
            }
            Act::WaitForPermit => {
                let permit = tools.may_end.acquire().await.map_err(Failure::permanent)?;
                permit.forget();
                Ok(Outcome::Done)
            }
        }
    }
}

/// The same, without a time limit that a slow machine could reach.
#[derive(Serialize, Deserialize)]
pub struct Patient(Actor);

impl Job for Patient {
    type Tools = Tools;
    const KIND: &'static str = "patient";
    const TIMEOUT: Duration = Duration::from_secs(600);

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        self.0.run(tools, attempt).await
    }
}

pub fn actor(name: &str, act: Act) -> NewJob {
    NewJob::of(&Actor { name: name.to_owned(), act }).expect("it is JSON")
}

pub fn patient(name: &str, act: Act) -> NewJob {
    NewJob::of(&Patient(Actor { name: name.to_owned(), act })).expect("it is JSON")
}

/// A worker that runs beside the test.
pub struct Running {
    pub house: House,
    pub tools: Arc<Tools>,
    started: mpsc::UnboundedReceiver<String>,
    soft: CancellationToken,
    hard: CancellationToken,
    ended: JoinHandle<Result<(), recomamp::queue::Error>>,
}

impl Running {
    pub async fn with(mode: Mode, change: impl FnOnce(&mut Settings)) -> Self {
        let house = House::new().await;
        let (send, started) = mpsc::unbounded_channel();
        let tools = Arc::new(Tools { started: send, may_end: Semaphore::new(0) });
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let mut settings = Settings::new([("default".to_owned(), 4)]);
        change(&mut settings);
        let catalog = Catalog::new().add::<Actor>().add::<Patient>();
        let store = PgStore::new(house.db.pool().clone(), mode);
        let work = worker::run(store, catalog, tools.clone(), settings, soft.clone(), hard.clone());
        let ended = tokio::spawn(work);
        Self { house, tools, started, soft, hard, ended }
    }

    /// A worker that is never helped by polling.
    pub async fn listening() -> Self {
        Self::with(Mode::Listen, |settings| settings.poll_every = Duration::from_secs(3600)).await
    }

    pub async fn next_start(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(60), self.started.recv());
        next.await.expect("a handler starts").expect("the worker lives")
    }

    pub async fn until_state(&self, id: i64, state: State) {
        eventually("the job's state", async || self.house.state(id).await == state).await;
    }

    pub async fn stop(self) -> House {
        self.soft.cancel();
        self.ended.await.expect("it does not panic").expect("it ends well");
        self.house
    }
}

#[tokio::test]
async fn a_job_is_picked_up_without_polling() {
    let mut running = Running::listening().await;
    for n in 0..20 {
        running.house.enqueue(&[actor(&n.to_string(), Act::Finish)]).await;
        assert_eq!(running.next_start().await, format!("{n} 1"));
    }
    running.stop().await;
}

#[tokio::test]
async fn jobs_that_share_a_hint_are_all_found_without_polling() {
    let mut running = Running::listening().await;
    let mut connection = running.house.db.pool().acquire().await.expect("a connection");
    for n in 0..20 {
        let job = actor(&n.to_string(), Act::Finish);
        running.house.queue.enqueue(&mut connection, &[job]).await.expect("enqueued");
    }
    drop(connection);
    for _ in 0..20 {
        running.next_start().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_job_for_later_is_picked_up_by_the_timer_without_polling() {
    let mut running = Running::listening().await;
    let soon = Duration::from_millis(300);
    running.house.enqueue(&[actor("soon", Act::Finish).after(soon)]).await;
    assert_eq!(running.next_start().await, "soon 1");
    running.stop().await;
}

#[tokio::test]
async fn polling_alone_finds_every_job() {
    let often = |settings: &mut Settings| settings.poll_every = Duration::from_millis(50);
    let mut running = Running::with(Mode::Poll, often).await;
    for n in 0..5 {
        running.house.enqueue(&[actor(&n.to_string(), Act::Finish)]).await;
        running.next_start().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_stops_nobody() {
    let mut running = Running::listening().await;
    let id = running.house.enqueue_one(actor("p", Act::Panic)).await;
    running.until_state(id, State::Discarded).await;
    let said = running.house.job(id).await.last_error.expect("it says why");
    assert_eq!(said, "the handler panicked: as told");
    running.house.enqueue(&[actor("next", Act::Finish)]).await;
    assert_eq!(running.next_start().await, "p 1");
    assert_eq!(running.next_start().await, "next 1");
    running.stop().await;
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_a_failed_attempt() {
    let running = Running::listening().await;
    let id = running.house.enqueue_one(actor("h", Act::Hang)).await;
    running.until_state(id, State::Discarded).await;
    let said = running.house.job(id).await.last_error.expect("it says why");
    assert_eq!(said, "the attempt took longer than its limit of 200ms");
    running.stop().await;
}

#[tokio::test]
async fn arguments_that_cannot_be_read_discard_their_own_job_alone() {
    let mut running = Running::listening().await;
    let id = running.house.enqueue_one(actor("x", Act::Finish)).await;
    running.next_start().await;
    running.until_state(id, State::Done).await;
    let broken: i64 = sqlx::query_scalar(
        "insert into engine.jobs (run_at, created_at, timeout_ms, priority, max_attempts, queue,
            kind, args)
        values (engine.now(), engine.now(), 1000, 0, 3, 'default', 'actor', '{\"what\": 1}')
        returning id",
    )
    .fetch_one(running.house.db.pool())
    .await
    .expect("inserted");
    running.house.enqueue(&[actor("after", Act::Finish)]).await;
    running.until_state(broken, State::Discarded).await;
    let said = running.house.job(broken).await.last_error.expect("it says why");
    assert!(said.starts_with("the arguments of this \"actor\" job cannot be read"), "{said}");
    assert_eq!(running.next_start().await, "after 1");
    running.stop().await;
}

#[tokio::test]
async fn a_kind_that_this_build_does_not_know_is_left_to_others() {
    let mut running = Running::listening().await;
    let strange = running.house.enqueue_one(keyed("from the future")).await;
    let newer = patient("newer", Act::Finish).of_version(2);
    let newer = running.house.enqueue_one(newer).await;
    // Whatever was due before has been looked at when this one starts.
    running.house.enqueue(&[patient("known", Act::Finish)]).await;
    assert_eq!(running.next_start().await, "known 1");
    let house = running.stop().await;
    for id in [strange, newer] {
        let job = house.job(id).await;
        assert_eq!((job.state, job.attempt, job.snoozes), (State::Waiting, 0, 0));
    }
    let other = house.claim(10).await;
    assert_eq!(other.len(), 2, "a process that knows them runs them");
}

#[tokio::test]
async fn the_first_signal_lets_running_jobs_finish_and_claims_no_more() {
    let mut running = Running::listening().await;
    let id = running.house.enqueue_one(patient("long", Act::WaitForPermit)).await;
    running.next_start().await;
    running.soft.cancel();
    let late = running.house.enqueue_one(patient("late", Act::Finish)).await;
    running.tools.may_end.add_permits(1);
    let house = running.stop().await;
    assert_eq!(house.state(id).await, State::Done);
    assert_eq!(house.state(late).await, State::Waiting);
}

#[tokio::test]
async fn letting_go_hands_jobs_back_at_once_and_spends_no_attempt() {
    let mut running = Running::listening().await;
    let id = running.house.enqueue_one(patient("long", Act::WaitForPermit)).await;
    running.next_start().await;
    // As a process does it: who lets go has stopped claiming before.
    running.soft.cancel();
    running.hard.cancel();
    let house = running.stop().await;
    let job = house.job(id).await;
    assert_eq!((job.state, job.attempt), (State::Waiting, 0));
    // A claim that was on its way when the signal came may have taken it once more.
    assert!(job.interruptions >= 1);
    let alive: i64 =
        sqlx::query_scalar("select count(*) from engine.sessions where end_reason = 'stopped'")
            .fetch_one(house.db.pool())
            .await
            .expect("the store answers");
    assert_eq!(alive, 1, "its session has ended");
}

#[tokio::test]
async fn a_process_that_was_given_up_for_lost_stops_its_handlers_and_works_on() {
    let quick = |settings: &mut Settings| settings.renew_every = Duration::from_millis(100);
    let mut running = Running::with(Mode::Listen, quick).await;
    let id = running.house.enqueue_one(patient("long", Act::WaitForPermit)).await;
    assert_eq!(running.next_start().await, "long 1");
    sqlx::query("update engine.sessions set ended_at = engine.now(), end_reason = 'lost'")
        .execute(running.house.db.pool())
        .await
        .expect("given up");
    // Its handler is stopped, and the same job runs again under a new session.
    assert_eq!(running.next_start().await, "long 1");
    running.tools.may_end.add_permits(1);
    running.until_state(id, State::Done).await;
    running.stop().await;
}

#[tokio::test]
async fn a_retry_waits_in_the_store_and_not_in_a_slot() {
    let mut running = Running::with(Mode::Listen, |settings| {
        settings.queues = vec![("default".to_owned(), 1)];
    })
    .await;
    let failing = NewJob::of(&Patient(Actor { name: "f".into(), act: Act::FailOnce }));
    let id = running.house.enqueue_one(failing.expect("it is JSON")).await;
    running.next_start().await;
    eventually("it waits", async || {
        let job = running.house.job(id).await;
        job.state == State::Waiting && job.attempt >= 1
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_process_that_has_lost_a_part_of_itself_stops_and_says_which() {
    let running = Running::listening().await;
    // A year that Postgres knows and we do not: whoever reads it panics.
    sqlx::query(
        "insert into engine.resources (name, paused_at, paused_until, paused_by, pause_reason)
        values ('r', engine.now(), '275000-01-01', 'somebody', 'a test')",
    )
    .execute(running.house.db.pool())
    .await
    .expect("written behind the engine's back");
    running.house.enqueue(&[actor("a", Act::Finish).using(["r".to_owned()])]).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), running.ended).await;
    let error = ended.expect("it stops").expect("it does not panic itself").expect_err("it failed");
    assert!(error.to_string().starts_with("the part that claims panicked"), "{error}");
}
