//! The due times of cron against an oracle that walks every minute and knows nothing of the parser.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use recomamp::schedule::cron::Due;
use std::collections::HashMap;

/// Twenty zones: every kind of clock change there is, and some without any.
pub const ZONES: [&str; 20] = [
    "UTC",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Asuncion",
    "Europe/London",
    "Europe/Berlin",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Pacific/Auckland",
    "Pacific/Apia",
];

/// Expressions that meet the hours in which clocks change, month ends, leap days and lists.
pub const EXPRESSIONS: [&str; 10] = [
    "0 0 * * *",
    "30 1 * * *",
    "30 2 * * *",
    "15 0-3 * * 0",
    "0 2 * * 1",
    "59 23 L * *",
    "0 6 29 2 *",
    "45 3 15W * *",
    "0 12 * * 5L",
    "*/20 1,2 * 3,4,9,10,11 *",
];

/// A quarter of an hour as the clock of a zone shows it. Clocks change at full quarters only.
pub struct Quarter {
    begins: DateTime<Utc>,
    shows: NaiveDateTime,
    /// The clock goes on without a change.
    steady: bool,
}

/// The quarters of a stretch of time, which begins with a full one.
pub fn quarters(zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Quarter> {
    let quarter = TimeDelta::minutes(15);
    let count = (until - from).num_minutes() / 15;
    let begins =
        (0..i32::try_from(count).expect("not too many")).map(|number| from + quarter * number);
    begins
        .map(|begins| {
            let shows = local(begins, zone);
            Quarter { begins, shows, steady: local(begins + quarter, zone) - shows == quarter }
        })
        .collect()
}

/// When an expression is due: walks the minutes of the world, and looks which minutes the local clock has
/// come to show for the first time.
pub fn due_times(expression: &str, zone: Tz, quarters: &[Quarter]) -> Vec<DateTime<Utc>> {
    let minutes = Minutes::of(expression);
    let mut days = HashMap::new();
    let mut due = Vec::new();
    let mut shown = quarters[0].shows;
    for quarter in quarters {
        let ends = quarter.shows + TimeDelta::minutes(15);
        let hours = [quarter.shows.hour(), ends.hour()];
        if quarter.steady && shown == quarter.shows && !minutes.has_hour(hours) {
            shown = ends;
            continue;
        }
        for minute in 1..=15 {
            let instant = quarter.begins + TimeDelta::minutes(minute);
            let clock = local(instant, zone);
            let mut comes_to = shown + TimeDelta::minutes(1);
            let mut is_due = false;
            while comes_to <= clock {
                is_due = is_due || minutes.has(comes_to, &mut days);
                comes_to += TimeDelta::minutes(1);
            }
            shown = shown.max(clock);
            if is_due {
                due.push(instant);
            }
        }
    }
    due
}

/// Fails with the first times that differ.
pub fn assert_same(ours: &[DateTime<Utc>], theirs: &[DateTime<Utc>], what: &str) {
    let differ = ours.iter().zip(theirs).find(|(ours, theirs)| ours != theirs);
    assert_eq!(differ, None, "{what}: the first that differ, ours and the oracle's");
    assert_eq!(ours.len(), theirs.len(), "{what}: {:?} {:?}", ours.last(), theirs.last());
}

fn local(instant: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    instant.with_timezone(&zone).naive_local()
}

/// A cron expression, read by its textbook: `*`, lists, ranges, steps, `L`, `nW`, `n#m` and `nL`.
struct Minutes<'a> {
    minute: Vec<u32>,
    hour: Vec<u32>,
    month: Vec<u32>,
    day: &'a str,
    weekday: &'a str,
}

impl<'a> Minutes<'a> {
    fn of(expression: &'a str) -> Self {
        let fields: Vec<&str> = expression.split(' ').collect();
        Self {
            minute: numbers(fields[0], 0, 59),
            hour: numbers(fields[1], 0, 23),
            month: numbers(fields[3], 1, 12),
            day: fields[2],
            weekday: fields[4],
        }
    }

    fn has_hour(&self, hours: [u32; 2]) -> bool {
        hours.iter().any(|hour| self.hour.contains(hour))
    }

    fn has(&self, time: NaiveDateTime, days: &mut HashMap<NaiveDate, bool>) -> bool {
        self.minute.contains(&time.minute())
            && self.hour.contains(&time.hour())
            && *days.entry(time.date()).or_insert_with(|| self.has_day(time.date()))
    }

