//! A backfill that is called off is called off at AMC too, and nothing is sent a second time for it.

use super::{Site, Verb};
use crate::backfill::site::quick;
use crate::harness::eventually::eventually;
use recomamp::simulator::{Effect, Fault, Kind, Operation as Op, RunTime, Settings};
use recomamp::store::collections::CollectionStatus;
use std::time::Duration;

const OPEN: &str = "select count(*) from workflow_executions
    where status in ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_amc_has_is_stopped_there_and_every_place_is_given_back() {
    let site = Site::new(quick()).await;
    site.faults([Fault::new(Kind::RunFor { seconds: 20_000 })]);
    let collection = site.backfill(30).await;
    let working = site.work();
    site.until(|counts| counts.accepted() == 10).await;
    eventually("all are known to be there", async || {
        let at_amc =
            "select count(*) from workflow_executions where status in ('pending', 'running')";
        site.count(at_amc).await == 10
    })
    .await;
    // A gateway's page is no sign that an execution is gone.
    let page = Fault::new(Kind::Page { status: 404 });
    site.faults([page.clone().on([Op::CancelExecution]).times(2)]);
    site.faults([page.on([Op::GetExecution]).times(2)]);
    let steered = site.steered(collection, Verb::Cancel).await;
    assert_eq!(steered.weeks, 30);
    assert!(
        steered.said.ends_with("30 weeks; 10 executions are being stopped at AMC"),
        "{steered:?}"
    );
    let progress = site.progress(collection).await;
    assert_eq!((progress.status, progress.cancelled), (CollectionStatus::Cancelled, 30));

    site.assert_nothing_is_left().await;
    working.stop().await;
    assert_eq!(site.count(OPEN).await, 0);
    assert_eq!(site.amc.counts().accepted(), 10, "nothing new began");
    assert!(site.amc.counts().calls_of(Op::CancelExecution) >= 10);
    let stopped = "select count(*) from workflow_executions where amc_status = 'CANCELLED'";
    assert_eq!(site.count(stopped).await, 10);
    assert_eq!(site.became(collection, "cancelled").await, ["ana"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_in_doubt_is_looked_up_and_stopped_and_never_sent_again() {
    let run_time = RunTime::Fixed { seconds: 20_000 };
    let site = Site::new(Settings { run_time, ..quick() }).await;
    let lost = Kind::Reset { effect: Effect::After };
    site.faults([Fault::new(lost).on([Op::CreateExecution]).times(2)]);
    // Nobody learns what became of them before they are called off.
    let hold = site
        .amc
        .set_fault(Fault::new(Kind::Hold { effect: Effect::Before }).on([Op::ListExecutions]));
    let collection = site.backfill(2).await;
    let working = site.work();
    let unknown = "select count(*) from workflow_executions where status = 'submit_unknown'";
    eventually("both are in doubt", async || site.count(unknown).await == 2).await;
    site.steered(collection, Verb::Cancel).await;
    site.amc.lift_fault(hold);
    site.assert_nothing_is_left().await;
    working.stop().await;
    assert_eq!(site.amc.counts().calls_of(Op::CreateExecution), 2, "one POST each");
    let stopped = "select count(*) from workflow_executions where amc_status = 'CANCELLED'";
    assert_eq!((site.count(OPEN).await, site.count(stopped).await), (0, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_stays_and_is_summed_and_the_rest_can_be_taken_up_again() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(30).await;
    let working = site.work();
    eventually("some weeks are stored", async || site.progress(collection).await.succeeded >= 3)
        .await;
    site.steered(collection, Verb::Cancel).await;
    site.assert_nothing_is_left().await;
    let stored = site.progress(collection).await.succeeded;
    let summed = "select count(*) from report_data_aggregates where grain = 'week'";
    assert_eq!(site.count(summed).await, stored);

    let steered = site.steered(collection, Verb::Retry).await;
    assert_eq!(steered.weeks, 30 - stored.unsigned_abs());
    site.assert_completed(collection, 30).await;
    site.assert_nothing_is_left().await;
    working.stop().await;
    assert_eq!(site.count(summed).await, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_that_is_retried_while_its_execution_is_being_stopped_waits_for_that() {
    let site = Site::new(quick()).await;
    let long = site.amc.set_fault(Fault::new(Kind::RunFor { seconds: 20_000 }));
    let collection = site.backfill(3).await;
    let working = site.work();
    let at_amc = "select count(*) from workflow_executions where status in ('pending', 'running')";
    eventually("all are at AMC", async || site.count(at_amc).await == 3).await;
    site.amc.lift_fault(long);
    let hold = site
        .amc
        .set_fault(Fault::new(Kind::Hold { effect: Effect::Before }).on([Op::CancelExecution]));
    site.steered(collection, Verb::Cancel).await;
    site.steered(collection, Verb::Retry).await;
    site.until_met(hold, 3).await;
    assert_eq!(site.amc.counts().accepted(), 3, "no second one beside the first");
    site.amc.lift_fault(hold);
    site.assert_completed(collection, 3).await;
    site.assert_nothing_is_left().await;
    working.stop().await;
    assert_eq!(site.amc.counts().accepted(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_amc_has_just_taken_and_does_not_show_yet_is_stopped_when_it_does() {
    let run_time = RunTime::Fixed { seconds: 20_000 };
    let amazon = Settings { run_time, get_delay_seconds: 3600, ..quick() };
    let site = Site::new(amazon).await;
    let collection = site.backfill(1).await;
    let working = site.work();
    let at_amc = "select count(*) from workflow_executions where status = 'pending'";
    eventually("AMC has it", async || site.count(at_amc).await == 1).await;
    site.steered(collection, Verb::Cancel).await;
    let asked = || site.amc.counts().calls_of(Op::CancelExecution);
    eventually("it is asked again and again", async || {
        site.skip_pauses("poll_status").await;
        asked() >= 3
    })
    .await;
    assert_eq!(site.places().await.0, 2, "it runs on at AMC, for all we know");
    site.amc.advance(Duration::from_hours(1));
    site.assert_nothing_is_left().await;
    working.stop().await;
    let stopped = "select count(*) from workflow_executions where amc_status = 'CANCELLED'";
    assert_eq!(site.count(stopped).await, 1);
}
