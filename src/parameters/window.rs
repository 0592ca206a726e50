//! The days of the window, under the names that queries have for them.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

/// Where the clocks skip midnight, a day begins so much later at most.
const LATE_MIDNIGHT: TimeDelta = TimeDelta::hours(3);

/// The names of a window's first day.
const FIRST: [&str; 4] = ["startDate", "start_date", "week_start", "date_from"];
/// The names of its last day, which still belongs to it.
const LAST: [&str; 4] = ["endDate", "end_date", "week_end", "date_to"];

/// The days of a window, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    first: NaiveDate,
    last: NaiveDate,
}

impl Days {
    /// Those of a half-open window.
    pub fn of(start: NaiveDateTime, end: NaiveDateTime) -> Self {
        let last = end - LATE_MIDNIGHT - TimeDelta::seconds(1);
        Self { first: start.date(), last: last.date().max(start.date()) }
    }

    /// Some days, to see whether a query can be filled.
    pub fn any() -> Self {
        Self { first: NaiveDate::default(), last: NaiveDate::default() }
    }

    /// The day with this name.
    pub fn named(self, name: &str) -> Option<NaiveDate> {
        if FIRST.contains(&name) {
            return Some(self.first);
        }
        LAST.contains(&name).then_some(self.last)
    }
}

/// Whether this is the name of a day of the window.
pub fn is_day(name: &str) -> bool {
    FIRST.contains(&name) || LAST.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bug_23_the_days_are_those_of_the_window_and_not_todays() {
        let at =
            |day: &str, hour| day.parse::<NaiveDate>().unwrap().and_hms_opt(hour, 0, 0).unwrap();
        let days = Days::of(at("2025-01-06", 0), at("2025-01-13", 0));
        let named = |name: &str| days.named(name).map(|day| day.to_string());
        assert_eq!(named("week_start").as_deref(), Some("2025-01-06"));
        assert_eq!(named("endDate").as_deref(), Some("2025-01-12"));
        assert_eq!(named("brand"), None);
        // A zone that skips midnight begins its day an hour later.
        let skipped = Days::of(at("2025-09-07", 1), at("2025-09-14", 0));
        assert_eq!(skipped.named("start_date").unwrap().to_string(), "2025-09-07");
        let until = Days::of(at("2025-08-31", 0), at("2025-09-07", 1));
        assert_eq!(until.named("end_date").unwrap().to_string(), "2025-09-06");
    }
}
