//! How a period is cut into slices: where they begin, how many there are, what they are called.

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};

use super::plan::{PlanError, WEEKS_MAX};
use super::week::Week;
use crate::store::collections::CollectionGrain;

/// How a period is cut into slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Each slice is a day.
    Days,
    /// Each slice is seven days, the first of them this one.
    Weeks(Weekday),
    /// Each slice is a month of the calendar.
    Months,
}

impl Cut {
    /// How the slices of a collection were cut.
    pub fn of(grain: CollectionGrain, week_starts_on: Weekday) -> Self {
        match grain {
            CollectionGrain::Day => Self::Days,
            CollectionGrain::Week => Self::Weeks(week_starts_on),
            CollectionGrain::Month => Self::Months,
        }
    }

    /// The word in the store.
    pub fn grain(self) -> CollectionGrain {
        match self {
            Self::Days => CollectionGrain::Day,
            Self::Weeks(_) => CollectionGrain::Week,
            Self::Months => CollectionGrain::Month,
        }
    }

    /// The first day of its weeks: 1 is Monday, 7 is Sunday. Where there are none, Monday.
    pub fn week_starts_on(self) -> Weekday {
        match self {
            Self::Weeks(weekday) => weekday,
            Self::Days | Self::Months => Weekday::Mon,
        }
    }

    /// What people call a slice.
    pub fn one(self) -> &'static str {
        self.grain().as_str()
    }

    /// What people call several.
    pub fn many(self) -> &'static str {
        match self {
            Self::Days => "days",
            Self::Weeks(_) => "weeks",
            Self::Months => "months",
        }
    }

    /// The most slices one collection may have: ten years.
    pub fn count_max(self) -> u32 {
        match self {
            Self::Days => 3_653,
            Self::Weeks(_) => WEEKS_MAX,
            Self::Months => 120,
        }
    }

    /// The first day of the slice that `date` is in.
    pub(super) fn border(self, date: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Days => Some(date),
            Self::Weeks(starts_on) => {
                let days_in = date.weekday().days_since(starts_on);
                date.checked_sub_days(Days::new(u64::from(days_in)))
            }
            Self::Months => date.with_day(1),
        }
    }

    /// The border so many slices before this one.
    pub(super) fn before(self, border: NaiveDate, count: u32) -> Option<NaiveDate> {
        match self {
            Self::Days => border.checked_sub_days(Days::new(u64::from(count))),
            Self::Weeks(_) => border.checked_sub_days(Days::new(7 * u64::from(count))),
            Self::Months => border.checked_sub_months(Months::new(count)),
        }
    }

    /// The border after this one.
    fn after(self, border: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Days => border.succ_opt(),
            Self::Weeks(_) => border.checked_add_days(Days::new(7)),
            Self::Months => border.checked_add_months(Months::new(1)),
        }
    }

    /// How many slices lie between two borders.
    pub(super) fn count(self, from: NaiveDate, until: NaiveDate) -> i64 {
        match self {
            Self::Days => (until - from).num_days(),
            Self::Weeks(_) => (until - from).num_weeks(),
            Self::Months => {
                let months =
                    |date: NaiveDate| i64::from(date.year()) * 12 + i64::from(date.month());
                months(until) - months(from)
            }
        }
    }

    /// The slices between two borders, the earliest first.
    pub(super) fn slices(self, from: NaiveDate, until: NaiveDate) -> Vec<Week> {
        let borders = std::iter::successors(Some(from), |border| self.after(*border));
        borders
            .take_while(|start| *start < until)
            .filter_map(|start| Some(Week { start, end: self.after(start)? }))
            .collect()
    }

    pub(super) fn check_count(self, count: i64) -> Result<(), PlanError> {
        if (1..=i64::from(self.count_max())).contains(&count) {
            return Ok(());
        }
        Err(PlanError::Count { count, cut: self })
    }

    pub(super) fn check_border(
        self,
        field: &'static str,
        date: NaiveDate,
    ) -> Result<(), PlanError> {
        let beyond = || PlanError::BeyondCalendar { cut: self };
        let before = self.border(date).ok_or_else(beyond)?;
        if before == date {
            return Ok(());
        }
        let after = self.after(before).ok_or_else(beyond)?;
        Err(PlanError::NotABorder { field, date, cut: self, before, after })
    }

    /// Why a date is no border, as it follows the date.
    pub(super) fn inside(self, date: NaiveDate) -> String {
        match self {
            Self::Days => String::new(),
            Self::Weeks(starts_on) => {
                format!(", a {}, but weeks start on {starts_on}", date.weekday())
            }
            Self::Months => ", but months start on their first day".to_owned(),
        }
    }
}
