//! A backfill from the plan to the report.

use super::site::{Site, quick};
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
