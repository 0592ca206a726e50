//! Jobs that are discarded because their process died under them too often: their week lives on.

use super::{PATIENCE, held, site};
use crate::backfill::site::Site;
use crate::harness::eventually::eventually;
use nix::sys::signal::Signal;
use recomamp::queue::steer::{Because, Replay};
use recomamp::simulator::{Effect, Operation};
use recomamp::store::CollectionUuid;

const WEEKS: u32 = 3;

/// A site where the job that was making this call is discarded: its third process has died.
async fn with_poisoned(kind: &str, operation: Operation) -> (Site, CollectionUuid) {
    let site = site().await;
    let call = site.amc.set_fault(held(operation, Effect::After, 0));
    let collection = site.backfill(WEEKS).await;
    let worker = site.start_worker().await;
    site.until_met(call, 1).await;
    if kind == "submit_execution" {
        let submits = "select count(*) from engine.jobs where kind <> 'poll_status'";
        eventually("no other submit is under way", async || site.count(submits).await == 1).await;
    }
    worker.signal(Signal::SIGSTOP);
    sqlx::query("update engine.jobs set rescues = 2 where state = 'running' and kind = $1")
        .bind(kind)
        .execute(site.db.pool())
        .await
        .expect("the store answers");
    worker.signal(Signal::SIGKILL);
    worker.finish().await;
    site.amc.lift_faults();
    site.db.advance_clock(PATIENCE).await;
    (site, collection)
}

async fn poisoned(site: &Site) -> i64 {
    site.count(
        "select count(*) from engine.jobs_history
        where state = 'discarded' and last_error like 'poison:%'",
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_poll_costs_its_week_one_execution_more() {
    let (site, collection) = with_poisoned("poll_status", Operation::GetExecution).await;
    let working = site.work();
    let progress = site.ended_without_pauses(collection).await;
    assert_eq!(progress.succeeded, i64::from(WEEKS), "{progress:?}");
    site.assert_nothing_is_left().await;
    working.stop().await;
    let poisoned = poisoned(&site).await;
    assert!(poisoned >= 1);
    assert_eq!(progress.retries, poisoned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_fetch_costs_its_week_one_execution_more() {
    let (site, collection) = with_poisoned("fetch_result", Operation::DownloadUrls).await;
    let working = site.work();
    let progress = site.ended_without_pauses(collection).await;
    assert_eq!(progress.succeeded, i64::from(WEEKS), "{progress:?}");
    site.assert_nothing_is_left().await;
    working.stop().await;
    let poisoned = poisoned(&site).await;
    assert!(poisoned >= 1);
    assert_eq!(progress.retries, poisoned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_submit_blocks_its_week_until_a_person_lets_it_be_looked_up() {
    let (site, collection) = with_poisoned("submit_execution", Operation::CreateExecution).await;
    let working = site.work();
    eventually("the others are done", async || {
        let progress = site.progress(collection).await;
        progress.succeeded == i64::from(WEEKS) - 1 && progress.blocked == 1
    })
    .await;
    assert_eq!(poisoned(&site).await, 1);
    let reason = "select error_message from report_data_weeks where status = 'blocked'";
    assert!(site.text(reason).await.contains("nobody knows whether AMC has the execution"));
    assert_eq!(site.places().await, (2, 2), "it may be open at AMC");

    assert_eq!(site.unblock(site.instance).await, 1);
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_submit_that_is_replayed_ends_its_week_and_is_not_sent_again() {
    let (site, collection) = with_poisoned("submit_execution", Operation::CreateExecution).await;
    let working = site.work();
    eventually("its week is blocked", async || site.progress(collection).await.blocked == 1).await;
    let mut tx = site.db.pool().begin().await.expect("begun");
    let discarded: i64 = sqlx::query_scalar(
        "select id from engine.jobs_history
        where state = 'discarded' and kind = 'submit_execution'",
    )
    .fetch_one(&mut *tx)
    .await
    .expect("one");
    let because = Because { by: "ana", why: "it was the machine" };
    let how = Replay { force: true, ..Replay::default() };
    let replayed = site.tools.queue.replay(&mut tx, discarded, &how, &because).await;
    replayed.expect("replayed");
    tx.commit().await.expect("committed");
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    assert_eq!(site.amc.counts().accepted(), u64::from(WEEKS));
}
