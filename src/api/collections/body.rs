//! What a program says of the backfill that it wants, and why it does not start.

use crate::api::error::Problem;
use crate::api::fields::Fields;
use crate::backfill::cut::Cut;
use crate::backfill::plan::{LAG_DAYS_DEFAULT, PlanError, PlanRequest};
use crate::backfill::request::{Request, StartError};
use crate::backfill::select::{MODES, Mode};
use crate::config;
use crate::given;
use crate::parameters::Invalid;
use crate::store::collections::Rules;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use chrono::Weekday;
use chrono_tz::Tz;
use serde_json::Value;
use std::collections::BTreeSet;

/// What a program asks for.
#[derive(Debug)]
pub struct Asked {
    /// What is to be collected.
    pub request: Request,
    /// Whether it only wants to know what would happen.
    pub dry_run: bool,
}

impl Asked {
    /// Reads it.
    pub fn read(
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
        week_attempts: u32,
    ) -> Result<Self, Problem> {
        let mut fields = Fields::from_request(headers, body)?;
        let cut = cut(&mut fields)?;
        let request = Request {
            workflows: workflows(&mut fields)?,
            instances: instances(&mut fields)?,
            slices: slices(&mut fields, cut)?,
            cut,
            mode: mode(&mut fields)?,
            rules: rules(&mut fields)?,
            zone: zone(&mut fields)?,
            lag_days: fields.number("lag_days", 0..=u16::MAX)?.unwrap_or(LAG_DAYS_DEFAULT),
            parameters: fields
                .optional::<Value>("parameters", "an object")?
                .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            name: fields.text("name", given::name)?,
            max_attempts_per_week: i32::try_from(week_attempts).unwrap_or(i32::MAX),
            actor: fields.who()?,
        };
        let dry_run = fields.optional("dry_run", "true or false")?.unwrap_or(false);
        fields.end()?;
        Ok(Self { request, dry_run })
    }
}

fn workflows(fields: &mut Fields) -> Result<BTreeSet<String>, Problem> {
    const MUST_BE: &str = "the id of a workflow, as text";
    let one: Option<String> = fields.optional("workflow", MUST_BE)?;
    let several = fields.optional("workflows", "a list of ids of workflows")?;
    match (one, several) {
        (Some(_), Some(_)) => Err(both("workflow", "workflows")),
        (Some(one), None) => Ok(BTreeSet::from([one])),
        (None, Some(several)) => Ok(several),
        (None, None) => Err(Problem::invalid("workflow", "workflow is missing")
            .with_remedy(format!("give {MUST_BE}"))),
    }
}

fn instances(fields: &mut Fields) -> Result<BTreeSet<String>, Problem> {
    let one: Option<String> = fields.optional("instance", "AMC's id of an instance, as text")?;
    let several = fields.optional("instances", "a list of AMC's ids of instances")?;
    match (one, several) {
        (Some(_), Some(_)) => Err(both("instance", "instances")),
        (one, None) => Ok(one.into_iter().collect()),
        (None, Some(several)) => Ok(several),
    }
}

fn both(one: &'static str, several: &'static str) -> Problem {
    Problem::invalid(several, format!("{one} and {several} are both given"))
        .with_remedy("give one of them")
}

fn slices(fields: &mut Fields, cut: Cut) -> Result<PlanRequest, Problem> {
    let last = fields.number("weeks", 1..=cut.count_max())?;
    let last = fields.number("last", 1..=cut.count_max())?.or(last);
    let range = fields.object("range")?;
    match (last, range) {
        (Some(count), None) => Ok(PlanRequest::Last(count)),
        (None, Some(mut range)) => {
            let from = range.required("start", "a date such as 2025-01-06")?;
            let until = range.required("end", "a date such as 2025-03-31")?;
            range.end()?;
            Ok(PlanRequest::Range { from, until })
        }
        (None, None) => Err(Problem::invalid("weeks", "neither weeks nor range is given")
            .with_remedy("give weeks, the number of the last complete ones, or range")),
        (Some(_), Some(_)) => Err(Problem::invalid("range", "weeks and range are both given")
            .with_remedy("give one of them")),
    }
}

fn cut(fields: &mut Fields) -> Result<Cut, Problem> {
    const MUST_BE: &str = "day, week or month";
    let grain = fields.optional::<String>("grain", MUST_BE)?;
    let starts_on = fields.text("week_starts_on", given::weekday)?;
    match (grain.as_deref(), starts_on) {
        (None | Some("week"), weekday) => Ok(Cut::Weeks(weekday.unwrap_or(Weekday::Mon))),
        (Some("day"), None) => Ok(Cut::Days),
        (Some("month"), None) => Ok(Cut::Months),
        (Some("day" | "month"), Some(_)) => Err(Problem::invalid(
            "week_starts_on",
            "week_starts_on is given, but grain is not week",
        )
        .with_remedy("leave it out")),
        (Some(_), _) => Err(Problem::invalid("grain", format!("grain is not {MUST_BE}"))
            .with_remedy(format!("give {MUST_BE}"))),
    }
}

