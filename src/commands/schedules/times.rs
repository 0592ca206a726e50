//! When a schedule is due, as it is said on the command line.

use crate::given;
use crate::store::schedules::{ScheduleType, Timing};
use chrono::{NaiveDate, NaiveTime};
use clap::Args;

/// When it is due.
#[derive(Debug, Args)]
pub struct Times {
    /// Five fields: minute, hour, day of month, month, day of week.
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// Every so many days, instead of cron.
    #[arg(long, value_name = "DAYS", conflicts_with = "cron")]
    every_days: Option<i32>,
    /// The day from which these days count.
    #[arg(long, value_name = "DATE", conflicts_with = "cron", value_parser = given::date)]
    from: Option<NaiveDate>,
    /// The time of day of an interval.
    #[arg(long, value_name = "HH:MM", conflicts_with = "cron", value_parser = time_of_day)]
    at: Option<NaiveTime>,
}

impl Times {
    /// The same with its zone; none when no time is given. What is not given of an interval is left open.
    pub fn timing<'a>(&'a self, timezone: &'a str) -> Option<Timing<'a>> {
        let by_cron = self.cron.is_some();
        let by_days = self.every_days.is_some() || self.from.is_some() || self.at.is_some();
        (by_cron || by_days).then_some(Timing {
            schedule_type: if by_cron { ScheduleType::Cron } else { ScheduleType::Interval },
            cron_expression: self.cron.as_deref(),
            interval_days: self.every_days,
            anchor_date: self.from,
            anchor_time: self.at,
            timezone,
        })
    }
}

fn time_of_day(text: &str) -> Result<NaiveTime, String> {
    NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| "give a time such as 03:30".to_owned())
}
