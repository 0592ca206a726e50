//! How a run waits for its turn, begins and ends.

use sqlx::PgExecutor;

use super::row::RunStatus;
use crate::store::ids::{ExecutionUuid, ScheduleRunUuid, ScheduleUuid};
use crate::store::text;

/// Locks a run, and tells where it stands; none when there is none.
pub async fn lock(
    db: impl PgExecutor<'_>,
    run: ScheduleRunUuid,
) -> Result<Option<RunStatus>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- runs_lock
        select status
        from schedule_runs
        where id = $1
        for no key update",
    )
    .bind(run)
    .fetch_optional(db)
    .await
}

/// Whether an earlier run of the same schedule is unfinished: then it is not this one's turn.
pub async fn earlier_unfinished(
    db: impl PgExecutor<'_>,
    run: ScheduleRunUuid,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        r"-- runs_earlier_unfinished
        select exists (
            select
            from schedule_runs run
            join schedule_runs earlier on earlier.schedule_id = run.schedule_id
            where run.id = $1
              and earlier.status in ('pending', 'running')
              and (earlier.created_at, earlier.id) < (run.created_at, run.id)
        )",
    )
    .bind(run)
    .fetch_one(db)
    .await
}

/// The run of a schedule whose turn is next; none when none waits.
pub async fn next_waiting(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
) -> Result<Option<ScheduleRunUuid>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- runs_next_waiting
        select id
        from schedule_runs
        where schedule_id = $1
          and status in ('pending', 'running')
        order by created_at, id
        limit 1",
    )
    .bind(schedule)
    .fetch_optional(db)
    .await
}

/// pending, running → running: an execution begins. False when the run has ended.
pub async fn start(db: impl PgExecutor<'_>, run: ScheduleRunUuid) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- runs_start
        update schedule_runs
        set status = 'running',
            started_at = coalesce(started_at, (select engine.now())),
            error_summary = null
        where id = $1
          and status in ('pending', 'running')",
    )
    .bind(run)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes down what an unfinished run waits for.
pub async fn note(
    db: impl PgExecutor<'_>,
    run: ScheduleRunUuid,
    what: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- runs_note
        update schedule_runs
        set error_summary = $2
        where id = $1
          and status in ('pending', 'running')
          and error_summary is distinct from $2",
    )
    .bind(run)
    .bind(text::message(what))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// pending, running → succeeded, failed, cancelled. `succeeded` is refused until an execution of the
/// run has succeeded, which it has when its result is stored.
pub async fn finish(
    db: impl PgExecutor<'_>,
    run: ScheduleRunUuid,
    status: RunStatus,
    error_summary: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- runs_finish
        update schedule_runs
        set status = $2::run_status,
            error_summary = $3,
            finished_at = (select engine.now())
        where id = $1
          and status in ('pending', 'running')
          and ($2::run_status <> 'succeeded' or exists (
              select
              from workflow_executions
              where schedule_run_id = $1
                and status = 'succeeded'
          ))",
    )
    .bind(run)
    .bind(status)
    .bind(error_summary.map(text::message))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The latest execution of the run.
pub async fn current_execution(
    db: impl PgExecutor<'_>,
    run: ScheduleRunUuid,
) -> Result<Option<ExecutionUuid>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- runs_current_execution
        select id
        from workflow_executions
        where schedule_run_id = $1
        order by attempt desc
        limit 1",
    )
    .bind(run)
    .fetch_optional(db)
    .await
}

/// How many executions the run has spent. One that ended because Amazon did not let us in is not one.
pub async fn spent(db: impl PgExecutor<'_>, run: ScheduleRunUuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        r"-- runs_spent
        select count(*)
        from workflow_executions
        where schedule_run_id = $1
          and error_class is distinct from 'blocked'",
    )
    .bind(run)
    .fetch_one(db)
    .await
}
