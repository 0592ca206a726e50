//! A schedule is changed while it is in use: when it is due, how it runs, how many of its runs are kept, and
//! of which events others are told.

use super::due::{self, Unreadable};
use super::fire;
use super::manage::{
    ATTEMPTS, CATCH_UP_MAX, FAILURES, JITTER_SECONDS, ManageError, locked, note, number,
};
use super::window::WindowRule;
use crate::backfill::request::form;
use crate::parameters::check;
use crate::queue::Queue;
use crate::store::events::Because;
use crate::store::schedules::{self, Rules, Schedule, ScheduleStatus, Timing};
use crate::store::{versions, workflows};
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::ops::RangeInclusive;

/// How many runs that have ended may be kept.
pub const KEEP_RUNS: RangeInclusive<i32> = 1..=65_535;

/// What somebody wants to change.
#[derive(Debug, Clone, Default)]
pub struct Changes<'a> {
    /// When it is due, but for the zone. What is missing of an interval stays.
    pub timing: Option<Timing<'a>>,
    /// The IANA zone in which it is due, and of its windows.
    pub timezone: Option<&'a str>,
    /// How it runs.
    pub rules: Rules,
    /// How many of the runs that have ended are kept.
    pub keep_runs: Wanted<i32>,
    /// Of which of its events others are told.
    pub notify: Wanted<Vec<String>>,
}

/// What somebody wants of a bound.
#[derive(Debug, Clone, Default)]
pub enum Wanted<T> {
    /// That it stays what it is.
    #[default]
    AsItIs,
    /// That there is none.
    All,
    /// That it is this.
    Only(T),
}

impl<T> Wanted<T> {
    fn is_change(&self) -> bool {
        !matches!(self, Self::AsItIs)
    }

    fn bound(&self) -> Option<&T> {
        match self {
            Self::AsItIs | Self::All => None,
            Self::Only(bound) => Some(bound),
        }
    }
}

impl Changes<'_> {
    /// Whether anything is to be changed.
    pub fn say_anything(&self) -> bool {
        self.is_due_otherwise()
            || self.rules != Rules::default()
            || self.keep_runs.is_change()
            || self.notify.is_change()
    }

    fn is_due_otherwise(&self) -> bool {
        self.timing.is_some() || self.timezone.is_some()
    }

    /// Refuses numbers that make no sense in any schedule.
    fn checked(&self) -> Result<(), ManageError> {
        let rules = &self.rules;
        for (field, value, range) in [
            ("jitter_seconds", rules.jitter_seconds, JITTER_SECONDS),
            ("catch_up_max", rules.catch_up_max, CATCH_UP_MAX),
            ("max_attempts", rules.max_attempts, ATTEMPTS),
            ("failure_threshold", rules.failure_threshold, 0..=*FAILURES.end()),
            ("keep_runs", self.keep_runs.bound().copied(), KEEP_RUNS),
        ] {
            value.map_or(Ok(()), |value| number(field, value, range))?;
        }
        Ok(())
    }
}

/// Changes a schedule from now on, and writes down who did it. What was due before fires by the old times
/// and rules; of one that is paused, what was due during the pause is dropped when its times change.
pub async fn change(
    transaction: &mut PgConnection,
    queue: &Queue,
    schedule_id: &str,
    changes: &Changes<'_>,
    because: &Because<'_>,
) -> Result<Schedule, ManageError> {
    changes.checked()?;
    let schedule = settled(transaction, queue, schedule_id).await?;
    let mut detail = json!({});
    if changes.is_due_otherwise() {
        detail["was"] = shown(&schedule.timing());
        detail["is"] = retime(transaction, &schedule, changes).await?;
    }
    if changes.rules != Rules::default() {
        detail["rules"] = set_rules(transaction, &schedule, &changes.rules).await?;
    }
    if changes.keep_runs.is_change() {
        let runs = changes.keep_runs.bound().copied();
        schedules::keep_runs(&mut *transaction, schedule.id, runs).await?;
        detail["keep_runs"] = json!(runs);
    }
    if changes.notify.is_change() {
        let events = changes.notify.bound().map(Vec::as_slice);
        schedules::notify(&mut *transaction, schedule.id, events).await?;
        detail["notify"] = json!(events);
    }
    note(transaction, schedule_id, None, because, ("is changed", &detail)).await?;
    locked(transaction, schedule_id).await
}

/// The schedule, locked, after whatever was due has fired.
async fn settled(
    transaction: &mut PgConnection,
    queue: &Queue,
    schedule_id: &str,
) -> Result<Schedule, ManageError> {
    let mut schedule = locked(transaction, schedule_id).await?;
    while schedule.status == ScheduleStatus::Active && schedule.next_run_at <= Some(schedule.now) {
        fire::one(transaction, queue, &schedule).await?;
        let settled = locked(transaction, schedule_id).await?;
        if settled.next_run_at.is_none_or(|next| next > schedule.now) {
            break;
        }
        schedule = settled;
    }
    Ok(schedule)
}

async fn retime(
    transaction: &mut PgConnection,
    schedule: &Schedule,
    changes: &Changes<'_>,
) -> Result<Value, ManageError> {
    let before = schedule.timing();
    let timezone = changes.timezone.unwrap_or(before.timezone);
    let timing =
        Timing { timezone, ..due::whole(&changes.timing.unwrap_or(before), Some(&before)) };
    due::of(&timing)?;
    schedules::retime(transaction, schedule.id, &timing, schedule.now).await?;
    Ok(shown(&timing))
}

fn shown(timing: &Timing<'_>) -> Value {
    json!({
        "cron": timing.cron_expression,
        "interval_days": timing.interval_days,
        "anchor_date": timing.anchor_date,
        "anchor_time": timing.anchor_time,
        "timezone": timing.timezone,
    })
}

async fn set_rules(
    transaction: &mut PgConnection,
    schedule: &Schedule,
    rules: &Rules,
) -> Result<Value, ManageError> {
    let window = WindowRule {
        lookback_days: rules.lookback_days.unwrap_or(schedule.lookback_days),
        lag_days: rules.lag_days.unwrap_or(schedule.lag_days),
        anchor: rules.window_anchor.unwrap_or(schedule.window_anchor),
    };
    window.checked().map_err(Unreadable::from)?;
    let mut rules = rules.clone();
    if let Some(given) = &rules.parameters {
        let fitting = fitting(transaction, &schedule.workflow, given).await?;
        rules.parameters = Some(fitting);
    }
    schedules::set_rules(transaction, schedule.id, &rules).await?;
    Ok(json!(rules))
}

/// The values, as the workflow's query takes them now.
async fn fitting(
    connection: &mut PgConnection,
    workflow: &str,
    given: &Value,
) -> Result<Value, ManageError> {
    let no_query = || ManageError::NoQuery(workflow.to_owned());
    let found = workflows::by_workflow_id(&mut *connection, workflow).await?;
    let found = found.ok_or_else(|| ManageError::UnknownWorkflow(workflow.to_owned()))?;
    let version = found.current_version_id.ok_or_else(no_query)?;
    let version = versions::by_id(connection, version).await?.ok_or_else(no_query)?;
    Ok(check::given(
        &version.sql_query,
        &version.input_parameters,
        given,
        form(version.submit_mode),
    )?)
}
