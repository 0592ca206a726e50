//! Nobody stands in another's way: shares of slots, lanes in turn, weights, a bound on every wait.

use super::{House, name_of, named};
use recomamp::queue::gate::Rule;
use recomamp::queue::postgres::{Mode, PgStore};
use recomamp::queue::share::Slots;
use recomamp::queue::store::{Ask, Lease, Store};
use recomamp::queue::{NewJob, Outcome, Share};
use std::collections::BTreeMap;
use std::time::Instant;

fn of_tenant(tenant: &str, count: usize) -> Vec<NewJob> {
    (0..count).map(|_| named(tenant).using([format!("tenant:{tenant}")])).collect()
}

fn in_share(share: Share, count: usize) -> Vec<NewJob> {
    (0..count).map(|_| named(share.as_str()).with_share(share)).collect()
}

/// A worker whose slots are as full as the jobs that wait allow.
struct Worker {
    store: PgStore,
    slots: Slots,
    running: Vec<Lease>,
}

impl Worker {
    fn new(house: &House, slots: usize) -> Self {
        let store = PgStore::new(house.db.pool().clone(), Mode::Listen);
        Self { store, slots: Slots::free_of_all(slots), running: Vec::new() }
    }

    /// Fills its free slots. The names of what starts, in order.
    async fn claim(&mut self, house: &House) -> Vec<String> {
        let ask = Ask { queue: "default", slots: self.slots, kinds: None };
        let claimed = self.store.claim(house.session, &ask).await.expect("claimed").leases;
        for lease in &claimed {
            self.slots.take(lease.share);
        }
        let names = claimed.iter().map(|lease| name_of(lease).to_owned()).collect();
        self.running.extend(claimed);
        names
    }

    /// The job that has run longest is done.
    async fn end_one(&mut self, house: &House) {
        let lease = self.running.remove(0);
        self.slots.give(lease.share);
        house.end(&lease, Ok(Outcome::Done)).await;
    }

    async fn set_weight(house: &House, resource: &str, weight: i16) {
        let mut connection = house.db.pool().acquire().await.expect("a connection");
        house.queue.set_gate(&mut connection, resource, Rule::Weight(weight)).await.expect("set");
    }
}

#[tokio::test]
async fn a_live_run_is_claimed_at_once_though_another_tenant_has_260_000_weeks_waiting() {
    let house = House::new().await;
    sqlx::query(
        "insert into engine.jobs (run_at, created_at, timeout_ms, priority, max_attempts, queue,
            kind, args, uses, share, due)
        select engine.now(), engine.now(), 600000, 2, 20, 'default', 'named',
            jsonb_build_object('name', 'week'),
            '[{\"resource\": \"tenant:a\", \"cost\": 1, \"hold\": false}]', 1, true
        from generate_series(1, 260000)",
    )
    .execute(house.db.pool())
    .await
    .expect("inserted");
    let mut worker = Worker::new(&house, 10);
    assert_eq!(worker.claim(&house).await, ["week"; 10], "it is lent every slot");
    let live = || of_tenant("b", 1);

    // No slot is free: the first one that falls free is its.
    house.enqueue(&live()).await;
    worker.end_one(&house).await;
    assert_eq!(worker.claim(&house).await, ["b"]);

    // Slots are free: the next claim takes it.
    house.enqueue(&live()).await;
    for _ in 0..3 {
        worker.end_one(&house).await;
    }
    let began = Instant::now();
    let names = worker.claim(&house).await;
    println!("a claim beside 260,000 waiting weeks took {:?}", began.elapsed());
    assert_eq!(names, ["b", "week", "week"]);
}

#[tokio::test]
async fn each_share_keeps_its_part_under_an_overload_of_the_others() {
    let house = House::new().await;
    house.enqueue(&in_share(Share::Live, 200)).await;
    let mut worker = Worker::new(&house, 10);
    worker.claim(&house).await;
    assert_eq!(worker.slots.used, [10, 0, 0], "what nobody needs is lent");
    house.enqueue(&in_share(Share::Backfill, 200)).await;
    house.enqueue(&in_share(Share::Maintenance, 200)).await;
    // Five are lent: when they have ended, each has its part, and keeps it.
    for end in 1..=60 {
        worker.end_one(&house).await;
        assert_eq!(worker.claim(&house).await.len(), 1);
        if end == 2 {
            assert!(worker.slots.used[1..].iter().all(|used| *used > 0), "{:?}", worker.slots);
        }
        if end >= 5 {
            assert_eq!(worker.slots.used, [5, 4, 1], "after {end} jobs have ended");
        }
    }
}

