//! A new version is compiled once before it is run: what that saves, and that it is never in the way.

use super::site::{Site, Wish, quick};
use crate::harness::eventually::eventually;
use recomamp::simulator::{Effect, Fault, Kind, Operation};
use recomamp::store::collections::{CollectionStatus, Rules};
use std::time::Duration;

async fn checked() -> Site {
    Site::with(quick(), &[("RECOMAMP_CHECK_VERSIONS", "true")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typing_error_costs_one_dry_run_and_not_an_execution_for_each_week() {
    let site = checked().await;
    let sql = "select a from no_such_table";
    // Every week has its turn: nobody stops the collection after the first few.
    let rules = Rules { max_failed_weeks: None, ..Rules::default() };
    let collection = site.ask(&Wish { rules, sql, ..site.wish(52) }).await;
    let working = site.work();
    let progress = site.ended_without_pauses(collection).await;
    site.assert_nothing_is_left().await;
    working.stop().await;
    assert_eq!((progress.status, progress.failed), (CollectionStatus::Failed, 52));
    let counts = site.amc.counts();
    assert_eq!((counts.accepted(), counts.dry_runs), (0, 1));
    let why =
        site.text("select string_agg(distinct error_message, '|') from report_data_weeks").await;
    assert!(why.contains("Object 'no_such_table' not found") && !why.contains('|'), "{why}");
    assert!(why.starts_with("failed, and nothing was sent: "), "{why}");
    let event = site.text("select reason from events where entity = 'workflow_version'").await;
    assert!(event.contains("no_such_table"), "{event}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_lets_nobody_in_is_no_reason_to_skip_the_dry_run() {
    let site = checked().await;
    let terms = site.amc.set_fault(Fault::new(Kind::TermsNotAccepted));
    let rules = Rules { max_failed_weeks: None, ..Rules::default() };
    let sql = "select a from no_such_table";
    let collection = site.ask(&Wish { rules, sql, ..site.wish(3) }).await;
    let working = site.work();
    let blocked = "select count(*) from report_data_weeks where status = 'blocked'";
    eventually("all are blocked", async || {
        site.skip_pauses("submit_execution").await;
        site.count(blocked).await == 3
    })
    .await;
    // Longer than anybody waits for a verdict.
    site.db.advance_clock(Duration::from_hours(1)).await;
    site.amc.lift_fault(terms);
    site.unblock(site.instance).await;
    let progress = site.ended_without_pauses(collection).await;
    working.stop().await;
    assert_eq!((progress.status, progress.failed), (CollectionStatus::Failed, 3));
    let counts = site.amc.counts();
    assert_eq!((counts.accepted(), counts.dry_runs), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_version_is_checked_once_on_each_instance_whoever_asks() {
    let site = checked().await;
    let working = site.work();
    let (one, other) = (site.backfill(12).await, site.backfill(15).await);
    site.ended_without_pauses(one).await;
    site.ended_without_pauses(other).await;
    let later = site.backfill(20).await;
    site.assert_complete(later, 20).await;
    assert_eq!(site.amc.counts().dry_runs, 1);
    working.stop().await;
    assert_eq!(
        site.text("select string_agg(verdict::text, ' ') from version_checks").await,
        "passed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_whose_answer_is_lost_or_refused_for_a_while_is_sent_again() {
    let site = checked().await;
    site.faults([
        Fault::new(Kind::Reset { effect: Effect::After }).on([Operation::CreateExecution]).times(1),
        Fault::new(Kind::Throttle { retry_after: Some(1), html: false })
            .on([Operation::CreateExecution])
            .times(1),
    ]);
    let collection = site.backfill(3).await;
    let working = site.work();
    site.assert_complete(collection, 3).await;
    working.stop().await;
    assert_eq!(site.amc.counts().dry_runs, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_verdict_executions_wait_a_quarter_of_an_hour_and_go_on() {
    let site = checked().await;
    let away = Kind::ServerError { status: 500, effect: Effect::Before };
    let away = site.amc.set_fault(Fault::new(away).on([Operation::GetExecution]));
    let collection = site.backfill(2).await;
    let working = site.work();
    site.until_met(away, 2).await;
    assert_eq!(site.amc.counts().accepted(), 0);
    site.db.advance_clock(Duration::from_secs(901)).await;
    site.until(|counts| counts.accepted() == 2).await;
    site.amc.lift_fault(away);
    for kind in ["check_version", "poll_status", "fetch_result"] {
        site.skip_pauses(kind).await;
    }
    site.assert_complete(collection, 2).await;
    working.stop().await;
    let verdict = site.text("select verdict || ': ' || reason from version_checks").await;
    assert_eq!(verdict, "skipped: AMC gave no verdict within 15 minutes");
}
