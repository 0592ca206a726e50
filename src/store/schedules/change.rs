//! What can be changed of a schedule: when it is due, how it runs, how many of its runs are kept, and of
//! which events others are told.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use super::row::{CatchUp, OverlapPolicy, Timing, WindowAnchor};
use crate::store::ids::ScheduleUuid;

/// How a schedule is to run. What is none stays what it is.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Rules {
    /// What to call it on a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The values of the workflow's parameters, a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// How many days a window has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookback_days: Option<i32>,
    /// How many days before the run a window has to have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_days: Option<i32>,
    /// With what a window ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_anchor: Option<WindowAnchor>,
    /// What happens to the times that passed while nothing could fire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// How many of them fire at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up_max: Option<i32>,
    /// What happens to a run that is due while an earlier one is unfinished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<OverlapPolicy>,
    /// By how many seconds at most the work of a run is put off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_seconds: Option<i32>,
    /// How many executions a run may spend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<i32>,
    /// How many failed runs in a row pause it; 0 when failures never do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<i32>,
}

/// Changes how a schedule runs from now on.
pub async fn set_rules(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
    rules: &Rules,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- schedules_set_rules
        update workflow_schedules
        set name = coalesce($2, name),
            parameters = coalesce($3, parameters),
            lookback_days = coalesce($4, lookback_days),
            lag_days = coalesce($5, lag_days),
            window_anchor = coalesce($6, window_anchor),
            catch_up = coalesce($7, catch_up),
            catch_up_max = coalesce($8, catch_up_max),
            overlap = coalesce($9, overlap),
            jitter_seconds = coalesce($10, jitter_seconds),
            max_attempts_per_run = coalesce($11, max_attempts_per_run),
            auto_pause_on_failure = coalesce($12 > 0, auto_pause_on_failure),
            failure_threshold = coalesce(nullif($12, 0), failure_threshold)
        where id = $1",
    )
    .bind(schedule)
    .bind(&rules.name)
    .bind(&rules.parameters)
    .bind(rules.lookback_days)
    .bind(rules.lag_days)
    .bind(rules.window_anchor)
    .bind(rules.catch_up)
    .bind(rules.catch_up_max)
    .bind(rules.overlap)
    .bind(rules.jitter_seconds)
    .bind(rules.max_attempts)
    .bind(rules.failure_threshold)
    .execute(db)
    .await?;
    Ok(())
}

/// Says how many runs that have ended are kept, with their results; none for all.
pub async fn keep_runs(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
    runs: Option<i32>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- schedules_keep_runs
        update workflow_schedules
        set execution_history_limit = $2
        where id = $1",
    )
    .bind(schedule)
    .bind(runs)
    .execute(db)
    .await?;
    Ok(())
}

/// Says of which of its events webhooks are told; none for all that they want.
pub async fn notify(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
    events: Option<&[String]>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- schedules_notify
        update workflow_schedules
        set notification_config = case when $2::text[] is not null then jsonb_build_object('events', $2) end
        where id = $1",
    )
    .bind(schedule)
    .bind(events)
    .execute(db)
    .await?;
    Ok(())
}

/// Lets a schedule be due at other times from this moment on, until which it has to be settled.
pub async fn retime(
    db: impl PgExecutor<'_>,
    schedule: ScheduleUuid,
    timing: &Timing<'_>,
    from: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- schedules_retime
        update workflow_schedules
        set schedule_type = $2,
            cron_expression = $3,
            interval_days = $4,
            anchor_date = $5,
            anchor_time = $6,
            timezone = $7,
            settled_until = $8::timestamptz,
            next_run_at = case status when 'active' then $8::timestamptz end
        where id = $1
          and removed_at is null",
    )
    .bind(schedule)
    .bind(timing.schedule_type)
    .bind(timing.cron_expression)
    .bind(timing.interval_days)
    .bind(timing.anchor_date)
    .bind(timing.anchor_time)
    .bind(timing.timezone)
    .bind(from)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
