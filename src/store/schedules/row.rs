//! What a schedule is: its row, how it is added and found.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};

use crate::store::ids::{ScheduleUuid, UserId, WorkflowUuid};
use crate::store::words::words;

words! {
    /// How a schedule says when it is due.
    ScheduleType as "schedule_type" {
        /// At the times of an expression.
        Cron = "cron",
        /// Every so many days.
        Interval = "interval",
    }
}

words! {
    /// Whether a schedule fires, and who stopped it.
    ScheduleStatus as "schedule_status" {
        /// It fires when it is due.
        Active = "active",
        /// Stopped by a person.
        Paused = "paused",
        /// Stopped by the engine.
        AutoPaused = "auto_paused",
    }
}

words! {
    /// With what a window ends.
    WindowAnchor as "window_anchor" {
        /// With a day.
        Day = "day",
        /// With a week, on Monday's midnight.
        Week = "week",
        /// With a month, on the first's midnight.
        Month = "month",
    }
}

words! {
    /// What happens to the times that passed while nothing could fire.
    CatchUp as "catch_up" {
        /// They are written down as missed.
        None = "none",
        /// The last of them fires, the others are written down as missed.
        Latest = "latest",
        /// The last `catch_up_max` of them fire, one after the other.
        All = "all",
    }
}

words! {
    /// What happens to a run that is due while an earlier one of its schedule is unfinished.
    OverlapPolicy as "overlap_policy" {
        /// It is skipped.
        Skip = "skip",
        /// It waits for the earlier one, if no other one waits already.
        QueueOne = "queue_one",
        /// The earlier one is cancelled.
        CancelOld = "cancel_old",
    }
}

/// A row of `workflow_schedules`, with what its workflow says.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Schedule {
    /// Names the schedule here.
    pub id: ScheduleUuid,
    /// Names the schedule for people and programs.
    pub schedule_id: String,
    /// What it runs: the workflow's public id.
    pub workflow: String,
    /// In whose name it runs.
    pub user_id: UserId,
    /// What to call it on a page.
    pub name: String,
    /// How it says when it is due.
    pub schedule_type: ScheduleType,
    /// Five fields; none for an interval.
    pub cron_expression: Option<String>,
    /// Days from one run to the next; none for cron.
    pub interval_days: Option<i32>,
    /// The day from which the interval counts; none for cron.
    pub anchor_date: Option<NaiveDate>,
    /// The time of day of an interval; none for cron.
    pub anchor_time: Option<NaiveTime>,
    /// The IANA zone in which it is due, and of its windows.
    pub timezone: String,
    /// The values of the workflow's parameters.
    pub parameters: Value,
    /// How many days a window has.
    pub lookback_days: i32,
    /// How many days before the run a window has to have ended.
    pub lag_days: i32,
    /// With what a window ends.
    pub window_anchor: WindowAnchor,
    /// What happens to the times that passed while nothing could fire.
    pub catch_up: CatchUp,
    /// How many of them fire at most.
    pub catch_up_max: i32,
    /// What happens to a run that is due while an earlier one is unfinished.
    pub overlap: OverlapPolicy,
    /// By how many seconds at most the work of a run is put off.
    pub jitter_seconds: i32,
    /// How many executions a run may spend.
    pub max_attempts_per_run: i32,
    /// Whether it fires, and who stopped it.
    pub status: ScheduleStatus,
    /// Why it does not fire.
    pub pause_reason: Option<String>,
    /// Since when it does not fire.
    pub paused_at: Option<DateTime<Utc>>,
    /// When it goes on by itself.
    pub resume_at: Option<DateTime<Utc>>,
    /// The resource whose opening lets it go on.
    pub paused_for: Option<String>,
    /// Whether too many failed runs pause it.
    pub auto_pause_on_failure: bool,
    /// How many failed runs in a row are too many.
    pub failure_threshold: i32,
    /// How many of the runs that have ended are kept; none for all.
    pub execution_history_limit: Option<i32>,
    /// Of which of its events webhooks are told, `{"events": [...]}`; none for all that they want.
    pub notification_config: Option<Value>,
    /// Failed runs since the last that succeeded.
    pub consecutive_failures: i32,
    /// Every time that was due until then has its run.
    pub settled_until: DateTime<Utc>,
    /// When it last fired.
    pub last_run_at: Option<DateTime<Utc>>,
    /// When it is next looked at.
    pub next_run_at: Option<DateTime<Utc>>,
    /// The time, by the store's clock.
    pub now: DateTime<Utc>,
}

/// When a schedule is due, as it is written down.
#[derive(Debug, Clone, Copy)]
pub struct Timing<'a> {
    /// How it says when it is due.
    pub schedule_type: ScheduleType,
    /// Five fields; none for an interval.
    pub cron_expression: Option<&'a str>,
    /// Days from one run to the next; none for cron.
    pub interval_days: Option<i32>,
    /// The day from which the interval counts; none for cron.
    pub anchor_date: Option<NaiveDate>,
    /// The time of day of an interval; none for cron.
    pub anchor_time: Option<NaiveTime>,
    /// The IANA zone in which it is due, and of its windows.
    pub timezone: &'a str,
}