    fn has_day(&self, date: NaiveDate) -> bool {
        self.month.contains(&date.month())
            && in_month(self.day, date)
            && in_week(self.weekday, date)
    }
}

fn numbers(field: &str, least: u32, most: u32) -> Vec<u32> {
    let mut all = Vec::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (least, most),
            (_, Some((from, to))) => {
                (from.parse().expect("a number"), to.parse().expect("a number"))
            }
            _ => (range.parse().expect("a number"), range.parse().expect("a number")),
        };
        all.extend((from..=to).step_by(step.parse().expect("a number")));
    }
    all
}

fn length(date: NaiveDate) -> u32 {
    (28..=31).rev().find(|day| date.with_day(*day).is_some()).expect("a day of the month")
}

fn in_month(field: &str, date: NaiveDate) -> bool {
    if field == "*" {
        return true;
    }
    if field == "L" {
        return date.day() == length(date);
    }
    let Some(wish) = field.strip_suffix('W') else {
        return numbers(field, 1, 31).contains(&date.day());
    };
    // The working day of the month that is nearest to the wish; of two the earlier.
    let Some(wish) = date.with_day(wish.parse().expect("a number")) else { return false };
    let works = |day: &u32| {
        date.with_day(*day).expect("a day of the month").weekday().number_from_monday() <= 5
    };
    let nearest = (1..=length(date)).filter(works).min_by_key(|day| day.abs_diff(wish.day()));
    nearest == Some(date.day())
}

fn in_week(field: &str, date: NaiveDate) -> bool {
    let today = date.weekday().num_days_from_sunday();
    if field == "*" {
        return true;
    }
    if let Some((weekday, nth)) = field.split_once('#') {
        return weekday.parse::<u32>().expect("a number") % 7 == today
            && nth.parse::<u32>().expect("a number") == (date.day() - 1) / 7 + 1;
    }
    if let Some(weekday) = field.strip_suffix('L') {
        return weekday.parse::<u32>().expect("a number") % 7 == today
            && date.day() + 7 > length(date);
    }
    numbers(field, 0, 7).iter().any(|weekday| weekday % 7 == today)
}

fn compare(expression: &str, zone: Tz, quarters: &[Quarter]) {
    let from = quarters[0].begins;
    let until = quarters[quarters.len() - 1].begins + TimeDelta::minutes(15);
    let ours: Vec<_> =
        Due::cron(expression, zone).expect("it can be read").between(from, until).collect();
    let theirs = due_times(expression, zone, quarters);
    assert_same(&ours, &theirs, &format!("{expression} in {zone}"));
}

#[test]
fn every_due_time_of_a_leap_year_in_twenty_zones_is_the_oracles() {
    for zone in ZONES {
        let zone: Tz = zone.parse().unwrap();
        let year = ["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"].map(|t| t.parse().unwrap());
        let quarters = quarters(zone, year[0], year[1]);
        for expression in EXPRESSIONS {
            compare(expression, zone, &quarters);
        }
    }
}

#[test]
fn a_day_that_an_island_left_out_is_made_up_for_at_the_first_instant_after_it() {
    let apia: Tz = "Pacific/Apia".parse().unwrap();
    let days = ["2011-12-01T00:00:00Z", "2012-02-01T00:00:00Z"].map(|t| t.parse().unwrap());
    let winter = quarters(apia, days[0], days[1]);
    for expression in ["0 0 * * *", "30 12 * * *", "0 12 30 12 *", "59 23 L * *"] {
        compare(expression, apia, &winter);
    }
    let noon = Due::cron("0 12 30 12 *", apia).unwrap();
    let due = noon.next_after("2011-12-28T00:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(due.with_timezone(&apia).to_string(), "2011-12-31 00:00:00 +14");
}

#[test]
fn the_due_times_go_on_from_any_instant_as_from_the_beginning() {
    for zone in ["America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca"]
    {
        let due = Due::cron("*/20 * * * *", zone.parse().unwrap()).unwrap();
        let (from, until) =
            ("2024-01-01T00:00:00Z".parse().unwrap(), "2024-12-31T00:00:00Z".parse().unwrap());
        let all: Vec<DateTime<Utc>> = due.between(from, until).collect();
        for (index, time) in all.iter().enumerate().skip(1).step_by(97) {
            for back in [TimeDelta::milliseconds(1), TimeDelta::seconds(1), *time - all[index - 1]]
            {
                assert_eq!(due.next_after(*time - back), Some(*time), "{zone} {time} {back}");
            }
        }
    }
}
