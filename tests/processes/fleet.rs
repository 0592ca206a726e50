//! Several workers at once, and one behind a pooler.

use super::site;
use crate::backfill::site::Site;
use nix::sys::signal::Signal;
use recomamp::simulator::{Lifetime, Pace, Settings};
use std::time::Duration;

/// Three workers on an Amazon where nothing ends until it is told to.
async fn fill_all_places(workers: usize) {
    const WEEKS: u32 = 30;
    let amazon = Settings {
        record_bodies: true,
        token_lifetime: Lifetime { seconds: 100_000, clock: Pace::Felt },
        ..Settings::manual()
    };
    let site = Site::new(amazon).await;
    let collection = site.backfill(WEEKS).await;
    let mut fleet = Vec::new();
    for _ in 0..workers {
        fleet.push(site.start_worker().await);
    }
    for round in 1..=3 {
        // All ten places are taken before one is free again.
        site.until(|counts| counts.accepted() >= 10 * round).await;
        assert_eq!(site.amc.counts().accepted(), 10 * round);
        site.amc.advance(Duration::from_secs(100));
    }
    site.assert_complete(collection, WEEKS).await;
    assert_eq!(site.amc.counts().max_open[&site.amc_instance_id()], 10, "all places are used");
    site.assert_no_attempt_was_burnt().await;
    for worker in fleet {
        worker.signal(Signal::SIGTERM);
        assert!(worker.finish().await.status.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_never_exceed_ten_open_executions_and_use_all_ten() {
    fill_all_places(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_workers_never_exceed_ten_open_executions_and_use_all_ten() {
    fill_all_places(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_may_not_listen_completes_a_backfill_by_polling() {
    let site = site().await;
    let worker = site.worker().env("RECOMAMP_POLLING_ONLY", "true").start().await;
    let collection = site.backfill(12).await;
    site.assert_complete(collection, 12).await;
    let listening = "select count(*) from pg_stat_activity
        where datname = current_database() and query ilike 'listen%'";
    assert_eq!(site.count(listening).await, 0);
    worker.signal(Signal::SIGTERM);
    assert!(worker.finish().await.status.success());
}
