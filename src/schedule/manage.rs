//! What people do with schedules: add, look ahead, run now, pause, resume, take away. Each with who did
//! it, in one transaction.

use super::cron::Due;
use super::due::{self, Unreadable};
use super::fire;
use super::window::WindowRule;
use crate::backfill::request::form;
use crate::backfill::week::Week;
use crate::jobs::run_schedule;
use crate::parameters::{self, check};
use crate::queue::Queue;
use crate::store::events::{self, Because, NewEvent};
use crate::store::runs::{self, Run};
use crate::store::schedules::{
    self, CatchUp, NewSchedule, OverlapPolicy, Pause, Schedule, ScheduleStatus, Timing,
    WindowAnchor,
};
use crate::store::{ScheduleRunUuid, ScheduleUuid, credentials, versions, workflows};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::error::DatabaseError;
use std::ops::RangeInclusive;

/// By how many seconds the work of a run may be put off: a day.
pub const JITTER_SECONDS: RangeInclusive<i32> = 0..=86_400;
/// How many times that passed may fire afterwards.
pub const CATCH_UP_MAX: RangeInclusive<i32> = 1..=1000;
/// How many executions a run may spend.
pub const ATTEMPTS: RangeInclusive<i32> = 1..=100;
/// How many failed runs in a row may be needed to pause a schedule.
pub const FAILURES: RangeInclusive<i32> = 1..=1000;

/// What somebody wants to run by itself.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Names the schedule for people and programs.
    pub schedule_id: &'a str,
    /// The workflow, by its public id.
    pub workflow: &'a str,
    /// What to call it on a page; the schedule's id when not given.
    pub name: Option<&'a str>,
    /// When it is due.
    pub timing: Timing<'a>,
    /// What its windows are.
    pub window: WindowRule,
    /// The values of the workflow's parameters, a JSON object.
    pub parameters: &'a Value,
    /// What happens to the times that passed while nothing could fire, and how many fire at most.
    pub catch_up: (CatchUp, i32),
    /// What happens to a run that is due while an earlier one is unfinished.
    pub overlap: OverlapPolicy,
    /// By how many seconds at most the work of a run is put off.
    pub jitter_seconds: i32,
    /// How many executions a run may spend.
    pub max_attempts_per_run: i32,
    /// How many failed runs in a row pause it; none when failures never do.
    pub failure_threshold: Option<i32>,
}

