//! How far a collection is, and when it is done.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgExecutor};

use super::row::CollectionStatus;
use crate::store::ids::CollectionUuid;

/// How far a collection is.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Progress {
    /// Where the collection stands.
    pub status: CollectionStatus,
    /// Weeks of which nothing has begun.
    pub pending: i64,
    /// Weeks under way.
    pub running: i64,
    /// Weeks whose rows are stored.
    pub succeeded: i64,
    /// Weeks given up.
    pub failed: i64,
    /// Weeks that the rules said not to collect.
    pub skipped: i64,
    /// Weeks that wait until Amazon lets us in again.
    pub blocked: i64,
    /// Weeks stopped by a person.
    pub cancelled: i64,
    /// Executions that AMC has, or may have, and has not finished.
    pub open_executions: i64,
    /// Executions beyond the first of each week.
    pub retries: i64,
    /// Rows of all weeks together.
    pub row_count: i64,
    /// When the first week ended.
    pub first_completed_at: Option<DateTime<Utc>>,
    /// When the last week ended so far.
    pub last_completed_at: Option<DateTime<Utc>>,
    /// When the first week began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the collection finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// The time by the store's clock, to measure the others against.
    pub now: DateTime<Utc>,
}

/// How far the collection is; none when there is no such collection.
pub async fn progress(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<Option<Progress>, sqlx::Error> {
    sqlx::query_as(
        r"-- collections_progress
        select collection.status, collection.started_at, collection.finished_at, week.*, open_executions,
            (select engine.now()) as now
        from report_data_collections collection
        cross join lateral (
            select
                count(*) filter (where status = 'pending') as pending,
                count(*) filter (where status = 'running') as running,
                count(*) filter (where status = 'succeeded') as succeeded,
                count(*) filter (where status = 'failed') as failed,
                count(*) filter (where status = 'skipped') as skipped,
                count(*) filter (where status = 'blocked') as blocked,
                count(*) filter (where status = 'cancelled') as cancelled,
                coalesce(sum(greatest(attempts - 1, 0)), 0) as retries,
                coalesce(sum(row_count), 0)::bigint as row_count,
                min(completed_at) as first_completed_at,
                max(completed_at) as last_completed_at
            from report_data_weeks
            where collection_id = collection.id
        ) week
        cross join lateral (
            select count(*) as open_executions
            from report_data_weeks
            join workflow_executions execution on execution.id = workflow_execution_id
            where collection_id = collection.id
              and report_data_weeks.status in ('running', 'blocked')
              and execution.status in ('submitting', 'submit_unknown', 'pending', 'running')
        ) open
        where collection.id = $1",
    )
    .bind(collection)
    .fetch_optional(db)
    .await
}

/// Finishes the collection when no week is left to do, and says how it ended.
///
/// Call it in the transaction that ended a week, after that. Of all who end the last weeks at the
/// same time exactly one gets an answer: each waits for the others' commits at the collection's row,
/// and only then looks for weeks that are left.
pub async fn finish_if_done(
    db: &mut PgConnection,
    collection: CollectionUuid,
) -> Result<Option<CollectionStatus>, sqlx::Error> {
    let open: Option<CollectionUuid> = sqlx::query_scalar(
        r"-- collections_lock
        select id
        from report_data_collections
        where id = $1
          and status in ('pending', 'running', 'paused')
        for no key update",
    )
    .bind(collection)
    .fetch_optional(&mut *db)
    .await?;
    if open.is_none() {
        return Ok(None);
    }
    // A statement of its own, so that it sees what was committed while the lock was waited for.
    sqlx::query_scalar(
        r"-- collections_finish_if_done
        update report_data_collections
        set status = (
                select case
                    when bool_and(status in ('succeeded', 'skipped')) then 'completed'
                    when bool_or(status = 'succeeded') then 'completed_with_errors'
                    else 'failed'
                end::collection_status
                from report_data_weeks
                where collection_id = $1
            ),
            finished_at = (select engine.now())
        where id = $1
          and status in ('pending', 'running', 'paused')
          and not exists (
              select
              from report_data_weeks
              where collection_id = $1
                and status in ('pending', 'running', 'blocked')
          )
        returning status",
    )
    .bind(collection)
    .fetch_optional(db)
    .await
}
