//! Weeks become weeks, months and quarters: sums with their ratios and their sources.
//!
//! A week belongs to the month, and to the quarter, of its last day: weekly results cannot be cut
//! at the border of a month. So a month's sums are those of four or five whole weeks, every week is
//! in exactly one month, and twelve months add up to the same as their weeks. Who needs months to
//! the day collects days: they make exact weeks and months. A collection of months has no weeks.

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::metrics::{Metrics, Ratios, TooLarge};

/// How much time one aggregate spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grain {
    /// Seven days.
    Week,
    /// A calendar month.
    Month,
    /// Three calendar months, from January, April, July or October.
    Quarter,
}

impl Grain {
    /// Every grain, the finest first.
    pub const ALL: [Self; 3] = [Self::Week, Self::Month, Self::Quarter];

    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
        }
    }
}

/// How long the slices of a collection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// A day; weeks begin on this one.
    Day(Weekday),
    /// Seven days.
    Week,
    /// A month of the calendar.
    Month,
}

impl Length {
    /// The first day after a slice that begins on this one.
    fn end(self, start: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day(_) => start.succ_opt(),
            Self::Week => start.checked_add_days(Days::new(7)),
            Self::Month => start.checked_add_months(Months::new(1)).filter(|_| start.day() == 1),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Day(_) => "one day",
            Self::Week => "seven days",
            Self::Month => "one month",
        }
    }
}

/// A week whose rows are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeekSummary {
    /// The first local date.
    pub start: NaiveDate,
    /// The local date after the last.
    pub end: NaiveDate,
    /// The checksum of its rows.
    pub content_sha256: [u8; 32],
    /// How many rows it has.
    pub row_count: i64,
    /// Its sums.
    pub metrics: Metrics,
}

/// The sums of one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    /// How much time it spans.
    pub grain: Grain,
    /// The first date of the period.
    pub period_start: NaiveDate,
    /// The date after the last of the period.
    pub period_end: NaiveDate,
    /// Weeks that are in the sums.
    pub source_week_count: u32,
    /// Weeks of the period that are not: not collected yet, failed, or outside the collection.
    pub missing_week_count: u32,
    /// Rows of all weeks together.
    pub row_count: i64,
    /// The sums.
    pub metrics: Metrics,
    /// Ratios of the sums.
    pub ratios: Ratios,
    /// SHA-256 over the weeks' starts, ends and checksums: as long as it stays the same, so does
    /// everything else here, and nothing needs to be written again.
    pub source_digest: [u8; 32],
}

/// Why weeks cannot be aggregated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two weeks share a day, so their sums would count it twice.
    #[error(
        "the weeks from {first} and from {second} overlap: aggregate each collection by itself"
    )]
    Overlap {
        /// The start of the earlier week.
        first: NaiveDate,
        /// The start of the later week.
        second: NaiveDate,
    },
    /// A slice that is longer or shorter than those of its collection.
    #[error("the slice from {start} ends {end}, which is not {length} later")]
    NotASlice {
        /// The start.
        start: NaiveDate,
        /// The end.
        end: NaiveDate,
        /// How long it should be.
        length: &'static str,
    },
    /// A sum that cannot be said.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A date beyond everything the calendar can say.
    #[error("the week from {start} is beyond the calendar")]
    BeyondCalendar {
        /// The start.
        start: NaiveDate,
    },
}

/// Aggregates the stored weeks of one collection, given in any order.
///
/// There is one aggregate for every period with at least one week, the earliest first. The same
/// weeks always give the same aggregates.
pub fn aggregate(
    grain: Grain,
    length: Length,
    weeks: &[WeekSummary],
) -> Result<Vec<Aggregate>, Error> {
    let mut sorted: Vec<_> = weeks.iter().collect();
    sorted.sort_unstable_by_key(|week| week.start);
    check(length, &sorted)?;
    if grain == Grain::Week && length == Length::Month {
        return Ok(Vec::new());
    }
    let mut aggregates = Vec::new();
    let mut rest = sorted.as_slice();
    while let Some(first) = rest.first() {
        let period = period(grain, length, first)?;
        // The last day of a week that ends with the period is still in it.
        let (members, others) = rest.split_at(rest.partition_point(|week| week.end <= period.end));
        aggregates.push(sum_up(grain, period, members)?);
        rest = others;
    }
    Ok(aggregates)
}