/// One time ahead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ahead {
    /// When it is due.
    pub due_at: DateTime<Utc>,
    /// What the clock of the zone shows then.
    pub local_time: NaiveDateTime,
    /// The days that the run will ask for.
    pub window: Week,
}

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// The time or the window.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Nobody has added the workflow.
    #[error("there is no workflow {0:?}: `recomamp workflows list` shows those there are")]
    UnknownWorkflow(String),
    /// The workflow cannot run.
    #[error("workflow {0:?} is archived or has no query: take another one")]
    NoQuery(String),
    /// The user whose workflow it is never gave us a token.
    #[error(
        "the user whose workflow it is has no refresh token: give one with `recomamp users authorise`"
    )]
    NoToken,
    /// The values of the parameters.
    #[error(transparent)]
    Parameters(#[from] parameters::Invalid),
    /// A number that makes no sense.
    #[error("{field} is {value}: give between {} and {}", range.start(), range.end())]
    Number {
        /// The field.
        field: &'static str,
        /// What was given.
        value: i32,
        /// What it may be.
        range: RangeInclusive<i32>,
    },
    /// The id is in use, or was.
    #[error("there is, or was, a schedule {0:?} already: take another id")]
    Taken(String),
    /// Nobody has added the schedule.
    #[error("there is no schedule {0:?}: `recomamp schedules list` shows those there are")]
    Unknown(String),
    /// A pause needs its reason.
    #[error("no reason is given: say in a sentence why it is paused")]
    NoReason,
    /// Resumed before it is paused.
    #[error("the time to resume has passed: give one that is still to come")]
    ResumesTooEarly,
    /// It is not paused.
    #[error("schedule {0:?} is not paused: there is nothing to resume")]
    NotPaused(String),
    /// Amazon does not let it run.
    #[error("schedule {id:?} stays paused: {reason}")]
    KeptOut {
        /// Which one.
        id: String,
        /// What Amazon said, and what to do about it.
        reason: String,
    },
    /// Firing went wrong.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
    /// The queue did not do what it was asked.
    #[error(transparent)]
    Queue(#[from] crate::queue::Error),
    /// The database did not do what it was asked.
    #[error("the store did not answer: {0}")]
    Database(#[from] sqlx::Error),
}

impl Request<'_> {
    /// The same, if it makes sense: when it is due.
    pub fn checked(&self) -> Result<Due, ManageError> {
        let due = due::of(&self.timing)?;
        self.window.checked().map_err(Unreadable::from)?;
        number("jitter_seconds", self.jitter_seconds, JITTER_SECONDS)?;
        number("catch_up_max", self.catch_up.1, CATCH_UP_MAX)?;
        number("max_attempts", self.max_attempts_per_run, ATTEMPTS)?;
        let value = self.failure_threshold.unwrap_or(1);
        if !FAILURES.contains(&value) {
            // People say 0 for never.
            let (field, range) = ("failure_threshold", 0..=*FAILURES.end());
            return Err(ManageError::Number { field, value, range });
        }
        Ok(due)
    }
}

/// Refuses a number that makes no sense.
pub(super) fn number(
    field: &'static str,
    value: i32,
    range: RangeInclusive<i32>,
) -> Result<(), ManageError> {
    if range.contains(&value) { Ok(()) } else { Err(ManageError::Number { field, value, range }) }
}

/// Adds a schedule. It fires for times after now.
pub async fn add(
    transaction: &mut PgConnection,
    request: &Request<'_>,
    because: &Because<'_>,
) -> Result<ScheduleUuid, ManageError> {
    request.checked()?;
    let workflow = workflows::by_workflow_id(&mut *transaction, request.workflow).await?;
    let workflow =
        workflow.ok_or_else(|| ManageError::UnknownWorkflow(request.workflow.to_owned()))?;
    let no_query = || ManageError::NoQuery(request.workflow.to_owned());
    let version = workflow.current_version_id.filter(|_| workflow.archived_at.is_none());
    let version = versions::by_id(&mut *transaction, version.ok_or_else(no_query)?).await?;
    let version = version.ok_or_else(no_query)?;
    let declared = &version.input_parameters;
    let parameters =
        check::given(&version.sql_query, declared, request.parameters, form(version.submit_mode))?;
    if credentials::access_token(&mut *transaction, workflow.user_id).await?.is_none() {
        return Err(ManageError::NoToken);
    }
    let schedule = NewSchedule {
        schedule_id: request.schedule_id,
        workflow_id: workflow.id,
        user_id: workflow.user_id,
        name: request.name.unwrap_or(request.schedule_id),
        timing: due::whole(&request.timing, None),
        parameters: &parameters,
        lookback_days: request.window.lookback_days,
        lag_days: request.window.lag_days,
        window_anchor: request.window.anchor,
        catch_up: request.catch_up.0,
        catch_up_max: request.catch_up.1,
        overlap: request.overlap,
        jitter_seconds: request.jitter_seconds,
        max_attempts_per_run: request.max_attempts_per_run,
        auto_pause_on_failure: request.failure_threshold.is_some(),
        failure_threshold: request.failure_threshold.unwrap_or(3),
    };
    let id = schedules::insert(&mut *transaction, &schedule).await.map_err(|error| {
        let taken = error.as_database_error().is_some_and(DatabaseError::is_unique_violation);
        if taken { ManageError::Taken(request.schedule_id.to_owned()) } else { error.into() }
    })?;
    let status = Some(ScheduleStatus::Active);
    note(transaction, request.schedule_id, status, because, ("is added", &json!({}))).await?;
    Ok(id)
}

/// The next times at which a schedule is due, with the windows of their runs, whether it is paused or not.
pub fn ahead(due: &Due, window: WindowRule, from: DateTime<Utc>, count: usize) -> Vec<Ahead> {
    let zone = due.zone();
    let times = due.after(from).take(count);
    times
        .filter_map(|time| {
            let local_time = time.with_timezone(&zone).naive_local();
            Some(Ahead { due_at: time, local_time, window: window.days(time, zone)? })
        })
        .collect()
}

/// From when on a schedule fires: from now on, or from the moment in which its pause ends by itself.
pub fn fires_from(schedule: &Schedule) -> DateTime<Utc> {
    // What is due in that very moment fires.
    let resumes = schedule.resume_at.map(|at| at - TimeDelta::milliseconds(1));
    resumes.map_or(schedule.now, |at| at.max(schedule.now))
}

/// Runs a schedule once, now, whether it is paused or not, after those that are unfinished. Its due
/// times stay what they are.
pub async fn trigger(
    transaction: &mut PgConnection,
    queue: &Queue,
    schedule_id: &str,
    because: &Because<'_>,
) -> Result<ScheduleRunUuid, ManageError> {
    let schedule = locked(transaction, schedule_id).await?;
    let (due, rule) = due::read(&schedule)?;
    let at_once = TimeDelta::zero();
    let run =
        fire::insert(transaction, queue, &schedule, (rule, due.zone()), None, at_once).await?;
    let run = run.ok_or_else(|| ManageError::NoQuery(schedule.workflow.clone()))?;
    let told = ("runs once, now", &json!({"run": run}));
    note(transaction, schedule_id, None, because, told).await?;
    Ok(run)
}

/// Pauses a schedule, for good or until a time. What is under way goes on.
pub async fn pause(
    transaction: &mut PgConnection,
    schedule_id: &str,
    resume_at: Option<DateTime<Utc>>,
    because: &Because<'_>,
) -> Result<Schedule, ManageError> {
    let schedule = locked(transaction, schedule_id).await?;
    let reason = because.said().ok_or(ManageError::NoReason)?;
    if resume_at.is_some_and(|at| at <= schedule.now) {
        return Err(ManageError::ResumesTooEarly);
    }
    let status = ScheduleStatus::Paused;
    let pause = Pause { status, reason, resume_at, paused_for: None };
    due::pause(transaction, &schedule, &pause, because.by).await?;
    locked(transaction, schedule_id).await
}

/// Lets a paused schedule go on. What was due meanwhile is treated as `catch_up` says. One that Amazon does
/// not let run stays paused.
pub async fn resume(
    transaction: &mut PgConnection,
    schedule_id: &str,
    because: &Because<'_>,
) -> Result<Schedule, ManageError> {
    let schedule = locked(transaction, schedule_id).await?;
    if schedule.status == ScheduleStatus::Active {
        return Err(ManageError::NotPaused(schedule_id.to_owned()));
    }
    if let Some(kept_out) = due::kept_out(&mut *transaction, &schedule).await? {
        return Err(ManageError::KeptOut { id: schedule.schedule_id, reason: kept_out.reason });
    }
    due::resume(transaction, &schedule, because).await?;
    locked(transaction, schedule_id).await
}

/// Takes a schedule away, and cancels what it has begun. Its runs stay, and its id is not given again.
pub async fn remove(
    transaction: &mut PgConnection,
    queue: &Queue,
    schedule_id: &str,
    because: &Because<'_>,
) -> Result<(), ManageError> {
    let schedule = locked(transaction, schedule_id).await?;
    let reason = "it was taken away";
    for run in runs::unfinished(&mut *transaction, schedule.id).await? {
        run_schedule::cancel(queue, transaction, &run, because.by, reason).await?;
    }
    schedules::remove(&mut *transaction, schedule.id, reason).await?;
    let removed = json!({"removed": true});
    let told = ("is taken away", &removed);
    note(transaction, schedule_id, Some(ScheduleStatus::Paused), because, told).await?;
    Ok(())
}

/// Cancels every unfinished run of a schedule, at AMC too. How many.
pub async fn cancel_runs(
    transaction: &mut PgConnection,
    queue: &Queue,
    schedule_id: &str,
    because: &Because<'_>,
) -> Result<usize, ManageError> {
    let schedule = locked(transaction, schedule_id).await?;
    let by = because.by;
    let reason = match because.said() {
        Some(why) => format!("cancelled by {by}: {why}"),
        None => format!("cancelled by {by}"),
    };
    let mut cancelled = 0;
    for run in runs::unfinished(&mut *transaction, schedule.id).await? {
        let done = run_schedule::cancel(queue, transaction, &run, by, &reason).await?;
        cancelled += usize::from(done);
    }
    let told = ("its unfinished runs are cancelled", &json!({"cancelled_runs": cancelled}));
    note(transaction, schedule_id, None, because, told).await?;
    Ok(cancelled)
}

/// A schedule and its newest runs.
pub async fn with_runs(
    connection: &mut PgConnection,
    schedule_id: &str,
    limit: i64,
) -> Result<(Schedule, Vec<Run>), ManageError> {
    let schedule = schedules::by_schedule_id(&mut *connection, schedule_id).await?;
    let schedule = schedule.ok_or_else(|| ManageError::Unknown(schedule_id.to_owned()))?;
    let runs = runs::list(&mut *connection, schedule.id, limit).await?;
    Ok((schedule, runs))
}

pub(super) async fn locked(
    transaction: &mut PgConnection,
    schedule_id: &str,
) -> Result<Schedule, ManageError> {
    let unknown = || ManageError::Unknown(schedule_id.to_owned());
    let found = schedules::by_schedule_id(&mut *transaction, schedule_id).await?;
    let id = found.ok_or_else(unknown)?.id;
    schedules::lock(&mut *transaction, id).await?.ok_or_else(unknown)
}

/// Writes down what somebody did with a schedule, and why; without a reason, what that was.
pub(super) async fn note(
    transaction: &mut PgConnection,
    schedule_id: &str,
    to_status: Option<ScheduleStatus>,
    because: &Because<'_>,
    (what, detail): (&str, &Value),
) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity: "schedule",
        entity_id: schedule_id,
        from_status: None,
        to_status: to_status.map(ScheduleStatus::as_str),
        actor: because.by,
        reason: Some(because.said().unwrap_or(what)),
        detail,
    };
    events::append(transaction, &event).await
}

/// The window that is asked for when nothing else is said.
pub const WINDOW_DEFAULT: WindowRule =
    WindowRule { lookback_days: 7, lag_days: 14, anchor: WindowAnchor::Day };
