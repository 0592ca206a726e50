//! When a schedule is due: cron expressions and intervals of days, on the clock of an IANA zone.
//!
//! On paper only: no clock, no database. Cron is computed over local times, as a wall clock shows
//! them, and each local time is then given its instant:
//!
//! - a local time that the clocks skip is due at the first instant after the gap;
//! - a local time that happens twice is due once, the first time;
//! - times that come to the same instant that way are due once.
//!
//! So `*/15 * * * *` pauses for the second half of a doubled hour, and a daily time never comes
//! twice and is never lost.

use crate::backfill::week::instant_of;
use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use std::fmt;
use std::ops::RangeInclusive;

/// How many days an interval may have.
pub const INTERVAL_DAYS: RangeInclusive<u32> = 1..=366;

/// Far more local times than the widest gap of any zone has: a day of minutes, and some.
const SAME_INSTANT_MAX: usize = 3000;

/// When something is due, on the clock of a zone.
#[derive(Debug, Clone)]
pub struct Due {
    rule: Rule,
    zone: Tz,
}

/// Without the zone.
#[derive(Debug, Clone)]
enum Rule {
    Cron(Box<Cron>),
    Interval { days: u32, anchor: NaiveDate, at: NaiveTime },
}

/// Why an expression is refused: what is wrong, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {remedy}")]
pub struct Refused {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Refused {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl Due {
    /// By a cron expression of five fields: minute, hour, day of month, month, day of week (Sunday is 0
    /// or 7, Monday is 1).
    pub fn cron(expression: &str, zone: Tz) -> Result<Self, Refused> {
        check(expression)?;
        let parser =
            CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|error| {
            Refused::new(
                format!("{expression:?} is no cron expression ({})", plain(&error)),
                "give minute, hour, day of month, month and day of week, as in `0 2 * * 1`",
            )
        })?;
        let due = Self { rule: Rule::Cron(Box::new(cron)), zone };
        if due.next_after(DateTime::UNIX_EPOCH).is_none() {
            return Err(Refused::new(
                format!("{expression:?} is never due"),
                "give a day that its months have",
            ));
        }
        Ok(due)
    }

    /// Every so many days, counted from a day, at a time of day.
    pub fn interval(
        days: i32,
        anchor: NaiveDate,
        at: NaiveTime,
        zone: Tz,
    ) -> Result<Self, Refused> {
        let number = u32::try_from(days).ok().filter(|days| INTERVAL_DAYS.contains(days));
        let days = number.ok_or_else(|| {
            Refused::new(
                format!("an interval of {days} days is not possible"),
                format!("give between 1 and {}", INTERVAL_DAYS.end()),
            )
        })?;
        Ok(Self { rule: Rule::Interval { days, anchor, at }, zone })
    }

    /// The zone on whose clock it is due.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first due time after this instant; none when there is none before the calendar ends.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // What the clock shows now is no later than any local time whose instant is still to come.
        let mut local = instant.with_timezone(&self.zone).naive_local();
        // A local time of a doubled hour may have had its instant already: look further.
        for _ in 0..SAME_INSTANT_MAX {
            local = self.next_local(local)?;
            let due = instant_of(local, self.zone);
            if due > instant {
                return Some(due);
            }
        }
        None
    }

    /// The due times after `from`, up to and including `until`, in order.
    pub fn between(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> {
        self.after(from).take_while(move |due| *due <= until)
    }

    /// The due times after this instant, in order.
    pub fn after(&self, instant: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::successors(self.next_after(instant), |due| self.next_after(*due))
    }

    /// The first local time after this one.
    fn next_local(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        match &self.rule {
            Rule::Cron(cron) => cron.find_next_occurrence(&local, false).ok(),
            Rule::Interval { days, anchor, at } => {
                let days = i64::from(*days);
                let passed = (local.date() - *anchor).num_days();
                let steps = if passed < 0 { 0 } else { passed / days };
                let candidate = |step: i64| {
                    let date = anchor.checked_add_days(Days::new(u64::try_from(step * days).ok()?));
                    Some(date?.and_time(*at))
                };
                [steps, steps + 1].into_iter().filter_map(candidate).find(|time| *time > local)
            }
        }
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::Cron(cron) => write!(f, "{} ({})", cron.as_str(), self.zone),
            Rule::Interval { days: 1, at, .. } => {
                write!(f, "every day at {} ({})", at.format("%H:%M"), self.zone)
            }
            Rule::Interval { days, at, .. } => {
                write!(f, "every {days} days at {} ({})", at.format("%H:%M"), self.zone)
            }
        }
    }
}

/// What the parser says, without the names of its own parts.
fn plain(error: &CronError) -> String {
    let said = match error {
        CronError::InvalidPattern(said)
        | CronError::IllegalCharacters(said)
        | CronError::ComponentError(said) => said.clone(),
        other => other.to_string(),
    };
    said.trim_end_matches('.').to_owned()
}

