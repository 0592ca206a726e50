//! How a week begins, moves on and ends.

use serde_json::Value;
use sqlx::PgExecutor;

use super::row::WeekStatus;
use crate::store::ids::{ExecutionUuid, WeekId};
use crate::store::text;
use crate::store::words::Sha256;

/// What a week's result came to.
#[derive(Debug, Clone, Copy)]
pub struct WeekResult<'a> {
    /// Rows in it; 0 is a success.
    pub row_count: i64,
    /// The sha256 of the rows.
    pub data_checksum: Sha256,
    /// The sha256 of the columns' names and types.
    pub schema_checksum: Sha256,
    /// The additive sums, `{name: decimal as text}`.
    pub metrics: &'a Value,
}

/// pending, blocked → running; the collection with it, when this is its first.
///
/// Refused while the collection is paused or has ended, and while another week runs the same slice.
/// Of two that start the same slice at the same moment, one gets a unique violation.
pub async fn start(db: impl PgExecutor<'_>, week: WeekId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_start
        with started as (
            update report_data_weeks week
            set status = 'running',
                started_at = coalesce(week.started_at, (select engine.now())),
                error_message = null
            from report_data_collections collection
            where week.id = $1
              and week.status in ('pending', 'blocked')
              and collection.id = week.collection_id
              and collection.status in ('pending', 'running')
              and not exists (
                  select
                  from report_data_weeks other
                  where other.slice_key = week.slice_key
                    and other.status = 'running'
              )
            returning week.collection_id
        ),
        first as (
            update report_data_collections
            set status = 'running',
                started_at = coalesce(started_at, (select engine.now())),
                paced_from = (select engine.now())
            from started
            where id = started.collection_id
              and (status = 'pending' or paced_from is null)
        )
        select from started",
    )
    .bind(week)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// blocked → running: its execution is open, and is finished also while the collection is paused.
///
/// Refused while another week runs the same slice.
pub async fn go_on(db: impl PgExecutor<'_>, week: WeekId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_go_on
        update report_data_weeks week
        set status = 'running', error_message = null
        where id = $1
          and status = 'blocked'
          and not exists (
              select
              from report_data_weeks other
              where other.slice_key = week.slice_key
                and other.status = 'running'
          )",
    )
    .bind(week)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes an execution the week's current one, and counts it. Only of a running week.
pub async fn set_current_execution(
    db: impl PgExecutor<'_>,
    week: WeekId,
    execution: ExecutionUuid,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_set_current_execution
        update report_data_weeks
        set workflow_execution_id = $2, attempts = attempts + 1
        where id = $1
          and status = 'running'
          and workflow_execution_id is distinct from $2",
    )
    .bind(week)
    .bind(execution)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// running → succeeded. Refused until the current execution has succeeded. One that was collected again
/// has a new version when its rows differ.
pub async fn succeed(
    db: impl PgExecutor<'_>,
    week: WeekId,
    result: &WeekResult<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_succeed
        update report_data_weeks week
        set status = 'succeeded',
            row_count = $2,
            data_checksum = $3,
            schema_checksum = $4,
            metrics = $5,
            data_version = case
                when previous_execution_id is not null and data_checksum = $3 and schema_checksum = $4
                then data_version
                else data_version + 1
            end,
            last_checked_at = case
                when previous_execution_id is not null then (select engine.now())
                else last_checked_at
            end,
            previous_execution_id = null,
            error_message = null,
            completed_at = (select engine.now())
        from workflow_executions execution
        where week.id = $1
          -- Blocked, while nobody knew whether AMC had it.
          and week.status in ('running', 'blocked')
          and execution.id = week.workflow_execution_id
          and execution.status = 'succeeded'",
    )
    .bind(week)
    .bind(result.row_count)
    .bind(result.data_checksum)
    .bind(result.schema_checksum)
    .bind(result.metrics)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// pending, running, blocked → failed. One that was collected again has its old rows, and succeeded
/// with them; the message stays.
pub async fn fail(
    db: impl PgExecutor<'_>,
    week: WeekId,
    message: &str,
) -> Result<bool, sqlx::Error> {
    end(db, week, WeekStatus::Failed, message).await
}

/// pending, running, blocked → cancelled, because its execution was. Otherwise as [`fail`].
pub async fn cancel(
    db: impl PgExecutor<'_>,
    week: WeekId,
    message: &str,
) -> Result<bool, sqlx::Error> {
    end(db, week, WeekStatus::Cancelled, message).await
}

async fn end(
    db: impl PgExecutor<'_>,
    week: WeekId,
    status: WeekStatus,
    message: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_end
        update report_data_weeks
        set status = case when previous_execution_id is null then $3::week_status else 'succeeded' end,
            workflow_execution_id = coalesce(previous_execution_id, workflow_execution_id),
            previous_execution_id = null,
            error_message = $2,
            completed_at = (select engine.now())
        where id = $1
          and status in ('pending', 'running', 'blocked')",
    )
    .bind(week)
    .bind(text::message(message))
    .bind(status)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// pending, running → blocked. So many of its executions do not count: they never were let in.