/// The span of one aggregate, `[start, end)`, and how many weeks belong to it.
#[derive(Clone, Copy)]
struct Period {
    start: NaiveDate,
    end: NaiveDate,
    week_count: u32,
}

fn check(length: Length, sorted: &[&WeekSummary]) -> Result<(), Error> {
    if let Some(week) = sorted.iter().find(|week| length.end(week.start) != Some(week.end)) {
        let length = length.as_str();
        return Err(Error::NotASlice { start: week.start, end: week.end, length });
    }
    match sorted.windows(2).find(|pair| pair[1].start < pair[0].end) {
        Some(pair) => Err(Error::Overlap { first: pair[0].start, second: pair[1].start }),
        None => Ok(()),
    }
}

/// The period of `grain` that a week belongs to by its last day.
fn period(grain: Grain, length: Length, week: &WeekSummary) -> Result<Period, Error> {
    let beyond = || Error::BeyondCalendar { start: week.start };
    match (grain, length) {
        (Grain::Week, Length::Day(starts_on)) => {
            let days_in = u64::from(week.start.weekday().days_since(starts_on));
            let start = week.start.checked_sub_days(Days::new(days_in)).ok_or_else(beyond)?;
            let end = start.checked_add_days(Days::new(7)).ok_or_else(beyond)?;
            return Ok(Period { start, end, week_count: 7 });
        }
        (Grain::Week, _) => return Ok(Period { start: week.start, end: week.end, week_count: 1 }),
        (Grain::Month | Grain::Quarter, _) => {}
    }
    let months = if grain == Grain::Month { 1 } else { 3 };
    let last_day = week.end.pred_opt().ok_or_else(beyond)?;
    let start = last_day
        .with_day(1)
        .and_then(|first| first.with_month0(last_day.month0() / months * months))
        .ok_or_else(beyond)?;
    let end = start.checked_add_months(Months::new(months)).ok_or_else(beyond)?;
    let week_count = match length {
        Length::Day(_) => (end - start).num_days(),
        // All the last days of weeks within the period, counted from this one in both directions.
        Length::Week => (last_day - start).num_weeks() + ((end - last_day).num_days() - 1) / 7 + 1,
        Length::Month => i64::from(months),
    };
    Ok(Period { start, end, week_count: u32::try_from(week_count).map_err(|_| beyond())? })
}

fn sum_up(grain: Grain, period: Period, weeks: &[&WeekSummary]) -> Result<Aggregate, Error> {
    let metrics = Metrics::total(weeks.iter().map(|week| &week.metrics))?;
    let source_week_count = u32::try_from(weeks.len()).unwrap_or(u32::MAX);
    Ok(Aggregate {
        grain,
        period_start: period.start,
        period_end: period.end,
        source_week_count,
        missing_week_count: period.week_count.saturating_sub(source_week_count),
        row_count: weeks.iter().map(|week| week.row_count).sum(),
        ratios: metrics.ratios(),
        metrics,
        source_digest: source_digest(weeks),
    })
}

