//! How far a backfill is: counts and the time it took become a line and an estimate.

use crate::plural::counted;
use std::{fmt, time::Duration};

use serde::Serialize;

/// How many weeks of a collection have each status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WeekCounts {
    /// Not begun, or waiting for a place at AMC.
    pub pending: u64,
    /// With an execution that is open at AMC.
    pub running: u64,
    /// Rows stored.
    pub succeeded: u64,
    /// Given up.
    pub failed: u64,
    /// Not needed.
    pub skipped: u64,
    /// Waiting for a person.
    pub blocked: u64,
    /// Called off.
    pub cancelled: u64,
}

impl WeekCounts {
    /// All weeks.
    pub fn total(&self) -> u64 {
        self.settled() + self.pending + self.running + self.blocked
    }

    /// The weeks with which nothing more will happen by itself.
    pub fn settled(&self) -> u64 {
        self.succeeded + self.failed + self.skipped + self.cancelled
    }
}

/// What the estimate is drawn from: one stretch of uninterrupted watching.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// How long the stretch has lasted.
    pub elapsed: Duration,
    /// How many weeks were settled before it began; a continued backfill starts with some.
    pub settled_before: u64,
}

/// How far a backfill is. `Display` is the line beside a progress bar, `Serialize` the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Weeks whose rows are stored.
    pub done: u64,
    /// All weeks, less those that were skipped.
    pub total: u64,
    /// Weeks open at AMC.
    pub running: u64,
    /// Weeks given up.
    pub failed: u64,
    /// Weeks that wait for a person.
    pub blocked: u64,
    /// Weeks called off.
    pub cancelled: u64,
    /// Executions and attempts beyond the first of each week.
    pub retries: u64,
    /// `done` of `total` in whole percent, rounded down: 100 means all.
    pub percent: u64,
    /// Seconds since the stretch of [`Timing`] began.
    pub elapsed_seconds: u64,
    /// Seconds that are left at the present pace; none while there is no pace to go by.
    pub eta_seconds: Option<u64>,
}

impl Progress {
    /// Draws up the progress from what is known.
    pub fn new(counts: &WeekCounts, retries: u64, timing: Timing) -> Self {
        let total = counts.total() - counts.skipped;
        Self {
            done: counts.succeeded,
            total,
            running: counts.running,
            failed: counts.failed,
            blocked: counts.blocked,
            cancelled: counts.cancelled,
            retries,
            percent: (counts.succeeded * 100).checked_div(total).unwrap_or(100),
            elapsed_seconds: timing.elapsed.as_secs(),
            eta_seconds: eta(counts, timing).map(|left| left.as_secs()),
        }
    }

    /// Whether nothing more will happen by itself.
    pub fn is_settled(&self) -> bool {
        self.done + self.failed + self.cancelled == self.total
    }
}

/// The time left: what is still to do, at the pace of what was settled while we watched.
///
/// Weeks that wait for a person have no pace, so they are left out.
fn eta(counts: &WeekCounts, timing: Timing) -> Option<Duration> {
    let left = counts.pending + counts.running;
    if left == 0 {
        return (counts.blocked == 0).then_some(Duration::ZERO);
    }
    // Skipping is no pace.
    let settled = (counts.settled() - counts.skipped).saturating_sub(timing.settled_before);
    let millis = u128::from(left) * timing.elapsed.as_millis();
    let left_millis = millis.checked_div(u128::from(settled))?;
    u64::try_from(left_millis).ok().map(Duration::from_millis)
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} done", self.done, counted(self.total, "week", "weeks"))?;
        for (count, word) in [
            (self.running, "open"),
            (self.failed, "failed"),
            (self.blocked, "blocked"),
            (self.cancelled, "cancelled"),
        ] {
            if count > 0 {
                write!(f, " · {count} {word}")?;
            }
        }
        match self.retries {
            0 => {}
            1 => write!(f, " · 1 retry")?,
            retries => write!(f, " · {retries} retries")?,
        }
        match self.eta_seconds {
            Some(seconds) if seconds > 0 => write!(f, " · about {} left", Span(seconds)),
            _ => Ok(()),
        }
    }
}