pub async fn block(
    db: impl PgExecutor<'_>,
    week: WeekId,
    reason: &str,
    forgiven: i32,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_block
        update report_data_weeks
        set status = 'blocked',
            error_message = $2,
            attempts_forgiven = least(attempts_forgiven + $3, attempts)
        where id = $1
          and status in ('pending', 'running')",
    )
    .bind(week)
    .bind(text::message(reason))
    .bind(forgiven)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::collections::{self, CollectionStatus};
    use crate::store::executions;
    use crate::store::fixture::{House, week_result};
    use crate::store::weeks::by_id;

    #[tokio::test]
    async fn the_first_week_to_start_starts_its_collection() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 2).await;
        assert!(start(house.db(), week_ids[0]).await.unwrap());
        assert!(!start(house.db(), week_ids[0]).await.unwrap());
        let first = collections::by_id(house.db(), collection).await.unwrap().expect("it exists");
        assert_eq!(first.status, CollectionStatus::Running);
        assert!(first.started_at.is_some());

        assert!(start(house.db(), week_ids[1]).await.unwrap());
        let second = collections::by_id(house.db(), collection).await.unwrap().expect("it exists");
        assert_eq!(second.started_at, first.started_at);
    }

    #[tokio::test]
    async fn no_week_of_a_paused_collection_starts() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 1).await;
        let pause = collections::Pause {
            reason: "holidays",
            by: "ana",
            auto: false,
            paused_for: None,
            resume_at: None,
        };
        assert!(collections::pause(house.db(), collection, &pause).await.unwrap());
        assert!(!start(house.db(), week_ids[0]).await.unwrap());
    }

    #[tokio::test]
    async fn a_week_succeeds_only_after_its_execution_has() {
        let house = House::new().await;
        let (_, week_ids) = house.collection("col_1", 1).await;
        let week = week_ids[0];
        let metrics = json!({"spend": "1930.27"});
        let execution = house.queued(week).await;
        house.submit(execution).await;
        assert!(!succeed(house.db(), week, &week_result(&metrics)).await.unwrap());
        assert_eq!(house.week_status(week).await, WeekStatus::Running);

        house.finish(execution).await;
        assert!(succeed(house.db(), week, &week_result(&metrics)).await.unwrap());
        let stored = by_id(house.db(), week).await.unwrap().expect("it exists").week;
        assert_eq!((stored.status, stored.row_count), (WeekStatus::Succeeded, Some(3)));
        assert_eq!((stored.metrics, stored.data_version), (Some(metrics), 1));
    }

    #[tokio::test]
    async fn what_has_ended_stays_as_it_is() {
        let house = House::new().await;
        let (_, week_ids) = house.collection("col_1", 2).await;
        house.collect(week_ids[0]).await;
        assert!(fail(house.db(), week_ids[1], "no").await.unwrap());
        for (week, status) in
            [(week_ids[0], WeekStatus::Succeeded), (week_ids[1], WeekStatus::Failed)]
        {
            assert!(!start(house.db(), week).await.unwrap());
            assert!(!fail(house.db(), week, "late").await.unwrap());
            assert!(!block(house.db(), week, "late", 0).await.unwrap());
            assert!(!succeed(house.db(), week, &week_result(&json!({}))).await.unwrap());
            assert_eq!(house.week_status(week).await, status);
        }
    }

    #[tokio::test]
    async fn a_blocked_week_starts_again_and_keeps_its_attempts() {
        let house = House::new().await;
        let (_, week_ids) = house.collection("col_1", 1).await;
        house.queued(week_ids[0]).await;
        assert!(block(house.db(), week_ids[0], "terms", 0).await.unwrap());
        assert!(start(house.db(), week_ids[0]).await.unwrap());
        let week = by_id(house.db(), week_ids[0]).await.unwrap().expect("it exists").week;
        assert_eq!((week.attempts, week.spent(), week.error_message), (1, 1, None));
        assert!(block(house.db(), week_ids[0], "terms", 1).await.unwrap());
        let week = by_id(house.db(), week_ids[0]).await.unwrap().expect("it exists").week;
        assert_eq!((week.attempts, week.spent()), (1, 0), "it never was let in");
    }

    #[tokio::test]
    async fn a_blocked_week_goes_on_while_its_collection_is_paused_unless_another_runs_its_slice() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 1).await;
        let (_, same) = house.collection("col_2", 1).await;
        house.queued(week_ids[0]).await;
        assert!(!go_on(house.db(), week_ids[0]).await.unwrap(), "it is not blocked");
        assert!(block(house.db(), week_ids[0], "lost", 0).await.unwrap());
        let pause = collections::Pause {
            reason: "holidays",
            by: "ana",
            auto: false,
            paused_for: None,
            resume_at: None,
        };
        assert!(collections::pause(house.db(), collection, &pause).await.unwrap());
        assert!(start(house.db(), same[0]).await.unwrap());
        assert!(!go_on(house.db(), week_ids[0]).await.unwrap(), "another runs its slice");
        assert!(fail(house.db(), same[0], "no").await.unwrap());
        assert!(go_on(house.db(), week_ids[0]).await.unwrap());
        assert_eq!(house.week_status(week_ids[0]).await, WeekStatus::Running);
    }

    #[tokio::test]
    async fn the_same_execution_counts_as_one_attempt() {
        let house = House::new().await;
        let (_, week_ids) = house.collection("col_1", 1).await;
        let execution = house.queued(week_ids[0]).await;
        assert!(!set_current_execution(house.db(), week_ids[0], execution).await.unwrap());
        let read = executions::by_id(house.db(), execution).await.unwrap().expect("it exists");
        assert_eq!((read.week_id, read.attempt), (Some(week_ids[0]), 1));
        let week = by_id(house.db(), week_ids[0]).await.unwrap().expect("it exists").week;
        assert_eq!(week.attempts, 1);
    }
}