impl Schedule {
    /// When it is due, as it is written down.
    pub fn timing(&self) -> Timing<'_> {
        Timing {
            schedule_type: self.schedule_type,
            cron_expression: self.cron_expression.as_deref(),
            interval_days: self.interval_days,
            anchor_date: self.anchor_date,
            anchor_time: self.anchor_time,
            timezone: &self.timezone,
        }
    }
}

/// A schedule to be added.
#[derive(Debug, Clone)]
pub struct NewSchedule<'a> {
    /// Names the schedule for people and programs.
    pub schedule_id: &'a str,
    /// What it runs.
    pub workflow_id: WorkflowUuid,
    /// In whose name it runs.
    pub user_id: UserId,
    /// What to call it on a page.
    pub name: &'a str,
    /// When it is due.
    pub timing: Timing<'a>,
    /// The values of the workflow's parameters, a JSON object.
    pub parameters: &'a Value,
    /// How many days a window has.
    pub lookback_days: i32,
    /// How many days before the run a window has to have ended.
    pub lag_days: i32,
    /// With what a window ends.
    pub window_anchor: WindowAnchor,
    /// What happens to the times that passed while nothing could fire.
    pub catch_up: CatchUp,
    /// How many of them fire at most.
    pub catch_up_max: i32,
    /// What happens to a run that is due while an earlier one is unfinished.
    pub overlap: OverlapPolicy,
    /// By how many seconds at most the work of a run is put off.
    pub jitter_seconds: i32,
    /// How many executions a run may spend.
    pub max_attempts_per_run: i32,
    /// Whether too many failed runs pause it.
    pub auto_pause_on_failure: bool,
    /// How many failed runs in a row are too many.
    pub failure_threshold: i32,
}

/// Adds a schedule, which fires for times after now. One that is there already is a unique violation.
pub async fn insert(
    db: impl PgExecutor<'_>,
    schedule: &NewSchedule<'_>,
) -> Result<ScheduleUuid, sqlx::Error> {
    sqlx::query_scalar(
        r"-- schedules_insert
        insert into workflow_schedules
            (id, schedule_id, workflow_id, user_id, name, schedule_type, cron_expression, interval_days,
             anchor_date, anchor_time, timezone, parameters, lookback_days, lag_days, window_anchor, catch_up,
             catch_up_max, overlap, jitter_seconds, max_attempts_per_run, auto_pause_on_failure,
             failure_threshold, settled_until, next_run_at)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
            $22, clock.now, clock.now
        from (select engine.now() as now) as clock
        returning id",
    )
    .bind(ScheduleUuid::fresh())
    .bind(schedule.schedule_id)
    .bind(schedule.workflow_id)
    .bind(schedule.user_id)
    .bind(schedule.name)
    .bind(schedule.timing.schedule_type)
    .bind(schedule.timing.cron_expression)
    .bind(schedule.timing.interval_days)
    .bind(schedule.timing.anchor_date)
    .bind(schedule.timing.anchor_time)
    .bind(schedule.timing.timezone)
    .bind(schedule.parameters)
    .bind(schedule.lookback_days)
    .bind(schedule.lag_days)
    .bind(schedule.window_anchor)
    .bind(schedule.catch_up)
    .bind(schedule.catch_up_max)
    .bind(schedule.overlap)
    .bind(schedule.jitter_seconds)
    .bind(schedule.max_attempts_per_run)
    .bind(schedule.auto_pause_on_failure)
    .bind(schedule.failure_threshold)
    .fetch_one(db)
    .await
}

/// The schedule with this public id, unless it was removed.
pub async fn by_schedule_id(
    db: impl PgExecutor<'_>,
    schedule_id: &str,
) -> Result<Option<Schedule>, sqlx::Error> {
    sqlx::query_as(
        r"-- schedules_by_schedule_id
        select schedule.*, workflow.workflow_id as workflow, (select engine.now()) as now
        from workflow_schedules schedule
        join workflows workflow on workflow.id = schedule.workflow_id
        where schedule.schedule_id = $1
          and removed_at is null",
    )
    .bind(schedule_id)
    .fetch_optional(db)
    .await
}

/// The schedule with this id, locked until the transaction ends: nobody else fires it or ends its runs.
pub async fn lock(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
) -> Result<Option<Schedule>, sqlx::Error> {
    sqlx::query_as(
        r"-- schedules_lock
        select schedule.*, workflow.workflow_id as workflow, engine.now() as now
        from workflow_schedules schedule
        join workflows workflow on workflow.id = schedule.workflow_id
        where schedule.id = $1
        for no key update of schedule",
    )
    .bind(schedule)
    .fetch_optional(db)
    .await
}

/// Every schedule that was not removed, by public id.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Schedule>, sqlx::Error> {
    sqlx::query_as(
        r"-- schedules_list
        select schedule.*, workflow.workflow_id as workflow, (select engine.now()) as now
        from workflow_schedules schedule
        join workflows workflow on workflow.id = schedule.workflow_id
        where removed_at is null
        order by schedule.schedule_id",
    )
    .fetch_all(db)
    .await
}
