//! A stored schedule, read: when it is due and what its windows are; and how its status changes, with
//! its event.

use super::cron::{Due, Refused};
use super::window::WindowRule;
use crate::store::events::{self, NewEvent};
use crate::store::schedules::{self, Pause, Schedule, ScheduleStatus, ScheduleType};
use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;
use serde_json::json;
use sqlx::PgConnection;

/// Why a stored schedule cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The zone is none.
    #[error("{0:?} is no IANA time zone: give one such as America/New_York")]
    Zone(String),
    /// The time or the window.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Neither an expression nor an interval.
    #[error("it has neither a cron expression nor an interval: give one of them")]
    Nothing,
}

/// When a schedule is due, as it is written down.
#[derive(Debug, Clone, Copy)]
pub struct Timing<'a> {
    /// How it says when it is due.
    pub schedule_type: ScheduleType,
    /// Five fields.
    pub cron_expression: Option<&'a str>,
    /// Days from one run to the next.
    pub interval_days: Option<i32>,
    /// The day from which the interval counts.
    pub anchor_date: Option<NaiveDate>,
    /// The time of day of an interval.
    pub anchor_time: Option<NaiveTime>,
    /// The IANA zone.
    pub timezone: &'a str,
}

impl Timing<'_> {
    /// When that is.
    pub fn read(&self) -> Result<Due, Unreadable> {
        let zone: Tz =
            self.timezone.parse().map_err(|_| Unreadable::Zone(self.timezone.to_owned()))?;
        match (self.schedule_type, self.cron_expression, self.interval_days, self.anchor_date) {
            (ScheduleType::Cron, Some(expression), _, _) => Ok(Due::cron(expression, zone)?),
            (ScheduleType::Interval, _, Some(days), Some(anchor)) => {
                let days = u32::try_from(days).unwrap_or(0);
                Ok(Due::interval(days, anchor, self.anchor_time.unwrap_or_default(), zone)?)
            }
            _ => Err(Unreadable::Nothing),
        }
    }
}

/// When a schedule is due, as it is written down.
pub fn timing(schedule: &Schedule) -> Timing<'_> {
    Timing {
        schedule_type: schedule.schedule_type,
        cron_expression: schedule.cron_expression.as_deref(),
        interval_days: schedule.interval_days,
        anchor_date: schedule.anchor_date,
        anchor_time: schedule.anchor_time,
        timezone: &schedule.timezone,
    }
}

/// When a schedule is due, and what its windows are.
pub fn read(schedule: &Schedule) -> Result<(Due, WindowRule), Unreadable> {
    let rule = WindowRule {
        lookback_days: schedule.lookback_days,
        lag_days: schedule.lag_days,
        anchor: schedule.window_anchor,
    };
    Ok((timing(schedule).read()?, rule.checked()?))
}

/// Pauses a schedule and writes down who did it. False when it is paused already.
pub async fn pause(
    transaction: &mut PgConnection,
    schedule: &Schedule,
    pause: &Pause<'_>,
    actor: &str,
) -> Result<bool, sqlx::Error> {
    if !schedules::pause(&mut *transaction, schedule.id, pause).await? {
        return Ok(false);
    }
    let detail = json!({"resume_at": pause.resume_at});
    let event = NewEvent {
        entity: "schedule",
        entity_id: &schedule.schedule_id,
        from_status: Some(schedule.status.as_str()),
        to_status: Some(pause.status.as_str()),
        actor,
        reason: Some(pause.reason),
        detail: &detail,
    };
    events::append(transaction, &event).await?;
    Ok(true)
}

/// Lets a schedule go on and writes down who did it. False when it is not paused.
pub async fn resume(
    transaction: &mut PgConnection,
    schedule: &Schedule,
    actor: &str,
    reason: Option<&str>,
) -> Result<bool, sqlx::Error> {
    if !schedules::resume(&mut *transaction, schedule.id).await? {
        return Ok(false);
    }
    let event = NewEvent {
        entity: "schedule",
        entity_id: &schedule.schedule_id,
        from_status: Some(schedule.status.as_str()),
        to_status: Some(ScheduleStatus::Active.as_str()),
        actor,
        reason,
        detail: &json!({"was": schedule.pause_reason}),
    };
    events::append(transaction, &event).await?;
    Ok(true)
}
