//! The hot table stays small, and the past is dropped by the day.

use super::{House, named};
use recomamp::queue::{Outcome, State};
use std::time::Duration;

async fn count(house: &House, table: &'static str) -> i64 {
    sqlx::query_scalar(table).fetch_one(house.db.pool()).await.expect("the store answers")
}

const HOT: &str = "select count(*) from engine.jobs";
const PAST: &str = "select count(*) from engine.jobs_history";
const DAYS: &str =
    "select count(*) from pg_inherits where inhparent = 'engine.jobs_history'::regclass";
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_finished_job_leaves_the_hot_table_and_can_still_be_found() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    house.end(&lease, Ok(Outcome::Done)).await;
    assert_eq!((count(&house, HOT).await, count(&house, PAST).await), (0, 1));
    let job = house.job(id).await;
    assert_eq!(job.state, State::Done);
    assert!(job.finished_at.is_some());
}

#[tokio::test]
async fn days_older_than_the_retention_are_dropped_and_the_next_ones_are_made() {
    let house = House::new().await;
    // The days may have been made yesterday.
    let mut connection = house.connection().await;
    house.queue.prune(&mut connection, 3 * DAY).await.expect("pruned");
    house.enqueue_one(named("old")).await;
    let lease = house.claim_one().await;
    house.end(&lease, Ok(Outcome::Done)).await;
    let before = count(&house, DAYS).await;

    house.wait(5 * DAY).await;
    let pruned = house.queue.prune(&mut connection, 3 * DAY).await.expect("pruned");
    // Of the history, the events and the log of attempts.
    assert_eq!((pruned.made, pruned.dropped), (3 * 5, 3 * 2));
    assert_eq!(count(&house, DAYS).await, before + 3);
    assert_eq!(count(&house, PAST).await, 0);
}

#[tokio::test]
async fn an_ack_never_fails_because_nobody_made_the_day() {
    let house = House::new().await;
    house.wait(100 * DAY).await;
    let id = house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    house.end(&lease, Ok(Outcome::Done)).await;
    assert_eq!(house.state(id).await, State::Done);

    let mut connection = house.db.pool().acquire().await.expect("a connection");
    house
        .queue
        .prune(&mut connection, 3 * DAY)
        .await
        .expect("the day in the safety net is skipped");
    assert_eq!(house.state(id).await, State::Done);
}

#[tokio::test]
async fn every_column_of_the_history_is_written_when_a_job_finishes() {
    let house = House::new().await;
    // A migration that adds a column has to state the function anew, and may forget it.
    let forgotten: Vec<String> = sqlx::query_scalar(
        r"select attname::text from pg_attribute
        where attrelid = 'engine.jobs_history'::regclass and attnum > 0 and not attisdropped
          and not exists (
              select from pg_proc
              where oid = 'engine.finish'::regproc and prosrc ~ ('\m' || attname || '\M')
          )
        order by attname",
    )
    .fetch_all(house.db.pool())
    .await
    .expect("the store answers");
    assert_eq!(forgotten, ["replayed_as"], "only what happens later is written later");
}
