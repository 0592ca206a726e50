//! A backfill from the plan to the report.

use super::site::{Site, quick};
use recomamp::jobs::feed;
use recomamp::simulator::{Effect, Fault, Kind, Operation};
use recomamp::store::aggregates::{self, AggregateGrain};
use rust_decimal::Decimal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_two_weeks_are_collected_summed_and_equal_to_the_closed_formula() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(52).await;
    let working = site.work();
    site.assert_complete(collection, 52).await;
    working.stop().await;

    let weeks = aggregates::list(site.db.pool(), collection, AggregateGrain::Week).await;
    let weeks = weeks.expect("the store answers");
    assert_eq!(weeks.len(), 52);
    let facts = site.amc.facts(&site.amc_instance_id());
    let truth = facts.totals(weeks[0].period_start, 52);
    let truth = serde_json::to_value(&truth.metrics).expect("it is JSON");
    for (name, total) in truth.as_object().expect("metrics by name") {
        let total = total.as_str().map_or_else(|| total.to_string(), str::to_owned);
        let ours: Decimal = weeks
            .iter()
            .map(|week| week.metrics[name].as_str().expect("a sum").parse::<Decimal>())
            .map(|value| value.expect("a number"))
            .sum();
        assert_eq!(ours, total.parse::<Decimal>().expect("a number"), "{name}");
    }
    let quarters = aggregates::list(site.db.pool(), collection, AggregateGrain::Quarter).await;
    assert!(quarters.expect("the store answers").len() >= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_that_amc_did_not_take_is_sent_again_under_another_name() {
    let site = Site::new(quick()).await;
    let submits = [Operation::CreateExecution];
    for kind in
        [Kind::Throttle { retry_after: None, html: false }, Kind::Reset { effect: Effect::Before }]
    {
        site.amc.set_fault(Fault::new(kind).on(submits).times(1));
    }
    let collection = site.backfill(1).await;
    let working = site.work();
    site.assert_complete(collection, 1).await;
    working.stop().await;
    assert_eq!(site.amc.counts().calls_of(Operation::CreateExecution), 3);
    let names = "select count(distinct client_ref) from submit_attempts";
    assert_eq!(site.count(names).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weeks_that_no_job_works_on_are_found_and_go_on() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(3).await;
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let forgotten = feed::forgotten(&mut connection).await.expect("asked");
    assert!(forgotten.is_empty(), "every week has its job");

    sqlx::query("delete from engine.jobs").execute(&mut *connection).await.expect("lost");
    let forgotten = feed::forgotten(&mut connection).await.expect("asked");
    feed::look_after(&site.tools.queue, &mut connection, &forgotten).await.expect("enqueued");
    let working = site.work();
    site.assert_complete(collection, 3).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_is_asked_for_once_by_whoever_ends_the_last_week() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(3).await;
    // A week that a person settled in the database is no week to wait for.
    sqlx::query(
        "update report_data_weeks
        set status = 'skipped', completed_at = engine.now(), error_message = 'a holiday'
        where id = (select min(id::text)::uuid from report_data_weeks)",
    )
    .execute(site.db.pool())
    .await
    .expect("skipped");
    let working = site.work();
    site.ended(collection).await;
    site.idle().await;
    working.stop().await;
    let reports = "select count(*) from engine.jobs_history where kind = 'aggregate_report'";
    assert_eq!(site.count(reports).await, 1);
}
