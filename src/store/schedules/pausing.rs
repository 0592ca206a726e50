//! How a schedule stops, by a person or by the engine, and how it goes on.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::row::ScheduleStatus;
use crate::store::ids::{ScheduleUuid, UserId};
use crate::store::text;

/// How a schedule is paused.
#[derive(Debug, Clone, Copy)]
pub struct Pause<'a> {
    /// `paused` by a person, `auto_paused` by the engine.
    pub status: ScheduleStatus,
    /// Why, in one sentence.
    pub reason: &'a str,
    /// When it goes on by itself.
    pub resume_at: Option<DateTime<Utc>>,
    /// The resource whose opening lets it go on.
    pub paused_for: Option<&'a str>,
}

/// A schedule whose status has changed.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Paused {
    /// Names it here.
    pub id: ScheduleUuid,
    /// Names it for people and programs.
    pub schedule_id: String,
}

/// active, `auto_paused` → paused; active → `auto_paused`. What a person has paused stays the person's.
pub async fn pause(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
    pause: &Pause<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- schedules_pause
        update workflow_schedules
        set status = $2::schedule_status,
            pause_reason = $3,
            resume_at = $4,
            paused_for = $5,
            paused_at = coalesce(paused_at, (select engine.now())),
            next_run_at = null
        where id = $1
          and removed_at is null
          and (status = 'active' or $2::schedule_status = 'paused')",
    )
    .bind(schedule)
    .bind(pause.status)
    .bind(text::message(pause.reason))
    .bind(pause.resume_at)
    .bind(pause.paused_for)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// active → `auto_paused`, for every schedule of these users, whose credentials are refused, until they are
/// good again. Which ones.
pub async fn pause_refused(
    db: impl PgExecutor<'_>,
    users: &[UserId],
    reason: &str,
) -> Result<Vec<Paused>, sqlx::Error> {
    sqlx::query_as(
        r"-- schedules_pause_refused
        with found as (
            select id
            from workflow_schedules
            where user_id = any($1)
              and status = 'active'
            -- Two who do so at once lock in the same order.
            order by id
            for no key update
        )
        update workflow_schedules schedule
        set status = 'auto_paused',
            pause_reason = $2,
            paused_for = 'lwa_user:' || user_id,
            paused_at = (select engine.now()),
            next_run_at = null
        from found
        where schedule.id = found.id
        returning schedule.id, schedule_id",
    )
    .bind(users)
    .bind(text::message(reason))
    .fetch_all(db)
    .await
}

/// paused, `auto_paused` → active: failures are forgotten, and it is looked at at once. What was due
/// meanwhile is then treated as `catch_up` says.
pub async fn resume(db: impl PgExecutor<'_>, schedule: ScheduleUuid) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- schedules_resume
        update workflow_schedules
        set status = 'active',
            pause_reason = null,
            paused_at = null,
            resume_at = null,
            paused_for = null,
            consecutive_failures = 0,
            next_run_at = (select engine.now())
        where id = $1
          and status <> 'active'
          and removed_at is null",
    )
    .bind(schedule)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// `auto_paused` → active, for every schedule that waits for this resource. Which ones.
pub async fn resume_waiting_for(
    db: impl PgExecutor<'_>,
    resource: &str,
) -> Result<Vec<Paused>, sqlx::Error> {
    sqlx::query_as(
        r"-- schedules_resume_waiting_for
        with found as (
            select id
            from workflow_schedules
            where paused_for = $1
              and status = 'auto_paused'
              and removed_at is null
            order by id
            for no key update
        )
        update workflow_schedules schedule
        set status = 'active',
            pause_reason = null,
            paused_at = null,
            resume_at = null,
            paused_for = null,
            consecutive_failures = 0,
            next_run_at = (select engine.now())
        from found
        where schedule.id = found.id
        returning schedule.id, schedule_id",
    )
    .bind(resource)
    .fetch_all(db)
    .await
}

/// Takes a schedule away: it is paused for good and no longer listed. Its runs stay.
pub async fn remove(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- schedules_remove
        update workflow_schedules
        set status = 'paused',
            pause_reason = $2,
            paused_at = coalesce(paused_at, (select engine.now())),
            resume_at = null,
            paused_for = null,
            next_run_at = null,
            removed_at = (select engine.now())
        where id = $1
          and removed_at is null",
    )
    .bind(schedule)
    .bind(text::message(reason))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Counts a failed run. How many failed in a row, this one included.
pub async fn count_failure(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar(
        r"-- schedules_count_failure
        update workflow_schedules
        set consecutive_failures = consecutive_failures + 1
        where id = $1
        returning consecutive_failures",
    )
    .bind(schedule)
    .fetch_one(db)
    .await
}

/// Forgets the failures: a run succeeded.
pub async fn forget_failures(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- schedules_forget_failures
        update workflow_schedules
        set consecutive_failures = 0
        where id = $1
          and consecutive_failures > 0",
    )
    .bind(schedule)
    .execute(db)
    .await?;
    Ok(())
}
