//! Limits, holds, pauses and credentials: what keeps a due job waiting, and what lets it go.

use super::{House, boom, keyed, name_of, named};
use anyhow::anyhow;
use recomamp::queue::gate::rate::Rate;
use recomamp::queue::gate::{Rule, breaker};
use recomamp::queue::postgres::inspect;
use recomamp::queue::share::Slots;
use recomamp::queue::store::{Ask, Store};
use recomamp::queue::{Failure, NewJob, Outcome, Share, State};
use std::time::Duration;

fn holding(name: &str, resource: &str) -> NewJob {
    named(name).using([resource.to_owned()]).holding_as(format!("holder:{name}"))
}

async fn held(house: &House, resource: &str) -> i32 {
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let all = inspect::resources(&mut connection).await.expect("the store answers");
    all.iter().find(|row| row.name == resource).map_or(0, |row| row.held)
}

#[tokio::test]
async fn a_hold_outlives_the_job_that_took_it_until_it_is_released() {
    let house = House::new().await;
    house.limit("r", 1).await;
    house.enqueue(&[holding("a", "r"), holding("b", "r")]).await;

    let first = house.claim(10).await;
    assert_eq!(first.iter().map(name_of).collect::<Vec<_>>(), ["a"]);
    house.end(&first[0], Ok(Outcome::Done)).await;
    assert!(house.claim(10).await.is_empty(), "the place is still taken");

    assert!(house.release("holder:a").await);
    let second = house.claim(10).await;
    assert_eq!(second.iter().map(name_of).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn a_blocked_job_spends_nothing_delays_nobody_and_says_what_it_waits_for() {
    let house = House::new().await;
    house.limit("r", 0).await;
    let blocked = house.enqueue_one(holding("blocked", "r")).await;
    house.enqueue(&[named("behind it")]).await;

    let claimed = house.claim(2).await;
    assert_eq!(claimed.iter().map(name_of).collect::<Vec<_>>(), ["behind it"]);
    let job = house.job(blocked).await;
    assert_eq!((job.state, job.attempt), (State::Waiting, 0));
    let lanes: Vec<(String, String)> =
        sqlx::query_as("select shut_by, shut_gate from engine.lanes where shut_by is not null")
            .fetch_all(house.db.pool())
            .await
            .expect("the store answers");
    assert_eq!(lanes, [("r".to_owned(), "hold".to_owned())]);
}

#[tokio::test]
async fn a_retry_keeps_its_place_and_takes_no_second_one() {
    let house = House::new().await;
    house.limit("r", 1).await;
    house.enqueue(&[holding("a", "r")]).await;
    let lease = house.claim_one().await;
    house.end(&lease, Err(boom())).await;
    house.wait(Duration::from_secs(600)).await;
    house.claim_one().await;
    assert_eq!(held(&house, "r").await, 1);
}

#[tokio::test]
async fn releasing_twice_frees_one_place() {
    let house = House::new().await;
    house.limit("r", 2).await;
    house.enqueue(&[holding("a", "r"), holding("b", "r")]).await;
    house.claim(2).await;
    assert!(house.release("holder:a").await);
    assert!(!house.release("holder:a").await);
    assert_eq!(held(&house, "r").await, 1);
}

#[tokio::test]
async fn processes_that_claim_at_the_same_time_never_exceed_a_limit() {
    let house = House::new().await;
    house.limit("r", 7).await;
    house.enqueue(&(0..60).map(|n| holding(&n.to_string(), "r")).collect::<Vec<_>>()).await;
    let mut ran = 0;
    // Each round, eight claims meet; what they got is released for the next round.
    while ran < 60 {
        let claims = futures::future::join_all((0..8).map(|_| house.claim(5))).await.concat();
        assert!(claims.len() <= 7, "{} holders of 7 places", claims.len());
        assert!(!claims.is_empty(), "a free place is used");
        for lease in &claims {
            house.end(lease, Ok(Outcome::Done)).await;
            house.release(&format!("holder:{}", name_of(lease))).await;
        }
        ran += claims.len();
    }
    assert_eq!(held(&house, "r").await, 0);
}

#[tokio::test]
async fn a_throttled_resource_is_left_alone_by_everybody_as_long_as_it_was_told() {
    let house = House::new().await;
    let uses = |name: &str, resource: &str| named(name).using([resource.to_owned()]);
    let ids = house.enqueue(&[uses("a", "host:x"), uses("b", "host:x")]).await;
    let lease = house.claim_one().await;
    house.enqueue(&[uses("elsewhere", "host:y")]).await;
    let told = Duration::from_secs(120);
    house.end(&lease, Err(Failure::throttled(anyhow!("429"), Some(told), "host:x"))).await;

    let others = house.claim(10).await;
    assert_eq!(others.iter().map(name_of).collect::<Vec<_>>(), ["elsewhere"]);
    house.wait(Duration::from_secs(90)).await;
    assert!(house.claim(10).await.is_empty(), "not half a minute too early");
    house.wait(Duration::from_secs(70)).await;
    assert_eq!(house.claim(10).await.len(), 2);
    assert_eq!(house.job(ids[0].id()).await.attempt, 1, "only the attempt that runs now");
    assert_eq!(house.job(ids[1].id()).await.throttles, 0, "the one that never ran was not asked");
}

#[tokio::test]
async fn a_job_whose_credential_was_refused_waits_until_it_is_opened() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    house.end(&lease, Err(Failure::unauthorized(anyhow!("401"), "lwa:u"))).await;
    assert_eq!(house.job(id).await.blocked_by.as_deref(), Some("lwa:u"));
    assert!(house.claim(1).await.is_empty());

    let mut connection = house.db.pool().acquire().await.expect("a connection");
    assert_eq!(house.queue.open(&mut connection, "lwa:u").await.expect("opened"), 1);
    assert_eq!(house.claim(1).await.len(), 1);
}

#[tokio::test]
async fn a_credential_that_was_opened_meanwhile_keeps_nobody_back() {
    let house = House::new().await;
    house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    house.queue.open(&mut connection, "lwa:u").await.expect("opened");
    house.end(&lease, Err(Failure::unauthorized(anyhow!("401"), "lwa:u"))).await;
    assert_eq!(house.claim(1).await.len(), 1, "the refusal was of the old token");
}

#[tokio::test]
async fn a_sweep_mends_what_should_never_be_wrong_and_counts_it() {
    let house = House::new().await;
    house.limit("r", 1).await;
    house.enqueue(&[holding("a", "r"), holding("b", "r")]).await;
    house.claim(2).await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    assert_eq!(house.queue.sweep(&mut connection).await.expect("swept"), 0, "nothing is wrong");

    sqlx::query("delete from engine.holds").execute(&mut *connection).await.expect("broken");
    assert_eq!(house.queue.sweep(&mut connection).await.expect("swept"), 2);
    let woken = house.claim(2).await;
    assert_eq!(woken.iter().map(name_of).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn a_job_that_has_waited_long_enough_for_a_credential_looks_by_itself() {
    let house = House::new().await;
    house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    house.end(&lease, Err(Failure::unauthorized(anyhow!("401"), "lwa:u"))).await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");

    house.queue.sweep(&mut connection).await.expect("swept");
    assert!(house.claim(1).await.is_empty(), "too early");
    house.wait(Duration::from_secs(901)).await;
    house.queue.sweep(&mut connection).await.expect("swept");
    assert_eq!(house.claim(1).await.len(), 1);
}

#[tokio::test]
async fn places_are_given_where_nobody_has_set_any_and_only_there() {
    let house = House::new().await;
    house.limit("mine", 1).await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let both = ["mine".to_owned(), "nobody's".to_owned()];
    assert_eq!(house.queue.give_holds(&mut connection, &both, 2).await.expect("given"), 1);
    assert_eq!(house.queue.give_holds(&mut connection, &both, 5).await.expect("given"), 0);
    for (resource, places) in [("mine", 1), ("nobody's", 2)] {
        let jobs: Vec<_> = (0..5).map(|n| holding(&format!("{resource} {n}"), resource)).collect();
        house.enqueue(&jobs).await;
        assert_eq!(house.claim(10).await.len(), places, "{resource}");
    }
}

#[tokio::test]
async fn attempts_refused_at_once_by_a_gated_credential_do_not_wait_for_each_other() {
    let house = House::new().await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    for resource in ["cred:x", "a:first"] {
        let rule = Rule::Breaker(Some(breaker::Rule::default()));
        house.queue.set_gate(&mut connection, resource, rule).await.expect("set");
    }
    let uses = |n: usize| named(&n.to_string()).using(["cred:x".into(), "a:first".into()]);
    house.enqueue(&(0..40).map(uses).collect::<Vec<_>>()).await;
    let leases = house.claim(40).await;
    let refused = leases
        .iter()
        .map(|lease| house.end(lease, Err(Failure::unauthorized(anyhow!("401"), "cred:x"))));
    let acked = futures::future::join_all(refused).await;
    assert_eq!(acked.len(), 40);
    assert!(acked.iter().all(|acked| acked.stale.is_empty()));
    assert_eq!(house.queue.open(&mut connection, "cred:x").await.expect("opened"), 40);
}

#[tokio::test]
async fn a_slot_is_not_left_empty_because_a_gated_job_was_counted_for_its_part_and_for_a_loan() {
    let house = House::new().await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let rule = Rule::Running(Some(100));
    house.queue.set_gate(&mut connection, "r", rule).await.expect("set");
    let backfill = |n: usize| named(&n.to_string()).with_share(Share::Backfill);
    house.enqueue(&[named("gated").using(["r".into()])]).await;
    house.enqueue(&(0..50).map(backfill).collect::<Vec<_>>()).await;
    assert_eq!(house.claim(10).await.len(), 10);
}

#[tokio::test]
async fn a_place_that_was_offered_to_a_lane_nobody_serves_goes_to_the_next() {
    let house = House::new().await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let rule = Rule::Running(Some(1));
    house.queue.set_gate(&mut connection, "r", rule).await.expect("set");
    let using_r = |job: NewJob| job.using(["r".to_owned()]);
    house.enqueue(&[using_r(named("first"))]).await;
    let first = house.claim_one().await;
    // Both wait; the lane of the newer version has waited longer.
    house.enqueue(&[using_r(named("of a newer build").of_version(2))]).await;
    assert!(house.claim(5).await.is_empty());
    house.enqueue(&[using_r(keyed("next"))]).await;
    assert!(house.claim(5).await.is_empty());
    house.end(&first, Ok(Outcome::Done)).await;
    let slots = Slots::free_of_all(5);
    let ask = Ask { queue: "default", slots, kinds: Some(&[("named", 1), ("keyed", 1)]) };
    let claimed = house.store.claim(house.session, &ask).await.expect("claimed");
    assert_eq!(
        claimed.leases.iter().map(|lease| lease.kind.as_str()).collect::<Vec<_>>(),
        ["keyed"]
    );
    assert_eq!(house.queue.sweep(&mut connection).await.expect("swept"), 0, "nothing was wrong");
}

#[tokio::test]
async fn a_lane_that_is_served_again_and_again_takes_no_place_from_one_that_waits() {
    let house = House::new().await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let rule = Rule::Running(Some(1));
    house.queue.set_gate(&mut connection, "r", rule).await.expect("set");
    let using_r = |job: NewJob| job.using(["r".to_owned()]);
    let mut served = Vec::new();
    house.enqueue(&[using_r(named("a")), using_r(named("b")), using_r(keyed("a"))]).await;
    for _ in 0..6 {
        // Whichever lane comes first in the order of turns: each has always one more job.
        let lease = house.claim(10).await.pop().expect("the place is free");
        served.push(lease.kind.clone());
        let next =
            if lease.kind == "named" { named("more") } else { keyed(&served.len().to_string()) };
        house.end(&lease, Ok(Outcome::then(using_r(next)))).await;
    }
    let of_named = served.iter().filter(|kind| *kind == "named").count();
    assert!((2..=4).contains(&of_named), "{served:?}");
}

#[tokio::test]
async fn a_faster_rate_lets_those_start_whom_the_old_one_gave_turns_hours_ahead() {
    let house = House::new().await;
    let mut connection = house.connection().await;
    let hour = Duration::from_secs(3600);
    let mut set = async |tokens, period| {
        let rate = Rule::Rate(Some(Rate::new(tokens, period).expect("a rule")));
        house.queue.set_gate(&mut connection, "r", rate).await.expect("set");
    };
    set(1, hour).await;
    let of = |lane: u32| named("a").using(["r".to_owned(), format!("tenant:{lane}")]);
    house.enqueue(&(0..10).map(of).collect::<Vec<_>>()).await;
    assert_eq!(house.claim(10).await.len(), 1);
    assert!(house.claim(10).await.is_empty(), "each of the others has a turn of its own");
    set(10, Duration::from_secs(600)).await;
    house.wait(Duration::from_secs(600)).await;
    assert_eq!(house.claim(10).await.len(), 1);
}
