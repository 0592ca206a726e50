//! How schedules stop and go on, by a person and at a time.

use super::{ADA, House, cron, days, hours};
use recomamp::schedule::manage::{self, ManageError, Request};
use recomamp::store::events::Because;
use recomamp::store::runs::RunStatus::{Cancelled, Missed, Pending};
use recomamp::store::schedules::{CatchUp, ScheduleStatus};

async fn daily(catch_up: CatchUp) -> House {
    let house = House::new().await;
    house.at("2025-08-26T05:30:00Z").await;
    house.add(&Request { catch_up: (catch_up, 10), ..cron("daily", "0 6 * * *", "UTC") }).await;
    house.fire().await;
    house
}

#[tokio::test]
async fn a_paused_schedule_does_not_fire_and_says_why_and_who() {
    let house = daily(CatchUp::Latest).await;
    house.pause("daily", " the campaign has ended ", None).await;
    house.wait(days(4)).await;
    assert_eq!(house.fire().await.runs, 0);
    let paused = house.schedule("daily").await;
    assert_eq!(paused.pause_reason.as_deref(), Some("the campaign has ended"));
    assert_eq!(paused.next_run_at, None);

    house.resume("daily").await;
    house.fire().await;
    let resumed = house.schedule("daily").await;
    assert_eq!(resumed.status, ScheduleStatus::Active);
    assert_eq!(resumed.next_run_at, Some("2025-08-30T06:00:00Z".parse().unwrap()));
    let story = house.story("daily").await;
    let told: Vec<_> = story.iter().map(|(to, by)| (to.as_str(), by.as_str())).collect();
    assert_eq!(told, [("active", "ada"), ("paused", "ada"), ("active", "ada")]);
}

#[tokio::test]
async fn what_was_due_in_a_pause_is_treated_as_catch_up_says() {
    for (catch_up, expected) in [
        (CatchUp::None, [Missed, Missed, Missed, Missed]),
        (CatchUp::Latest, [Missed, Missed, Missed, Pending]),
        (CatchUp::All, [Pending, Pending, Pending, Pending]),
    ] {
        let house = daily(catch_up).await;
        house.pause("daily", "holidays", None).await;
        house.wait(days(4)).await;
        house.resume("daily").await;
        house.fire().await;
        assert_eq!(house.statuses("daily").await, expected, "{catch_up}");
    }
}

#[tokio::test]
async fn a_pause_may_end_by_itself_at_a_time() {
    let house = daily(CatchUp::Latest).await;
    let until = house.now().await + days(3);
    house.pause("daily", "holidays", Some(until)).await;
    house.wait(days(2)).await;
    assert_eq!(house.fire().await.runs, 0);
    house.wait(days(1) + hours(1)).await;
    assert_eq!(house.fire().await.runs, 1);
    assert_eq!(house.schedule("daily").await.status, ScheduleStatus::Active);
    assert_eq!(house.story("daily").await.last().unwrap().1, "scheduler");
}

#[tokio::test]
async fn what_was_missed_in_a_pause_says_so_and_what_was_missed_for_want_of_a_scheduler_too() {
    let house = daily(CatchUp::None).await;
    house.wait(days(2)).await;
    house.pause("daily", "holidays", None).await;
    house.wait(days(2)).await;
    house.resume("daily").await;
    house.fire().await;
    let why =
        async |run: usize| house.runs("daily").await[run].error_summary.clone().expect("a reason");
    let nothing =
        "nothing could fire at the time, and catch_up is none: run it by hand if it is needed";
    assert_eq!(why(1).await, nothing);
    let paused =
        "it was paused by ada (holidays), and catch_up is none: run it by hand if it is needed";
    assert_eq!((why(2).await, why(3).await), (paused.to_owned(), paused.to_owned()));
}

#[tokio::test]
async fn one_that_amazon_keeps_out_when_its_time_has_come_waits_until_it_is_let_in() {
    let house = daily(CatchUp::Latest).await;
    let until = house.now().await + days(3);
    house.pause("daily", "holidays", Some(until)).await;
    recomamp::store::instances::block(house.db.pool(), house.instance, "terms").await.unwrap();
    house.wait(days(3) + hours(1)).await;
    assert_eq!((house.fire().await.runs, house.fire().await.runs), (0, 0));
    let waits = house.schedule("daily").await;
    assert_eq!((waits.status, waits.resume_at), (ScheduleStatus::AutoPaused, None));
    let why = waits.pause_reason.expect("a reason");
    assert!(why.contains("(terms): settle it, then run `recomamp instances unblock"), "{why}");

    house.unblock(house.instance).await;
    assert_eq!(house.fire().await.runs, 1);
    let story = house.story("daily").await;
    let told: Vec<_> = story.iter().map(|(to, by)| (to.as_str(), by.as_str())).collect();
    let expected =
        [("active", "ada"), ("paused", "ada"), ("auto_paused", "scheduler"), ("active", "engine")];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_remedy() {
    let house = daily(CatchUp::Latest).await;
    let past = house.now().await - hours(1);
    let mut tx = house.db.pool().begin().await.unwrap();
    let queue = &house.tools.queue;
    let refused = [
        manage::pause(&mut tx, "daily", None, &Because { why: Some("  "), ..ADA }).await.map(drop),
        manage::pause(&mut tx, "daily", Some(past), &Because { why: Some("why"), ..ADA })
            .await
            .map(drop),
        manage::resume(&mut tx, "daily", &ADA).await.map(drop),
        manage::trigger(&mut tx, queue, "weekly", &ADA).await.map(drop),
    ];
    for error in refused.map(|result| result.unwrap_err()) {
        assert!(error.to_string().contains(": "), "{error}");
    }
    let request = cron("odd", "0 6 1 * 1", "UTC");
    assert!(matches!(request.checked(), Err(ManageError::Unreadable(_))));
    for request in [
        Request { jitter_seconds: -1, ..cron("odd", "0 6 * * 1", "UTC") },
        Request { failure_threshold: Some(0), ..cron("odd", "0 6 * * 1", "UTC") },
        Request { max_attempts_per_run: 0, ..cron("odd", "0 6 * * 1", "UTC") },
    ] {
        assert!(matches!(request.checked(), Err(ManageError::Number { .. })));
    }
}

#[tokio::test]
async fn a_schedule_that_is_taken_away_cancels_what_it_has_begun_and_keeps_its_runs() {
    let house = daily(CatchUp::Latest).await;
    house.wait(hours(1)).await;
    house.fire().await;
    let id = house.schedule("daily").await.id;
    let mut tx = house.db.pool().begin().await.unwrap();
    manage::remove(&mut tx, &house.tools.queue, "daily", &ADA).await.unwrap();
    tx.commit().await.unwrap();
    let left = recomamp::store::runs::list(house.db.pool(), id, 10).await.unwrap();
    assert_eq!(left.iter().map(|run| run.status).collect::<Vec<_>>(), [Cancelled]);
    let mut connection = house.db.pool().acquire().await.unwrap();
    let gone = manage::with_runs(&mut connection, "daily", 10).await;
    assert!(matches!(gone, Err(ManageError::Unknown(_))));
    house.wait(days(3)).await;
    assert_eq!(house.fire().await.runs, 0);
}
