//! What a program says of a schedule that it wants, or wants changed.

use crate::api::error::Problem;
use crate::api::fields::Fields;
use crate::given;
use crate::schedule::change::{KEEP_RUNS, Wanted};
use crate::schedule::manage::{
    ATTEMPTS, CATCH_UP_MAX, FAILURES, JITTER_SECONDS, Request, WINDOW_DEFAULT,
};
use crate::schedule::window::{LAG_DAYS, LOOKBACK_DAYS, WindowRule};
use crate::store::schedules::{CatchUp, OverlapPolicy, Rules, ScheduleType, Timing};
use crate::webhooks::message::EVENTS;
use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// What a program wants to run by itself.
pub struct Wish {
    /// Names it.
    pub schedule_id: String,
    workflow: String,
    name: Option<String>,
    times: Times,
    window: WindowRule,
    parameters: Value,
    catch_up: (CatchUp, i32),
    overlap: OverlapPolicy,
    jitter_seconds: i32,
    max_attempts: i32,
    failure_threshold: i32,
    /// How many of its runs are kept; none for all.
    pub keep_runs: Option<i32>,
    /// Of which events webhooks are told; none for all that they want.
    pub notify: Option<Vec<String>>,
}

/// When it is due.
pub struct Times {
    cron: Option<String>,
    interval: Option<Interval>,
    timezone: Option<Tz>,
}

/// Its days, the day from which they count, and its time of day.
type Interval = (Option<i32>, Option<NaiveDate>, Option<NaiveTime>);

impl Times {
    /// Reads it. A part of an interval is enough when the rest is to stay what it is.
    pub fn read(fields: &mut Fields, is_whole: bool) -> Result<Self, Problem> {
        let cron: Option<String> = fields.optional("cron", "five fields, as text")?;
        let interval = interval(fields, is_whole)?;
        if cron.is_some() && interval.is_some() {
            return Err(Problem::invalid("interval", "cron and interval are both given")
                .with_remedy("give one of them"));
        }
        Ok(Self { cron, interval, timezone: fields.text("timezone", given::zone)? })
    }

    /// The zone, when it is given.
    pub fn timezone(&self) -> Option<&'static str> {
        self.timezone.map(Tz::name)
    }

    /// The same, as schedules take it; none when no time is given.
    pub fn changed(&self) -> Option<Timing<'_>> {
        (self.cron.is_some() || self.interval.is_some()).then(|| self.timing())
    }

    fn timing(&self) -> Timing<'_> {
        let (days, anchor, time) = self.interval.unwrap_or_default();
        let by_cron = self.interval.is_none();
        Timing {
            schedule_type: if by_cron { ScheduleType::Cron } else { ScheduleType::Interval },
            cron_expression: self.cron.as_deref(),
            interval_days: days,
            anchor_date: anchor,
            anchor_time: time,
            timezone: self.timezone.unwrap_or(Tz::UTC).name(),
        }
    }
}

/// How many runs are to be kept.
pub fn keep_runs(fields: &mut Fields) -> Result<Wanted<i32>, Problem> {
    if fields.is_null("keep_runs") {
        return Ok(Wanted::All);
    }
    Ok(fields.number("keep_runs", KEEP_RUNS)?.map_or(Wanted::AsItIs, Wanted::Only))
}

/// Of which events others are to be told.
pub fn wanted_events(fields: &mut Fields) -> Result<Wanted<Vec<String>>, Problem> {
    if fields.is_null("notify") {
        return Ok(Wanted::All);
    }
    Ok(notify(fields)?.map_or(Wanted::AsItIs, Wanted::Only))
}

