//! Executions that end badly, queries that cannot run, and an Amazon that refuses us.

use super::site::{Site, Wish, quick};
use crate::harness::eventually::eventually;
use recomamp::jobs;
use recomamp::simulator::{Effect, Ending, Entry, Fault, Kind, Operation as Op, Settings};
use recomamp::store::CollectionUuid;
use recomamp::store::collections::CollectionStatus;
use std::time::Duration;

const WEEKS: u32 = 6;

fn ends_as(status: Ending, reason: &str) -> Kind {
    Kind::EndAs { status, reason: reason.to_owned() }
}

impl Site {
    /// `timeWindowStart` of the first week, as it is sent.
    async fn first_window(&self) -> String {
        self.text(
            "select to_char(min(week_start_date), 'YYYY-MM-DD\"T\"00:00:00')
            from report_data_weeks",
        )
        .await
    }

    async fn assert_ended(
        &self,
        collection: CollectionUuid,
        status: CollectionStatus,
        succeeded: i64,
    ) {
        let progress = self.ended_without_pauses(collection).await;
        assert_eq!((progress.status, progress.succeeded), (status, succeeded), "{progress:?}");
        self.assert_nothing_is_left().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_whose_execution_failed_gets_another_one() {
    let site = Site::new(quick()).await;
    site.faults([
        Fault::new(ends_as(Ending::Failed, "Internal error")).times(1),
        Fault::new(ends_as(Ending::Rejected, "Too busy")).times(1),
    ]);
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    site.assert_ended(collection, CollectionStatus::Completed, WEEKS.into()).await;
    working.stop().await;
    assert_eq!(site.amc.counts().accepted(), u64::from(WEEKS) + 2);
    assert_eq!(site.progress(collection).await.retries, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_that_fails_again_and_again_is_given_up_and_the_others_are_summed() {
    let site = Site::new(quick()).await;
    let collection = site.ask(&Wish { attempts: 3, ..site.wish(WEEKS) }).await;
    let window = site.first_window().await;
    site.faults([Fault::new(ends_as(Ending::Failed, "Internal error")).for_window(&window)]);
    let working = site.work();
    let (status, weeks) = (CollectionStatus::CompletedWithErrors, i64::from(WEEKS));
    site.assert_ended(collection, status, weeks - 1).await;
    working.stop().await;
    assert_eq!(site.amc.counts().submits_of(&site.amc_instance_id(), &window), 3);
    let why = site.text("select error_message from report_data_weeks where status = 'failed'");
    assert!(why.await.contains("after 3 executions: Internal error"));
    let summed = "select count(*) from report_data_aggregates where grain = 'week'";
    assert_eq!(site.count(summed).await, weeks - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_does_not_compile_fails_at_once() {
    let site = Site::new(quick()).await;
    let sql = "select 1 from no_such_table";
    let collection = site.ask(&Wish { sql, ..site.wish(3) }).await;
    let working = site.work();
    site.assert_ended(collection, CollectionStatus::Failed, 0).await;
    working.stop().await;
    assert_eq!(site.amc.counts().accepted(), 3);
    let why = site.text("select min(error_message) from report_data_weeks").await;
    assert!(why.contains("Was unable to compile"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_cancels_at_amc_is_not_asked_for_again() {
    let site = Site::new(quick()).await;
    site.faults([Fault::new(ends_as(Ending::Cancelled, "by hand")).times(1)]);
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    let weeks = i64::from(WEEKS);
    site.assert_ended(collection, CollectionStatus::CompletedWithErrors, weeks - 1).await;
    working.stop().await;
    assert_eq!(site.amc.counts().accepted(), u64::from(WEEKS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_that_wait_for_the_owner_stop_one_instance_and_no_other() {
    let site = Site::new(quick()).await;
    let refused = site.add_instance("amcdemous02").await;
    let terms = Fault::new(Kind::TermsNotAccepted).in_instance("amcdemous02");
    let terms = site.amc.set_fault(terms);
    let blocked = site.ask(&Wish { instance: refused, ..site.wish(WEEKS) }).await;
    let good = site.backfill(WEEKS).await;
    // One after the other, so that all but the first know better than to ask.
    let working = site.work_with(1, jobs::catalog());
    eventually("every week there is blocked", async || {
        site.progress(blocked).await.blocked == i64::from(WEEKS)
    })
    .await;
    site.assert_completed(good, WEEKS).await;
    let reason = "select min(error_message) from report_data_weeks where status = 'blocked'";
    assert!(site.text(reason).await.contains("Terms and conditions"));
    let reason = "select block_reason from amc_instances where status = 'blocked'";
    assert!(site.text(reason).await.contains("Terms and conditions"));
    let submits =
        |call: &Entry| call.operation == Op::CreateExecution && call.instance == "amcdemous02";
    assert_eq!(site.amc.log().into_iter().filter(submits).count(), 1);

    site.amc.lift_fault(terms);
    assert_eq!(site.unblock(refused).await, usize::try_from(WEEKS).expect("few"));
    site.ended_without_pauses(blocked).await;
    site.assert_completed(blocked, WEEKS).await;
    site.assert_submitted_once(2 * WEEKS).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_keeps_its_place_while_amazon_refuses_to_tell_about_it() {
    let site = Site::new(quick()).await;
    let look = [Op::GetExecution, Op::ListExecutions, Op::DownloadUrls];
    // Nobody is told anything before all are open: a blocked instance is sent nothing more.
    let hold = site.amc.set_fault(Fault::new(Kind::Hold { effect: Effect::Before }).on(look));
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    site.until(|counts| counts.accepted() >= u64::from(WEEKS)).await;
    let terms = site.amc.set_fault(Fault::new(Kind::TermsNotAccepted).on(look));
    site.amc.lift_fault(hold);
    site.until_met(terms, 1).await;
    let reason = "select count(*) from amc_instances where block_reason like 'Terms%'";
    eventually("the instance is blocked", async || site.count(reason).await == 1).await;
    let waiting = "select count(*) from engine.jobs where blocked_by is not null";
    eventually("all polls wait", async || site.count(waiting).await == i64::from(WEEKS)).await;
    assert_eq!(site.places().await.0, 2 * i64::from(WEEKS), "each is open at AMC");

    site.amc.lift_fault(terms);
    site.unblock(site.instance).await;
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    site.assert_no_attempt_was_burnt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_that_ended_while_nobody_looked_is_not_run_again() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(3).await;
    let held = site
        .amc
        .set_fault(Fault::new(Kind::Hold { effect: Effect::Before }).on([Op::GetExecution]));
    let working = site.work();
    site.until_met(held, 3).await;
    working.stop_at_once().await;
    // A weekend later everything is past its deadline, and AMC has long been done.
    site.db.advance_clock(Duration::from_hours(60)).await;
    site.amc.lift_faults();
    let working = site.work();
    site.assert_complete(collection, 3).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_past_its_deadline_is_cancelled_and_run_again() {
    let site = Site::new(Settings { validation_seconds: 1, ..quick() }).await;
    let collection = site.backfill(3).await;
    let window = site.first_window().await;
    site.faults([Fault::new(Kind::RunFor { seconds: 20_000 }).for_window(&window).times(1)]);
    let working = site.work();
    eventually("the others are done", async || site.progress(collection).await.succeeded == 2)
        .await;
    // Time in which nobody looks does not count: so somebody looks every half hour.
    eventually("it is given up", async || {
        let looks = site.amc.counts().calls_of(Op::GetExecution);
        site.db.advance_clock(Duration::from_mins(30)).await;
        eventually("somebody has looked", async || {
            site.skip_pauses("poll_status").await;
            site.amc.counts().calls_of(Op::GetExecution) > looks
        })
        .await;
        site.amc.counts().calls_of(Op::CancelExecution) > 0
    })
    .await;
    site.assert_ended(collection, CollectionStatus::Completed, 3).await;
    working.stop().await;
    assert_eq!(site.amc.counts().calls_of(Op::CancelExecution), 1);
    assert_eq!(site.amc.counts().submits_of(&site.amc_instance_id(), &window), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_which_amc_knows_nothing_any_more_is_given_up_in_time_and_run_again() {
    let site = Site::new(quick()).await;
    let not_yet = site.amc.set_fault(Fault::new(Kind::NotReady));
    let collection = site.backfill(1).await;
    let working = site.work();
    site.until_met(not_yet, 1).await;
    let forgotten = "update workflow_executions set amc_execution_id = 'forgotten'";
    sqlx::query(forgotten).execute(site.db.pool()).await.expect("the store answers");
    site.amc.lift_fault(not_yet);
    let given_up = "select count(*) from workflow_executions where status = 'failed'";
    // Time in which nobody looks does not count: so somebody looks every half hour.
    eventually("it is given up", async || {
        let looks = site.amc.counts().calls_of(Op::GetExecution);
        site.db.advance_clock(Duration::from_mins(30)).await;
        eventually("somebody has looked", async || {
            site.skip_pauses("fetch_result").await;
            site.count(given_up).await == 1 || site.amc.counts().calls_of(Op::GetExecution) > looks
        })
        .await;
        site.count(given_up).await == 1
    })
    .await;
    site.assert_ended(collection, CollectionStatus::Completed, 1).await;
    working.stop().await;
    assert_eq!(site.amc.counts().accepted(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_end_before_the_last_file_is_there_are_asked_for_anew_and_no_file_is_read_twice()
 {
    let site = Site::new(Settings { result_files: Some(5), ..quick() }).await;
    site.faults([Fault::new(Kind::UrlExpired).on([Op::Download]).after(2).times(1)]);
    let collection = site.backfill(1).await;
    let working = site.work();
    site.assert_complete(collection, 1).await;
    working.stop().await;
    let calls = |operation| site.amc.counts().calls_of(operation);
    assert_eq!((calls(Op::Download), calls(Op::DownloadUrls)), (6, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_is_refused_with_an_odd_answer_costs_no_execution() {
    let site = Site::new(quick()).await;
    let odd = Fault::new(Kind::Page { status: 415 });
    site.faults([odd.on([Op::GetExecution, Op::ListExecutions]).times(8)]);
    let collection = site.backfill(8).await;
    let working = site.work();
    site.assert_ended(collection, CollectionStatus::Completed, 8).await;
    working.stop().await;
    site.assert_faults_met();
    assert_eq!(site.amc.counts().accepted(), 8);
}
