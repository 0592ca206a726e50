//! Cursors and progress: durable, fenced, and cheap.

use super::{House, boom, named};
use crate::harness::eventually::eventually;
use anyhow::anyhow;
use recomamp::queue::dispatcher::Settings;
use recomamp::queue::error::Error;
use recomamp::queue::notes::CURSOR_MAX;
use recomamp::queue::postgres::{Mode, PgStore};
use recomamp::queue::session::ThisProcess;
use recomamp::queue::store::{Lease, Note, Store};
use recomamp::queue::{Attempt, Catalog, Failure, Job, NewJob, Outcome, Progress, State, worker};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    next: u32,
}

fn attempt(house: &House, lease: &Lease) -> Attempt {
    Attempt::under(lease.clone()).through(house.store.clone())
}

async fn cursor(house: &House, lease: &Lease) -> Option<Page> {
    attempt(house, lease).cursor().await.expect("the lease is good")
}

async fn save(house: &House, lease: &Lease, next: u32) {
    attempt(house, lease).save_cursor(&Page { next }).await.expect("saved");
}

/// The process dies, and the job runs again in another.
async fn die(house: &mut House) -> Lease {
    house.db.advance_clock(Duration::from_secs(60)).await;
    house.store.rescue(Duration::from_secs(9)).await.expect("rescued");
    house.session = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
    house.db.advance_clock(Duration::from_secs(60)).await;
    house.store.renew(house.session).await.expect("renewed");
    house.claim_one().await
}

#[tokio::test]
async fn a_cursor_is_there_for_the_next_attempt_whatever_became_of_the_last() {
    let mut house = House::new().await;
    house.enqueue_one(named("a")).await;
    let mut lease = house.claim_one().await;
    assert_eq!(cursor(&house, &lease).await, None);

    let ends: [fn() -> Result<Outcome, Failure>; 5] = [
        || Err(boom()),
        || Ok(Outcome::Snooze(Duration::from_secs(1))),
        || Err(Failure::interrupted()),
        || Err(Failure::throttled(anyhow!("429"), None, "host:x")),
        || Err(Failure::unauthorized(anyhow!("401"), "lwa:x")),
    ];
    for (next, end) in (1..).zip(ends) {
        save(&house, &lease, next).await;
        assert_eq!(cursor(&house, &lease).await, Some(Page { next }), "the attempt sees its own");
        house.end(&lease, end()).await;
        let mut connection = house.db.pool().acquire().await.expect("a connection");
        house.queue.open(&mut connection, "lwa:x").await.expect("opened");
        house.wait(Duration::from_secs(3600)).await;
        lease = house.claim_one().await;
        assert_eq!(cursor(&house, &lease).await, Some(Page { next }));
    }
    save(&house, &lease, 100).await;
    let lease = die(&mut house).await;
    assert_eq!(cursor(&house, &lease).await, Some(Page { next: 100 }), "its process was killed");

    attempt(&house, &lease).save_cursor(&None::<Page>).await.expect("taken away");
    assert_eq!(cursor(&house, &lease).await, None);
}

#[tokio::test]
async fn an_attempt_that_lost_its_lease_can_neither_save_a_cursor_nor_read_one() {
    let mut house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let late = house.claim_one().await;
    let newer = die(&mut house).await;
    save(&house, &newer, 7).await;

    let stale = attempt(&house, &late);
    let lost = |error: Error| matches!(error, Error::LeaseLost { job_id } if job_id == id);
    assert!(lost(stale.save_cursor(&Page { next: 1 }).await.expect_err("refused")));
    assert!(lost(stale.cursor::<Page>().await.expect_err("refused")));
    let mut transaction = house.db.pool().begin().await.expect("a transaction");
    let refused = stale.save_cursor_in(&mut transaction, &Page { next: 1 }).await;
    assert!(lost(refused.expect_err("refused")));
    transaction.rollback().await.expect("rolled back");
    let progress = Progress { done: 1, total: None, text: None };
    let note = |fence| Note { job_id: id, fence, progress: progress.clone() };
    let written = house.store.note_progress(&[note(late.fence)]).await.expect("answered");
    assert_eq!(written, Vec::<i64>::new());
    assert_eq!(cursor(&house, &newer).await, Some(Page { next: 7 }));

    house.end(&newer, Ok(Outcome::Snooze(Duration::ZERO))).await;
    let between = attempt(&house, &newer).save_cursor(&Page { next: 8 }).await;
    assert!(lost(between.expect_err("it has ended, though nobody has claimed the job since")));
}

