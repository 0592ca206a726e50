//! What a week is: seven local dates, half-open, and the instants they begin and end at.

use chrono::{
    DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::{GapInfo, Tz};
use serde::{Deserialize, Serialize};

/// One slice of a collection: the local dates `[start, end)`.
///
/// `end` is the first day that is *not* part of it, so that neighbours share no day and miss none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Week {
    /// The first local date.
    pub start: NaiveDate,
    /// The local date after the last.
    pub end: NaiveDate,
}

/// A week as AMC's `timeWindowStart` and `timeWindowEnd` say it: local time without an offset.
///
/// The zone travels beside it in `timeWindowTimeZone`; a `Z` here would make AMC read it as UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireWindow {
    /// `yyyy-MM-dd'T'HH:mm:ss`, the first second that counts.
    pub start: String,
    /// `yyyy-MM-dd'T'HH:mm:ss`, the first second that no longer counts.
    pub end: String,
}

impl Week {
    /// The seven days that begin with `start`; none at the end of the calendar.
    pub fn starting(start: NaiveDate) -> Option<Self> {
        Some(Self { start, end: start.checked_add_days(Days::new(7))? })
    }

    /// The instants `[start, end)` of the week in `zone`.
    pub fn instants(&self, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
        (day_start(self.start, zone), day_start(self.end, zone))
    }

    /// How long the week really lasts in `zone`.
    pub fn length(&self, zone: Tz) -> TimeDelta {
        let (start, end) = self.instants(zone);
        end - start
    }

    /// The whole hours of the week in `zone`: 168, or 167 and 169 when the clocks change.
    ///
    /// (Lord Howe Island moves its clocks by half an hour: [`Week::length`] is exact.)
    pub fn hours(&self, zone: Tz) -> i64 {
        self.length(zone).num_hours()
    }

    /// The window to send to AMC: from the first midnight to the midnight after the last day.
    ///
    /// Where the clocks skip midnight it is the first local time that exists (`…T01:00:00`),
    /// so that AMC is never left to guess.
    pub fn wire_window(&self, zone: Tz) -> WireWindow {
        WireWindow { start: wire_time(self.start, zone), end: wire_time(self.end, zone) }
    }
}

/// The first instant of a local date.
///
/// A midnight that happens twice is the first of the two. A midnight that is skipped (Santiago and
/// Beirut change their clocks at 00:00) is the instant of the change, which is also what a date
/// that does not exist at all has (Apia, 30 December 2011).
pub fn day_start(date: NaiveDate, zone: Tz) -> DateTime<Utc> {
    instant_of(date.and_time(NaiveTime::MIN), zone)
}

/// The instant that a local time names: the first of two, and the instant of the change when the
/// clocks skip it.
pub fn instant_of(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&local).earliest() {
        Some(instant) => instant.with_timezone(&Utc),
        None => clock_change(local, zone).unwrap_or_else(|| local.and_utc()),
    }
}

/// The instant at which the clocks jumped over `skipped`: the last valid offset still names it.
fn clock_change(skipped: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    let (gap_start, offset_before) = GapInfo::new(&skipped, &zone)?.begin?;
    gap_start.checked_sub_offset(offset_before.fix()).map(|instant| instant.and_utc())
}

fn wire_time(date: NaiveDate, zone: Tz) -> String {
    day_start(date, zone).with_timezone(&zone).format("%Y-%m-%dT%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use chrono_tz::TZ_VARIANTS;

    use super::*;

    fn week(start: &str) -> Week {
        Week::starting(start.parse().unwrap()).unwrap()
    }

    fn zone(name: &str) -> Tz {
        name.parse().unwrap()
    }

    #[test]
    fn a_week_has_168_hours_and_one_less_or_more_when_the_clocks_change() {
        let new_york = zone("America/New_York");
        assert_eq!(week("2025-03-03").hours(new_york), 167);
        assert_eq!(week("2025-03-10").hours(new_york), 168);
        assert_eq!(week("2025-10-27").hours(new_york), 169);
        assert_eq!(week("2025-10-27").hours(Tz::UTC), 168);
    }

    #[test]
    fn a_half_hour_clock_change_is_exact_in_the_length() {
        let lord_howe = zone("Australia/Lord_Howe");
        assert_eq!(week("2025-10-06").length(lord_howe), TimeDelta::hours(168));
        assert_eq!(week("2025-09-29").length(lord_howe), TimeDelta::minutes(168 * 60 - 30));
    }

    #[test]
    fn the_wire_window_runs_from_midnight_to_midnight_without_an_offset() {
        let window = week("2025-03-03").wire_window(zone("America/New_York"));
        assert_eq!(window.start, "2025-03-03T00:00:00");
        assert_eq!(window.end, "2025-03-10T00:00:00");
    }

    #[test]
    fn a_midnight_that_the_clocks_skip_becomes_the_first_time_that_exists() {
        // São Paulo went from 2018-11-03 23:59:59 straight to 2018-11-04 01:00:00, a Sunday.
        let sao_paulo = zone("America/Sao_Paulo");
        let before = week("2018-10-28");
        let after = week("2018-11-04");
        assert_eq!(before.wire_window(sao_paulo).end, "2018-11-04T01:00:00");
        assert_eq!(after.wire_window(sao_paulo).start, "2018-11-04T01:00:00");
        assert_eq!(after.instants(sao_paulo).0.to_rfc3339(), "2018-11-04T03:00:00+00:00");
        assert_eq!(after.hours(sao_paulo), 167);
    }

    #[test]
    fn a_midnight_that_happens_twice_is_the_first_one() {
        // Havana goes back from 01:00 to 00:00 on 2 November 2025, so that midnight comes twice.
        let havana = zone("America/Havana");
        assert_eq!(week("2025-11-02").instants(havana).0.to_rfc3339(), "2025-11-02T04:00:00+00:00");
        assert_eq!(week("2025-11-02").hours(havana), 169);
    }

    #[test]
    fn a_date_that_never_was_begins_with_the_next_one() {
        // Samoa crossed the date line and had no 30 December 2011.
        let apia = zone("Pacific/Apia");
        let missing: NaiveDate = "2011-12-30".parse().unwrap();
        let next: NaiveDate = "2011-12-31".parse().unwrap();
        assert_eq!(day_start(missing, apia), day_start(next, apia));
        assert_eq!(week("2011-12-26").hours(apia), 144);
    }

    #[test]
    fn in_every_zone_every_day_of_three_years_begins_exactly_where_the_day_before_ends() {
        let first: NaiveDate = "2023-12-25".parse().unwrap();
        for &zone in &TZ_VARIANTS {
            for date in first.iter_days().take(3 * 366) {
                let instant = day_start(date, zone);
                let a_second_before = instant - TimeDelta::seconds(1);
                assert_eq!(instant.with_timezone(&zone).date_naive(), date, "{zone}");
                assert_eq!(
                    a_second_before.with_timezone(&zone).date_naive(),
                    date.pred_opt().unwrap(),
                    "{zone} {date}"
                );
            }
        }
    }
}
