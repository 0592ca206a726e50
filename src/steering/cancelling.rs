//! A backfill is called off, at AMC too.

use super::{Because, SteerError, Steered, done, locked, unchanged, weeks as some_weeks};
use crate::jobs::feed;
use crate::jobs::poll_status::PollStatus;
use crate::jobs::submit_execution::SubmitExecution;
use crate::queue::{Job, Queue, steer};
use crate::store::collections::{self, CollectionStatus};
use crate::store::executions::{self, ExecutionStatus, Stopping};
use crate::store::{CollectionUuid, ExecutionUuid, weeks};
use crate::tools::resources;
use serde_json::json;
use sqlx::PgConnection;

/// Cancels a collection: its unfinished weeks in one statement, the jobs that wait for them, and what
/// AMC has of them. Nothing new begins. An execution that AMC may have is looked up, never sent again,
/// and stopped. Rows that are stored stay, and are summed up.
pub async fn cancel(
    transaction: &mut PgConnection,
    queue: &Queue,
    collection_id: &str,
    because: &Because<'_>,
) -> Result<Steered, SteerError> {
    let (steered, gone) = end(&mut *transaction, queue, collection_id, because).await?;
    let_go(transaction, queue, &gone).await?;
    Ok(steered)
}

/// Lets go of the places of executions that AMC does not have. The last thing to do in a transaction:
/// whoever holds a resource may wait for nothing else.
pub(super) async fn let_go(
    transaction: &mut PgConnection,
    queue: &Queue,
    gone: &[ExecutionUuid],
) -> Result<(), SteerError> {
    for id in gone {
        queue.release(&mut *transaction, &resources::holder(*id)).await?;
    }
    Ok(())
}

/// Cancels a collection but for the places of its executions that AMC does not have, which are told.
pub(super) async fn end(
    transaction: &mut PgConnection,
    queue: &Queue,
    collection_id: &str,
    because: &Because<'_>,
) -> Result<(Steered, Vec<ExecutionUuid>), SteerError> {
    let collection = locked(transaction, collection_id).await?;
    let reason = because.reason()?;
    if collection.status == CollectionStatus::Cancelled {
        return Ok((unchanged(&collection, "is cancelled already"), Vec::new()));
    }
    if collection.status.is_terminal() {
        let id = collection.collection_id;
        return Err(SteerError::Ended { id, status: collection.status });
    }
    let said = format!("cancelled by {}: {reason}", because.by);
    let jobs = jobs_of_weeks(&mut *transaction, collection.id).await?;
    collections::cancel(&mut *transaction, collection.id, &said).await?;
    let stopping = executions::ask_to_cancel(&mut *transaction, collection.id, &said).await?;
    let cancelled = weeks::cancel_all(&mut *transaction, collection.id, &said).await?;
    let why = steer::Because { by: because.by, why: reason };
    let gone = stop(transaction, queue, &stopping, jobs, &why).await?;
    feed::ended(queue, &mut *transaction, collection.id, CollectionStatus::Cancelled).await?;
    let open = stopping.iter().filter(|one| one.status != ExecutionStatus::Cancelled).count();
    let at_amc = match open {
        0 => String::new(),
        open => format!(", {open} of them are being stopped at AMC"),
    };
    let said = format!("is cancelled: {}{at_amc}", some_weeks(cancelled));
    let detail = json!({"stopping_at_amc": open});
    Ok((done(transaction, &collection, because, (cancelled, said), detail).await?, gone))
}

/// The jobs that would begin a week of the collection, or begin one again.
async fn jobs_of_weeks(
    connection: &mut PgConnection,
    collection: CollectionUuid,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "-- jobs_of_weeks
        select job.id
        from report_data_weeks as week
        join engine.jobs as job on job.unique_key = 'collect_week:' || week.id || ' '
        where week.collection_id = $1
          and week.queued_at is not null
          and week.status in ('pending', 'running', 'blocked')",
    )
    .bind(collection)
    .fetch_all(connection)
    .await
}

/// Ends the jobs that have nothing left to do, and wakes those that stop what AMC has. The executions that
/// it does not have.
async fn stop(
    connection: &mut PgConnection,
    queue: &Queue,
    stopping: &[Stopping],
    mut jobs: Vec<i64>,
    because: &steer::Because<'_>,
) -> Result<Vec<ExecutionUuid>, SteerError> {
    let ended = |one: &&Stopping| one.status == ExecutionStatus::Cancelled;
    let ids: Vec<_> = stopping.iter().filter(ended).map(|one| one.id).collect();
    jobs.extend(jobs_of_executions(&mut *connection, &ids).await?);
    queue.cancel(&mut *connection, &jobs, because).await?;
    for one in stopping.iter().filter(|one| !ended(one)) {
        let key = one.id.to_string();
        for kind in [SubmitExecution::KIND, PollStatus::KIND] {
            queue.hasten(&mut *connection, kind, &key).await?;
        }
    }
    Ok(ids)
}

async fn jobs_of_executions(
    connection: &mut PgConnection,
    executions: &[ExecutionUuid],
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "-- jobs_of_executions
        select job.id
        from unnest($1::uuid[]) as execution (id)
        join engine.jobs as job on job.unique_key in
            ('submit_execution:' || execution.id, 'fetch_result:' || execution.id)",
    )
    .bind(executions)
    .fetch_all(connection)
    .await
}
