//! `/v1/collections`: backfills, started and looked at.

use super::Api;
use super::error::Problem;
use super::fields::Fields;
use crate::backfill::plan::{LAG_DAYS_DEFAULT, PlanError, PlanRequest};
use crate::backfill::start::{self, Request, StartError};
use crate::backfill::status::{self, Detailed};
use crate::jobs::feed;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use chrono::Weekday;
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::Value;

/// What a program is told of a collection that it has just started.
#[derive(Debug, Serialize)]
struct Started {
    #[serde(flatten)]
    collection: Detailed,
    /// What whoever asked should know.
    warning: Option<String>,
}

/// Starts a backfill: 201, its address in `Location`, and where it stands.
pub async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Problem> {
    let request = read(&headers, body, api.week_attempts)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let created = start::create(&mut tx, &request).await.map_err(explained)?;
    feed::top_up(&api.queue, &mut tx, created.collection).await?;
    tx.commit().await?;
    tracing::info!(
        collection = created.collection_id,
        weeks = created.weeks.len(),
        "collection started"
    );
    let collection = found(&api, &created.collection_id).await?;
    let location = [(header::LOCATION, format!("/v1/collections/{}", created.collection_id))];
    let started = Started { collection, warning: created.warning };
    Ok((StatusCode::CREATED, location, Json(started)))
}

/// Where a backfill stands, week by week.
pub async fn show(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Detailed>, Problem> {
    let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
    found(&api, &id).await.map(Json)
}

async fn found(api: &Api, id: &str) -> Result<Detailed, Problem> {
    if id.contains('\0') {
        return Err(Problem::not_found("no collection's id has a NUL character in it"));
    }
    let mut connection = api.db.acquire().await?;
    let detailed = status::detailed(&mut connection, id).await?;
    detailed.ok_or_else(|| Problem::not_found(format!("there is no collection {id:?}")))
}

fn read(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    week_attempts: u32,
) -> Result<Request, Problem> {
    let mut fields = Fields::from_request(headers, body)?;
    let request = Request {
        workflow: fields.required("workflow", "the id of a workflow, as text")?,
        instance: fields.optional("instance", "AMC's id of an instance, as text")?,
        weeks: weeks(&mut fields)?,
        zone: zone(&mut fields)?,
        lag_days: fields.optional("lag_days", "a number of days")?.unwrap_or(LAG_DAYS_DEFAULT),
        week_starts_on: week_starts_on(&mut fields)?,
        parameters: fields
            .optional::<Value>("parameters", "an object")?
            .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        name: fields.optional("name", "text")?,
        max_attempts_per_week: i32::try_from(week_attempts).unwrap_or(i32::MAX),
        actor: "api",
    };
    fields.end()?;
    Ok(request)
}

fn weeks(fields: &mut Fields) -> Result<PlanRequest, Problem> {
    let last = fields.optional("weeks", "a number of weeks")?;
    let range = fields.object("range")?;
    match (last, range) {
        (Some(weeks), None) => Ok(PlanRequest::Last(weeks)),
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

fn zone(fields: &mut Fields) -> Result<Tz, Problem> {
    const MUST_BE: &str = "an IANA time zone such as America/New_York";
    Ok(fields.optional("timezone", MUST_BE)?.unwrap_or(Tz::UTC))
}

fn week_starts_on(fields: &mut Fields) -> Result<Weekday, Problem> {
    const MUST_BE: &str = "a weekday such as monday";
    let Some(text) = fields.optional::<String>("week_starts_on", MUST_BE)? else {
        return Ok(Weekday::Mon);
    };
    text.parse().map_err(|_| {
        Problem::invalid("week_starts_on", format!("week_starts_on is not {MUST_BE}"))
            .with_remedy(format!("give {MUST_BE}"))
    })
}

/// Why a backfill does not start, as a program is told.
fn explained(error: StartError) -> Problem {
    let (detail, remedy) = halves(&error.to_string());
    let problem = match error {
        StartError::Plan(error) => return unplanned(&error),
        StartError::Database(error) => return error.into(),
        StartError::UnknownWorkflow(_) => Problem::not_found(detail).with_field("workflow"),
        StartError::UnknownInstance(_) => Problem::not_found(detail).with_field("instance"),
        StartError::Blocked { .. } | StartError::Disabled(_) => {
            Problem::conflict(detail).with_field("instance")
        }
        StartError::Archived(_) | StartError::NoQuery(_) | StartError::NoToken => {
            Problem::conflict(detail).with_field("workflow")
        }
        StartError::Parameters => Problem::invalid("parameters", detail),
        StartError::Duplicate(_) => Problem::conflict(detail),
    };
    problem.with_remedy(remedy)
}

/// The planner's words for the ends of a range are ours from here on.
fn unplanned(error: &PlanError) -> Problem {
    let (field, message) = match error {
        PlanError::LagTooShort { .. } => ("lag_days", error.to_string()),
        PlanError::WeekCount { .. } => ("weeks", error.to_string()),
        PlanError::NotAWeekStart { field, .. } => {
            let ours = if *field == "from" { "range.start" } else { "range.end" };
            (ours, error.to_string().replacen(field, ours, 1))
        }
        PlanError::TooRecent { .. } => {
            ("range.end", error.to_string().replacen("until", "range.end", 1))
        }
        PlanError::BeyondCalendar => ("range", error.to_string()),
    };
    let (detail, remedy) = halves(&message);
    Problem::invalid(field, detail).with_remedy(remedy)
}

/// What is wrong, and what to do about it: our messages say both, with a colon between them.
fn halves(message: &str) -> (String, String) {
    let (detail, remedy) = message.rsplit_once(": ").unwrap_or((message, ""));
    (detail.to_owned(), remedy.to_owned())
}
