//! A stored schedule, read: when it is due and what its windows are; and how its status changes, with
//! its event.

use super::cron::{Due, Refused};
use super::window::WindowRule;
use crate::jobs::entry::{self, KeptOut};
use crate::store::events::{self, Because, NewEvent};
use crate::store::schedules::{self, Pause, Schedule, ScheduleStatus, ScheduleType, Timing};
use crate::store::{InstanceUuid, workflows};
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
    /// An interval of which a part is missing.
    #[error(
        "an interval needs its days and the day from which they count, and one of them is missing: give both"
    )]
    Half,
}

/// The same, with what is missing of an interval: it is as it was before, if that was one too, and the time of
/// day is else midnight.
pub fn whole<'a>(timing: &Timing<'a>, before: Option<&Timing<'a>>) -> Timing<'a> {
    if timing.schedule_type != ScheduleType::Interval {
        return *timing;
    }
    let before = before.filter(|before| before.schedule_type == ScheduleType::Interval);
    let time = timing.anchor_time.or(before.and_then(|before| before.anchor_time));
    Timing {
        interval_days: timing.interval_days.or(before.and_then(|before| before.interval_days)),
        anchor_date: timing.anchor_date.or(before.and_then(|before| before.anchor_date)),
        anchor_time: Some(time.unwrap_or_default()),
        ..*timing
    }
}

/// When that is.
pub fn of(timing: &Timing<'_>) -> Result<Due, Unreadable> {
    let zone = timing.timezone.parse().map_err(|_| Unreadable::Zone(timing.timezone.to_owned()))?;
    match (timing.schedule_type, timing.cron_expression, timing.interval_days, timing.anchor_date) {
        (ScheduleType::Cron, Some(expression), _, _) => Ok(Due::cron(expression, zone)?),
        (ScheduleType::Interval, _, Some(days), Some(anchor)) => {
            Ok(Due::interval(days, anchor, timing.anchor_time.unwrap_or_default(), zone)?)
        }
        (ScheduleType::Interval, ..) => Err(Unreadable::Half),
        (ScheduleType::Cron, ..) => Err(Unreadable::Nothing),
    }
}

/// When a schedule is due, and what its windows are.
pub fn read(schedule: &Schedule) -> Result<(Due, WindowRule), Unreadable> {
    let rule = WindowRule {
        lookback_days: schedule.lookback_days,
        lag_days: schedule.lag_days,
        anchor: schedule.window_anchor,
    };
    Ok((of(&schedule.timing())?, rule.checked()?))
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
    because: &Because<'_>,
) -> Result<bool, sqlx::Error> {
    if !schedules::resume(&mut *transaction, schedule.id).await? {
        return Ok(false);
    }
    let event = NewEvent {
        entity: "schedule",
        entity_id: &schedule.schedule_id,
        from_status: Some(schedule.status.as_str()),
        to_status: Some(ScheduleStatus::Active.as_str()),
        actor: because.by,
        reason: because.said(),
        detail: &json!({"was": schedule.pause_reason}),
    };
    events::append(transaction, &event).await?;
    Ok(true)
}

/// What keeps a schedule's runs out, if Amazon does not let them in now.
pub async fn kept_out(
    transaction: &mut PgConnection,
    schedule: &Schedule,
) -> Result<Option<KeptOut>, sqlx::Error> {
    let instance = instance_of(&mut *transaction, schedule).await?;
    entry::of_instance(transaction, schedule.user_id, instance).await
}

async fn instance_of(
    transaction: &mut PgConnection,
    schedule: &Schedule,
) -> Result<InstanceUuid, sqlx::Error> {
    let workflow = workflows::by_workflow_id(transaction, &schedule.workflow).await?;
    Ok(workflow.ok_or(sqlx::Error::RowNotFound)?.instance_id)
}

/// The time has come that a person has set for a paused schedule to go on. One that Amazon does not let run
/// waits from now on until it does.
pub(super) async fn resume_in_time(
    transaction: &mut PgConnection,
    schedule: &Schedule,
) -> Result<(), sqlx::Error> {
    const SCHEDULER: &str = "scheduler";
    let instance = instance_of(&mut *transaction, schedule).await?;
    entry::hold_still(&mut *transaction, schedule.user_id, instance).await?;
    let Some(kept_out) = kept_out(&mut *transaction, schedule).await? else {
        let because = Because { by: SCHEDULER, why: Some("its time to go on has come") };
        return resume(transaction, schedule, &because).await.map(|_| ());
    };
    // What the engine pauses is not paused already.
    schedules::resume(&mut *transaction, schedule.id).await?;
    let pause = Pause {
        status: ScheduleStatus::AutoPaused,
        reason: &kept_out.reason,
        resume_at: None,
        paused_for: Some(&kept_out.opens),
    };
    self::pause(transaction, schedule, &pause, SCHEDULER).await.map(|_| ())
}
