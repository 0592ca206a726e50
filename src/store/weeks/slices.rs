//! Weeks of different collections that ask the same question: it is asked once.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::row::WeekStatus;
use crate::store::ids::{ExecutionUuid, WeekId};

/// Another week that asks the same question.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct SameSlice {
    /// That week.
    pub id: WeekId,
    /// `Running` or `Succeeded`.
    pub status: WeekStatus,
    /// Its execution.
    pub workflow_execution_id: Option<ExecutionUuid>,
    /// When it succeeded.
    pub completed_at: Option<DateTime<Utc>>,
}

/// Another week that asks the same question as this one and has the answer, or is about to.
///
/// One that succeeded comes before one that is running, the newest answer first.
pub async fn same_slice(
    db: impl PgExecutor<'_>,
    week: WeekId,
) -> Result<Option<SameSlice>, sqlx::Error> {
    sqlx::query_as(
        r"-- weeks_same_slice
        select other.id, other.status, other.workflow_execution_id, other.completed_at
        from report_data_weeks week
        join report_data_weeks other on other.slice_key = week.slice_key and other.id <> week.id
        where week.id = $1
          and other.status in ('running', 'succeeded')
        order by other.status = 'succeeded' desc, other.completed_at desc
        limit 1",
    )
    .bind(week)
    .fetch_optional(db)
    .await
}

/// pending, running → succeeded with the rows of another week that asked the same question.
///
/// Refused when `source` asked another one or has no answer, and when this week has an execution.
pub async fn reuse(
    db: impl PgExecutor<'_>,
    week: WeekId,
    source: WeekId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_reuse
        update report_data_weeks week
        set status = 'succeeded',
            workflow_execution_id = source.workflow_execution_id,
            row_count = source.row_count,
            data_checksum = source.data_checksum,
            schema_checksum = source.schema_checksum,
            metrics = source.metrics,
            data_version = week.data_version + 1,
            error_message = null,
            started_at = coalesce(week.started_at, (select engine.now())),
            completed_at = (select engine.now())
        from report_data_weeks source
        where week.id = $1
          and week.status in ('pending', 'running')
          and week.workflow_execution_id is null
          and source.id = $2
          and source.status = 'succeeded'
          and source.slice_key = week.slice_key",
    )
    .bind(week)
    .bind(source)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
