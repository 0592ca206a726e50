//! Explain: no waiting job is ever unexplained, and what is named is what holds it.

mod corner;

use super::{House, named};
use corner::Corner;
use rand::SeedableRng;
use rand::rngs::StdRng;
use recomamp::queue::Outcome;
use recomamp::queue::explain::{Explanation, What};
use recomamp::queue::gate::Rule;
use recomamp::queue::session::ThisProcess;
use recomamp::queue::store::Store;
use std::collections::{BTreeMap, BTreeSet};

/// So many databases, each with so many jobs: a thousand in all.
const HOUSES: u64 = 4;
const JOBS: usize = 250;

#[tokio::test]
async fn of_a_thousand_random_jobs_each_names_what_holds_it_and_runs_when_that_is_gone() {
    let given = std::env::var("RECOMAMP_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random, |text| text.parse().expect("a number"));
    println!("RECOMAMP_TEST_SEED={seed}");
    let houses = (0..HOUSES).map(|index| tried(seed, index));
    let mut seen = BTreeSet::new();
    for told in futures::future::join_all(houses).await {
        seen.extend(told);
    }
    let all = [
        What::NotDue,
        What::Credential,
        What::NoProcess,
        What::Paused,
        What::Breaker,
        What::NotBefore,
        What::Limit,
        What::Rate,
        What::Quota,
        What::Hold,
        What::Turn,
    ];
    let missing: Vec<What> = all.into_iter().filter(|what| !seen.contains(what)).collect();
    assert!(missing.is_empty(), "seed {seed} never met {missing:?}");
}

/// All the jobs of one database. Gives what was told of them.
async fn tried(seed: u64, house: u64) -> BTreeSet<What> {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(house));
    let mut seen = BTreeSet::new();
    let house = House::new().await;
    for number in 0..JOBS {
        let mut corner = Corner::furnish(&house, &mut random, number).await;
        corner.open_until_it_runs(&mut random, &mut seen, seed).await;
    }
    seen
}

async fn explained(house: &House, job: i64) -> Explanation {
    let explained = house.queue.explain(house.db.pool(), job).await.expect("the store answers");
    explained.expect("the job exists")
}

fn whats(explanation: &Explanation) -> Vec<What> {
    explanation.reasons.iter().map(|reason| reason.what).collect()
}

#[tokio::test]
async fn a_job_that_runs_or_has_finished_says_so_and_nothing_holds_it() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    let running = explained(&house, id).await;
    assert_eq!((whats(&running), running.is_held()), (vec![What::Running], false));
    assert!(running.reasons[0].by.as_ref().is_some_and(|by| by.contains("pid")));
    house.end(&lease, Ok(Outcome::Done)).await;
    let finished = explained(&house, id).await;
    assert_eq!(whats(&finished), [What::Finished]);
    assert!(finished.reasons[0].since.is_some());
    let nobody = house.queue.explain(house.db.pool(), id + 1).await.expect("the store answers");
    assert_eq!(nobody, None);
}

#[tokio::test]
async fn a_job_that_nothing_holds_tells_its_rank_and_the_free_slots_of_the_fleet() {
    let house = House::new().await;
    let mut process = ThisProcess::new();
    process.queues = Some(BTreeMap::from([("default".to_owned(), 3)]));
    house.store.begin_session(&process).await.expect("a session");
    house.enqueue(&[named("first"), named("second").using(["r".to_owned()])]).await;
    let last = house.enqueue_one(named("last")).await;
    sqlx::query(
        "update engine.sessions set ended_at = engine.now(), end_reason = 'stopped' where id = $1",
    )
    .bind(house.session.0)
    .execute(house.db.pool())
    .await
    .expect("only one process is left");
    let rank = explained(&house, last).await.rank.expect("it waits");
    assert_eq!((rank.ahead, rank.lanes, rank.free()), (1, 1, Some(3)));
    assert_eq!(whats(&explained(&house, last).await), [What::Turn]);
}

#[tokio::test]
async fn a_lane_left_shut_by_a_gate_that_is_open_is_told_until_a_sweep_wakes_it() {
    let house = House::new().await;
    house.limit("r", 0).await;
    let job = named("a").using(["r".to_owned()]).holding_as("me".to_owned());
    let id = house.enqueue_one(job).await;
    assert!(house.claim(1).await.is_empty());
    assert_eq!(whats(&explained(&house, id).await), [What::Hold]);
    sqlx::query("update engine.resources set max_holds = 1 where name = 'r'")
        .execute(house.db.pool())
        .await
        .expect("behind the engine's back");
    let left = explained(&house, id).await;
    assert_eq!((whats(&left), left.is_held()), (vec![What::Lane], true));
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    assert_eq!(house.queue.sweep(&mut connection).await.expect("swept"), 1);
    assert_eq!(whats(&explained(&house, id).await), [What::Turn]);
    assert_eq!(house.claim(1).await.len(), 1);
}

#[tokio::test]
async fn who_set_a_gate_and_who_has_the_slots_is_told_by_name() {
    let house = House::new().await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let rule = Rule::Running(Some(1));
    let set = house.queue.set_gate_by(&mut connection, "r", rule, "ann", "it is slow");
    set.await.expect("set");
    let ids = house.enqueue(&[named("a"), named("b")].map(|job| job.using(["r".to_owned()]))).await;
    assert_eq!(house.claim(2).await.len(), 1);
    let explanation = explained(&house, ids[1].id()).await;
    let reason = &explanation.reasons[0];
    assert_eq!((reason.what, reason.by.as_deref()), (What::Limit, Some("ann")));
    assert_eq!(reason.why.as_deref(), Some("it is slow"));
    let holders = reason.holders.as_ref().expect("they are named");
    assert_eq!((holders.count, holders.first[0].job_id), (1, ids[0].id()));
    assert!(reason.since.is_some(), "the lane was shut at a known time");
}