#[tokio::test]
async fn a_cursor_and_the_data_of_which_it_speaks_appear_together_or_not_at_all() {
    let house = House::new().await;
    house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    let attempt = attempt(&house, &lease);
    for (next, commit) in [(1, true), (2, false)] {
        let mut transaction = house.db.pool().begin().await.expect("a transaction");
        let read: Option<Page> = attempt.cursor_in(&mut transaction).await.expect("read");
        assert_eq!(read, (next > 1).then_some(Page { next: 1 }));
        attempt.save_cursor_in(&mut transaction, &Page { next }).await.expect("saved");
        if commit {
            transaction.commit().await.expect("committed");
        } else {
            transaction.rollback().await.expect("rolled back");
        }
        assert_eq!(cursor(&house, &lease).await, Some(Page { next: 1 }));
    }
}

#[tokio::test]
async fn what_is_no_cursor_is_refused_with_the_remedy_and_harms_nothing() {
    let house = House::new().await;
    house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    save(&house, &lease, 1).await;
    let attempt = attempt(&house, &lease);

    let long = attempt.save_cursor(&"x".repeat(CURSOR_MAX)).await.expect_err("too long");
    assert!(long.to_string().contains("in a table of your own"), "{long}");
    let nul = attempt.save_cursor(&["a\0b"]).await.expect_err("not storable");
    assert!(nul.to_string().contains("NUL"), "{nul}");
    let homeless = Attempt::under(lease.clone()).save_cursor(&1).await.expect_err("no store");
    assert!(homeless.to_string().contains("save_cursor_in"), "{homeless}");
    assert_eq!(cursor(&house, &lease).await, Some(Page { next: 1 }));

    attempt.save_cursor(&"x".repeat(CURSOR_MAX - 2)).await.expect("the longest");
    assert_eq!(cursor(&house, &lease).await, None, "what another build wrote is no cursor");
}

#[tokio::test]
async fn progress_is_seen_while_it_runs_and_kept_with_the_finished_job() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    let half = Progress { done: 3, total: Some(6), text: Some("page 3".into()) };
    let note = Note { job_id: id, fence: lease.fence, progress: half.clone() };
    assert_eq!(house.store.note_progress(&[note]).await.expect("written"), [id]);
    assert_eq!(house.job(id).await.progress.expect("it tells").0, half);

    let attempt = attempt(&house, &lease);
    attempt.progress(6, 6, "all\0pages");
    let mut transaction = house.db.pool().begin().await.expect("a transaction");
    attempt.complete_in(&mut transaction, Outcome::Done).await.expect("completed");
    transaction.commit().await.expect("committed");
    let job = house.job(id).await;
    assert_eq!(job.state, State::Done);
    let whole = Progress { done: 6, total: Some(6), text: Some("all\u{fffd}pages".into()) };
    assert_eq!(job.progress.expect("it is kept").0, whole);
    assert!(job.claimed_at.is_some() && job.finished_at >= job.claimed_at, "so long it took");
}

// ---- with a worker ----

/// Tells its progress very often, waits for a permit, and tells it once more.
#[derive(Serialize, Deserialize)]
struct Chatty;

const WORDS: u64 = 1000;

impl Job for Chatty {
    type Tools = (Semaphore, Semaphore);
    const KIND: &'static str = "chatty";

