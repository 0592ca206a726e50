//! What happens to runs that overlap, to times that passed unseen, and to the work that is put off.

use super::{ADA, House, cron, days, hours};
use chrono::TimeDelta;
use recomamp::schedule::change::{Changes, change};
use recomamp::schedule::fire::jitter;
use recomamp::schedule::manage::Request;
use recomamp::store::runs::{RunKind, RunStatus};
use recomamp::store::schedules::{CatchUp, OverlapPolicy, Rules};

use RunStatus::{Cancelled, Missed, Pending, Skipped};

async fn hourly(overlap: OverlapPolicy) -> House {
    let house = House::new().await;
    house.at("2025-08-26T05:30:00Z").await;
    house.add(&Request { overlap, ..cron("hourly", "0 * * * *", "UTC") }).await;
    house.fire().await;
    for _ in 0..3 {
        house.wait(hours(1)).await;
        house.fire().await;
    }
    house
}

#[tokio::test]
async fn while_a_run_is_unfinished_the_next_one_is_skipped_with_its_reason() {
    let house = hourly(OverlapPolicy::Skip).await;
    assert_eq!(house.statuses("hourly").await, [Pending, Skipped, Skipped]);
    let skipped = &house.runs("hourly").await[2];
    let why = skipped.error_summary.as_deref().unwrap_or_default();
    assert!(why.contains("2025-08-26 06:00 UTC had not finished"), "{why}");
}

#[tokio::test]
async fn one_run_waits_for_the_earlier_one_and_further_ones_are_skipped() {
    let house = hourly(OverlapPolicy::QueueOne).await;
    assert_eq!(house.statuses("hourly").await, [Pending, Pending, Skipped]);
}

#[tokio::test]
async fn the_earlier_run_is_cancelled_for_the_next_one() {
    let house = hourly(OverlapPolicy::CancelOld).await;
    assert_eq!(house.statuses("hourly").await, [Cancelled, Cancelled, Pending]);
    assert_eq!(house.schedule("hourly").await.consecutive_failures, 0, "that is no failure");
}

async fn after_five_days(catch_up: (CatchUp, i32)) -> Vec<RunStatus> {
    let house = House::new().await;
    house.at("2025-08-26T05:30:00Z").await;
    house.add(&Request { catch_up, ..cron("daily", "0 6 * * *", "UTC") }).await;
    house.fire().await;
    house.wait(days(5)).await;
    house.fire().await;
    assert_eq!(house.fire().await.runs, 0);
    house.statuses("daily").await
}

#[tokio::test]
async fn times_that_passed_unseen_are_missed_or_fire_as_the_schedule_says_and_none_is_forgotten() {
    assert_eq!(after_five_days((CatchUp::None, 10)).await, [Missed; 5]);
    let latest = after_five_days((CatchUp::Latest, 10)).await;
    assert_eq!(latest, [Missed, Missed, Missed, Missed, Pending]);
    let all = after_five_days((CatchUp::All, 3)).await;
    assert_eq!(all, [Missed, Missed, Pending, Pending, Pending]);
}

#[tokio::test]
async fn months_of_minutes_that_nobody_saw_are_settled_in_pieces() {
    let house = House::new().await;
    house.at("2025-06-01T00:00:30Z").await;
    house
        .add(&Request { catch_up: (CatchUp::All, 2), ..cron("minutely", "* * * * *", "UTC") })
        .await;
    house.wait(days(10)).await;
    assert_eq!(house.fire().await.runs, 2);
    let statuses = house.statuses("minutely").await;
    assert_eq!(statuses.len(), 10 * 24 * 60);
    assert!(statuses[..14_398].iter().all(|status| *status == Missed));
    assert_eq!(statuses[14_398..], [Pending, Pending]);
}

#[tokio::test]
async fn jitter_puts_off_the_work_and_never_the_due_time() {
    let house = House::new().await;
    house.at("2025-08-26T05:59:00Z").await;
    house.add(&Request { jitter_seconds: 3600, ..cron("six", "0 6 * * *", "UTC") }).await;
    house.wait(TimeDelta::minutes(2)).await;
    house.fire().await;
    let run = &house.runs("six").await[0];
    let due = "2025-08-26T06:00:00Z".parse().unwrap();
    assert_eq!(run.scheduled_for, Some(due));
    let put_off = house.job_due(run).await - due;
    let expected = jitter("six", due, 3600);
    assert!(expected > TimeDelta::minutes(2), "or this test shows nothing");
    assert!((put_off - expected).abs() < TimeDelta::seconds(10), "{put_off} {expected}");
}

