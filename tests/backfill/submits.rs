//! Submits whose answer is lost: each week is asked for exactly once all the same.

use super::site::{Site, quick};
use crate::harness::eventually::eventually;
use recomamp::simulator::{Effect, Fault, Kind, Lifetime, Operation, Pace, Settings};
use std::time::Duration;

const WEEKS: u32 = 12;

/// A fault that meets this many submits after the first two.
fn on_submits(kind: Kind, times: u32) -> Fault {
    Fault::new(kind).on([Operation::CreateExecution]).after(2).times(times)
}

async fn backfilled_through(faults: impl IntoIterator<Item = Fault>) -> Site {
    let site = Site::new(quick()).await;
    site.faults(faults);
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    site.assert_faults_met();
    site.assert_no_attempt_was_burnt().await;
    site
}

/// How many submits were sent, were found to be at AMC, and were proven not to be there.
async fn sent_found_absent(site: &Site) -> (i64, i64, i64) {
    (
        i64::try_from(site.amc.counts().calls_of(Operation::CreateExecution)).expect("few"),
        site.count("select count(*) from submit_attempts where outcome = 'reconciled_found'").await,
        site.count("select count(*) from submit_attempts where outcome = 'reconciled_absent'")
            .await,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_that_was_accepted_and_then_reset_is_adopted() {
    let site = backfilled_through([on_submits(Kind::Reset { effect: Effect::After }, 3)]).await;
    assert_eq!(sent_found_absent(&site).await, (12, 3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_that_was_reset_before_it_was_accepted_is_sent_once_more() {
    let site = backfilled_through([on_submits(Kind::Reset { effect: Effect::Before }, 2)]).await;
    assert_eq!(sent_found_absent(&site).await, (14, 0, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_timeout_says_nothing_about_whether_a_submit_was_accepted() {
    let timeout = |effect| Kind::ServerError { status: 504, effect };
    let site = backfilled_through([
        on_submits(timeout(Effect::After), 2),
        on_submits(timeout(Effect::Before), 2),
    ])
    .await;
    assert_eq!(sent_found_absent(&site).await, (14, 2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_with_an_answer_that_cannot_be_read_is_adopted() {
    let kinds = [Kind::Truncated, Kind::Html, Kind::Empty, Kind::Huge { megabytes: 17 }];
    let site = backfilled_through(kinds.map(|kind| on_submits(kind, 1))).await;
    assert_eq!(sent_found_absent(&site).await, (12, 4, 0));
    let kept = "select count(*) from unexpected_answers where operation = 'submit_execution'";
    assert_eq!(site.count(kept).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_that_the_list_does_not_show_yet_is_waited_for() {
    let amazon = Settings {
        list_delay_seconds: 3600,
        token_lifetime: Lifetime { seconds: 100_000, clock: Pace::Felt },
        url_lifetime: Lifetime { seconds: 100_000, clock: Pace::Felt },
        ..quick()
    };
    let site = Site::with(amazon, &[("RECOMAMP_SUBMIT_LOOKUP", "2m")]).await;
    site.faults([Fault::new(Kind::Reset { effect: Effect::After })
        .on([Operation::CreateExecution])
        .times(1)]);
    let collection = site.backfill(1).await;
    let working = site.work();
    let listed = async || site.amc.counts().calls_of(Operation::ListExecutions);
    for looks in 1..=2 {
        eventually("AMC's list has been looked at", async || {
            site.skip_pauses("submit_execution").await;
            listed().await >= looks
        })
        .await;
    }
    let found = "select count(*) from workflow_executions where status = 'submit_unknown'";
    assert_eq!(site.count(found).await, 1, "not seen is not proven absent");
    site.amc.advance(Duration::from_hours(1));
    eventually("it is adopted", async || {
        site.skip_pauses("submit_execution").await;
        site.count(found).await == 0
    })
    .await;
    site.assert_complete(collection, 1).await;
    working.stop().await;
    assert_eq!(sent_found_absent(&site).await, (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_that_amc_shows_late_are_not_given_up() {
    let amazon = Settings { list_delay_seconds: 300, get_delay_seconds: 100, ..quick() };
    let site = Site::new(amazon).await;
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
}