/// What the parser would take without a word, although it most likely means something else.
fn check(expression: &str) -> Result<(), Refused> {
    let upper = expression.to_uppercase();
    let fields: Vec<&str> = upper.split_whitespace().collect();
    if expression.contains('@') {
        return Err(Refused::new(
            format!("{expression:?} is a nickname"),
            "write its five fields, as in `0 0 * * *` for every day",
        ));
    }
    let [minute, hour, day, month, weekday] = fields[..] else {
        let what = format!("{expression:?} has {} fields, not five", fields.len());
        return Err(Refused::new(
            what,
            "give minute, hour, day of month, month and day of week; seconds and years are not understood",
        ));
    };
    if upper.contains('+') {
        return Err(Refused::new(
            format!("{expression:?} has a +"),
            "leave it out: give a day of month or a day of week",
        ));
    }
    if fields.iter().any(|field| field.split(',').any(str::is_empty)) {
        return Err(Refused::new(
            format!("a list in {expression:?} has an empty place"),
            "give a value on both sides of each comma",
        ));
    }
    check_letters(expression, [minute, hour, day, month, weekday])?;
    check_steps(expression, [minute, hour, day, month, weekday])?;
    if !matches!(day, "*" | "?") && !matches!(weekday, "*" | "?") {
        return Err(Refused::new(
            format!(
                "{expression:?} has both a day of month and a day of week, which some programs join with \"and\" and others with \"or\""
            ),
            "put * in one of the two, or make two schedules; for the first Monday of a month write `1#1` as day of week, for the first working day `1W` as day of month",
        ));
    }
    Ok(())
}

/// A step that is longer than its field comes back to the first value each time: `*/61` as minute is 0.
fn check_steps(expression: &str, fields: [&str; 5]) -> Result<(), Refused> {
    let lengths =
        [("minute", 60), ("hour", 24), ("day of month", 31), ("month", 12), ("day of week", 7)];
    for (field, (name, length)) in fields.into_iter().zip(lengths) {
        let steps = field.split(',').filter_map(|part| part.split_once('/'));
        for (_, step) in steps {
            // What is no number the parser refuses.
            if step.parse::<u64>().is_ok_and(|step| step > length) {
                return Err(Refused::new(
                    format!(
                        "{expression:?} has a step of {step} as {name}, which has {length} values"
                    ),
                    format!("give at most {length}; for longer ones use an interval of days"),
                ));
            }
        }
    }
    Ok(())
}

