//! What a schedule says besides its times: how many of its runs are kept, and of which events others are
//! told. Both are bounds that there may be or not.

use super::manage::{ManageError, locked, note};
use crate::store::schedules;
use serde_json::json;
use sqlx::PgConnection;
use std::ops::RangeInclusive;

/// How many runs that have ended may be kept.
pub const KEEP_RUNS: RangeInclusive<i32> = 1..=65_535;

/// What somebody wants to change.
#[derive(Debug, Clone, Default)]
pub struct Settings {
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

impl Settings {
    /// Whether anything is to be changed.
    pub fn say_anything(&self) -> bool {
        self.keep_runs.is_change() || self.notify.is_change()
    }
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

/// Changes the settings of a schedule, and writes down who did it.
pub async fn set(
    transaction: &mut PgConnection,
    schedule_id: &str,
    settings: &Settings,
    actor: &str,
) -> Result<(), ManageError> {
    let Settings { keep_runs, notify } = settings;
    if let Some(value) = keep_runs.bound().copied().filter(|runs| !KEEP_RUNS.contains(runs)) {
        return Err(ManageError::Number { field: "keep_runs", value, range: KEEP_RUNS });
    }
    let schedule = locked(transaction, schedule_id).await?;
    let mut detail = json!({});
    if keep_runs.is_change() {
        let runs = keep_runs.bound().copied();
        schedules::keep_runs(&mut *transaction, schedule.id, runs).await?;
        detail["keep_runs"] = json!(runs);
    }
    if notify.is_change() {
        let events = notify.bound().map(Vec::as_slice);
        schedules::notify(&mut *transaction, schedule.id, events).await?;
        detail["notify"] = json!(events);
    }
    note(transaction, schedule_id, None, actor, &detail).await?;
    Ok(())
}