fn source_digest(sorted: &[&WeekSummary]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"recomamp aggregate 1");
    for week in sorted {
        hash.update(week.start.num_days_from_ce().to_be_bytes());
        hash.update(week.end.num_days_from_ce().to_be_bytes());
        hash.update(week.content_sha256);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use chrono::Weekday;
    use proptest::prelude::*;
    use rust_decimal::Decimal;
    use serde_json::json;

    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn week(start: &str, metrics: serde_json::Value) -> WeekSummary {
        let start = date(start);
        WeekSummary {
            start,
            end: start + chrono::Days::new(7),
            content_sha256: Sha256::digest(metrics.to_string()).into(),
            row_count: 10,
            metrics: serde_json::from_value(metrics).unwrap(),
        }
    }

    fn clicks(start: &str) -> WeekSummary {
        week(start, json!({"clicks": "1"}))
    }

    fn aggregate(grain: Grain, weeks: &[WeekSummary]) -> Result<Vec<Aggregate>, Error> {
        super::aggregate(grain, Length::Week, weeks)
    }

    /// The period and the counts of found and missing weeks.
    fn spans(grain: Grain, weeks: &[WeekSummary]) -> Vec<(String, String, u32, u32)> {
        let aggregates = aggregate(grain, weeks).unwrap();
        aggregates
            .iter()
            .map(|one| {
                let (start, end) = (one.period_start.to_string(), one.period_end.to_string());
                (start, end, one.source_week_count, one.missing_week_count)
            })
            .collect()
    }

    fn span(start: &str, end: &str, found: u32, missing: u32) -> (String, String, u32, u32) {
        (start.to_owned(), end.to_owned(), found, missing)
    }

    #[test]
    fn a_week_belongs_to_the_month_and_quarter_of_its_last_day() {
        // The week from Monday 30 December ends on Sunday 5 January.
        let over_the_year = [clicks("2024-12-30")];
        assert_eq!(spans(Grain::Month, &over_the_year), [span("2025-01-01", "2025-02-01", 1, 3)]);
        assert_eq!(
            spans(Grain::Quarter, &over_the_year),
            [span("2025-01-01", "2025-04-01", 1, 12)]
        );
        assert_eq!(spans(Grain::Week, &over_the_year), [span("2024-12-30", "2025-01-06", 1, 0)]);
    }

    fn slice(start: &str, end: &str) -> WeekSummary {
        WeekSummary { end: date(end), ..clicks(start) }
    }

    #[test]
    fn days_make_exact_weeks_and_months_and_months_make_no_weeks() {
        let counts = |grain, length, slices: &[WeekSummary]| -> Vec<_> {
            let sums = super::aggregate(grain, length, slices).unwrap();
            sums.iter()
                .map(|one| (one.period_start, one.source_week_count, one.missing_week_count))
                .collect()
        };
        let days = [
            slice("2025-08-30", "2025-08-31"),
            slice("2025-08-31", "2025-09-01"),
            slice("2025-09-01", "2025-09-02"),
        ];
        let day = Length::Day(Weekday::Mon);
        let weeks = [(date("2025-08-25"), 2, 5), (date("2025-09-01"), 1, 6)];
        assert_eq!(counts(Grain::Week, day, &days), weeks);
        let months = [(date("2025-08-01"), 2, 29), (date("2025-09-01"), 1, 29)];
        assert_eq!(counts(Grain::Month, day, &days), months);

        let months = [slice("2025-07-01", "2025-08-01"), slice("2025-09-01", "2025-10-01")];
        assert_eq!(counts(Grain::Week, Length::Month, &months), []);
        assert_eq!(counts(Grain::Quarter, Length::Month, &months), [(date("2025-07-01"), 2, 1)]);
        let error = super::aggregate(Grain::Month, day, &months).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the slice from 2025-07-01 ends 2025-08-01, which is not one day later"
        );
    }

    #[test]
    fn a_week_that_ends_with_the_month_is_in_it() {
        // Sunday 31 August 2025 is the last day of its week.
        let weeks = [clicks("2025-08-25"), clicks("2025-09-01")];
        assert_eq!(
            spans(Grain::Month, &weeks),
            [span("2025-08-01", "2025-09-01", 1, 4), span("2025-09-01", "2025-10-01", 1, 3)]
        );
    }

    #[test]
    fn a_gap_is_counted_as_missing_and_a_period_without_weeks_has_no_aggregate() {
        let weeks = [clicks("2025-01-06"), clicks("2025-01-20"), clicks("2025-03-03")];
        assert_eq!(
            spans(Grain::Month, &weeks),
            [span("2025-01-01", "2025-02-01", 2, 2), span("2025-03-01", "2025-04-01", 1, 4)]
        );
    }

    #[test]
    fn sums_are_added_and_ratios_drawn_from_the_sums_not_averaged() {
        let weeks = [
            week(
                "2025-01-06",
                json!({"spend": "0.1", "sales": "1", "clicks": "1", "impressions": "10"}),
            ),
            week(
                "2025-01-13",
                json!({"spend": "0.2", "sales": "0", "clicks": "1", "impressions": "990"}),
            ),
        ];
        let month = &aggregate(Grain::Month, &weeks).unwrap()[0];
        assert_eq!(month.metrics.get("spend"), Some(Decimal::new(3, 1)));
        assert_eq!(month.ratios.ctr, Some(Decimal::new(2, 1)));
        assert_eq!(month.ratios.acos, Some(Decimal::from(30)));
        assert_eq!(month.row_count, 20);
        let weekly = aggregate(Grain::Week, &weeks).unwrap();
        assert_eq!((weekly[0].ratios.ctr, weekly[1].ratios.acos), (Some(Decimal::from(10)), None));
    }

    #[test]
    fn the_digest_follows_the_sources_and_nothing_else() {
        let digest =
            |weeks: &[WeekSummary]| aggregate(Grain::Month, weeks).unwrap()[0].source_digest;
        let (one, two) = (clicks("2025-01-06"), clicks("2025-01-13"));
        let before = digest(&[one.clone(), two.clone()]);
        assert_eq!(before, digest(&[two.clone(), one.clone()]));
        assert_ne!(before, digest(std::slice::from_ref(&one)));
        let restated = WeekSummary { content_sha256: [9; 32], ..two };
        assert_ne!(before, digest(&[one, restated]));
    }

    #[test]
    fn weeks_that_share_a_day_are_refused() {
        for second in ["2025-01-06", "2025-01-12"] {
            let error =
                aggregate(Grain::Week, &[clicks(second), clicks("2025-01-06")]).unwrap_err();
            assert_eq!(error, Error::Overlap { first: date("2025-01-06"), second: date(second) });
        }
    }

    #[test]
    fn a_period_that_is_not_seven_days_is_refused() {
        let inclusive = WeekSummary { end: date("2025-01-12"), ..clicks("2025-01-06") };
        let error = aggregate(Grain::Month, &[inclusive]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the slice from 2025-01-06 ends 2025-01-12, which is not seven days later"
        );
    }

    #[test]
    fn nothing_stored_is_nothing_aggregated() {
        assert_eq!(aggregate(Grain::Quarter, &[]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn months_and_quarters_add_up_to_their_weeks(
            first in 0_u64..4_000,
            starts_on in 0_u8..7,
            cents in prop::collection::vec(prop::option::of(any::<i32>()), 1..120),
        ) {
            let weekday = Weekday::try_from(starts_on).unwrap();
            let origin = (date("2018-01-01") + chrono::Days::new(first)).week(weekday).first_day();
            let weeks: Vec<_> = origin
                .iter_weeks()
                .zip(&cents)
                .filter_map(|(start, &cents)| {
                    let spend = Decimal::new(cents?.into(), 2).to_string();
                    Some(week(&start.to_string(), json!({"spend": spend})))
                })
                .collect();
            let total: i64 = cents.iter().flatten().map(|&cents| i64::from(cents)).sum();

            for grain in Grain::ALL {
                let aggregates = aggregate(grain, &weeks).unwrap();
                let sum = Metrics::total(aggregates.iter().map(|one| &one.metrics)).unwrap();
                prop_assert_eq!(sum.get("spend").unwrap_or_default(), Decimal::new(total, 2));
                let sources: u32 = aggregates.iter().map(|one| one.source_week_count).sum();
                prop_assert_eq!(sources as usize, weeks.len());
                for pair in aggregates.windows(2) {
                    prop_assert!(pair[0].period_end <= pair[1].period_start);
                }
            }
        }

        #[test]
        fn a_whole_year_misses_no_week(first in 0_u64..4_000) {
            let origin = date("2018-01-01") + chrono::Days::new(first);
            let weeks: Vec<_> =
                origin.iter_weeks().take(120).map(|start| clicks(&start.to_string())).collect();
            for grain in [Grain::Month, Grain::Quarter] {
                let aggregates = aggregate(grain, &weeks).unwrap();
                let inner = &aggregates[1..aggregates.len() - 1];
                prop_assert!(inner.iter().all(|one| one.missing_week_count == 0));
            }
        }
    }
}