#[tokio::test]
async fn a_single_slot_is_shared_in_time_by_those_who_all_have_jobs_waiting() {
    let house = House::new().await;
    for share in Share::ALL {
        house.enqueue(&in_share(share, 60)).await;
    }
    let mut worker = Worker::new(&house, 1);
    let mut starts = Vec::new();
    for _ in 0..60 {
        starts.extend(worker.claim(&house).await);
        worker.end_one(&house).await;
    }
    for (share, bound) in Share::ALL.into_iter().zip([3, 4, 12]) {
        let served = |window: &[String]| window.iter().any(|name| name == share.as_str());
        assert!(starts.windows(bound).all(served), "{share:?}: {starts:?}");
    }
    let count = |share: Share| starts.iter().filter(|name| *name == share.as_str()).count();
    assert_eq!(Share::ALL.map(count), [30, 24, 6]);
}

/// Starts that a lane has had, when so many jobs have started in claims of this size.
async fn starts_by_weight(gated: bool, claim_size: usize) {
    const WEIGHTS: [(&str, i16); 4] = [("a", 3), ("b", 1), ("c", 1), ("d", 2)];
    let house = House::new().await;
    for (tenant, weight) in WEIGHTS {
        Worker::set_weight(&house, &format!("tenant:{tenant}"), weight).await;
        if gated {
            let mut connection = house.db.pool().acquire().await.expect("a connection");
            let rule = Rule::Running(Some(1000));
            let resource = format!("tenant:{tenant}");
            house.queue.set_gate(&mut connection, &resource, rule).await.expect("set");
        }
        house.enqueue(&of_tenant(tenant, 80)).await;
    }
    let mut worker = Worker::new(&house, claim_size);
    let total: i16 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    let mut started = 0_i64;
    while started < 80 {
        for name in worker.claim(&house).await {
            *counts.entry(name).or_default() += 1;
            started += 1;
        }
        for (tenant, weight) in WEIGHTS {
            let (weight, total) = (i64::from(weight), i64::from(total));
            let off = counts.get(tenant).copied().unwrap_or(0) * total - started * weight;
            assert!(off.abs() <= weight * total, "claims of {claim_size}: {counts:?} of {started}");
        }
        while !worker.running.is_empty() {
            worker.end_one(&house).await;
        }
    }
}

#[tokio::test]
async fn lanes_start_jobs_by_their_weights_to_within_one_turn_however_many_a_claim_asks_for() {
    for claim_size in [1, 2, 3, 5, 20] {
        starts_by_weight(false, claim_size).await;
    }
}

#[tokio::test]
async fn gated_lanes_too_start_jobs_by_their_weights() {
    for claim_size in [1, 4] {
        starts_by_weight(true, claim_size).await;
    }
}

#[tokio::test]
async fn a_lane_is_served_within_one_round_of_each_process_wherever_it_stands() {
    const TENANTS: usize = 7;
    let house = House::new().await;
    for tenant in 0..TENANTS {
        house.enqueue(&of_tenant(&tenant.to_string(), 40)).await;
    }
    let mut workers = [Worker::new(&house, 1), Worker::new(&house, 1)];
    for newcomer in 0..6 {
        let newcomer = format!("newcomer {newcomer}");
        // The processes stand somewhere; the new lane is before or behind.
        house.enqueue(&of_tenant(&newcomer, 1)).await;
        let mut rounds = 0;
        let mut found = false;
        while !found {
            for worker in &mut workers {
                found |= worker.claim(&house).await == [newcomer.clone()];
                worker.end_one(&house).await;
            }
            rounds += 1;
            assert!(rounds <= TENANTS + 1, "each process has started {rounds} jobs of others");
        }
    }
}
