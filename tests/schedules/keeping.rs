//! A schedule keeps as many runs as it says, and without a word those that are not too old.

use super::{House, cron};
use crate::backfill::site::{Site, quick};
use crate::harness::eventually::eventually;
use recomamp::jobs::drop_expired;
use recomamp::store::runs::RunStatus;
use recomamp::store::schedules;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_beyond_the_limit_go_with_all_that_hangs_on_them() {
    let house = House::of(Site::new(quick()).await).await;
    house.add(&cron("kept", "0 2 * * 1", "UTC")).await;
    house.add(&cron("all", "0 2 * * 1", "UTC")).await;
    let kept = house.schedule("kept").await.id;
    schedules::keep_runs(house.db.pool(), kept, Some(1)).await.unwrap();
    let working = house.work();
    for id in ["kept", "kept", "kept", "all", "all"] {
        house.trigger(id).await;
        eventually("it has ended", async || {
            house.statuses(id).await.iter().all(|status| *status == RunStatus::Succeeded)
        })
        .await;
    }
    let newest = house.runs("kept").await.pop().unwrap();
    house.have_done(drop_expired::job().unwrap()).await;
    working.stop().await;
    let kept: Vec<_> = house.runs("kept").await.iter().map(|run| run.id).collect();
    assert_eq!(kept, [newest.id]);
    assert_eq!(house.runs("all").await.len(), 2);
    assert_eq!(house.count("select count(*) from workflow_executions").await, 3);
    assert_eq!(house.count("select count(*) from execution_results").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_are_too_old_go_with_all_that_hangs_on_them() {
    let site = Site::with(quick(), &[("RECOMAMP_RUN_RETENTION", "10d")]).await;
    let house = House::of(site).await;
    house.add(&cron("minutely", "0 2 * * 1", "UTC")).await;
    house.add(&cron("kept", "0 2 * * 1", "UTC")).await;
    let kept = house.schedule("kept").await.id;
    schedules::keep_runs(house.db.pool(), kept, Some(1)).await.unwrap();
    let working = house.work();
    let run = async |id: &str| {
        house.trigger(id).await;
        eventually("it has ended", async || {
            house.statuses(id).await.iter().all(|status| *status == RunStatus::Succeeded)
        })
        .await;
    };
    for id in ["minutely", "minutely", "kept"] {
        run(id).await;
    }
    house.db.advance_clock(DAY * 9).await;
    house.have_done(drop_expired::job().unwrap()).await;
    assert_eq!(house.runs("minutely").await.len(), 2, "nothing is dropped before its time");
    house.db.advance_clock(DAY * 2).await;
    run("minutely").await;
    let newest = house.runs("minutely").await.pop().unwrap();
    house.have_done(drop_expired::job().unwrap()).await;
    working.stop().await;
    let left: Vec<_> = house.runs("minutely").await.iter().map(|run| run.id).collect();
    assert_eq!(left, [newest.id]);
    assert_eq!(house.runs("kept").await.len(), 1, "the schedule has said so");
    assert_eq!(house.count("select count(*) from workflow_executions").await, 2);
    assert_eq!(house.count("select count(*) from execution_results").await, 2);
}
