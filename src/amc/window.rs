//! Time on the wire: local times without an offset, and the zone named beside them.

use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// `yyyy-MM-dd'T'HH:mm:ss`. AMC takes a trailing `Z` for a window without data, so there never is one.
const WIRE: &str = "%Y-%m-%dT%H:%M:%S";

/// What is wrong with a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It has no length.
    #[error("the time window ends at {end}, which is not after its start {start}")]
    Empty {
        /// The start given.
        start: NaiveDateTime,
        /// The end given.
        end: NaiveDateTime,
    },
    /// The year does not fit the wire.
    #[error("the time window must lie between the years 1970 and 9999, not at {0}")]
    Year(NaiveDateTime),
}

/// A half-open stretch of local time, `[start, end)`, in a named zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    start: NaiveDateTime,
    end: NaiveDateTime,
    zone: Tz,
}

impl Window {
    /// `start` and `end` are local times in `zone`; fractions of a second are cut off.
    pub fn new(start: NaiveDateTime, end: NaiveDateTime, zone: Tz) -> Result<Self, WindowError> {
        use chrono::{Datelike, Timelike};
        let whole = |at: NaiveDateTime| at.with_nanosecond(0).unwrap_or(at);
        let (start, end) = (whole(start), whole(end));
        if let Some(at) = [start, end].into_iter().find(|at| !(1970..=9999).contains(&at.year())) {
            return Err(WindowError::Year(at));
        }
        if end <= start {
            return Err(WindowError::Empty { start, end });
        }
        Ok(Self { start, end, zone })
    }

    /// The first local moment inside.
    pub fn start(&self) -> NaiveDateTime {
        self.start
    }

    /// The first local moment after it.
    pub fn end(&self) -> NaiveDateTime {
        self.end
    }

    /// The zone of both.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Both ends as moments; `None` where the clocks skip one of them.
    pub fn instants(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let at = |local| self.zone.from_local_datetime(&local).earliest().map(|t| t.to_utc());
        Some((at(self.start)?, at(self.end)?))
    }
}

/// A window that AMC works out for itself, from the day it starts the execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelativeWindow {
    /// Everything the instance has.
    All,
    /// The month so far.
    CurrentMonth,
    /// The last full day.
    MostRecentDay,
    /// The last seven full days.
    MostRecentWeek,
    /// The last full month.
    PreviousMonth,
}

/// Which data an execution reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeWindow {
    /// From here to there.
    Explicit(Window),
    /// Worked out by AMC, with days and months cut in this zone.
    Relative(RelativeWindow, Tz),
}

impl TimeWindow {
    /// The zone it is meant in; always said on the wire.
    pub fn zone(&self) -> Tz {
        match self {
            Self::Explicit(window) => window.zone,
            Self::Relative(_, zone) => *zone,
        }
    }

    /// AMC's word for `timeWindowType`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Explicit(_) => "EXPLICIT",
            Self::Relative(RelativeWindow::All, _) => "ALL",
            Self::Relative(RelativeWindow::CurrentMonth, _) => "CURRENT_MONTH",
            Self::Relative(RelativeWindow::MostRecentDay, _) => "MOST_RECENT_DAY",
            Self::Relative(RelativeWindow::MostRecentWeek, _) => "MOST_RECENT_WEEK",
            Self::Relative(RelativeWindow::PreviousMonth, _) => "PREVIOUS_MONTH",
        }
    }
}

/// A local time as AMC wants it.
pub(super) fn to_wire(at: NaiveDateTime) -> String {
    at.format(WIRE).to_string()
}

/// A local time as AMC gives it back: with or without fractions, an offset is ignored.
pub(super) fn local_from_wire(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), "%Y-%m-%dT%H:%M:%S%.f").ok()
}

/// A moment as AMC gives it: RFC 3339, or UTC without saying so.
pub(super) fn moment_from_wire(text: &str) -> Option<DateTime<Utc>> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(at) => Some(at.to_utc()),
        Err(_) => local_from_wire(text).map(|at| at.and_utc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> NaiveDateTime {
        local_from_wire(text).unwrap()
    }

    proptest! {
        #[test]
        fn no_time_on_the_wire_ever_carries_an_offset(seconds in 0i64..253_402_300_799, nanos in 0u32..999_999_999) {
            let wire = to_wire(DateTime::from_timestamp(seconds, nanos).unwrap().naive_utc());
            prop_assert_eq!(wire.len(), 19);
            prop_assert!(!wire.contains(['Z', '+', '.', ' ']));
            prop_assert_eq!(at(&wire).and_utc().timestamp(), seconds);
        }
    }

    #[test]
    fn a_window_without_length_is_refused() {
        let start = at("2025-01-06T00:00:00");
        assert!(matches!(Window::new(start, start, Tz::UTC), Err(WindowError::Empty { .. })));
        let late = at("2025-01-06T00:00:00.999");
        assert!(Window::new(start, late, Tz::UTC).is_err(), "fractions do not reach the wire");
        let far = start.checked_add_months(chrono::Months::new(12 * 9000)).unwrap();
        assert!(matches!(Window::new(start, far, Tz::UTC), Err(WindowError::Year(_))));
    }

    #[test]
    fn a_week_in_which_the_clocks_change_keeps_its_local_ends() {
        let zone = Tz::America__New_York;
        let week = Window::new(at("2025-03-03T00:00:00"), at("2025-03-10T00:00:00"), zone).unwrap();
        let (start, end) = week.instants().unwrap();
        assert_eq!((end - start).num_hours(), 167);
        assert_eq!(to_wire(week.end()), "2025-03-10T00:00:00");
    }

    #[test]
    fn moments_are_read_in_every_form_seen() {
        let expected = at("2024-09-25T03:11:54").and_utc();
        for text in ["2024-09-25T03:11:54Z", "2024-09-25T03:11:54", "2024-09-25T05:11:54+02:00"] {
            assert_eq!(moment_from_wire(text), Some(expected), "{text}");
        }
        let millis = moment_from_wire("2024-09-25T03:11:54.792Z").unwrap();
        assert_eq!(millis.timestamp_subsec_millis(), 792);
        assert_eq!(moment_from_wire("yesterday"), None);
    }
}