/// Names are taken only where they mean something: a weekday's among the weekdays.
fn check_letters(expression: &str, fields: [&str; 5]) -> Result<(), Refused> {
    const MONTHS: [&str; 12] =
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    let known: [(&str, &[&str]); 5] = [
        ("minute", &[]),
        ("hour", &[]),
        ("day of month", &["L", "W", "LW"]),
        ("month", &MONTHS),
        ("day of week", &WEEKDAYS),
    ];
    for (field, (name, words)) in fields.into_iter().zip(known) {
        let mut letters = field.split(|letter: char| !letter.is_alphabetic());
        let stranger = letters.find(|word| {
            // `5L` is the last Friday; a bare L is no weekday.
            let last_weekday = name == "day of week" && *word == "L" && field != "L";
            !word.is_empty() && !words.contains(word) && !last_weekday
        });
        if let Some(word) = stranger {
            return Err(Refused::new(
                format!("{word:?} means nothing as {name} in {expression:?}"),
                match name {
                    "day of week" => {
                        "give 0 to 7, SUN to SAT, `5L` for the last Friday or `1#2` for the second Monday"
                    }
                    "month" => "give 1 to 12 or JAN to DEC",
                    "day of month" => {
                        "give 1 to 31, L for the last day or `15W` for the working day nearest to the 15th"
                    }
                    _ => "give numbers",
                },
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Tz {
        name.parse().unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// The next due times, as the zone's clock shows them.
    fn next(expression: &str, zone_name: &str, from: &str, n: usize) -> Vec<String> {
        let due = Due::cron(expression, zone(zone_name)).unwrap();
        let times = due.after(at(from)).take(n);
        times.map(|t| t.with_timezone(&due.zone()).format("%a %m-%d %H:%M").to_string()).collect()
    }

    #[test]
    fn monday_is_1_and_sunday_is_0_and_7() {
        let from = "2025-11-26T00:00:00Z";
        assert_eq!(next("0 2 * * 1", "UTC", from, 1), ["Mon 12-01 02:00"]);
        for sunday in ["0 2 * * 0", "0 2 * * 7", "0 2 * * sun"] {
            assert_eq!(next(sunday, "UTC", from, 2), ["Sun 11-30 02:00", "Sun 12-07 02:00"]);
        }
        assert_eq!(next("0 2 * * fri-sun", "UTC", from, 2), ["Fri 11-28 02:00", "Sat 11-29 02:00"]);
    }

    #[test]
    fn last_days_nearest_working_days_and_nth_weekdays() {
        let from = "2025-02-01T00:00:00Z";
        assert_eq!(next("0 0 L * *", "UTC", from, 2), ["Fri 02-28 00:00", "Mon 03-31 00:00"]);
        assert_eq!(next("0 0 15W * *", "UTC", from, 2), ["Fri 02-14 00:00", "Fri 03-14 00:00"]);
        assert_eq!(next("0 0 1W * *", "UTC", from, 2), ["Mon 02-03 00:00", "Mon 03-03 00:00"]);
        assert_eq!(next("0 0 LW * *", "UTC", "2025-05-01T00:00:00Z", 1), ["Fri 05-30 00:00"]);
        assert_eq!(next("0 0 * * 1#2", "UTC", from, 2), ["Mon 02-10 00:00", "Mon 03-10 00:00"]);
        assert_eq!(next("0 0 * * 5L", "UTC", from, 2), ["Fri 02-28 00:00", "Fri 03-28 00:00"]);
        assert_eq!(next("0 0 29 2 *", "UTC", from, 1), ["Tue 02-29 00:00"]);
    }

    #[test]
    fn what_means_something_else_elsewhere_is_refused_with_a_remedy() {
        for (expression, names) in [
            ("0 8 1-3 * 1-5", "both a day of month and a day of week"),
            ("0 0 */2 * 1", "both a day of month"),
            ("0 0 2 * * 1", "6 fields"),
            ("0 0 2 * * 1 2025", "7 fields"),
            ("0 2 * *", "4 fields"),
            ("@daily", "nickname"),
            ("0 0 1 * +1", "+"),
            ("0 0 30 2 *", "never due"),
            ("0 mon * * *", "MON"),
            ("0 0 * mon *", "MON"),
            ("0 0 * * jan", "JAN"),
            ("0 0 * * L", "\"L\""),
            ("0 0 * * 1,,2", "empty place"),
            ("60 0 * * *", "no cron expression"),
            ("0 0 * * 8", "no cron expression"),
            ("*/61 * * * *", "step of 61 as minute, which has 60 values"),
            ("0 5,*/25 * * *", "step of 25 as hour"),
            ("0 0 */32 * *", "step of 32 as day of month"),
            ("0 0 1 */13 *", "step of 13 as month"),
            ("0 0 * * */8", "step of 8 as day of week"),
            ("*/0 * * * *", "no cron expression"),
            ("0 0 * * 1#6", "no cron expression"),
            ("x y z a b", "\"X\""),
        ] {
            let refused = Due::cron(expression, Tz::UTC).expect_err(expression);
            assert!(refused.what.contains(names), "{expression}: {refused}");
            assert!(!refused.remedy.is_empty(), "{expression}: {refused}");
        }
    }

    #[test]
    fn a_time_that_the_clocks_skip_is_due_at_the_first_instant_after_the_gap() {
        let daily = next("30 2 * * *", "America/New_York", "2025-03-08T12:00:00Z", 2);
        assert_eq!(daily, ["Sun 03-09 03:00", "Mon 03-10 02:30"]);
        let quarters = next("*/15 2,3 * * *", "America/New_York", "2025-03-09T05:00:00Z", 2);
        assert_eq!(quarters, ["Sun 03-09 03:00", "Sun 03-09 03:15"]);
    }

    #[test]
    fn a_time_that_happens_twice_is_due_once_the_first_time() {
        let due = Due::cron("30 1 * * *", zone("America/New_York")).unwrap();
        let times: Vec<_> = due.after(at("2025-11-02T00:00:00Z")).take(2).collect();
        assert_eq!(times, [at("2025-11-02T05:30:00Z"), at("2025-11-03T06:30:00Z")]);
        // Asked in the second of the two hours, it is not due again either.
        assert_eq!(due.next_after(at("2025-11-02T06:10:00Z")), Some(times[1]));
    }

    #[test]
    fn an_interval_counts_from_its_day_and_does_not_begin_anew_each_month() {
        let (anchor, noon) = ("2025-01-06".parse().unwrap(), "12:00:00".parse().unwrap());
        let due = Due::interval(14, anchor, noon, zone("Europe/Berlin")).unwrap();
        let times: Vec<_> = due.after(at("2024-01-01T00:00:00Z")).take(3).collect();
        assert_eq!(times[0], at("2025-01-06T11:00:00Z"), "never before its first day");
        assert_eq!(times[2], at("2025-02-03T11:00:00Z"));
        // The same time of day after the clocks have changed.
        assert_eq!(due.next_after(at("2025-04-01T00:00:00Z")), Some(at("2025-04-14T10:00:00Z")));
        assert!(Due::interval(0, anchor, noon, Tz::UTC).is_err());
    }
}
