//! The time window of an execution: what was asked for, and which days that means.

use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeZone,
    Utc,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

/// What a submit says about time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    kind: String,
    zone: Tz,
    /// Local start and end (exclusive); for kinds that AMC chooses only known after validation.
    ends: Option<(NaiveDateTime, NaiveDateTime)>,
    /// The texts as they were sent.
    pub(crate) sent: [String; 2],
}

impl Window {
    /// Reads the window out of a submit.
    pub(crate) fn read(body: &Map<String, Value>) -> Result<Self, String> {
        let text = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("{name} must be a string.")),
        };
        let kind = text("timeWindowType")?.unwrap_or("MOST_RECENT_DAY").to_owned();
        let zone = text("timeWindowTimeZone")?.unwrap_or("UTC");
        let zone: Tz = zone.parse().map_err(|_| format!("Unknown timeWindowTimeZone {zone}."))?;
        let (start, end) = (text("timeWindowStart")?, text("timeWindowEnd")?);
        let sent = [start, end].map(|text| text.unwrap_or_default().to_owned());
        let ends = match (kind.as_str(), start, end) {
            ("EXPLICIT", Some(start), Some(end)) => {
                let ends = (local("timeWindowStart", start)?, local("timeWindowEnd", end)?);
                if ends.1 <= ends.0 {
                    return Err("timeWindowEnd must be after timeWindowStart.".to_owned());
                }
                Some(ends)
            }
            ("EXPLICIT", ..) => {
                let message = "timeWindowStart and timeWindowEnd are required for EXPLICIT.";
                return Err(message.to_owned());
            }
            (
                "ALL" | "CURRENT_MONTH" | "MOST_RECENT_DAY" | "MOST_RECENT_WEEK" | "PREVIOUS_MONTH",
                ..,
            ) => None,
            _ => return Err(format!("Unknown timeWindowType {kind}.")),
        };
        Ok(Self { kind, zone, ends, sent })
    }

    /// Whether one of the texts ends in `Z`.
    pub(crate) fn has_z(&self) -> bool {
        self.sent.iter().any(|text| text.ends_with(['Z', 'z']))
    }

    /// Chooses the ends of a window that was left to AMC, seen from `now`.
    pub(crate) fn choose(&mut self, now: DateTime<Utc>) {
        let today = now.with_timezone(&self.zone).date_naive();
        let month = today.with_day(1).expect("every month has a first day");
        let (start, end) = match self.kind.as_str() {
            "MOST_RECENT_DAY" => (today - Days::new(1), today),
            "MOST_RECENT_WEEK" => (today - Days::new(7), today),
            "CURRENT_MONTH" => (month, today),
            "PREVIOUS_MONTH" => (month - Months::new(1), month),
            "ALL" => (today - Months::new(13), today),
            _ => return,
        };
        self.ends = Some((start.and_time(NaiveTime::MIN), end.and_time(NaiveTime::MIN)));
    }

    /// The days it covers, the second one exclusive; a day that is begun counts.
    pub(crate) fn days(&self) -> Option<(NaiveDate, NaiveDate)> {
        let (start, end) = self.ends?;
        let begun = u64::from(end.time() != NaiveTime::MIN);
        Some((start.date(), end.date() + Days::new(begun)))
    }

    /// Adds what an execution says about its window.
    pub(crate) fn show(&self, shown: &mut Map<String, Value>) {
        let mut put = |name: &str, text: String| shown.insert(name.to_owned(), Value::String(text));
        put("timeWindowTimeZoneOriginal", self.zone.name().to_owned());
        if let Some((start, end)) = self.ends {
            put("timeWindowStartOriginal", start.format(FORMAT).to_string());
            put("timeWindowEndOriginal", end.format(FORMAT).to_string());
            put("timeWindowStart", seconds(utc(self.zone, start)));
            put("timeWindowEnd", seconds(utc(self.zone, end)));
        }
    }
}

/// A moment as AMC writes it.
pub(crate) fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The moment of a local time; one that the clock jumps over is an hour later.
pub(crate) fn utc(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    let hour = chrono::TimeDelta::hours(1);
    let at = zone.from_local_datetime(&local).earliest();
    let at = at.or_else(|| zone.from_local_datetime(&(local + hour)).earliest());
    at.map_or_else(|| local.and_utc(), |at| at.with_timezone(&Utc))
}

/// A local time as AMC wants it, `yyyy-MM-dd'T'HH:mm:ss`; a trailing `Z` is read over.
pub(crate) fn local(name: &str, text: &str) -> Result<NaiveDateTime, String> {
    NaiveDateTime::parse_from_str(text.trim_end_matches(['Z', 'z']), FORMAT)
        .map_err(|_| format!("{name} must have the format yyyy-MM-dd'T'HH:mm:ss."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &Value) -> Result<Window, String> {
        Window::read(body.as_object().expect("an object"))
    }

    fn explicit(start: &str, end: &str, zone: &str) -> Result<Window, String> {
        read(&json!({"timeWindowType": "EXPLICIT", "timeWindowStart": start, "timeWindowEnd": end,
            "timeWindowTimeZone": zone}))
    }

    #[test]
    fn an_explicit_window_needs_both_ends_with_a_time_in_their_order() {
        let refused = |start, end| explicit(start, end, "UTC").expect_err("refused");
        assert!(refused("2025-01-06", "2025-01-13T00:00:00").contains("timeWindowStart"));
        assert!(refused("2025-01-06T00:00:00", "2025-01-06T00:00:00").contains("after"));
        assert!(read(&json!({"timeWindowType": "EXPLICIT"})).is_err());
        assert!(read(&json!({"timeWindowType": "WEEKLY"})).is_err());
        assert!(explicit("2025-01-06T00:00:00", "2025-01-13T00:00:00", "Mars/Base").is_err());
    }

    #[test]
    fn a_week_over_the_change_of_clocks_has_its_own_length_in_utc() {
        let window = explicit("2025-03-03T00:00:00", "2025-03-10T00:00:00", "America/New_York");
        let mut shown = Map::new();
        window.expect("a good window").show(&mut shown);
        assert_eq!(shown["timeWindowStart"], "2025-03-03T05:00:00Z");
        assert_eq!(shown["timeWindowEnd"], "2025-03-10T04:00:00Z");
        assert_eq!(shown["timeWindowEndOriginal"], "2025-03-10T00:00:00");
    }

    #[test]
    fn a_window_that_amc_chooses_has_no_ends_until_then() {
        let mut window = read(&json!({"timeWindowType": "PREVIOUS_MONTH"})).expect("a good window");
        assert_eq!(window.days(), None);
        window.choose("2025-03-10T12:00:00Z".parse().expect("a real time"));
        let days = window.days().expect("chosen");
        assert_eq!([days.0.to_string(), days.1.to_string()], ["2025-02-01", "2025-03-01"]);
    }

    #[test]
    fn a_day_that_is_begun_belongs_to_the_window() {
        let days = |end| explicit("2025-01-06T00:00:00", end, "UTC").expect("good").days();
        assert_eq!(days("2025-01-12T23:59:59"), days("2025-01-13T00:00:00"));
    }
}
