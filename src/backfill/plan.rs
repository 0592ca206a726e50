//! Turns a request ("the last 52 weeks", or a range of dates) into the slices to collect.

use chrono::{DateTime, Days, Months, NaiveDate, Utc};
use chrono_tz::Tz;

use super::cut::Cut;
use super::week::Week;

/// Days between the end of a slice and its first collection, unless a collection says otherwise.
///
/// Amazon attributes purchases to ads for 14 days, so younger numbers would still change.
pub const LAG_DAYS_DEFAULT: u16 = 14;

/// The shortest lag: AMC's data is complete only after 48 hours.
pub const LAG_DAYS_MIN: u16 = 2;

/// The most weeks one plan may have: ten years.
pub const WEEKS_MAX: u32 = 520;

/// How far back AMC keeps most of its data sets, in months, rolling.
pub const HISTORY_MONTHS: u32 = 13;

/// Which slices somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanRequest {
    /// So many complete slices, ending with the last one that is old enough.
    Last(u32),
    /// The slices from one's first day up to, not including, another's first day.
    Range {
        /// The first day of the first slice.
        from: NaiveDate,
        /// The day after the last slice: also the first day of one.
        until: NaiveDate,
    },
}

/// The slices of a collection, oldest first, without gap or overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The slices, oldest first.
    pub slices: Vec<Week>,
    /// How they were cut.
    pub cut: Cut,
    /// The first day of which AMC still has the data, thirteen months before today.
    pub history_starts: NaiveDate,
}

/// Why a request makes no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The lag is shorter than AMC needs to complete its data.
    #[error(
        "lag_days is {lag_days}, but AMC completes its data only after 48 hours: give at least {LAG_DAYS_MIN} ({LAG_DAYS_DEFAULT} lets attribution settle)"
    )]
    LagTooShort {
        /// The lag asked for.
        lag_days: u16,
    },
    /// No slice, or more than ten years of them.
    #[error(
        "a collection of {count} {} is not possible: give between 1 and {}", cut.many(), cut.count_max()
    )]
    Count {
        /// The number asked for.
        count: i64,
        /// What they are.
        cut: Cut,
    },
    /// The range ends before it begins.
    #[error(
        "until is {until}, which is not after {from}, the first day: give a later one, or an earlier from"
    )]
    Backwards {
        /// The first day.
        from: NaiveDate,
        /// The day after the last.
        until: NaiveDate,
    },
    /// A border of the range lies inside a slice.
    #[error("{field} is {date}{}: give {before} or {after}", cut.inside(*date))]
    NotABorder {
        /// `from` or `until`.
        field: &'static str,
        /// The date given.
        date: NaiveDate,
        /// How this collection is cut.
        cut: Cut,
        /// The nearest border before.
        before: NaiveDate,
        /// The nearest border after.
        after: NaiveDate,
    },
    /// The range reaches into slices that are not old enough.
    #[error(
        "until is {until}, but with lag_days {lag_days} the last complete {} ends before {latest}: give {latest} or earlier",
        cut.one()
    )]
    TooRecent {
        /// The end asked for.
        until: NaiveDate,
        /// The latest end possible today.
        latest: NaiveDate,
        /// The lag in days.
        lag_days: u16,
        /// How this collection is cut.
        cut: Cut,
    },
    /// A date before or after everything the calendar can say.
    #[error("the {} reach beyond the calendar: give dates near today", cut.many())]
    BeyondCalendar {
        /// How this collection is cut.
        cut: Cut,
    },
}