/// How it is to run. What is missing stays.
pub fn rules(fields: &mut Fields) -> Result<Rules, Problem> {
    Ok(Rules {
        name: fields.text("name", given::name)?,
        parameters: fields.optional("parameters", "an object")?,
        lookback_days: fields.number("lookback_days", LOOKBACK_DAYS)?,
        lag_days: fields.number("lag_days", 0..=*LAG_DAYS.end())?,
        window_anchor: fields.optional("window_anchor", "day, week or month")?,
        catch_up: fields.optional("catch_up", "none, latest or all")?,
        catch_up_max: fields.number("catch_up_max", CATCH_UP_MAX)?,
        overlap: fields.optional("overlap", "skip, queue_one or cancel_old")?,
        jitter_seconds: fields.number("jitter_seconds", JITTER_SECONDS)?,
        max_attempts: fields.number("max_attempts", ATTEMPTS)?,
        failure_threshold: fields.number("failure_threshold", 0..=*FAILURES.end())?,
    })
}

/// Of which events webhooks are told.
fn notify(fields: &mut Fields) -> Result<Option<Vec<String>>, Problem> {
    let events: Option<Vec<String>> = fields.optional("notify", "a list of kinds of events")?;
    if events.as_ref().is_some_and(Vec::is_empty) {
        return Err(Problem::invalid("notify", "notify names no event")
            .with_remedy("name some, or give null for all; disable a webhook to hear nothing"));
    }
    let strange = |event: &&String| !EVENTS.contains(&event.as_str());
    match events.iter().flatten().find(strange) {
        None => Ok(events),
        Some(event) => Err(Problem::invalid("notify", format!("there is no event {event:?}"))
            .with_remedy(format!("use some of {}", EVENTS.join(", ")))),
    }
}

impl Wish {
    /// Reads it.
    pub fn read(fields: &mut Fields) -> Result<Self, Problem> {
        let schedule_id = fields.required_text("schedule_id", "an id, as text", given::id)?;
        let workflow = fields.required("workflow", "the id of a workflow, as text")?;
        let times = Times::read(fields, true)?;
        let rules = rules(fields)?;
        let window = WindowRule {
            lookback_days: rules.lookback_days.unwrap_or(WINDOW_DEFAULT.lookback_days),
            lag_days: rules.lag_days.unwrap_or(WINDOW_DEFAULT.lag_days),
            anchor: rules.window_anchor.unwrap_or(WINDOW_DEFAULT.anchor),
        };
        Ok(Self {
            schedule_id,
            workflow,
            name: rules.name,
            times,
            window,
            parameters: rules.parameters.unwrap_or_else(|| json!({})),
            catch_up: (rules.catch_up.unwrap_or(CatchUp::Latest), rules.catch_up_max.unwrap_or(10)),
            overlap: rules.overlap.unwrap_or(OverlapPolicy::Skip),
            jitter_seconds: rules.jitter_seconds.unwrap_or(0),
            max_attempts: rules.max_attempts.unwrap_or(5),
            failure_threshold: rules.failure_threshold.unwrap_or(3),
            keep_runs: fields.number("keep_runs", KEEP_RUNS)?,
            notify: notify(fields)?,
        })
    }

    /// The same, as those who add it take it.
    pub fn request(&self) -> Request<'_> {
        Request {
            schedule_id: &self.schedule_id,
            workflow: &self.workflow,
            name: self.name.as_deref(),
            timing: self.times.timing(),
            window: self.window,
            parameters: &self.parameters,
            catch_up: self.catch_up,
            overlap: self.overlap,
            jitter_seconds: self.jitter_seconds,
            max_attempts_per_run: self.max_attempts,
            failure_threshold: (self.failure_threshold != 0).then_some(self.failure_threshold),
        }
    }
}

fn interval(fields: &mut Fields, is_whole: bool) -> Result<Option<Interval>, Problem> {
    const DAYS: RangeInclusive<i32> = 1..=366;
    const DATE: &str = "a date such as 2025-01-06";
    let Some(mut interval) = fields.object("interval")? else { return Ok(None) };
    let (days, from) = if is_whole {
        (interval.required_number("days", DAYS).map(Some)?, interval.required("from", DATE)?)
    } else {
        (interval.number("days", DAYS)?, interval.optional("from", DATE)?)
    };
    let at = interval.optional("at", "a time of day such as 03:30:00")?;
    interval.end()?;
    Ok(Some((days, from, at)))
}
