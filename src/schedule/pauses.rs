//! When a schedule was paused, as the journal says: why times were missed that were due meanwhile.

use crate::store::events;
use crate::store::schedules::ScheduleStatus;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// One pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    from: DateTime<Utc>,
    /// None while it lasts.
    until: Option<DateTime<Utc>>,
    /// By whom, and why, as words that follow "paused by".
    by: String,
}

/// The pauses of a schedule, the first first.
pub async fn of(
    connection: &mut PgConnection,
    schedule_id: &str,
) -> Result<Vec<Paused>, sqlx::Error> {
    let events = events::of(connection, "schedule", schedule_id).await?;
    let mut pauses: Vec<Paused> = Vec::new();
    for event in events {
        let to = event.to_status.as_deref();
        let to = ScheduleStatus::ALL.iter().find(|status| Some(status.as_str()) == to);
        let Some(status) = to else { continue };
        if let Some(last) = pauses.last_mut().filter(|last| last.until.is_none()) {
            last.until = Some(event.at);
        }
        let by = match status {
            ScheduleStatus::Active => continue,
            // Its reason says what was to be done about it, which by now was done.
            ScheduleStatus::AutoPaused => "the engine".to_owned(),
            ScheduleStatus::Paused => {
                format!("{} ({})", event.actor, event.reason.unwrap_or_default())
            }
        };
        pauses.push(Paused { from: event.at, until: None, by });
    }
    Ok(pauses)
}

/// Why what was due at this time did not fire then.
pub fn why_missed(pauses: &[Paused], time: DateTime<Utc>) -> String {
    let lasted =
        |pause: &&Paused| pause.from < time && pause.until.is_none_or(|until| time <= until);
    match pauses.iter().find(lasted) {
        Some(pause) => format!("it was paused by {}", pause.by),
        None => "nothing could fire at the time".to_owned(),
    }
}
