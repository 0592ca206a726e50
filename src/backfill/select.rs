//! Which slices of a plan are asked for, which are taken over from other collections, and which are left
//! out, with the reason.

use crate::store::collections::NewWeek;
use crate::store::weeks::{self, Known};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::time::Duration;

/// Which slices somebody wants to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// All of them. What another collection has is taken over.
    #[default]
    All,
    /// Those that no collection has.
    Missing,
    /// Those whose last try, in whichever collection, failed.
    Failed,
    /// Those that were collected longer ago than this.
    Stale(Duration),
}

/// What becomes of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// AMC is asked.
    Ask,
    /// Another collection has its rows, or is about to: they are taken over without a call.
    Reuse,
    /// It is no part of the work, for this reason.
    LeaveOut(&'static str),
}

/// What becomes of the slices of one collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// How many AMC is asked for.
    pub asked: u64,
    /// How many are taken over from other collections.
    pub reused: u64,
    /// The first days of those that are no part of the work, and why not.
    pub left_out: Vec<(NaiveDate, &'static str)>,
}

/// So many slices are left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// How many.
    pub slices: u64,
    /// Why each of them is.
    pub why: &'static str,
}

/// Looks up what is known of slices, and decides on each.
pub async fn select(
    connection: &mut PgConnection,
    mode: Mode,
    slices: &[NewWeek],
    now: DateTime<Utc>,
) -> Result<Selection, sqlx::Error> {
    let keys: Vec<_> = slices.iter().map(|slice| slice.slice_key).collect();
    let known = weeks::known(connection, &keys).await?;
    let mut selection = Selection::default();
    for (slice, known) in slices.iter().zip(&known) {
        match mode.judge(known, now) {
            Verdict::Ask => selection.asked += 1,
            Verdict::Reuse => selection.reused += 1,
            Verdict::LeaveOut(why) => selection.left_out.push((slice.start, why)),
        }
    }
    Ok(selection)
}

impl Selection {
    /// How many are part of the work.
    pub fn taken(&self) -> u64 {
        self.asked + self.reused
    }

    /// How many are left out for which reason.
    pub fn reasons(&self) -> Vec<LeftOut> {
        let mut counts = BTreeMap::new();
        for (_, why) in &self.left_out {
            *counts.entry(*why).or_insert(0) += 1;
        }
        counts.into_iter().map(|(why, slices)| LeftOut { slices, why }).collect()
    }
}

/// The words in which modes are given.
pub const MODES: [&str; 4] = ["all", "missing", "failed", "stale"];

impl Mode {
    /// The mode with this name; `older_than` belongs to `stale` and to no other.
    pub fn named(name: &str, older_than: Option<Duration>) -> Option<Self> {
        match (name, older_than) {
            ("all", None) => Some(Self::All),
            ("missing", None) => Some(Self::Missing),
            ("failed", None) => Some(Self::Failed),
            ("stale", Some(age)) => Some(Self::Stale(age)),
            _ => None,
        }
    }

    /// Answers that came before this are too old to be taken over; none when any will do.
    pub fn reuse_after(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Stale(age) => {
                let age = TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
                Some(now.checked_sub_signed(age).unwrap_or(DateTime::UNIX_EPOCH))
            }
            Self::All | Self::Missing | Self::Failed => None,
        }
    }

    /// What becomes of a slice of which this is known.
    pub fn judge(self, known: &Known, now: DateTime<Utc>) -> Verdict {
        let last_failed = known.failed_at.is_some() && known.failed_at > known.collected_at;
        match (self, known.collected_at) {
            (Self::Missing, Some(_)) => Verdict::LeaveOut("it is collected already"),
            (Self::Failed, Some(_)) if !last_failed => {
                Verdict::LeaveOut("it is collected, its last try did not fail")
            }
            (Self::Failed, None) if !last_failed => {
                Verdict::LeaveOut("it was never tried to its end")
            }
            // After a failure, an older answer is still an answer.
            (Self::All | Self::Failed, Some(_)) => Verdict::Reuse,
            (Self::Stale(_), None) => Verdict::LeaveOut("it was never collected"),
            (Self::Stale(_), Some(at)) if Some(at) >= self.reuse_after(now) => {
                Verdict::LeaveOut("it was collected not long enough ago")
            }
            _ if known.is_running => Verdict::Reuse,
            _ => Verdict::Ask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(collected: Option<i64>, failed: Option<i64>, is_running: bool) -> Known {
        let hours_ago = |hours: i64| now() - TimeDelta::hours(hours);
        Known {
            collected_at: collected.map(hours_ago),
            failed_at: failed.map(hours_ago),
            is_running,
        }
    }

    fn now() -> DateTime<Utc> {
        "2025-09-17T12:00:00Z".parse().unwrap()
    }

    fn letter(mode: Mode, known: &Known) -> char {
        match mode.judge(known, now()) {
            Verdict::Ask => 'a',
            Verdict::Reuse => 'r',
            Verdict::LeaveOut(_) => '-',
        }
    }

    #[test]
    fn each_mode_asks_for_what_it_says_and_for_nothing_else() {
        let day = Duration::from_secs(86_400);
        let table = [
            // What is known of the slice                all  missing failed stale
            (known(None, None, false), "aa--"),
            (known(None, None, true), "rr--"),
            (known(Some(1), None, false), "r---"),
            (known(Some(30), None, false), "r--a"),
            (known(None, Some(1), false), "aaa-"),
            (known(Some(1), Some(2), false), "r---"),
            (known(None, Some(1), true), "rrr-"),
        ];
        for (known, expected) in table {
            let modes = [Mode::All, Mode::Missing, Mode::Failed, Mode::Stale(day)];
            let found: String = modes.iter().map(|mode| letter(*mode, &known)).collect();
            assert_eq!(found, expected, "{known:?}");
        }
    }

    #[test]
    fn a_mode_is_named_and_only_stale_has_an_age() {
        let age = Some(Duration::from_secs(60));
        assert_eq!(Mode::named("missing", None), Some(Mode::Missing));
        assert_eq!(Mode::named("stale", age), Some(Mode::Stale(Duration::from_secs(60))));
        for (name, age) in [("stale", None), ("all", age), ("some", None)] {
            assert_eq!(Mode::named(name, age), None, "{name}");
        }
        assert!(
            MODES.iter().all(|name| {
                Mode::named(name, None).or_else(|| Mode::named(name, age)).is_some()
            })
        );
    }
}
