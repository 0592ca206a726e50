//! Backfills in bad weather: too many requests, broken gateways, downloads that fail.

use super::site::{Site, quick};
use crate::harness::eventually::eventually;
use recomamp::jobs;
use recomamp::simulator::{Effect, Fault, Kind, Operation as Op, storm};

const WEEKS: u32 = 12;
const ANY: [Op; 4] = [Op::CreateExecution, Op::GetExecution, Op::ListExecutions, Op::DownloadUrls];

async fn backfilled_through(slots: usize, faults: impl IntoIterator<Item = Fault>) -> Site {
    let site = Site::new(quick()).await;
    site.faults(faults);
    let collection = site.backfill(WEEKS).await;
    let working = site.work_with(slots, jobs::catalog());
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_calls_before_retry_after_has_passed_and_no_attempt_is_spent() {
    let throttle = |operation| {
        Fault::new(Kind::Throttle { retry_after: Some(1), html: false })
            .on([operation])
            .after(3)
            .times(2)
    };
    // One job of each queue at a time, so that no call is under way when another one is refused.
    let site = backfilled_through(1, [Op::CreateExecution, Op::DownloadUrls].map(throttle)).await;
    site.assert_faults_met();
    assert_eq!(site.amc.counts().early_calls.into_iter().collect::<Vec<_>>(), []);
    site.assert_no_attempt_was_burnt().await;
    let throttles = "select sum(throttles)::bigint from engine.jobs_history";
    assert_eq!(site.count(throttles).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_429_without_advice_is_waited_out_by_everybody() {
    let storm = Fault::new(Kind::Throttle { retry_after: None, html: true });
    let site = backfilled_through(16, [storm.on(ANY).after(8).times(4)]).await;
    site.assert_faults_met();
    site.assert_no_attempt_was_burnt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_server_errors_delays_a_backfill_and_costs_no_execution() {
    let broken = |status, operation| {
        let kind = Kind::ServerError { status, effect: Effect::Before };
        Fault::new(kind).on([operation]).after(2).times(3)
    };
    let reset = Fault::new(Kind::Reset { effect: Effect::Before });
    backfilled_through(
        16,
        [
            broken(503, Op::Token).after(0).times(1),
            broken(500, Op::GetExecution),
            broken(502, Op::ListExecutions),
            broken(503, Op::DownloadUrls),
            broken(503, Op::Download),
            reset.on([Op::GetExecution, Op::ListExecutions]).times(2),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_stored_whatever_happens_to_its_download() {
    let download = |kind| Fault::new(kind).on([Op::Download]).after(1).times(2);
    let site = backfilled_through(
        16,
        [
            Fault::new(Kind::NotReady).times(3),
            Fault::new(Kind::NoUrls).times(2),
            Fault::new(Kind::UrlExpired).times(3),
            download(Kind::CutBody),
            download(Kind::ShortBody),
            download(Kind::Html),
        ],
    )
    .await;
    site.assert_faults_met();
    let lost = "select count(*) from report_data_weeks where row_count <> 12";
    assert_eq!(site.count(lost).await, 0, "every campaign has its row");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_without_rows_is_a_success() {
    let site = backfilled_through(16, [Fault::new(Kind::EmptyResult).times(2)]).await;
    let empty = "select count(*) from report_data_weeks where row_count = 0";
    assert_eq!(site.count(empty).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_goes_wrong_on_a_bad_weekend_is_survived() {
    const WEEKS: u32 = 40;
    let site = Site::new(quick()).await;
    site.faults(storm(7));
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    eventually("the collection has ended", async || {
        // Nobody waits until a new token is old enough to be renewed, or out a pause after a failure.
        site.age_tokens().await;
        site.skip_pauses("refresh_token").await;
        site.skip_all_pauses().await;
        site.progress(collection).await.status.is_terminal()
    })
    .await;
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
}
