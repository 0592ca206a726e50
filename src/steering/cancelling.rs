//! A backfill is called off, at AMC too.

use super::{Because, SteerError, Steered, done, locked, unchanged, weeks as some_weeks};
use crate::jobs::{feed, owner};
use crate::plural::counted;
use crate::queue::{Queue, steer};
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
    let ended = end(&mut *transaction, collection_id, because).await?;
    let steered = ended.steered.clone();
    follow(transaction, queue, &[ended], because).await?;
    Ok(steered)
}

/// A collection that was cancelled in the store, and what is left to do about it.
pub(super) struct Cancelled {
    /// The answer.
    pub(super) steered: Steered,
    /// Which one, and where it stands now; none when nothing changed.
    collection: Option<(CollectionUuid, CollectionStatus)>,
    /// The jobs of its weeks, which have nothing left to do.
    jobs: Vec<i64>,
    /// Its executions that were under way.
    stopping: Vec<Stopping>,
}

/// Cancels a collection in the store: [`follow`] does the rest, for all that are cancelled together.
pub(super) async fn end(
    transaction: &mut PgConnection,
    collection_id: &str,
    because: &Because<'_>,
) -> Result<Cancelled, SteerError> {
    let collection = locked(transaction, collection_id).await?;
    let reason = because.reason()?;
    if collection.status == CollectionStatus::Cancelled {
        let steered = unchanged(&collection, "is cancelled already");
        return Ok(Cancelled { steered, collection: None, jobs: Vec::new(), stopping: Vec::new() });
    }
    if collection.status.is_terminal() {
        let id = collection.collection_id;
        return Err(SteerError::Ended { id, status: collection.status });
    }
    let said = format!("cancelled by {}: {reason}", because.by);
    let jobs = jobs_of_weeks(&mut *transaction, collection.id).await?;
    let status = collections::cancel(&mut *transaction, collection.id, &said).await?;
    let status = status.unwrap_or(CollectionStatus::Cancelled);
    let stopping = executions::ask_to_cancel(&mut *transaction, collection.id, &said).await?;
    let cancelled = weeks::cancel_all(&mut *transaction, collection.id, &said).await?;
    let open = stopping.iter().filter(|one| !has_ended(one)).count();
    let at_amc = match open {
        0 => String::new(),
        open => {
            let executions = counted(open, "execution is", "executions are");
            format!("; {executions} being stopped at AMC")
        }
    };
    let weeks = some_weeks(cancelled);
    let said = match status {
        CollectionStatus::Completed => {
            format!("stays complete, and {weeks} will not be collected again{at_amc}")
        }
        _ => format!("is cancelled: {weeks}{at_amc}"),
    };
    let detail = json!({"stopping_at_amc": open});
    let steered = done(transaction, &collection, because, (cancelled, said), detail).await?;
    Ok(Cancelled { steered, collection: Some((collection.id, status)), jobs, stopping })
}

fn has_ended(one: &Stopping) -> bool {
    one.status == ExecutionStatus::Cancelled
}

/// What follows when collections were cancelled: their jobs end, those that stop what AMC has wake, places
/// are let go, reports and plans hear of it. In the order in which everybody locks: jobs, then resources,
/// then plans; and once for all of them, so that nobody waits for a row of the next one while holding a
/// resource.
pub(super) async fn follow(
    transaction: &mut PgConnection,
    queue: &Queue,
    cancelled: &[Cancelled],
    because: &Because<'_>,
) -> Result<(), SteerError> {
    let stopping = || cancelled.iter().flat_map(|one| &one.stopping);
    for one in stopping().filter(|one| !has_ended(one)) {
        owner::hasten(queue, &mut *transaction, one.id).await?;
    }
    let gone: Vec<_> = stopping().filter(|one| has_ended(one)).map(|one| one.id).collect();
    let of_weeks: Vec<_> = cancelled.iter().flat_map(|one| one.jobs.iter().copied()).collect();
    let mut jobs = hold_waiting(&mut *transaction, &of_weeks).await?;
    jobs.extend(jobs_of_executions(&mut *transaction, &gone).await?);
    let why = steer::Because { by: because.by, why: because.reason()? };
    queue.cancel(&mut *transaction, &jobs, &why).await?;
    for id in gone {
        queue.release(&mut *transaction, &resources::holder(id)).await?;
    }
    for (collection, status) in cancelled.iter().filter_map(|one| one.collection) {
        feed::ended(queue, &mut *transaction, collection, status).await?;
    }
    Ok(())
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

/// Those of these jobs that wait. One that runs finds out by itself that there is nothing to do; were it
/// marked as cancelled, it would end so even when its week has been taken up again before it heard.
async fn hold_waiting(
    connection: &mut PgConnection,
    jobs: &[i64],
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "-- jobs_hold_waiting
        select id
        from engine.jobs
        where id = any($1)
          and state = 'waiting'
        order by id
        for no key update",
    )
    .bind(jobs)
    .fetch_all(connection)
    .await
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