#[tokio::test]
async fn bug_14_a_run_that_a_person_asks_for_leaves_the_due_times_alone() {
    let house = House::new().await;
    house.at("2025-08-26T05:59:00Z").await;
    house.add(&cron("six", "0 6 * * *", "UTC")).await;
    house.fire().await;
    let next = house.schedule("six").await.next_run_at;
    house.trigger("six").await;
    assert_eq!(house.schedule("six").await.next_run_at, next);
    house.settle_runs("cancelled").await;
    house.wait(TimeDelta::minutes(2)).await;
    assert_eq!(house.fire().await.runs, 1, "a minute later it is due and fires");
    let kinds: Vec<_> = house.runs("six").await.iter().map(|run| run.kind).collect();
    assert!(kinds.contains(&RunKind::Manual) && kinds.contains(&RunKind::Slot), "{kinds:?}");
}

#[tokio::test]
async fn a_changed_expression_counts_from_the_change_on() {
    let house = House::new().await;
    house.at("2025-08-26T05:59:00Z").await;
    let old = cron("six", "0 6 * * *", "UTC");
    house.add(&old).await;
    house.fire().await;
    house.at("2025-08-26T06:30:00Z").await;
    // Nobody has fired what was due at six when it is changed to five past every hour.
    let new = cron("six", "5 * * * *", "Asia/Kathmandu");
    let (timing, timezone) = (Some(new.timing), Some("Asia/Kathmandu"));
    let changes = Changes { timing, timezone, ..Changes::default() };
    let mut tx = house.db.pool().begin().await.unwrap();
    change(&mut tx, &house.tools.queue, "six", &changes, &ADA).await.unwrap();
    tx.commit().await.unwrap();
    house.settle_runs("cancelled").await;
    house.fire().await;
    house.at("2025-08-26T07:21:00Z").await;
    house.fire().await;
    let times: Vec<_> = house
        .runs("six")
        .await
        .iter()
        .filter_map(|run| run.scheduled_for.map(|time| time.to_rfc3339()))
        .collect();
    assert_eq!(times, ["2025-08-26T06:00:00+00:00", "2025-08-26T07:20:00+00:00"]);
}

#[tokio::test]
async fn changed_rules_hold_for_what_is_due_after_the_change() {
    let house = House::new().await;
    house.at("2025-08-26T05:59:00Z").await;
    house.add(&cron("six", "0 6 * * *", "UTC")).await;
    house.fire().await;
    house.at("2025-08-26T06:30:00Z").await;
    // Nobody has fired what was due at six when its windows become longer.
    let rules = Rules {
        lookback_days: Some(28),
        failure_threshold: Some(0),
        overlap: Some(OverlapPolicy::QueueOne),
        ..Rules::default()
    };
    let changes = Changes { rules, ..Changes::default() };
    let mut tx = house.db.pool().begin().await.unwrap();
    let changed = change(&mut tx, &house.tools.queue, "six", &changes, &ADA).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!changed.auto_pause_on_failure && changed.failure_threshold > 0);
    assert_eq!((changed.overlap, changed.lag_days), (OverlapPolicy::QueueOne, 14));
    house.settle_runs("cancelled").await;
    house.at("2025-08-27T06:01:00Z").await;
    house.fire().await;
    let runs = house.runs("six").await;
    let days =
        runs.iter().map(|run| (run.window_end.unwrap() - run.window_start.unwrap()).num_days());
    let days: Vec<_> = days.collect();
    assert_eq!(days, [7, 28]);
    let wrong = Rules { lag_days: Some(1), ..Rules::default() };
    let changes = Changes { rules: wrong, ..Changes::default() };
    let mut tx = house.db.pool().begin().await.unwrap();
    let refused = change(&mut tx, &house.tools.queue, "six", &changes, &ADA).await.unwrap_err();
    assert!(refused.to_string().contains("lag_days is 1"), "{refused}");
}

#[tokio::test]
async fn bug_12_runs_that_are_added_at_the_same_moment_are_all_there() {
    let house = House::new().await;
    house.add(&cron("six", "0 6 * * *", "UTC")).await;
    futures::future::join_all((0..10).map(|_| house.trigger("six"))).await;
    assert_eq!(house.statuses("six").await, [Pending; 10]);
}
