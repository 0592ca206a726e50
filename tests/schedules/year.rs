//! A year in moved time: what fires is what the oracle says, once each, whatever happens to schedulers.
//!
//! The clocks of the machines are off by as much as the store's was moved, more than a year, and nobody
//! notices: only the store's counts.

use super::oracle::{EXPRESSIONS, ZONES, assert_same, due_times, quarters};
use super::{House, cron, days, hours, moment};
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::schedule::fire;
use recomamp::schedule::manage::Request;
use recomamp::store::runs::RunStatus;
use recomamp::store::schedules::CatchUp;
use std::collections::HashSet;

#[tokio::test]
async fn in_a_year_of_twenty_zones_every_due_time_fires_once_whatever_happens_to_schedulers() {
    let house = House::new().await;
    house.at("2023-12-31T12:00:00Z").await;
    let from = house.now().await;
    let ids: Vec<String> = ZONES.iter().map(|zone| zone.replace('/', "-")).collect();
    for (index, zone) in ZONES.iter().enumerate() {
        let request = cron(&ids[index], EXPRESSIONS[index % EXPRESSIONS.len()], zone);
        house.add(&Request { catch_up: (CatchUp::All, 1000), ..request }).await;
    }
    let mut killed = 0;
    for step in 0_u64.. {
        // Now and then nobody is there for more than a week.
        let pause =
            if step % 13 == 12 { days(9) } else { hours(30 + (step * 11 % 60).cast_signed()) };
        house.wait(pause).await;
        // One scheduler is killed in the middle of something; two others fire at the same time.
        // Its connections die with it: one that is left in a transaction would keep the others waiting.
        let its_own = sqlx::PgPool::connect(house.db.url()).await.expect("the server answers");
        let fires = fire::due_now(&its_own, &house.tools.queue);
        killed += usize::from(tokio::time::timeout(moment(step), fires).await.is_err());
        its_own.close().await;
        let (one, other) = tokio::join!(house.fire(), house.fire());
        assert!(one.runs + other.runs <= 400, "{one:?} {other:?}");
        house.settle_runs("cancelled").await;
        if house.now().await > from + days(367) {
            break;
        }
    }
    assert!(killed > 0, "no scheduler was killed: the moments are too long");

    let until = house.now().await;
    let first_quarter = "2023-12-31T12:00:00Z".parse().unwrap();
    let mut all = 0;
    for (index, zone) in ZONES.iter().enumerate() {
        let expression = EXPRESSIONS[index % EXPRESSIONS.len()];
        let zone = zone.parse().unwrap();
        let mut expected = due_times(expression, zone, &quarters(zone, first_quarter, until));
        expected.retain(|time| *time > from && *time <= until);
        let runs = house.runs(&ids[index]).await;
        let fired: Vec<DateTime<Utc>> = runs.iter().filter_map(|run| run.scheduled_for).collect();
        assert_same(&fired, &expected, &format!("{expression} in {zone}"));
        assert!(runs.iter().all(|run| run.status == RunStatus::Cancelled), "each was to run");
        all += runs.len();
    }
    let jobs: Vec<String> = sqlx::query_scalar("select args ->> 'run_id' from engine.jobs")
        .fetch_all(house.db.pool())
        .await
        .unwrap();
    assert_eq!(jobs.len(), all, "each run has a job");
    assert_eq!(jobs.into_iter().collect::<HashSet<_>>().len(), all, "and only one");
}

#[tokio::test]
async fn bug_10_many_schedulers_at_the_same_moment_fire_a_due_time_once() {
    let house = House::new().await;
    house.at("2025-08-26T05:00:00Z").await;
    house.add(&cron("six", "0 6 * * *", "UTC")).await;
    assert_eq!(house.fire().await.runs, 0, "not before it is due");
    house.at("2025-08-26T05:59:30Z").await;
    assert_eq!(house.fire().await.runs, 0, "not even half a minute before");
    house.at("2025-08-26T06:00:01Z").await;
    let fired = futures::future::join_all((0..8).map(|_| house.fire())).await;
    assert_eq!(fired.iter().map(|fired| fired.runs).sum::<usize>(), 1);
    assert_eq!(house.fire().await.runs, 0);
    assert_eq!(house.runs("six").await.len(), 1);
}

