//! `/v1/schedules`: what runs by itself is added, looked at, run now, paused and resumed.

use super::Api;
use super::error::Problem;
use super::fields::Fields;
use crate::schedule::due::{self, Timing, Unreadable};
use crate::schedule::manage::{self, Ahead, ManageError, Request, WINDOW_DEFAULT};
use crate::schedule::view::{self, RunView, ScheduleView};
use crate::schedule::window::WindowRule;
use crate::store::schedules::{self, CatchUp, OverlapPolicy, ScheduleType, WindowAnchor};
use crate::webhooks::message::EVENTS;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use std::num::NonZeroU16;

type Body = Result<Bytes, BytesRejection>;
type Id = Result<Path<String>, PathRejection>;

/// How many runs and how many times ahead are shown with a schedule.
const RUNS: i64 = 20;
const AHEAD: usize = 10;

/// What a program is told of a schedule.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    schedule: ScheduleView,
    runs: Vec<RunView>,
}

/// Every schedule.
pub async fn list(State(api): State<Api>) -> Result<Json<Vec<ScheduleView>>, Problem> {
    let schedules = schedules::list(&api.db).await?;
    Ok(Json(schedules.iter().map(ScheduleView::of).collect()))
}

/// Adds a schedule: 201, its address in `Location`, and where it stands.
pub async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let mut fields = Fields::from_request(&headers, body)?;
    let wish = Wish::read(&mut fields)?;
    let by = who(&mut fields)?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let id = manage::add(&mut tx, &wish.request(), &by).await.map_err(explained)?;
    schedules::keep_runs(&mut *tx, id, wish.keep_runs.map(|runs| runs.get().into())).await?;
    schedules::notify(&mut *tx, id, wish.notify.as_deref()).await?;
    tx.commit().await?;
    let location = [(header::LOCATION, format!("/v1/schedules/{}", wish.schedule_id))];
    Ok((StatusCode::CREATED, location, Json(found(&api, &wish.schedule_id).await?)))
}

/// A schedule and its newest runs.
pub async fn show(State(api): State<Api>, id: Id) -> Result<Json<Shown>, Problem> {
    found(&api, &read_id(id)?).await.map(Json)
}

/// The next times of a schedule, with the days each run asks for.
pub async fn preview(State(api): State<Api>, id: Id) -> Result<Json<Vec<Ahead>>, Problem> {
    let id = read_id(id)?;
    let schedule = schedules::by_schedule_id(&api.db, &id).await?;
    let schedule = schedule.ok_or_else(|| explained(ManageError::Unknown(id)))?;
    let (due, rule) = due::read(&schedule).map_err(|error| explained(error.into()))?;
    Ok(Json(manage::ahead(&due, rule, schedule.now, AHEAD)))
}

/// Runs a schedule once, now: 202 and the run's id.
pub async fn trigger(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let (id, mut fields) = (read_id(id)?, Fields::from_request(&headers, body)?);
    let by = who(&mut fields)?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let run = manage::trigger(&mut tx, &api.queue, &id, &by).await.map_err(explained)?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"run_id": run}))))
}

