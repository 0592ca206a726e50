//! A resource that asks to be left alone is left alone, by everybody, and it alone.

use super::Fleet;
use super::outside::{Answer, Manner};
use super::worker::caller;
use crate::harness::eventually::eventually;
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::queue::NewJob;
use recomamp::queue::gate::Rule;
use std::time::Duration;

const BURST: usize = 6;
const JOBS: usize = 20;

fn jobs(resource: &str, round: &str) -> Vec<NewJob> {
    (0..JOBS).map(|n| caller(&format!("{resource} {round} {n}"), &[resource])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_burst_of_429_nobody_calls_the_resource_for_as_long_as_it_said() {
    let mut fleet = Fleet::with_slots(4).await;
    fleet.gate("host:x", Rule::Running(Some(6))).await;
    fleet.outside.behaves("host:x", Manner::WhenTold);
    fleet.enqueue(&jobs("host:x", "first")).await;
    fleet.start(4).await;
    eventually("six call", async || fleet.outside.in_flight("host:x") == BURST).await;
    let answer = Answer::Throttle { seconds: 120, resource: "host:x".to_owned() };
    assert_eq!(fleet.outside.tell(|_| true, &answer), BURST);
    eventually("the store knows", async || {
        fleet.count("select count(*) from engine.jobs where throttles = 1").await == 6
    })
    .await;
    let (until,): (DateTime<Utc>,) =
        fleet.ask("select not_before from engine.resources where name = 'host:x'").await;

    // The others go on, and whoever calls host:x from now on is answered at once.
    fleet.outside.behaves("host:x", Manner::After(Duration::ZERO, Answer::Good));
    for round in ["first", "second", "third", "fourth"] {
        fleet.enqueue(&jobs("host:y", round)).await;
        fleet.enqueue(&[caller(&format!("late {round}"), &["host:x"])]).await;
        eventually("the others are done", async || {
            let left =
                "select count(*) from engine.jobs where uses @> '[{\"resource\": \"host:y\"}]'";
            fleet.count(left).await == 0
        })
        .await;
        fleet.wait(Duration::from_secs(15)).await;
    }
    fleet.wait(Duration::from_secs(100)).await;
    fleet.until_all_is_done().await;
    let claims = fleet.outside.claims("host:x");
    assert_eq!(claims.len(), BURST + JOBS + 4);
    let (burst, after) = claims.split_at(BURST);
    assert!(after[0] >= until, "{} is before {until}", after[0]);
    assert!(after[0] - burst[BURST - 1] >= TimeDelta::seconds(120));
    let attempts = "select count(*) from engine.jobs_history where attempt <> 1 or state <> 'done'";
    assert_eq!(fleet.count(attempts).await, 0, "no attempt was lost");
    let elsewhere = "select coalesce(sum(throttles), 0)::bigint from engine.jobs_history
        where args ->> 'name' like 'host:y%' or args ->> 'name' like 'late%'";
    assert_eq!(fleet.count(elsewhere).await, 0, "nobody else was touched");
    fleet.assert_nothing_leaked().await;
}