#[tokio::test]
async fn bug_11_a_schedule_that_is_due_every_minute_fires_every_minute() {
    let house = House::new().await;
    house.at("2025-08-26T05:00:30Z").await;
    house.add(&cron("minutely", "* * * * *", "UTC")).await;
    for _ in 0..6 {
        house.wait(TimeDelta::minutes(1)).await;
        assert_eq!(house.fire().await.runs, 1);
        house.settle_runs("cancelled").await;
    }
    assert_eq!(house.runs("minutely").await.len(), 6);
}

#[tokio::test]
async fn bug_34_and_35_schedules_that_cannot_fire_or_never_fired_stand_in_nobodys_way() {
    let house = House::new().await;
    house.at("2025-08-26T05:00:00Z").await;
    for number in 0..15 {
        house.add(&cron(&format!("broken-{number}"), "0 6 * * *", "UTC")).await;
    }
    house.add(&cron("good", "1 6 * * *", "UTC")).await;
    sqlx::query(
        "update workflow_schedules set timezone = 'Mars/Olympus' where schedule_id like 'broken%'",
    )
    .execute(house.db.pool())
    .await
    .unwrap();
    house.at("2025-08-26T06:02:00Z").await;
    assert_eq!(house.fire().await.runs, 1);
    assert_eq!(house.statuses("good").await, [RunStatus::Pending]);
    let broken = house.schedule("broken-3").await;
    let reason = broken.pause_reason.expect("it is paused with a reason");
    assert!(reason.contains("Mars/Olympus") && reason.contains("give one"), "{reason}");

    // And the next time the same way, although it has fired before.
    house.settle_runs("cancelled").await;
    house.wait(days(1)).await;
    assert_eq!(house.fire().await.runs, 1);
}

#[tokio::test]
async fn a_schedule_that_cannot_be_fired_keeps_no_other_one_from_it() {
    let house = House::new().await;
    house.at("2025-08-26T05:00:00Z").await;
    for id in ["bad", "good"] {
        house.add(&cron(id, "0 6 * * *", "UTC")).await;
    }
    house.fire().await;
    // Whatever it is that the store has against it.
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as $$
         begin
             if new.schedule_id = (select id from workflow_schedules where schedule_id = 'bad') then
                 raise 'no such run';
             end if;
             return new;
         end $$;
         create trigger refuse before insert on schedule_runs for each row execute function refuse()",
    )
    .execute(house.db.pool())
    .await
    .unwrap();
    house.at("2025-08-26T06:01:00Z").await;
    let error = fire::due_now(house.db.pool(), &house.tools.queue).await.unwrap_err();
    assert!(format!("{error:#}").contains("no such run"), "{error:#}");
    assert_eq!(house.statuses("good").await, [RunStatus::Pending]);
    assert_eq!(house.runs("bad").await, []);
    sqlx::raw_sql("drop trigger refuse on schedule_runs").execute(house.db.pool()).await.unwrap();
    assert_eq!(house.fire().await.runs, 1, "it is not forgotten");
}

#[tokio::test]
async fn a_run_and_its_job_and_the_next_due_time_are_written_together() {
    let house = House::new().await;
    house.at("2025-08-26T05:00:00Z").await;
    house.add(&cron("six", "0 6 * * *", "UTC")).await;
    house.fire().await;
    house.at("2025-08-26T06:00:01Z").await;
    // The job cannot be written, so nothing is.
    sqlx::query("alter table engine.jobs add constraint none check (kind <> 'run_schedule')")
        .execute(house.db.pool())
        .await
        .unwrap();
    let refused = fire::due_now(house.db.pool(), &house.tools.queue).await;
    assert!(refused.is_err());
    assert_eq!(house.runs("six").await, []);
    assert!(house.schedule("six").await.next_run_at <= Some(house.now().await), "still due");

    sqlx::query("alter table engine.jobs drop constraint none")
        .execute(house.db.pool())
        .await
        .unwrap();
    assert_eq!(house.fire().await.runs, 1);
}
