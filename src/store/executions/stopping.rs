//! Executions that nobody wants any more.

use sqlx::{FromRow, PgExecutor};

use super::row::ExecutionStatus;
use crate::store::ids::{CollectionUuid, ExecutionUuid};
use crate::store::text;

/// Asks for an unfinished execution to be stopped, whoever works on it. Where it stands, which nobody
/// changes before the caller's transaction ends; none when it has ended.
pub async fn ask_to_stop(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    reason: &str,
) -> Result<Option<ExecutionStatus>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- executions_ask_to_stop
        update workflow_executions
        set cancel_requested_at = coalesce(cancel_requested_at, (select engine.now())),
            error_class = 'cancelled',
            error_message = $2
        where id = $1
          and status in ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching')
        returning status",
    )
    .bind(execution)
    .bind(text::message(reason))
    .fetch_optional(db)
    .await
}

/// An execution that is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Stopping {
    /// Which one.
    pub id: ExecutionUuid,
    /// Where it stands now: `Cancelled` when AMC has nothing to do with it.
    pub status: ExecutionStatus,
}

/// Asks for every unfinished execution of a collection to be stopped. One that AMC does not have, or has
/// finished, ends at once; the others end when AMC says that they have. Which ones.
pub async fn ask_to_cancel(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    reason: &str,
) -> Result<Vec<Stopping>, sqlx::Error> {
    sqlx::query_as(
        r"-- executions_ask_to_cancel
        update workflow_executions execution
        set cancel_requested_at = coalesce(cancel_requested_at, (select engine.now())),
            status = case
                when execution.status in ('queued', 'fetching') then 'cancelled'
                else execution.status
            end,
            finished_at = case
                when execution.status in ('queued', 'fetching') then (select engine.now())
            end,
            error_class = 'cancelled',
            error_message = $2
        from report_data_weeks week
        where week.collection_id = $1
          and execution.week_id = week.id
          and execution.status in
              ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching')
        returning execution.id, execution.status",
    )
    .bind(collection)
    .bind(text::message(reason))
    .fetch_all(db)
    .await
}
