//! Gates hold exactly for a whole fleet, while its processes are killed, and let through what they can.

use super::Fleet;
use super::outside::{Answer, Manner};
use super::worker::{PATIENCE, caller, holder};
use crate::harness::eventually::eventually;
use chrono::TimeDelta;
use rand::Rng;
use recomamp::queue::NewJob;
use recomamp::queue::gate::Rule;
use recomamp::queue::gate::rate::Rate;
use std::time::{Duration, Instant};

const PROCESSES: usize = 16;
const KILLS: usize = 12;
const CALLS_BETWEEN_KILLS: usize = 25;

fn many(count: usize, job: impl Fn(&str) -> NewJob, prefix: &str) -> Vec<NewJob> {
    (0..count).map(|n| job(&format!("{prefix} {n}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_places_and_a_rate_hold_exactly_for_sixteen_processes_of_which_many_are_killed() {
    const RATE: usize = 20;
    let window = TimeDelta::seconds(2);
    let mut fleet = Fleet::with_slots(3).await;
    fleet.gate("narrow", Rule::Running(Some(3))).await;
    fleet.gate("wide", Rule::Running(Some(7))).await;
    fleet.gate("places", Rule::Holds(Some(4))).await;
    let rate = Rate::new(u32::try_from(RATE).expect("small"), Duration::from_secs(2));
    fleet.gate("rated", Rule::Rate(Some(rate.expect("a rate")))).await;
    for resource in ["narrow", "wide", "places", "rated"] {
        let pause = Duration::from_millis(30);
        fleet.outside.behaves(resource, Manner::After(pause, Answer::Good));
    }
    fleet.enqueue(&many(120, |name| caller(name, &["wide"]), "wide")).await;
    fleet.enqueue(&many(60, |name| caller(name, &["narrow", "wide"]), "both")).await;
    fleet.enqueue(&many(40, |name| caller(name, &["narrow"]), "narrow")).await;
    fleet.enqueue(&many(60, |name| holder(name, "places"), "holder")).await;
    fleet.enqueue(&many(60, |name| caller(name, &["rated"]), "rated")).await;
    fleet.start(PROCESSES).await;
    for kill in 1..=KILLS {
        let called = || fleet.outside.calls(<[_]>::len);
        eventually("they call", async || called() >= kill * CALLS_BETWEEN_KILLS).await;
        fleet.kill(victim(&fleet)).await;
        fleet.start(1).await;
    }
    fleet.until_all_is_done().await;

    assert!(fleet.outside.most_in_flight("narrow") <= 3);
    assert!(fleet.outside.most_in_flight("wide") <= 7);
    assert!(fleet.outside.most_in_flight("places") <= 4);
    let claims = fleet.outside.claims("rated");
    for (first, one_too_many) in claims.iter().zip(claims.iter().skip(RATE)) {
        assert!(*one_too_many - *first >= window, "{RATE} and one more: {first} to {one_too_many}");
    }
    let (rescued, lost): (i64, i64) = fleet
        .ask(
            "select sum(rescues)::bigint, count(*) filter (where state <> 'done'
                and not coalesce(last_error, '') like 'poison:%')
            from engine.jobs_history",
        )
        .await;
    assert!(rescued > 0, "some died at work");
    assert_eq!(lost, 0, "every job was done, but for one whose process was killed three times");
    fleet.wait(2 * PATIENCE).await;
    fleet.assert_nothing_leaked().await;
}

/// One of those that are calling, if one is.
fn victim(fleet: &Fleet) -> usize {
    let pids: Vec<u32> = fleet.workers.iter().map(crate::harness::process::Process::pid).collect();
    let busy: Vec<usize> = fleet.outside.calls(|calls| {
        let now = calls.iter().filter(|call| call.ended.is_none()).map(|call| call.asks.pid);
        now.filter_map(|pid| pids.iter().position(|other| *other == pid)).collect()
    });
    let of = if busy.is_empty() { (0..pids.len()).collect() } else { busy };
    of[rand::rng().random_range(0..of.len())]
}

/// Calls last ten minutes, as executions do: what counts as unused is the time that the engine takes
/// to fill the slots again, and in this test only that time is real.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_97_percent_of_a_limit_is_used_without_polling() {
    const LIMIT: usize = 10;
    const ROUNDS: u32 = 12;
    let lasts = Duration::from_secs(600);
    let mut fleet = Fleet::with_slots(4).await;
    fleet.gate("host", Rule::Running(Some(10))).await;
    fleet.outside.behaves("host", Manner::WhenTold);
    let jobs = LIMIT * usize::try_from(ROUNDS + 1).expect("small");
    // Several lanes: they take turns at the one limit.
    for tenant in ["tenant:a", "tenant:b", "tenant:c"] {
        fleet.enqueue(&many(jobs / 3 + 1, |name| caller(name, &["host", tenant]), tenant)).await;
    }
    fleet.start(8).await;
    let full = async || fleet.outside.in_flight("host") == LIMIT;
    eventually("the limit is used", full).await;
    let mut unused = Duration::ZERO;
    for _ in 0..ROUNDS {
        fleet.wait(lasts).await;
        assert_eq!(fleet.outside.tell(|_| true, &Answer::Good), LIMIT);
        let freed = Instant::now();
        eventually("all slots are used again", full).await;
        unused += freed.elapsed();
    }
    assert_eq!(fleet.outside.most_in_flight("host"), LIMIT);
    let used = 1.0 - unused.as_secs_f64() / (unused + lasts * ROUNDS).as_secs_f64();
    println!(
        "{:.2} % of the limit was used; filling 10 slots took {:?}",
        100.0 * used,
        unused / ROUNDS
    );
    assert!(used >= 0.97, "{:.2} %", 100.0 * used);
}
