//! Workers that die or fall asleep in the middle of a backfill.

use super::{PATIENCE, held, site};
use crate::harness::eventually::eventually;
use nix::sys::signal::Signal;
use recomamp::simulator::{Effect, Operation as Op};
use recomamp::steering::{self, Because};
use recomamp::transaction;

const WEEKS: u32 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_survives_the_kill_of_its_worker() {
    let site = site().await;
    // It dies while AMC has taken one submit that it has not heard of, and others are under way.
    let accepted = site.amc.set_fault(held(Op::CreateExecution, Effect::After, 6));
    let worker = site.start_worker().await;
    let collection = site.backfill(WEEKS).await;
    site.until_met(accepted, 1).await;
    worker.signal(Signal::SIGKILL);
    assert!(!worker.finish().await.status.success());
    site.amc.lift_faults();

    site.db.advance_clock(PATIENCE).await;
    let next = site.start_worker().await;
    site.assert_complete(collection, WEEKS).await;
    let rescued = "select count(*) from engine.jobs_history
        where last_error like 'the process that ran it died%'";
    assert!(site.count(rescued).await >= 1, "the dead one's jobs were taken back");
    let lost = "select count(*) from engine.sessions where end_reason = 'lost'";
    assert_eq!(site.count(lost).await, 1);
    site.assert_no_attempt_was_burnt().await;
    next.signal(Signal::SIGTERM);
    assert!(next.finish().await.status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_survives_one_kill_after_another() {
    let site = site().await;
    let collection = site.backfill(WEEKS).await;
    for accepted in [4, 9, 14] {
        let worker = site.start_worker().await;
        site.until(|counts| counts.accepted() >= accepted).await;
        worker.signal(Signal::SIGKILL);
        worker.finish().await;
        site.db.advance_clock(PATIENCE).await;
    }
    let working = site.work();
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
}

/// Whoever begins a week waits for the instance's row, which is ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weeks_that_a_dead_worker_was_about_to_begin_can_be_cancelled_and_taken_up_again() {
    let site = site().await;
    let collection = site.backfill(WEEKS).await;
    let mut ours = site.db.pool().begin().await.expect("begun");
    sqlx::query("select from amc_instances for update").execute(&mut *ours).await.expect("locked");
    let worker = site.start_worker().await;
    let beginning = "select count(*) from engine.jobs
        where kind = 'collect_week' and state = 'running'";
    eventually("weeks begin", async || site.count(beginning).await > 0).await;
    worker.signal(Signal::SIGKILL);
    worker.finish().await;
    ours.rollback().await.expect("unlocked");

    let id = site.text("select collection_id from report_data_collections").await;
    let because = Because { by: "ana", why: Some("a test") };
    let queue = &site.tools.queue;
    let mut tx = transaction::begin(site.db.pool()).await.expect("begun");
    steering::cancel(&mut tx, queue, &id, &because).await.expect("cancelled");
    tx.commit().await.expect("committed");
    let mut tx = transaction::begin(site.db.pool()).await.expect("begun");
    steering::retry(&mut tx, queue, &id, None, &because).await.expect("taken up again");
    tx.commit().await.expect("committed");

    // Nobody looks for forgotten weeks here: each of them has its job.
    site.db.advance_clock(PATIENCE).await;
    let working = site.work();
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_slept_past_its_lease_can_write_nothing_any_more() {
    let site = site().await;
    // When it falls asleep, one submit and one result are under way.
    let submit = site.amc.set_fault(held(Op::CreateExecution, Effect::After, 6));
    let result = site.amc.set_fault(held(Op::DownloadUrls, Effect::Before, 1));
    let mut sleeper = site.start_worker().await;
    let collection = site.backfill(WEEKS).await;
    site.until_met(submit, 1).await;
    site.until_met(result, 1).await;
    sleeper.signal(Signal::SIGSTOP);

    site.db.advance_clock(PATIENCE).await;
    let working = site.work();
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;

    // Now it gets its answers, and wakes.
    site.amc.lift_faults();
    sleeper.signal(Signal::SIGCONT);
    sleeper.line("what it wrote was refused").await;
    sleeper.line("working under a new session").await;
    sleeper.signal(Signal::SIGTERM);
    assert!(sleeper.finish().await.status.success());
    // Nothing has changed behind the other one's back.
    site.assert_complete(collection, WEEKS).await;
}