    async fn run(
        &self,
        (told, may_end): &Self::Tools,
        attempt: &Attempt,
    ) -> Result<Outcome, Failure> {
        let found: Option<u64> = attempt.cursor().await?;
        for done in 1..WORDS {
            attempt.progress(done, WORDS, None);
        }
        attempt.save_cursor(&found.map_or(1, |runs| runs + 1)).await?;
        told.add_permits(1);
        may_end.acquire().await.map_err(Failure::permanent)?.forget();
        attempt.progress(WORDS, WORDS, "the end");
        match found {
            None => Ok(Outcome::Snooze(Duration::ZERO)),
            Some(_) => Ok(Outcome::Done),
        }
    }
}

/// Counts, in the database, how often progress was written.
async fn count_writes(house: &House) {
    sqlx::raw_sql(
        "create table writes (at timestamptz);
        create function count_write() returns trigger language plpgsql as
        'begin insert into writes values (now()); return null; end';
        create trigger count_write after update on engine.jobs
        for each row when (old.progress is distinct from new.progress)
        execute function count_write()",
    )
    .execute(house.db.pool())
    .await
    .expect("counted");
}

async fn writes(house: &House) -> u128 {
    let writes: i64 = sqlx::query_scalar("select count(*) from writes")
        .fetch_one(house.db.pool())
        .await
        .expect("counted");
    writes.try_into().expect("positive")
}

struct Worker {
    tools: Arc<(Semaphore, Semaphore)>,
    soft: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Worker {
    fn on(house: &House, note_every: Duration) -> Self {
        let tools = Arc::new((Semaphore::new(0), Semaphore::new(0)));
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let mut settings = Settings::new([("default".to_owned(), 4)]);
        settings.note_every = note_every;
        let store = PgStore::new(house.db.pool().clone(), Mode::Listen);
        let catalog = Catalog::new().add::<Chatty>();
        let work = worker::run(store, catalog, tools.clone(), settings, soft.clone(), hard);
        Self { tools, soft, ended: tokio::spawn(work) }
    }

    async fn until_told(&self) {
        self.tools.0.acquire().await.expect("open").forget();
    }

    async fn stop(self) {
        self.soft.cancel();
        self.ended.await.expect("no panic").expect("it ends well");
    }
}

fn chatty() -> NewJob {
    NewJob::of(&Chatty).expect("it is JSON")
}

#[tokio::test]
async fn progress_that_nobody_has_written_yet_is_written_with_the_end_of_each_attempt() {
    let house = House::new().await;
    count_writes(&house).await;
    let id = house.enqueue_one(chatty()).await;
    let worker = Worker::on(&house, Duration::from_secs(3600));
    for attempt in 1..=2 {
        worker.until_told().await;
        assert_eq!(writes(&house).await, attempt - 1, "a thousand words, and not one write");
        worker.tools.1.add_permits(1);
        if attempt == 1 {
            eventually("the snooze is written", async || house.job(id).await.snoozes == 1).await;
        }
    }
    eventually("it is done", async || house.state(id).await == State::Done).await;
    let told = house.job(id).await.progress.expect("it is kept").0;
    assert_eq!((told.done, told.text.as_deref()), (WORDS, Some("the end")));
    worker.stop().await;
}

#[tokio::test]
async fn the_last_progress_is_seen_while_the_job_runs_and_a_thousand_words_are_few_writes() {
    let house = House::new().await;
    count_writes(&house).await;
    let every = Duration::from_millis(50);
    let began = Instant::now();
    let id = house.enqueue_one(chatty()).await;
    let worker = Worker::on(&house, every);
    worker.until_told().await;
    eventually("the last word is seen", async || {
        house.job(id).await.progress.is_some_and(|told| told.0.done == WORDS - 1)
    })
    .await;
    assert!(writes(&house).await <= 1 + began.elapsed().as_millis() / every.as_millis());
    worker.tools.1.add_permits(2);
    eventually("it is done", async || house.state(id).await == State::Done).await;
    worker.stop().await;
}
