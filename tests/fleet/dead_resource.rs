//! A resource that is dead: a breaker lets few find out, asks rarely, and remembers over restarts.

use super::Fleet;
use super::outside::{Answer, Manner};
use super::worker::caller;
use crate::harness::database::TestDatabase;
use crate::harness::eventually::eventually;
use crate::harness::server::PrivatePostgres;
use chrono::{DateTime, Utc};
use recomamp::queue::gate::Rule;
use recomamp::queue::gate::breaker::{self, Trip};
use std::time::Duration;

const WORKERS: usize = 8;
const THRESHOLD: usize = 5;
const PROBES: usize = 2;
const JOBS: usize = 60;

async fn until_phase(fleet: &Fleet, phase: &str) {
    eventually(&format!("the breaker is {phase}"), async || {
        let (is,): (String,) = fleet
            .ask("select breaker -> 'state' ->> 'is' from engine.resources where name = 'dead'")
            .await;
        is == phase
    })
    .await;
}

/// The cool-down ends. The probes meet at the outside, which says to all of them that it is dead.
async fn probed_in_vain(fleet: &Fleet) {
    until_probes(fleet).await;
    assert_eq!(fleet.outside.tell(|_| true, &Answer::Fail), PROBES);
    until_phase(fleet, "open").await;
}

/// The cool-down ends, and exactly so many ask.
async fn until_probes(fleet: &Fleet) {
    let before = fleet.outside.count("dead");
    let (left,): (f64,) = fleet
        .ask(
            "select extract(epoch from
                (breaker -> 'state' ->> 'until')::timestamptz - engine.now())::float8
            from engine.resources where name = 'dead'",
        )
        .await;
    fleet.wait(Duration::from_secs_f64(left.max(0.0) + 1.0)).await;
    eventually("the probes are there", async || fleet.outside.in_flight("dead") == PROBES).await;
    // Whoever could start beside them has had its chance when this one is done.
    fleet.enqueue(&[caller("alive", &["alive"])]).await;
    eventually("others go on", async || {
        fleet.count("select count(*) from engine.jobs where args ->> 'name' = 'alive'").await == 0
    })
    .await;
    assert_eq!(fleet.outside.count("dead") - before, PROBES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_workers_leave_a_dead_resource_alone_but_for_its_probes_whatever_is_restarted() {
    let mut server = PrivatePostgres::start().await;
    let mut fleet = Fleet::on(TestDatabase::on(server.url()).await, 1);
    let rule = breaker::Rule {
        trips: vec![Trip::Consecutive { k: u32::try_from(THRESHOLD).expect("small") }],
        probes: u32::try_from(PROBES).expect("small"),
        cool_downs_s: vec![60, 300],
        ..breaker::Rule::default()
    };
    fleet.gate("dead", Rule::Breaker(Some(rule))).await;
    fleet.outside.behaves("dead", Manner::After(Duration::from_millis(10), Answer::Fail));
    let jobs: Vec<_> = (0..JOBS).map(|n| caller(&n.to_string(), &["dead"])).collect();
    fleet.enqueue(&jobs).await;
    fleet.start(WORKERS).await;
    until_phase(&fleet, "open").await;
    eventually("nobody calls any more", async || {
        fleet.count("select count(*) from engine.jobs where state = 'running'").await == 0
    })
    .await;
    let failures = fleet.outside.count("dead");
    assert!((THRESHOLD..=THRESHOLD + WORKERS).contains(&failures), "{failures} failures");

    fleet.outside.behaves("dead", Manner::WhenTold);
    probed_in_vain(&fleet).await;
    fleet.stop().await;
    fleet.start(WORKERS).await;
    probed_in_vain(&fleet).await;
    server.stop().await;
    server.start_again().await;
    probed_in_vain(&fleet).await;
    let failures = failures + 3 * PROBES;
    assert_eq!(fleet.outside.count("dead"), failures);

    // It is back: the probes that find out are all that it takes. Nobody polls, no time passes.
    until_probes(&fleet).await;
    fleet.outside.behaves("dead", Manner::After(Duration::ZERO, Answer::Good));
    assert_eq!(fleet.outside.tell(|_| true, &Answer::Good), PROBES);
    let never_tried = JOBS - failures - PROBES;
    eventually("work goes on", async || {
        fleet.outside.count("dead") >= failures + PROBES + never_tried
    })
    .await;
    let (closed_at,): (DateTime<Utc>,) = fleet
        .ask("select at from engine.events where what = 'breaker_closed' order by id limit 1")
        .await;
    let claims = fleet.outside.claims("dead");
    let next = claims.iter().find(|claimed_at| **claimed_at > closed_at).expect("one was");
    println!("the next job started {} after the breaker closed", *next - closed_at);
    fleet.wait(Duration::from_secs(600)).await;
    fleet.until_all_is_done().await;
    fleet.assert_nothing_leaked().await;
}
