//! Where schedules and their runs stand, as people and programs are shown it.

use super::due;
use super::manage::{self, ManageError};
use crate::backfill::week::Week;
use crate::store::ScheduleRunUuid;
use crate::store::runs::{Run, RunKind, RunStatus};
use crate::store::schedules::{CatchUp, OverlapPolicy, Schedule, ScheduleStatus, WindowAnchor};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;

/// A schedule.
#[derive(Debug, Clone, Serialize)]
pub struct ScheduleView {
    /// Names it.
    pub schedule_id: String,
    /// What to call it on a page.
    pub name: String,
    /// What it runs.
    pub workflow: String,
    /// When it is due, in words.
    pub due: String,
    /// The IANA zone in which it is due.
    pub timezone: String,
    /// The values of the workflow's parameters.
    pub parameters: Value,
    /// How many days a window has.
    pub lookback_days: i32,
    /// How many days before the run a window has to have ended.
    pub lag_days: i32,
    /// With what a window ends.
    pub window_anchor: WindowAnchor,
    /// What happens to times that passed unseen.
    pub catch_up: CatchUp,
    /// How many of them fire at most.
    pub catch_up_max: i32,
    /// What happens to runs that overlap.
    pub overlap: OverlapPolicy,
    /// By how many seconds at most the work of a run is put off.
    pub jitter_seconds: i32,
    /// How many executions a run may spend before it is failed.
    pub max_attempts: i32,
    /// Whether it fires, and who stopped it.
    pub status: ScheduleStatus,
    /// Why it does not fire.
    pub pause_reason: Option<String>,
    /// Since when it does not fire.
    pub paused_at: Option<DateTime<Utc>>,
    /// When it goes on by itself.
    pub resume_at: Option<DateTime<Utc>>,
    /// How many failed runs in a row pause it; none when failures never do.
    pub failure_threshold: Option<i32>,
    /// How many of the runs that have ended are kept; none for all.
    pub keep_runs: Option<i32>,
    /// Of which of its events webhooks are told; none for all that they want.
    pub notify: Option<Value>,
    /// Failed runs since the last that succeeded.
    pub consecutive_failures: i32,
    /// When it last fired.
    pub last_run_at: Option<DateTime<Utc>>,
    /// When it is due next; none while it is paused.
    pub next: Option<DateTime<Utc>>,
}

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct RunView {
    /// Names it.
    pub run_id: ScheduleRunUuid,
    /// Why it exists.
    pub kind: RunKind,
    /// The due time it answers.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// Where it stands.
    pub status: RunStatus,
    /// The days it asks for.
    pub window: Option<Week>,
    /// Why it did not succeed, or what it waits for.
    pub error_summary: Option<String>,
    /// When its first execution began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl ScheduleView {
    /// Of a stored schedule.
    pub fn of(schedule: &Schedule) -> Self {
        let read = due::read(schedule);
        let active = schedule.status == ScheduleStatus::Active;
        let due = match &read {
            Ok((due, _)) => due.to_string(),
            Err(unreadable) => unreadable.to_string(),
        };
        let next = read.ok().filter(|_| active).and_then(|(due, _)| due.next_after(schedule.now));
        Self {
            schedule_id: schedule.schedule_id.clone(),
            name: schedule.name.clone(),
            workflow: schedule.workflow.clone(),
            due,
            timezone: schedule.timezone.clone(),
            parameters: schedule.parameters.clone(),
            lookback_days: schedule.lookback_days,
            lag_days: schedule.lag_days,
            window_anchor: schedule.window_anchor,
            catch_up: schedule.catch_up,
            catch_up_max: schedule.catch_up_max,
            overlap: schedule.overlap,
            jitter_seconds: schedule.jitter_seconds,
            max_attempts: schedule.max_attempts_per_run,
            status: schedule.status,
            pause_reason: schedule.pause_reason.clone(),
            paused_at: schedule.paused_at,
            resume_at: schedule.resume_at,
            failure_threshold: schedule.auto_pause_on_failure.then_some(schedule.failure_threshold),
            keep_runs: schedule.execution_history_limit,
            notify: schedule
                .notification_config
                .as_ref()
                .and_then(|told| told.get("events").cloned()),
            consecutive_failures: schedule.consecutive_failures,
            last_run_at: schedule.last_run_at,
            next,
        }
    }
}

impl RunView {
    /// Of a stored run.
    pub fn of(run: Run) -> Self {
        let window = run.window_start.zip(run.window_end).map(|(start, end)| Week { start, end });
        Self {
            run_id: run.id,
            kind: run.kind,
            scheduled_for: run.scheduled_for,
            status: run.status,
            window,
            error_summary: run.error_summary,
            started_at: run.started_at,
            finished_at: run.finished_at,
        }
    }
}

/// A schedule and its newest runs.
pub async fn detailed(
    connection: &mut PgConnection,
    schedule_id: &str,
    limit: i64,
) -> Result<(ScheduleView, Vec<RunView>), ManageError> {
    let (schedule, runs) = manage::with_runs(connection, schedule_id, limit).await?;
    Ok((ScheduleView::of(&schedule), runs.into_iter().map(RunView::of).collect()))
}
