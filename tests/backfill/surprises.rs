//! Answers that nobody expected: kept, classed, and a matter of their own job alone.

use super::site::{Site, quick};
use recomamp::simulator::{Fault, Kind, Operation as Op};

const WEEKS: u32 = 12;

async fn surprised_by(faults: impl IntoIterator<Item = Fault>) -> Site {
    let site = Site::new(quick()).await;
    site.faults(faults);
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    site.assert_faults_met();
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_json_is_kept_and_delays_only_its_own_job() {
    let look = [Op::GetExecution, Op::ListExecutions];
    let kinds = [Kind::Html, Kind::Empty, Kind::Truncated, Kind::Huge { megabytes: 17 }];
    let site = surprised_by(kinds.map(|kind| Fault::new(kind).on(look).after(2).times(1))).await;
    assert_eq!(site.count("select count(*) from unexpected_answers").await, 4);
    let html = "select count(*) from unexpected_answers where body like '%<h1>Welcome</h1>%'";
    assert_eq!(site.count(html).await, 1);
    let empty = "select count(*) from unexpected_answers where body = '' and http_status = 200";
    assert_eq!(site.count(empty).await, 1);
    let attempts = "select sum(attempt - 1)::bigint from engine.jobs_history";
    assert_eq!(site.count(attempts).await, 4, "one try more for each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_word_that_nobody_knows_is_kept_once_and_the_execution_goes_on() {
    let site = Site::new(quick()).await;
    let word = Kind::Status { word: "PONDERING".to_owned() };
    site.faults([Fault::new(word).on([Op::GetExecution]).times(3)]);
    let collection = site.backfill(1).await;
    let working = site.work();
    site.assert_complete(collection, 1).await;
    working.stop().await;
    site.assert_faults_met();
    let kept = "select count(*) from unexpected_answers where body like '%PONDERING%'";
    assert_eq!(site.count(kept).await, 1);
    site.assert_no_attempt_was_burnt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_answer_about_downloads_is_kept_and_asked_for_again() {
    let kinds = [Kind::Html, Kind::Empty];
    let site =
        surprised_by(kinds.map(|kind| Fault::new(kind).on([Op::DownloadUrls]).times(1))).await;
    assert_eq!(site.count("select count(*) from unexpected_answers").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateways_page_is_not_taken_for_amcs_word_and_costs_no_execution() {
    let site = Site::new(quick()).await;
    let calls = [Op::CreateExecution, Op::GetExecution, Op::ListExecutions, Op::DownloadUrls];
    let pages = calls.into_iter().flat_map(|call| {
        [302, 404].map(|status| Fault::new(Kind::Page { status }).on([call]).times(2))
    });
    site.faults(pages);
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    site.assert_faults_met();
    let executions = "select count(*) from workflow_executions";
    assert_eq!(site.count(executions).await, i64::from(WEEKS), "none was given up");
}
