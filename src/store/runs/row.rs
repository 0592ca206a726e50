//! What a run is: its row, how it is added, and the questions asked about many of them.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};

use crate::store::ids::{InstanceUuid, ScheduleRunUuid, ScheduleUuid, UserId, VersionId};
use crate::store::text;
use crate::store::words::words;

words! {
    /// Why a run exists.
    RunKind as "run_kind" {
        /// It was due.
        Slot = "slot",
        /// A person asked for it.
        Manual = "manual",
    }
}

words! {
    /// Where a run stands.
    RunStatus as "run_status" {
        /// Fired, nothing has begun.
        Pending = "pending",
        /// Its execution is under way, or the next attempt is waiting.
        Running = "running",
        /// Its result is stored.
        Succeeded = "succeeded",
        /// Its attempts are spent, or it is hopeless.
        Failed = "failed",
        /// The rules said not to run.
        Skipped = "skipped",
        /// Nothing could fire at the time, and `catch_up` said to let it pass.
        Missed = "missed",
        /// Stopped by a person, or by the next run.
        Cancelled = "cancelled",
    }
}

impl RunStatus {
    /// Whether nothing more will happen to the run.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// A row of `schedule_runs`, with what its schedule and workflow say: all that running it takes.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Run {
    /// Names the run here.
    pub id: ScheduleRunUuid,
    /// The schedule that fired.
    pub schedule_id: ScheduleUuid,
    /// What people call the schedule.
    pub schedule: String,
    /// In whose name it runs.
    pub user_id: UserId,
    /// Where it runs.
    pub instance_id: InstanceUuid,
    /// Why it exists.
    pub kind: RunKind,
    /// The due time it answers; none for one that a person asked for.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// Where it stands.
    pub status: RunStatus,
    /// The values of the workflow's parameters.
    pub parameters: Value,
    /// What it runs; none for one that never was to run.
    pub workflow_version_id: Option<VersionId>,
    /// The first day of its window.
    pub window_start: Option<NaiveDate>,
    /// The first day after its window.
    pub window_end: Option<NaiveDate>,
    /// The IANA zone in which its days begin.
    pub window_tz: Option<String>,
    /// How many executions it may spend.
    pub max_attempts: i32,
    /// Why it did not succeed, or what it waits for.
    pub error_summary: Option<String>,
    /// When its first execution began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
}

/// A run that is to do something.
#[derive(Debug, Clone, Copy)]
pub struct NewRun<'a> {
    /// The schedule that fired.
    pub schedule: ScheduleUuid,
    /// The due time it answers; none when a person asked.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// The first day of its window.
    pub window_start: NaiveDate,
    /// The first day after its window.
    pub window_end: NaiveDate,
    /// The IANA zone in which its days begin.
    pub window_tz: &'a str,
}

/// Adds a run of the workflow's current version. None when the due time has its run already, or the
/// workflow was put away or has no query.
pub async fn insert(
    db: impl PgExecutor<'_>,
    run: &NewRun<'_>,
) -> Result<Option<ScheduleRunUuid>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- runs_insert
        insert into schedule_runs
            (id, schedule_id, kind, scheduled_for, parameters, workflow_version_id, window_start, window_end,
             window_tz, max_attempts, created_at)
        select $1, schedule.id, case when $3::timestamptz is null then 'manual' else 'slot' end::run_kind, $3,
            schedule.parameters, workflow.current_version_id, $4, $5, $6, max_attempts_per_run,
            (select engine.now())
        from workflow_schedules schedule
        join workflows workflow on workflow.id = schedule.workflow_id
        where schedule.id = $2
          and workflow.archived_at is null
          and workflow.current_version_id is not null
        on conflict (schedule_id, scheduled_for) do nothing
        returning id",
    )
    .bind(ScheduleRunUuid::fresh())
    .bind(run.schedule)
    .bind(run.scheduled_for)
    .bind(run.window_start)
    .bind(run.window_end)
    .bind(run.window_tz)
    .fetch_optional(db)
    .await
}

/// Adds runs that are never to run, `skipped` or `missed`, with the reason. How many were not there.
pub async fn insert_unfired(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
    times: &[DateTime<Utc>],
    status: RunStatus,
    reason: &str,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- runs_insert_unfired
        insert into schedule_runs (schedule_id, kind, scheduled_for, status, error_summary, created_at, finished_at)
        select $1, 'slot', scheduled_for, $3, $4, clock.now, clock.now
        from unnest($2::timestamptz[]) as scheduled_for
        cross join (select engine.now() as now) as clock
        on conflict (schedule_id, scheduled_for) do nothing",
    )
    .bind(schedule)
    .bind(times)
    .bind(status)
    .bind(text::message(reason))
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// The run with this id, and all that running it takes.
pub async fn by_id(
    db: impl PgExecutor<'_>,
    run: ScheduleRunUuid,
) -> Result<Option<Run>, sqlx::Error> {
    sqlx::query_as(
        r"-- runs_by_id
        select run.*, schedule.schedule_id as schedule, schedule.user_id, workflow.instance_id
        from schedule_runs run
        join workflow_schedules schedule on schedule.id = run.schedule_id
        join workflows workflow on workflow.id = schedule.workflow_id
        where run.id = $1",
    )
    .bind(run)
    .fetch_optional(db)
    .await
}

/// The newest runs of a schedule, at most `limit`, the newest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
    limit: i64,
) -> Result<Vec<Run>, sqlx::Error> {
    sqlx::query_as(
        r"-- runs_list
        select run.*, schedule.schedule_id as schedule, schedule.user_id, workflow.instance_id
        from schedule_runs run
        join workflow_schedules schedule on schedule.id = run.schedule_id
        join workflows workflow on workflow.id = schedule.workflow_id
        where run.schedule_id = $1
        order by coalesce(run.scheduled_for, run.created_at) desc, run.id desc
        limit $2",
    )
    .bind(schedule)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The unfinished runs of a schedule, in the order in which they take their turns.
pub async fn unfinished(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
) -> Result<Vec<Run>, sqlx::Error> {
    sqlx::query_as(
        r"-- runs_unfinished
        select run.*, schedule.schedule_id as schedule, schedule.user_id, workflow.instance_id
        from schedule_runs run
        join workflow_schedules schedule on schedule.id = run.schedule_id
        join workflows workflow on workflow.id = schedule.workflow_id
        where run.schedule_id = $1
          and run.status in ('pending', 'running')
        order by run.created_at, run.id",
    )
    .bind(schedule)
    .fetch_all(db)
    .await
}