/// Pauses a schedule, for good or until a time.
pub async fn pause(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Shown>, Problem> {
    let (id, mut fields) = (read_id(id)?, Fields::from_request(&headers, body)?);
    let why: String = fields.required("why", "the reason, as text")?;
    let until: Option<DateTime<Utc>> =
        fields.optional("until", "a time such as 2026-01-31T08:00:00Z")?;
    let by = who(&mut fields)?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    manage::pause(&mut tx, &id, &why, until, &by).await.map_err(explained)?;
    tx.commit().await?;
    found(&api, &id).await.map(Json)
}

/// Lets a paused schedule go on.
pub async fn resume(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Shown>, Problem> {
    let (id, mut fields) = (read_id(id)?, Fields::from_request(&headers, body)?);
    let by = who(&mut fields)?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    manage::resume(&mut tx, &id, &by).await.map_err(explained)?;
    tx.commit().await?;
    found(&api, &id).await.map(Json)
}

/// What a program wants to run by itself.
struct Wish {
    schedule_id: String,
    workflow: String,
    name: Option<String>,
    cron: Option<String>,
    interval: Option<(i32, NaiveDate, NaiveTime)>,
    timezone: String,
    window: WindowRule,
    parameters: Value,
    catch_up: (CatchUp, i32),
    overlap: OverlapPolicy,
    jitter_seconds: i32,
    max_attempts: i32,
    failure_threshold: i32,
    keep_runs: Option<NonZeroU16>,
    notify: Option<Vec<String>>,
}

/// Of which events webhooks are told.
fn notify(fields: &mut Fields) -> Result<Option<Vec<String>>, Problem> {
    let events: Option<Vec<String>> = fields.optional("notify", "a list of kinds of events")?;
    let strange = |event: &&String| !EVENTS.contains(&event.as_str());
    match events.iter().flatten().find(strange) {
        None => Ok(events),
        Some(event) => Err(Problem::invalid("notify", format!("there is no event {event:?}"))
            .with_remedy(format!("use some of {}", EVENTS.join(", ")))),
    }
}

impl Wish {
    fn read(fields: &mut Fields) -> Result<Self, Problem> {
        let number = "a number";
        let window = WindowRule {
            lookback_days: fields
                .optional("lookback_days", number)?
                .unwrap_or(WINDOW_DEFAULT.lookback_days),
            lag_days: fields.optional("lag_days", number)?.unwrap_or(WINDOW_DEFAULT.lag_days),
            anchor: fields
                .optional("window_anchor", "day, week or month")?
                .unwrap_or(WindowAnchor::Day),
        };
        let catch_up = (
            fields.optional("catch_up", "none, latest or all")?.unwrap_or(CatchUp::Latest),
            fields.optional("catch_up_max", number)?.unwrap_or(10),
        );
        Ok(Self {
            schedule_id: schedule_id(fields)?,
            workflow: fields.required("workflow", "the id of a workflow, as text")?,
            name: fields.optional("name", "text")?,
            cron: fields.optional("cron", "five fields, as text")?,
            interval: interval(fields)?,
            timezone: fields
                .optional("timezone", "an IANA time zone such as America/New_York")?
                .unwrap_or_else(|| "UTC".to_owned()),
            window,
            parameters: fields.optional("parameters", "an object")?.unwrap_or_else(|| json!({})),
            catch_up,
            overlap: fields
                .optional("overlap", "skip, queue_one or cancel_old")?
                .unwrap_or(OverlapPolicy::Skip),
            jitter_seconds: fields.optional("jitter_seconds", number)?.unwrap_or(0),
            max_attempts: fields.optional("max_attempts", number)?.unwrap_or(5),
            failure_threshold: fields
                .optional("failure_threshold", "a number, 0 for never")?
                .unwrap_or(3),
            keep_runs: fields.optional("keep_runs", "a number of runs, from 1 to 65535")?,
            notify: notify(fields)?,
        })
    }

    fn request(&self) -> Request<'_> {
        let (days, anchor, time) = match self.interval {
            Some((days, anchor, time)) => (Some(days), Some(anchor), Some(time)),
            None => (None, None, None),
        };
        let by_cron = self.cron.is_some() || days.is_none();
        Request {
            schedule_id: &self.schedule_id,
            workflow: &self.workflow,
            name: self.name.as_deref(),
            timing: Timing {
                schedule_type: if by_cron { ScheduleType::Cron } else { ScheduleType::Interval },
                cron_expression: self.cron.as_deref(),
                interval_days: days,
                anchor_date: anchor,
                anchor_time: time,
                timezone: &self.timezone,
            },
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

fn schedule_id(fields: &mut Fields) -> Result<String, Problem> {
    const MUST_BE: &str = "letters, digits, dot, hyphen and underscore, at most 64";
    let id: String = fields.required("schedule_id", MUST_BE)?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    if id.is_empty() || id.len() > 64 || !id.chars().all(fits) {
        return Err(Problem::invalid("schedule_id", format!("schedule_id is not {MUST_BE}"))
            .with_remedy(format!("give {MUST_BE}")));
    }
    Ok(id)
}

fn interval(fields: &mut Fields) -> Result<Option<(i32, NaiveDate, NaiveTime)>, Problem> {
    let Some(mut interval) = fields.object("interval")? else { return Ok(None) };
    let days = interval.required("days", "a number of days")?;
    let from = interval.required("from", "a date such as 2025-01-06")?;
    let at = interval.optional("at", "a time of day such as 03:30:00")?.unwrap_or_default();
    interval.end()?;
    Ok(Some((days, from, at)))
}

fn who(fields: &mut Fields) -> Result<String, Problem> {
    Ok(fields.optional("by", "who asks, as text")?.unwrap_or_else(|| "api".to_owned()))
}

fn read_id(id: Id) -> Result<String, Problem> {
    let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
    if id.contains('\0') {
        return Err(Problem::not_found("no schedule's id has a NUL character in it"));
    }
    Ok(id)
}

async fn found(api: &Api, id: &str) -> Result<Shown, Problem> {
    let mut connection = api.db.acquire().await?;
    let (schedule, runs) = view::detailed(&mut connection, id, RUNS).await.map_err(explained)?;
    Ok(Shown { schedule, runs })
}

/// Why it is not done, as a program is told.
fn explained(error: ManageError) -> Problem {
    let message = error.to_string();
    let (detail, remedy) = message.rsplit_once(": ").unwrap_or((&message, ""));
    let problem = match error {
        ManageError::Database(error) => return error.into(),
        ManageError::Queue(error) => return error.into(),
        ManageError::Other(error) => return Problem::internal(error),
        ManageError::Unknown(_) => Problem::not_found(detail),
        ManageError::UnknownWorkflow(_) => Problem::not_found(detail).with_field("workflow"),
        ManageError::NoQuery(_) | ManageError::NoToken => {
            Problem::conflict(detail).with_field("workflow")
        }
        ManageError::Taken(_) => Problem::conflict(detail).with_field("schedule_id"),
        ManageError::NotPaused(_) => Problem::conflict(detail),
        ManageError::Parameters(wrong) => {
            Problem::invalid(super::collections::body::parameter_field(&wrong), detail)
        }
        ManageError::NoReason => Problem::invalid("why", detail),
        ManageError::ResumesTooEarly => Problem::invalid("until", detail),
        ManageError::Number { field, .. } => Problem::invalid(field, detail),
        ManageError::Unreadable(Unreadable::Zone(_)) => Problem::invalid("timezone", detail),
        // The sentence says which part of the time or of the window it is.
        ManageError::Unreadable(_) => {
            let field = ["lookback_days", "lag_days", "interval"];
            let field = field.into_iter().find(|field| detail.contains(field));
            Problem::invalid(field.unwrap_or("cron"), detail)
        }
    };
    problem.with_remedy(remedy)
}