/// Plans the slices of a collection, as seen at `now` in `zone`.
///
/// `lag_days` is how long after its end a slice may first be collected (at least [`LAG_DAYS_MIN`]).
/// A plan may contain slices older than AMC's history: [`Plan::warning`] says so, because they would
/// come back empty.
pub fn plan(
    now: DateTime<Utc>,
    request: PlanRequest,
    zone: Tz,
    lag_days: u16,
    cut: Cut,
) -> Result<Plan, PlanError> {
    let beyond = PlanError::BeyondCalendar { cut };
    let latest = latest_end(now, zone, lag_days, cut)?;
    let (from, until) = match request {
        PlanRequest::Last(count) => {
            cut.check_count(i64::from(count))?;
            (cut.before(latest, count).ok_or_else(|| beyond.clone())?, latest)
        }
        PlanRequest::Range { from, until } => {
            cut.check_border("from", from)?;
            cut.check_border("until", until)?;
            if until > latest {
                return Err(PlanError::TooRecent { until, latest, lag_days, cut });
            }
            if until <= from {
                return Err(PlanError::Backwards { from, until });
            }
            cut.check_count(cut.count(from, until))?;
            (from, until)
        }
    };
    let today = now.with_timezone(&zone).date_naive();
    let history_starts = today.checked_sub_months(Months::new(HISTORY_MONTHS)).ok_or(beyond)?;
    Ok(Plan { slices: cut.slices(from, until), cut, history_starts })
}

/// The end (exclusive) of the last slice that is complete and at least `lag_days` old at `now`.
pub fn latest_end(
    now: DateTime<Utc>,
    zone: Tz,
    lag_days: u16,
    cut: Cut,
) -> Result<NaiveDate, PlanError> {
    if lag_days < LAG_DAYS_MIN {
        return Err(PlanError::LagTooShort { lag_days });
    }
    now.with_timezone(&zone)
        .date_naive()
        .checked_sub_days(Days::new(u64::from(lag_days)))
        .and_then(|date| cut.border(date))
        .ok_or(PlanError::BeyondCalendar { cut })
}

impl Plan {
    /// How many slices begin before AMC's history does and may come back empty or partial.
    pub fn beyond_history(&self) -> usize {
        self.slices.iter().filter(|slice| slice.start < self.history_starts).count()
    }

