//! Gates that are changed while jobs run and wait.

use super::{ANN, House, name_of, named};
use anyhow::anyhow;
use recomamp::queue::gate::Rule;
use recomamp::queue::gate::rate::Rate;
use recomamp::queue::steer::Unfinished;
use recomamp::queue::{Failure, NewJob, Outcome, State};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn using_r(name: usize) -> NewJob {
    named(&name.to_string()).using(["r".to_owned()])
}

async fn set(house: &House, resource: &str, rule: Rule) {
    house.queue.set_gate(&mut *house.connection().await, resource, rule).await.expect("set");
}

fn rate(tokens: u32, period: Duration) -> Rule {
    Rule::Rate(Some(Rate::new(tokens, period).expect("a rate")))
}

#[tokio::test]
async fn a_limit_counts_what_already_runs_without_it() {
    let house = House::new().await;
    house.enqueue(&(0..6).map(using_r).collect::<Vec<_>>()).await;
    let running = house.claim(3).await;
    set(&house, "r", Rule::Running(Some(3))).await;
    assert!(house.claim(10).await.is_empty(), "three run");

    house.end(&running[0], Ok(Outcome::Done)).await;
    assert_eq!(house.claim(10).await.len(), 1, "one of them has ended");
    assert_eq!(house.queue.sweep(&mut *house.connection().await).await.expect("swept"), 0);
}

#[tokio::test]
async fn a_limit_on_a_queue_or_a_kind_counts_what_already_runs_too() {
    let house = House::new().await;
    house.enqueue(&(0..6).map(using_r).collect::<Vec<_>>()).await;
    let running = house.claim(2).await;
    set(&house, "queue:default", Rule::Running(Some(2))).await;
    set(&house, "kind:named", Rule::Running(Some(2))).await;
    set(&house, "kind:another", Rule::Running(Some(1))).await;
    assert!(house.claim(10).await.is_empty());
    for lease in &running {
        house.end(lease, Ok(Outcome::Done)).await;
    }
    assert_eq!(house.claim(10).await.len(), 2);
}

#[tokio::test]
async fn a_limit_that_was_taken_away_and_set_again_counts_right() {
    let house = House::new().await;
    house.enqueue(&(0..9).map(using_r).collect::<Vec<_>>()).await;
    set(&house, "r", Rule::Running(Some(2))).await;
    let first = house.claim(10).await;
    set(&house, "r", Rule::Running(None)).await;
    house.end(&first[0], Ok(Outcome::Done)).await;
    assert_eq!(house.claim(3).await.len(), 3, "there is no limit");
    set(&house, "r", Rule::Running(Some(5))).await;
    assert_eq!(house.claim(10).await.len(), 1, "four run");
}

#[tokio::test]
async fn whoever_waits_for_a_slow_rate_goes_on_at_once_when_it_is_raised() {
    let house = House::new().await;
    set(&house, "r", rate(1, HOUR)).await;
    house.enqueue(&(0..100).map(using_r).collect::<Vec<_>>()).await;
    for _ in 0..5 {
        // One starts, and the lane queues up for a turn in an hour.
        house.claim(10).await;
        house.wait(HOUR + Duration::from_secs(75)).await;
    }
    set(&house, "r", rate(1000, Duration::from_secs(1))).await;
    house.wait(Duration::from_secs(2)).await;
    assert!(house.claim(10).await.len() >= 10);
}

#[tokio::test]
async fn whoever_waits_behind_turns_that_nobody_takes_any_more_goes_on() {
    let house = House::new().await;
    set(&house, "r", rate(1, Duration::from_secs(60))).await;
    // Lanes of their own: each uses something else besides.
    let backfill = |n: usize| named("backfill").using(["r".to_owned(), format!("tenant:{n}")]);
    house.enqueue(&(0..50).map(backfill).collect::<Vec<_>>()).await;
    assert_eq!(house.claim(50).await.len(), 1, "the others have turns, for most of an hour");
    let all = Unfinished { state: Some(State::Waiting), ..Unfinished::default() };
    let mut connection = house.connection().await;
    house.queue.cancel_all(&mut connection, &all, &ANN).await.expect("cancelled");
    house.enqueue(&[named("live").using(["r".to_owned()])]).await;
    house.wait(Duration::from_secs(62)).await;
    assert_eq!(house.claim(50).await.iter().map(name_of).collect::<Vec<_>>(), ["live"]);
}

#[tokio::test]
async fn a_claim_with_two_slots_starts_both_lanes_whose_turns_have_come() {
    let house = House::new().await;
    let resources = ["r", "s"];
    for resource in resources {
        set(&house, resource, rate(1, Duration::from_secs(60))).await;
        let using = |name: &str| named(name).using([resource.to_owned()]);
        house.enqueue(&[using("first"), using("next")]).await;
    }
    assert_eq!(house.claim(10).await.len(), 2, "one of each; the others have a turn in a minute");
    house.wait(Duration::from_secs(62)).await;
    let claimed = house.claim_as(house.session, 2).await;
    assert_eq!(claimed.leases.len(), 2);
}

#[tokio::test]
async fn a_rate_that_is_lowered_after_a_refusal_leaves_an_event() {
    let house = House::new().await;
    set(&house, "r", rate(1000, Duration::from_secs(1))).await;
    house.enqueue(&(0..2).map(using_r).collect::<Vec<_>>()).await;
    let leases = house.claim(2).await;
    for lease in &leases {
        let told = Some(Duration::from_secs(5));
        house.end(lease, Err(Failure::throttled(anyhow!("429: slow down"), told, "r"))).await;
    }
    // The second one began before the rate was lowered, and says nothing about it.
    assert_eq!(
        house.events().await,
        ["rate_lowered r engine: lowered to 50 % of the rule: 429: slow down"]
    );
}

#[tokio::test]
async fn a_pause_of_a_million_years_is_refused_with_the_remedy() {
    let house = House::new().await;
    let ages = Some(Duration::from_secs(1_000_000 * 366 * 86_400));
    let paused =
        house.queue.pause(&mut *house.connection().await, "r", "ann", "a test", ages).await;
    let refused = paused.expect_err("nobody means it").to_string();
    assert!(
        refused.starts_with("for: ") && refused.contains("until somebody resumes"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_name_that_no_resource_can_have_is_refused() {
    let house = House::new().await;
    let long = "x".repeat(201);
    for name in ["", "queue:", ":x", " r", "kind:\u{1b}[31m", "a\tb", &long] {
        let mut connection = house.connection().await;
        let paused = house.queue.pause(&mut connection, name, "ann", "a test", None).await;
        let refused = paused.expect_err(name).to_string();
        assert!(refused.starts_with("resource: "), "{refused}");
    }
}