/// Seconds as people say them, in the two largest units.
#[derive(Debug, Clone, Copy)]
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, hours) = (self.0 / 86_400, self.0 / 3_600 % 24);
        let (minutes, seconds) = (self.0 / 60 % 60, self.0 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {seconds} s"),
            (0, _, _) => write!(f, "{hours} h {minutes} min"),
            _ => write!(f, "{days} d {hours} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(counts: WeekCounts, elapsed_seconds: u64, settled_before: u64) -> Progress {
        let elapsed = Duration::from_secs(elapsed_seconds);
        Progress::new(&counts, 4, Timing { elapsed, settled_before })
    }

    #[test]
    fn the_line_names_what_is_done_open_failed_and_left() {
        let counts = WeekCounts {
            pending: 4,
            running: 10,
            succeeded: 37,
            failed: 1,
            ..WeekCounts::default()
        };
        assert_eq!(
            progress(counts, 380, 0).to_string(),
            "37 of 52 weeks done · 10 open · 1 failed · 4 retries · about 2 min 20 s left"
        );
    }

    #[test]
    fn a_continued_backfill_is_paced_by_what_it_did_since() {
        let counts = WeekCounts { pending: 10, succeeded: 42, ..WeekCounts::default() };
        assert_eq!(progress(counts, 60, 40).eta_seconds, Some(300));
    }

    #[test]
    fn there_is_no_estimate_before_the_first_week_is_settled() {
        let counts = WeekCounts { pending: 52, ..WeekCounts::default() };
        assert_eq!(progress(counts, 60, 0).eta_seconds, None);
        assert_eq!(progress(counts, 60, 0).to_string(), "0 of 52 weeks done · 4 retries");
    }

    #[test]
    fn weeks_that_wait_for_a_person_have_no_estimate_and_are_not_settled() {
        let counts = WeekCounts { succeeded: 50, blocked: 2, ..WeekCounts::default() };
        let progress = progress(counts, 60, 0);
        assert_eq!((progress.eta_seconds, progress.is_settled()), (None, false));
    }

    #[test]
    fn all_done_is_one_hundred_percent_and_one_short_of_it_is_not() {
        let all = WeekCounts { succeeded: 520, ..WeekCounts::default() };
        let short = WeekCounts { succeeded: 519, failed: 1, ..WeekCounts::default() };
        assert_eq!((progress(all, 60, 0).percent, progress(short, 60, 0).percent), (100, 99));
        assert!(progress(short, 60, 0).is_settled());
        assert_eq!(progress(all, 60, 0).eta_seconds, Some(0));
    }

    #[test]
    fn skipped_weeks_are_no_part_of_the_work() {
        let counts = WeekCounts { succeeded: 10, skipped: 42, ..WeekCounts::default() };
        let progress = progress(counts, 60, 0);
        assert_eq!((progress.done, progress.total, progress.percent), (10, 10, 100));
        assert!(progress.is_settled());
    }

    #[test]
    fn skipping_weeks_is_no_pace() {
        let counts =
            WeekCounts { pending: 10, succeeded: 10, skipped: 80, ..WeekCounts::default() };
        assert_eq!(progress(counts, 60, 0).eta_seconds, Some(60));
    }

    #[test]
    fn an_empty_collection_is_complete() {
        let progress = progress(WeekCounts::default(), 0, 0);
        assert_eq!((progress.percent, progress.is_settled()), (100, true));
    }

    #[test]
    fn the_json_has_every_number() {
        let counts = WeekCounts { pending: 1, succeeded: 1, ..WeekCounts::default() };
        assert_eq!(
            serde_json::to_value(progress(counts, 5, 0)).unwrap(),
            serde_json::json!({
                "done": 1, "total": 2, "running": 0, "failed": 0, "blocked": 0, "cancelled": 0,
                "retries": 4, "percent": 50, "elapsed_seconds": 5, "eta_seconds": 5,
            })
        );
    }

    #[test]
    fn long_spans_are_said_in_hours_and_days() {
        assert_eq!(Span(7).to_string(), "7 s");
        assert_eq!(Span(3_660).to_string(), "1 h 1 min");
        assert_eq!(Span(90_000).to_string(), "1 d 1 h");
    }
}