    /// What the person who asked should know before the backfill starts.
    pub fn warning(&self) -> Option<String> {
        let beyond = self.beyond_history();
        (beyond > 0).then(|| {
            format!(
                "{beyond} of {} {} begin before {}, and AMC keeps most data for {HISTORY_MONTHS} months: \
                 they may come back empty or partial",
                self.slices.len(),
                self.cut.many(),
                self.history_starts
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, TimeDelta, Weekday};
    use chrono_tz::TZ_VARIANTS;
    use proptest::prelude::*;

    use super::*;

    /// A Wednesday noon in UTC.
    const NOW: &str = "2025-09-17T12:00:00Z";
    const MONDAYS: Cut = Cut::Weeks(Weekday::Mon);

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn planned(request: PlanRequest) -> Result<Plan, PlanError> {
        plan(NOW.parse().unwrap(), request, Tz::UTC, 14, MONDAYS)
    }

    #[test]
    fn the_last_complete_week_ended_at_least_the_lag_ago() {
        let plan = planned(PlanRequest::Last(1)).unwrap();
        // Fourteen days before the 17th is Wednesday the 3rd; the week before it ended on the 1st.
        assert_eq!(plan.slices, [Week { start: date("2025-08-25"), end: date("2025-09-01") }]);
    }

    #[test]
    fn a_week_that_ended_exactly_the_lag_ago_is_complete() {
        let monday = "2025-09-15T00:00:00Z".parse().unwrap();
        assert_eq!(latest_end(monday, Tz::UTC, 14, MONDAYS), Ok(date("2025-09-01")));
        let the_second_before = monday - TimeDelta::seconds(1);
        assert_eq!(latest_end(the_second_before, Tz::UTC, 14, MONDAYS), Ok(date("2025-08-25")));
    }

    #[test]
    fn today_is_the_day_of_the_zone_not_of_utc() {
        let now = "2025-09-15T02:00:00Z".parse().unwrap();
        let new_york = "America/New_York".parse().unwrap();
        assert_eq!(latest_end(now, new_york, 14, MONDAYS), Ok(date("2025-08-25")));
        assert_eq!(latest_end(now, Tz::UTC, 14, MONDAYS), Ok(date("2025-09-01")));
    }

    #[test]
    fn fifty_two_weeks_with_the_default_lag_fit_into_the_history() {
        let plan = planned(PlanRequest::Last(52)).unwrap();
        assert_eq!(plan.slices.len(), 52);
        assert_eq!(plan.slices[0].start, date("2024-09-02"));
        assert_eq!((plan.beyond_history(), plan.warning()), (0, None));
    }

    #[test]
    fn weeks_older_than_the_history_are_planned_with_a_warning() {
        let plan = planned(PlanRequest::Last(60)).unwrap();
        // The history starts on 2024-08-17; the sixty weeks start on 2024-07-08.
        assert_eq!(plan.beyond_history(), 6);
        assert!(plan.warning().unwrap().starts_with("6 of 60 weeks begin before 2024-08-17"));
    }

    #[test]
    fn a_range_is_cut_into_its_weeks() {
        let request = PlanRequest::Range { from: date("2025-01-06"), until: date("2025-01-27") };
        let starts: Vec<_> =
            planned(request).unwrap().slices.iter().map(|week| week.start).collect();
        assert_eq!(starts, [date("2025-01-06"), date("2025-01-13"), date("2025-01-20")]);
    }

    #[test]
    fn a_range_that_cuts_a_week_is_refused_with_the_nearest_week_starts() {
        let request = PlanRequest::Range { from: date("2025-01-08"), until: date("2025-01-27") };
        assert_eq!(
            planned(request).unwrap_err().to_string(),
            "from is 2025-01-08, a Wed, but weeks start on Mon: give 2025-01-06 or 2025-01-13"
        );
    }

    #[test]
    fn a_range_that_reaches_into_the_lag_is_refused_with_the_latest_end() {
        let request = PlanRequest::Range { from: date("2025-09-01"), until: date("2025-09-08") };
        assert_eq!(
            planned(request).unwrap_err().to_string(),
            "until is 2025-09-08, but with lag_days 14 the last complete week ends before 2025-09-01: \
             give 2025-09-01 or earlier"
        );
    }

    #[test]
    fn no_week_too_many_weeks_and_a_range_that_runs_backwards_are_refused() {
        assert_eq!(planned(PlanRequest::Last(0)), Err(PlanError::Count { count: 0, cut: MONDAYS }));
        assert_eq!(
            planned(PlanRequest::Last(521)),
            Err(PlanError::Count { count: 521, cut: MONDAYS })
        );
        let (from, until) = (date("2025-01-27"), date("2025-01-06"));
        let backwards = planned(PlanRequest::Range { from, until });
        assert_eq!(backwards, Err(PlanError::Backwards { from, until }));
    }

    #[test]
    fn a_lag_shorter_than_48_hours_is_refused() {
        let now = NOW.parse().unwrap();
        let refused = plan(now, PlanRequest::Last(1), Tz::UTC, 1, MONDAYS).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "lag_days is 1, but AMC completes its data only after 48 hours: give at least 2 \
             (14 lets attribution settle)"
        );
        assert!(plan(now, PlanRequest::Last(1), Tz::UTC, 2, MONDAYS).is_ok());
    }

    #[test]
    fn days_and_months_are_cut_at_their_own_borders() {
        let now = NOW.parse().unwrap();
        let days = plan(now, PlanRequest::Last(2), Tz::UTC, 14, Cut::Days).unwrap();
        let day = |start: &str, end: &str| Week { start: date(start), end: date(end) };
        // Fourteen days before the 17th is the 3rd: the last day that is old enough is the 2nd.
        let two = [day("2025-09-01", "2025-09-02"), day("2025-09-02", "2025-09-03")];
        assert_eq!(days.slices, two);
        let months = plan(now, PlanRequest::Last(2), Tz::UTC, 14, Cut::Months).unwrap();
        let two = [day("2025-07-01", "2025-08-01"), day("2025-08-01", "2025-09-01")];
        assert_eq!(months.slices, two);

        let range = PlanRequest::Range { from: date("2024-02-27"), until: date("2024-03-02") };
        let days = plan(now, range, Tz::UTC, 14, Cut::Days).unwrap();
        assert_eq!(days.slices.len(), 4, "a leap day is one of them");
        let refused = plan(now, range, Tz::UTC, 14, Cut::Months).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "from is 2024-02-27, but months start on their first day: give 2024-02-01 or 2024-03-01"
        );
        let too_many = plan(now, PlanRequest::Last(121), Tz::UTC, 14, Cut::Months).unwrap_err();
        assert_eq!(
            too_many.to_string(),
            "a collection of 121 months is not possible: give between 1 and 120"
        );
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_told_so() {
        for until in ["2025-01-06", "2025-03-31"] {
            let range = PlanRequest::Range { from: date("2025-03-31"), until: date(until) };
            let said = planned(range).unwrap_err().to_string();
            let wrong = format!("until is {until}, which is not after 2025-03-31, the first day: ");
            assert!(said.starts_with(&wrong), "{said}");
        }
    }

    proptest! {
        #[test]
        fn days_and_months_tile_without_gap_or_overlap(
            seconds in 631_152_000_i64..2_524_608_000, // 1990 to 2050
            count in 1_u32..=120,
            by_months in proptest::bool::ANY,
        ) {
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            let cut = if by_months { Cut::Months } else { Cut::Days };
            let plan = plan(now, PlanRequest::Last(count), Tz::UTC, 14, cut).unwrap();
            prop_assert_eq!(plan.slices.len(), count as usize);
            for pair in plan.slices.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
            }
        }

        #[test]
        fn weeks_tile_without_gap_or_overlap_in_every_zone(
            zone in proptest::sample::select(&TZ_VARIANTS[..]),
            seconds in 631_152_000_i64..2_524_608_000, // 1990 to 2050
            weeks in 1_u32..=520,
            lag_days in LAG_DAYS_MIN..60,
            weekday in 0_u8..7,
        ) {
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            let starts_on = Weekday::try_from(weekday).unwrap();
            let plan = plan(now, PlanRequest::Last(weeks), zone, lag_days, Cut::Weeks(starts_on)).unwrap();

            prop_assert_eq!(plan.slices.len(), weeks as usize);
            for week in &plan.slices {
                prop_assert_eq!(week.start.weekday(), starts_on);
                prop_assert_eq!((week.end - week.start).num_days(), 7);
            }
            for pair in plan.slices.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
                prop_assert_eq!(pair[0].instants(zone).1, pair[1].instants(zone).0);
                prop_assert!(pair[0].instants(zone).0 < pair[0].instants(zone).1);
            }
            let cutoff = now.with_timezone(&zone).date_naive() - Days::new(u64::from(lag_days));
            let last = plan.slices.last().unwrap().end;
            prop_assert!(last <= cutoff && cutoff < last + Days::new(7));
        }

        #[test]
        fn the_range_of_a_plan_gives_the_same_plan(
            seconds in 1_577_836_800_i64..2_524_608_000, // 2020 to 2050
            weeks in 1_u32..=520,
        ) {
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            let last = plan(now, PlanRequest::Last(weeks), Tz::UTC, 14, Cut::Weeks(Weekday::Sun)).unwrap();
            let (from, until) = (last.slices[0].start, last.slices.last().unwrap().end);
            let range = PlanRequest::Range { from, until };
            prop_assert_eq!(plan(now, range, Tz::UTC, 14, Cut::Weeks(Weekday::Sun)).unwrap(), last);
        }
    }
}