fn mode(fields: &mut Fields) -> Result<Mode, Problem> {
    const AGE: &str = "a duration such as 30d";
    let name = fields.optional::<String>("mode", "the name of a mode")?;
    let name = name.as_deref().unwrap_or("all");
    let age = fields.optional::<String>("older_than", AGE)?;
    let age = age.map(|text| config::duration(&text)).transpose().map_err(|_| {
        Problem::invalid("older_than", format!("older_than is not {AGE}"))
            .with_remedy(format!("give {AGE}"))
    })?;
    if !MODES.contains(&name) {
        return Err(Problem::invalid("mode", "mode is none of the modes there are")
            .with_remedy(format!("give {}", MODES.join(", "))));
    }
    Mode::named(name, age).ok_or_else(|| {
        Problem::invalid("older_than", "older_than belongs to the mode stale, and to no other")
            .with_remedy(format!("give {AGE} with stale, and nothing with the others"))
    })
}

fn rules(fields: &mut Fields) -> Result<Rules, Problem> {
    const ORDER: &str = "oldest_first, newest_first or interleaved";
    let usual = Rules::default();
    let weeks = fields.number("max_failed_weeks", 1..=i32::MAX)?;
    let percent = fields.number("max_failed_percent", 1..=100)?;
    let feed_order = fields.optional("order", ORDER)?.unwrap_or(usual.feed_order);
    Ok(Rules { feed_order, ..usual }.with_budget(weeks, percent))
}

/// The zone in which days begin.
pub fn zone(fields: &mut Fields) -> Result<Tz, Problem> {
    Ok(fields.text("timezone", given::zone)?.unwrap_or(Tz::UTC))
}

/// Why a backfill does not start, as a program is told.
pub fn explained(error: StartError) -> Problem {
    let (detail, remedy) = halves(&error.to_string());
    let problem = match error {
        StartError::Plan(error) => return unplanned(&error),
        StartError::Database(error) => return error.into(),
        StartError::UnknownWorkflow(_) => Problem::not_found(detail).with_field("workflow"),
        StartError::UnknownInstance(_) => Problem::not_found(detail).with_field("instance"),
        StartError::Blocked { .. } | StartError::Disabled(_) => {
            Problem::conflict(detail).with_field("instance")
        }
        StartError::Archived(_)
        | StartError::NoQuery(_)
        | StartError::NoToken
        | StartError::TokenRefused
        | StartError::ClientRefused => Problem::conflict(detail).with_field("workflow"),
        StartError::NoWorkflow => Problem::invalid("workflows", detail),
        StartError::Parameters(wrong) => Problem::invalid(parameter_field(&wrong), detail),
        StartError::NothingToDo(_) => Problem::conflict(detail).with_field("mode"),
        StartError::Duplicate(_) => Problem::conflict(detail),
    };
    problem.with_remedy(remedy)
}

/// Where in a body the parameter stands that is wrong.
pub fn parameter_field(wrong: &Invalid) -> String {
    let inside = wrong.parameter.as_ref().map(|name| format!("parameters.{name}"));
    inside.unwrap_or_else(|| "parameters".to_owned())
}

/// The planner's words for the ends of a range are ours from here on.
fn unplanned(error: &PlanError) -> Problem {
    let (field, message) = match error {
        PlanError::LagTooShort { .. } => ("lag_days", error.to_string()),
        PlanError::Count { .. } => ("weeks", error.to_string()),
        PlanError::NotABorder { field, .. } => {
            let ours = if *field == "from" { "range.start" } else { "range.end" };
            (ours, error.to_string().replacen(field, ours, 1))
        }
        PlanError::TooRecent { .. } => {
            ("range.end", error.to_string().replacen("until", "range.end", 1))
        }
        PlanError::Backwards { .. } => {
            let ours = error.to_string().replacen("until", "range.end", 1);
            ("range.end", ours.replace("earlier from", "earlier range.start"))
        }
        PlanError::BeyondCalendar { .. } => ("range", error.to_string()),
    };
    let (detail, remedy) = halves(&message);
    Problem::invalid(field, detail).with_remedy(remedy)
}

/// What is wrong, and what to do about it: our messages say both, with a colon between them.
pub fn halves(message: &str) -> (String, String) {
    let (detail, remedy) = message.rsplit_once(": ").unwrap_or((message, ""));
    (detail.to_owned(), remedy.to_owned())
}
