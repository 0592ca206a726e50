//! Which days a scheduled run asks for: whole local days, half-open, as old as they have to be.

use super::cron::Refused;
use crate::backfill::plan::LAG_DAYS_MIN;
use crate::backfill::week::Week;
use crate::store::schedules::WindowAnchor;
use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use std::ops::RangeInclusive;

/// How long a window may be, in days.
pub const LOOKBACK_DAYS: RangeInclusive<i32> = 1..=365;

/// How long ago it may have to have ended, in days: after ten years AMC has forgotten everything.
pub const LAG_DAYS: RangeInclusive<i32> = LAG_DAYS_MIN as i32..=3650;

/// What a schedule says about its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRule {
    /// How many days a window has.
    pub lookback_days: i32,
    /// How many days before the run its last day has to have ended.
    pub lag_days: i32,
    /// With what it ends: any day, a week (on a Monday's midnight), a month (on the first's).
    pub anchor: WindowAnchor,
}

impl WindowRule {
    /// The same rule, if it makes sense.
    pub fn checked(self) -> Result<Self, Refused> {
        let refused = |what: String, remedy: String| Err(Refused { what, remedy });
        if !LOOKBACK_DAYS.contains(&self.lookback_days) {
            return refused(
                format!("lookback_days is {}", self.lookback_days),
                format!("give between 1 and {}", LOOKBACK_DAYS.end()),
            );
        }
        if self.lag_days > *LAG_DAYS.end() {
            return refused(
                format!("lag_days is {}", self.lag_days),
                format!("give at most {}", LAG_DAYS.end()),
            );
        }
        if self.lag_days < *LAG_DAYS.start() {
            return refused(
                format!(
                    "lag_days is {}, but AMC completes its data only after 48 hours",
                    self.lag_days
                ),
                format!("give at least {LAG_DAYS_MIN}"),
            );
        }
        Ok(self)
    }

    /// The days that a run which is due at this instant asks for; none at the ends of the calendar.
    ///
    /// "Today" is the zone's, not UTC's, so that a run at 20:00 in New York and one at 02:00 in
    /// Auckland mean their own days.
    pub fn days(&self, due: DateTime<Utc>, zone: Tz) -> Option<Week> {
        let today = due.with_timezone(&zone).date_naive();
        let latest = today.checked_sub_days(Days::new(u64::try_from(self.lag_days).ok()?))?;
        let end = match self.anchor {
            WindowAnchor::Day => latest,
            WindowAnchor::Week => {
                let since_monday = u64::from(latest.weekday().num_days_from_monday());
                latest.checked_sub_days(Days::new(since_monday))?
            }
            WindowAnchor::Month => NaiveDate::from_ymd_opt(latest.year(), latest.month(), 1)?,
        };
        let start = end.checked_sub_days(Days::new(u64::try_from(self.lookback_days).ok()?))?;
        Some(Week { start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn days(lookback_days: i32, lag_days: i32, anchor: WindowAnchor, due: &str) -> String {
        let rule = WindowRule { lookback_days, lag_days, anchor };
        let zone = "America/New_York".parse().unwrap();
        let days = rule.days(due.parse().unwrap(), zone).unwrap();
        format!("{} {}", days.start, days.end)
    }

    #[test]
    fn a_window_ends_with_a_day_a_week_or_a_month() {
        let due = "2025-11-26T07:00:00Z";
        assert_eq!(days(7, 14, WindowAnchor::Day, due), "2025-11-05 2025-11-12");
        assert_eq!(days(7, 14, WindowAnchor::Week, due), "2025-11-03 2025-11-10");
        assert_eq!(days(31, 14, WindowAnchor::Month, due), "2025-10-01 2025-11-01");
    }

    #[test]
    fn bug_29_today_is_the_schedules_own_day_and_not_the_one_in_utc() {
        // Two o'clock in the morning in UTC is the evening before in New York.
        assert_eq!(days(1, 2, WindowAnchor::Day, "2025-11-26T02:00:00Z"), "2025-11-22 2025-11-23");
        assert_eq!(days(1, 2, WindowAnchor::Day, "2025-11-26T06:00:00Z"), "2025-11-23 2025-11-24");
    }

    #[test]
    fn the_window_goes_over_the_wire_from_midnight_to_midnight_without_an_offset() {
        let rule = WindowRule { lookback_days: 7, lag_days: 2, anchor: WindowAnchor::Day };
        let zone = "America/Santiago".parse().unwrap();
        // The clocks skip the midnight of 7 September.
        let window = rule.days("2025-09-09T12:00:00Z".parse().unwrap(), zone).unwrap();
        let wire = window.wire_window(zone);
        assert_eq!(
            (wire.start.as_str(), wire.end.as_str()),
            ("2025-08-31T00:00:00", "2025-09-07T01:00:00")
        );
    }

    #[test]
    fn a_rule_that_asks_for_unfinished_days_is_refused() {
        let rule = |lookback_days, lag_days| {
            WindowRule { lookback_days, lag_days, anchor: WindowAnchor::Day }.checked()
        };
        assert!(rule(7, 14).is_ok() && rule(365, 2).is_ok());
        for (lookback, lag) in [(0, 14), (366, 14), (7, 1), (7, -1), (7, 3651), (7, i32::MAX)] {
            assert!(!rule(lookback, lag).unwrap_err().remedy.is_empty());
        }
    }

    proptest! {
        #[test]
        fn a_window_has_its_days_and_is_never_too_young(
            lookback_days in 1..=365_i32,
            lag_days in 2..60_i32,
            anchor in 0..3_usize,
            hour in 0..20_000_i64,
        ) {
            let due = "2024-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap()
                + chrono::TimeDelta::hours(hour);
            let rule = WindowRule { lookback_days, lag_days, anchor: WindowAnchor::ALL[anchor] };
            let zone: Tz = "Pacific/Auckland".parse().unwrap();
            let days = rule.days(due, zone).unwrap();
            prop_assert_eq!((days.end - days.start).num_days(), i64::from(lookback_days));
            let today = due.with_timezone(&zone).date_naive();
            let age = (today - days.end).num_days();
            prop_assert!((i64::from(lag_days)..i64::from(lag_days) + 31).contains(&age));
        }
    }
}
