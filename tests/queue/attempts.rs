//! The log of attempts, the limits of every way to be put back, and attempts that do not end.

use super::{House, boom, named};
use crate::harness::eventually::eventually;
use anyhow::anyhow;
use recomamp::queue::dispatcher::Settings;
use recomamp::queue::postgres::inspect::{self, AttemptRow};
use recomamp::queue::postgres::{Mode, PgStore};
use recomamp::queue::session::ThisProcess;
use recomamp::queue::store::{Lease, Store};
use recomamp::queue::{Attempt, Catalog, Failure, Job, Limits, NewJob, Outcome, State, worker};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How an attempt goes.
type Went = fn() -> Result<Outcome, Failure>;

async fn log(house: &House, id: i64) -> Vec<AttemptRow> {
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    inspect::attempts(&mut connection, id).await.expect("the store answers")
}

async fn die(house: &mut House) {
    house.db.advance_clock(Duration::from_secs(60)).await;
    house.store.rescue(Duration::from_secs(9)).await.expect("rescued");
    house.session = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
    house.wait(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn the_log_tells_every_failure_in_order_and_nothing_of_what_went_well() {
    let mut house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let results: [Went; 6] = [
        || Err(Failure::transient(anyhow!("reset by peer").context("while fetching"))),
        || Err(Failure::throttled(anyhow!("429"), None, "host:x")),
        || Ok(Outcome::Snooze(Duration::from_secs(1))),
        || Err(Failure::unauthorized(anyhow!("401"), "lwa:x")),
        || Err(Failure::interrupted()),
        || Err(Failure::permanent(anyhow!("no such thing"))),
    ];
    for (at, result) in results.iter().enumerate() {
        if at == 4 {
            house.claim_one().await;
            die(&mut house).await;
        }
        let lease = house.claim_one().await;
        house.wait(Duration::from_secs(5)).await;
        house.end(&lease, result()).await;
        let mut connection = house.db.pool().acquire().await.expect("a connection");
        house.queue.open(&mut connection, "lwa:x").await.expect("opened");
        house.wait(Duration::from_secs(3600)).await;
    }
    assert_eq!(house.state(id).await, State::Discarded);

    let log = log(&house, id).await;
    let told: Vec<_> =
        log.iter().map(|row| (row.fence, row.attempt, row.outcome.as_str())).collect();
    // The third was a snooze, and has no row.
    assert_eq!(
        told,
        [
            (1, 1, "transient"),
            (2, 2, "throttled"),
            (4, 2, "unauthorized"),
            (5, 2, "rescued"),
            (6, 2, "interrupted"),
            (7, 2, "permanent"),
        ]
    );
    assert_eq!(log[0].causes, ["while fetching", "reset by peer"]);
    assert!(log[3].causes[0].starts_with("the process that ran it died"), "{:?}", log[3].causes);
    let five = chrono::TimeDelta::seconds(5);
    assert!(log[0].ended_at - log[0].began_at >= five, "so long it took");
    assert!(log[3].session != log[4].session, "the dead one and the next");
    let here = ThisProcess::new();
    for row in &log {
        assert_eq!(
            (row.host.as_deref(), row.version.as_deref()),
            (Some(&*here.host), Some(here.version))
        );
        assert_eq!(row.pid, i32::try_from(here.pid).ok());
        assert_eq!((row.kind.as_str(), row.queue.as_str()), ("named", "default"));
    }
}

#[tokio::test]
async fn a_batch_logs_only_what_failed_and_a_stale_attempt_not_at_all() {
    let house = House::new().await;
    let ids = house.enqueue(&[named("a"), named("b"), named("c")]).await;
    let leases = house.claim(3).await;
    let stale = Lease { fence: leases[2].fence - 1, ..leases[2].clone() };
    let acks = [
        recomamp::queue::retry::verdict(&leases[0], Ok(Outcome::Done)),
        recomamp::queue::retry::verdict(&leases[1], Err(boom())),
        recomamp::queue::retry::verdict(&stale, Err(boom())),
    ];
    let acks: Vec<_> = acks.into_iter().flatten().collect();
    let acked = house.store.ack(&acks).await.expect("the store answers");
    assert_eq!(acked.stale.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[2].id()]);
    let rows = [
        log(&house, ids[0].id()).await,
        log(&house, ids[1].id()).await,
        log(&house, ids[2].id()).await,
    ];
    assert_eq!(rows.map(|rows| rows.len()), [0, 1, 0]);
}

/// A kind with little patience.
#[derive(Serialize, Deserialize)]
struct Hasty;

impl Job for Hasty {
    type Tools = ();
    const KIND: &'static str = "hasty";
    const MAX_ATTEMPTS: i16 = 2;
    const LIMITS: Limits = Limits { snoozes: 3, throttles: 2, denials: 2, interruptions: 2 };

    async fn run(&self, (): &(), _: &Attempt) -> Result<Outcome, Failure> {
        Ok(Outcome::Snooze(Duration::ZERO))
    }
}

fn hasty() -> NewJob {
    NewJob::of(&Hasty).expect("it is JSON")
}

#[tokio::test]
async fn every_way_to_be_put_back_has_an_end_in_the_store() {
    let ways: [(&str, i32, Went); 5] = [
        ("transient", 2, || Err(boom())),
        ("throttled", 3, || Err(Failure::throttled(anyhow!("429"), None, "host:x"))),
        ("unauthorized", 3, || Err(Failure::unauthorized(anyhow!("401"), "lwa:x"))),
        ("interrupted", 3, || Err(Failure::interrupted())),
        ("snoozed", 4, || Ok(Outcome::Snooze(Duration::from_secs(1)))),
    ];
    let house = House::new().await;
    for (outcome, most, result) in ways {
        let id = house.enqueue_one(hasty()).await;
        let mut runs = 0;
        while house.state(id).await == State::Waiting {
            // As the worker does it.
            let lease = Lease { limits: Hasty::LIMITS, ..house.claim_one().await };
            runs += 1;
            house.end(&lease, result()).await;
            let mut connection = house.db.pool().acquire().await.expect("a connection");
            house.queue.open(&mut connection, "lwa:x").await.expect("opened");
            house.wait(Duration::from_secs(3600)).await;
        }
        assert_eq!((house.state(id).await, runs), (State::Discarded, most), "{outcome}");
        let last = log(&house, id).await.pop().expect("it is logged");
        assert_eq!(last.outcome, outcome);
        let said = house.job(id).await.last_error.expect("it says why");
        assert_eq!(said, last.causes.join(": "));
    }
}

#[tokio::test]
async fn a_process_that_dies_under_a_job_again_and_again_ends_it_and_every_death_is_logged() {
    let mut house = House::new().await;
    let id = house.enqueue_one(hasty()).await;
    for _ in 0..3 {
        house.claim_one().await;
        die(&mut house).await;
    }
    assert_eq!(house.state(id).await, State::Discarded);
    let log = log(&house, id).await;
    assert_eq!(log.iter().map(|row| row.fence).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(log.iter().all(|row| row.outcome == "rescued" && row.attempt == 1), "{log:?}");
    let said = "the process that ran it died: ";
    assert!(log.iter().all(|row| row.causes[0].starts_with(said)), "{log:?}");
}

#[tokio::test]
async fn counters_at_the_end_of_their_type_do_not_break_an_ack() {
    let house = House::new().await;
    let results: [Went; 4] = [
        || Err(Failure::throttled(anyhow!("429"), None, "host:x")),
        || Err(Failure::unauthorized(anyhow!("401"), "lwa:x")),
        || Err(Failure::interrupted()),
        || Ok(Outcome::Snooze(Duration::from_secs(1))),
    ];
    let most = Limits {
        snoozes: i32::MAX,
        throttles: i16::MAX,
        denials: i16::MAX,
        interruptions: i16::MAX,
    };
    for result in results {
        let id = house.enqueue_one(named("worn")).await;
        sqlx::query(
            "update engine.jobs set snoozes = 2147483646, throttles = 32766, denials = 32766,
                interruptions = 32766 where id = $1",
        )
        .bind(id)
        .execute(house.db.pool())
        .await
        .expect("worn out");
        for state in [State::Waiting, State::Discarded] {
            let lease = Lease { limits: most, ..house.claim_one().await };
            let acked = house.end(&lease, result()).await;
            assert_eq!((acked.stale, house.state(id).await), (Vec::new(), state));
            let mut connection = house.db.pool().acquire().await.expect("a connection");
            house.queue.open(&mut connection, "lwa:x").await.expect("opened");
            house.wait(Duration::from_secs(3600)).await;
        }
    }
}

#[tokio::test]
async fn the_log_is_dropped_with_the_history_and_knows_who_ran_it_until_then() {
    const DAY: Duration = Duration::from_secs(86_400);
    let mut house = House::new().await;
    let id = house.enqueue_one(named("old")).await;
    let lease = house.claim_one().await;
    house.end(&lease, Err(Failure::permanent(anyhow!("x")))).await;
    house.store.end_session(house.session).await.expect("ended");
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    for days in 1..=5_u32 {
        house.db.advance_clock(DAY).await;
        house.session = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
        house.queue.prune(&mut connection, 3 * DAY).await.expect("pruned");
        let log = log(&house, id).await;
        assert!(days < 5 || log.is_empty(), "it is gone");
        assert!(days > 3 || log.len() == 1, "it is kept for three days");
        assert!(log.iter().all(|row| row.host.is_some()), "who ran it is known for as long");
    }
}

// ---- with a worker ----

/// What the test's handlers hold in their hands.
#[derive(Default)]
struct Tools {
    let_go: Arc<AtomicBool>,
    saw_cancel: Arc<AtomicBool>,
}

#[derive(Serialize, Deserialize)]
enum Stubborn {
    /// Never yields.
    Spin,
    /// Waits for a thread that blocks.
    Block,
    /// Watches its token in a task of its own.
    Watch,
    /// Ends at once.
    Quick,
    /// Panics.
    Panic,
}

impl Job for Stubborn {
    type Tools = Tools;
    const KIND: &'static str = "stubborn";
    const MAX_ATTEMPTS: i16 = 1;

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let let_go = tools.let_go.clone();
        let spin = move || {
            while !let_go.load(Ordering::Acquire) {
                std::hint::spin_loop();
                std::thread::yield_now();
            }
        };
        match self {
            Self::Spin => spin(),
            Self::Block => tokio::task::spawn_blocking(spin).await.map_err(Failure::permanent)?,
            Self::Watch => {
                let (cancelled, saw) = (attempt.cancelled().clone(), tools.saw_cancel.clone());
                tokio::spawn(async move {
                    cancelled.cancelled().await;
                    saw.store(true, Ordering::Release);
                });
                std::future::pending::<()>().await;
            }
            Self::Quick => {}
            Self::Panic => panic!("as told"),
        }
        Ok(Outcome::Done)
    }
}

fn stubborn(job: &Stubborn) -> NewJob {
    NewJob::of(job).expect("it is JSON")
}

/// Runs one slot beside the test, until the test has ended.
async fn with_one_slot(test: impl AsyncFnOnce(&House, &Tools)) {
    let house = House::new().await;
    let tools = Arc::new(Tools::default());
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let settings = Settings::new([("default".to_owned(), 1)]);
    let store = PgStore::new(house.db.pool().clone(), Mode::Listen);
    let catalog = Catalog::new().add::<Stubborn>();
    let work = worker::run(store, catalog, tools.clone(), settings, soft.clone(), hard);
    let ended = tokio::spawn(work);
    test(&house, &tools).await;
    tools.let_go.store(true, Ordering::Release);
    soft.cancel();
    ended.await.expect("no panic").expect("it ends well");
}

async fn until(house: &House, id: i64, state: State) {
    eventually("the job's state", async || house.state(id).await == state).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_attempt_that_ignores_its_limit_keeps_neither_its_slot_nor_its_lease() {
    with_one_slot(async |house, _| {
        for job in [Stubborn::Spin, Stubborn::Block] {
            let limit = Duration::from_millis(100);
            let id = house.enqueue_one(stubborn(&job).within(limit)).await;
            until(house, id, State::Discarded).await;
            let log = log(house, id).await;
            assert_eq!(log.len(), 1);
            assert_eq!(log[0].outcome, "transient");
            assert_eq!(log[0].causes, ["the attempt took longer than its limit of 100ms"]);

            let next = house.enqueue_one(stubborn(&Stubborn::Quick)).await;
            until(house, next, State::Done).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_is_told_that_its_time_is_over() {
    with_one_slot(async |house, tools| {
        let limit = Duration::from_millis(100);
        let id = house.enqueue_one(stubborn(&Stubborn::Watch).within(limit)).await;
        until(house, id, State::Discarded).await;
        assert_eq!(log(house, id).await[0].outcome, "transient", "not as an interruption");
        eventually("the token trips", async || tools.saw_cancel.load(Ordering::Acquire)).await;
    })
    .await;
}

#[tokio::test]
async fn a_panic_and_arguments_that_nobody_can_read_are_in_the_log() {
    with_one_slot(async |house, _| {
        let panic = house.enqueue_one(stubborn(&Stubborn::Panic)).await;
        let unreadable: i64 = sqlx::query_scalar(
            "insert into engine.jobs (run_at, created_at, timeout_ms, priority, max_attempts, queue,
                kind, args)
            values (engine.now(), engine.now(), 1000, 0, 3, 'default', 'stubborn', '{\"what\": 1}')
            returning id",
        )
        .fetch_one(house.db.pool())
        .await
        .expect("inserted");
        until(house, panic, State::Discarded).await;
        until(house, unreadable, State::Discarded).await;
        assert_eq!(log(house, panic).await[0].causes, ["the handler panicked: as told"]);
        let log = log(house, unreadable).await;
        assert_eq!((log.len(), log[0].outcome.as_str()), (1, "permanent"));
        assert_eq!(log[0].causes[0], "the arguments of this \"stubborn\" job cannot be read");
        assert!(log[0].causes[1].contains("unknown variant `what`"), "{:?}", log[0].causes);
    })
    .await;
}
