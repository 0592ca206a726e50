//! Which schedule is due, taken by one scheduler alone, and how far each is settled.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::row::Schedule;
use crate::store::ids::ScheduleUuid;

/// A schedule that is due, but for these: the one that waits longest, locked until the transaction ends. One
/// that another scheduler has taken is left to it.
pub async fn claim_due(
    db: impl PgExecutor<'_>,
    but: &[ScheduleUuid],
) -> Result<Option<Schedule>, sqlx::Error> {
    sqlx::query_as(
        r"-- schedules_claim_due
        select schedule.*, workflow.workflow_id as workflow, engine.now() as now
        from workflow_schedules schedule
        join workflows workflow on workflow.id = schedule.workflow_id
        where schedule.status = 'active'
          and next_run_at <= (select engine.now())
          and schedule.id <> all($1)
        order by next_run_at
        limit 1
        for no key update of schedule skip locked",
    )
    .bind(but)
    .fetch_optional(db)
    .await
}

/// A paused schedule whose time to go on has come, but for these, locked until the transaction ends.
pub async fn claim_resuming(
    db: impl PgExecutor<'_>,
    but: &[ScheduleUuid],
) -> Result<Option<Schedule>, sqlx::Error> {
    sqlx::query_as(
        r"-- schedules_claim_resuming
        select schedule.*, workflow.workflow_id as workflow, engine.now() as now
        from workflow_schedules schedule
        join workflows workflow on workflow.id = schedule.workflow_id
        where schedule.status <> 'active'
          and removed_at is null
          and resume_at <= (select engine.now())
          and schedule.id <> all($1)
        order by resume_at
        limit 1
        for no key update of schedule skip locked",
    )
    .bind(but)
    .fetch_optional(db)
    .await
}

/// Writes down that every time until then has its run, when it last fired, and when to look again.
/// A schedule that will never be due again is not looked at any more.
pub async fn settle(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
    until: DateTime<Utc>,
    fired: Option<DateTime<Utc>>,
    next: Option<DateTime<Utc>>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- schedules_settle
        update workflow_schedules
        set settled_until = greatest(settled_until, $2),
            last_run_at = coalesce($3, last_run_at),
            next_run_at = $4
        where id = $1
          and status = 'active'",
    )
    .bind(schedule)
    .bind(until)
    .bind(fired)
    .bind(next)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// In how many seconds a schedule is to be looked at, by the store's clock; none when none is waiting.
pub async fn next_look(db: impl PgExecutor<'_>) -> Result<Option<f64>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- schedules_next_look
        select extract(epoch from least(
            (select min(next_run_at) from workflow_schedules where status = 'active'),
            (select min(resume_at) from workflow_schedules where resume_at is not null and removed_at is null)
        ) - (select engine.now()))::double precision",
    )
    .fetch_one(db)
    .await
}

/// Schedules that have been due for longer than this and have not fired, the longest first. A hundred at
/// most.
pub async fn overdue(
    db: impl PgExecutor<'_>,
    patience: Duration,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- schedules_overdue
        select schedule_id
        from workflow_schedules
        where status = 'active'
          and next_run_at < (select engine.now()) - make_interval(secs => $1)
        order by next_run_at
        limit 100",
    )
    .bind(patience.as_secs_f64())
    .fetch_all(db)
    .await
}
