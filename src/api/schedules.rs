//! `/v1/schedules`: what runs by itself is added, looked at, run now, paused, resumed and taken away.

mod body;

use super::Api;
use super::asked::{Asked, Person};
use super::collections::body::parameter_field;
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::schedule::change::{self, Changes};
use crate::schedule::due::{self, Unreadable};
use crate::schedule::manage::{self, Ahead, ManageError};
use crate::schedule::view::{self, RunView, ScheduleView};
use crate::store::schedules;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use body::{Times, Wish};
use serde::Serialize;
use serde_json::json;

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
pub async fn list(
    State(api): State<Api>,
    query: Given,
) -> Result<Json<Vec<ScheduleView>>, Problem> {
    Parameters::none(query)?;
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
    let person = Person::of(fields)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let added = manage::add(&mut tx, &wish.request(), &person.because()).await;
    let id = added.map_err(explained)?;
    schedules::keep_runs(&mut *tx, id, wish.keep_runs).await?;
    schedules::notify(&mut *tx, id, wish.notify.as_deref()).await?;
    tx.commit().await?;
    let location = [(header::LOCATION, format!("/v1/schedules/{}", wish.schedule_id))];
    Ok((StatusCode::CREATED, location, Json(found(&api, &wish.schedule_id).await?)))
}

/// A schedule and its newest runs.
pub async fn show(State(api): State<Api>, id: Id) -> Result<Json<Shown>, Problem> {
    found(&api, &read_id(id)?).await.map(Json)
}

/// The newest runs of a schedule.
pub async fn runs(
    State(api): State<Api>,
    id: Id,
    query: Given,
) -> Result<Json<Vec<RunView>>, Problem> {
    let (id, mut parameters) = (read_id(id)?, Parameters::of(query)?);
    let limit = parameters.limit()?;
    parameters.end()?;
    let mut connection = api.db.acquire().await?;
    let (_, runs) = view::detailed(&mut connection, &id, limit).await.map_err(explained)?;
    Ok(Json(runs))
}

/// The next times of a schedule, with the days each run asks for; of one that is paused until a time, those
/// from then on.
pub async fn preview(
    State(api): State<Api>,
    id: Id,
    query: Given,
) -> Result<Json<Vec<Ahead>>, Problem> {
    const COUNT: &str = "a whole number from 1 to 1000";
    let (id, mut parameters) = (read_id(id)?, Parameters::of(query)?);
    let count = parameters.optional("count", COUNT)?.unwrap_or(AHEAD);
    parameters.end()?;
    if !(1..=1000).contains(&count) {
        return Err(Problem::invalid("count", format!("count is not {COUNT}"))
            .with_remedy(format!("give {COUNT}")));
    }
    let schedule = schedules::by_schedule_id(&api.db, &id).await?;
    let schedule = schedule.ok_or_else(|| explained(ManageError::Unknown(id)))?;
    let (due, rule) = due::read(&schedule).map_err(|error| explained(error.into()))?;
    Ok(Json(manage::ahead(&due, rule, manage::fires_from(&schedule), count)))
}

/// Runs a schedule once, now: 202 and the run's id.
pub async fn trigger(State(api): State<Api>, asked: Asked) -> Result<impl IntoResponse, Problem> {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let run = manage::trigger(&mut tx, &api.queue, &asked.id, &asked.because()).await;
    let run = run.map_err(explained)?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"run_id": run}))))
}

/// Pauses a schedule, for good or until a time.
pub async fn pause(State(api): State<Api>, mut asked: Asked) -> Result<Json<Shown>, Problem> {
    let until = asked.until()?;
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    manage::pause(&mut tx, &asked.id, until, &asked.because()).await.map_err(explained)?;
    tx.commit().await?;
    found(&api, &asked.id).await.map(Json)
}

/// Changes a schedule from now on. What is missing stays; null takes a bound away.
pub async fn change(State(api): State<Api>, mut asked: Asked) -> Result<Json<Shown>, Problem> {
    let times = Times::read(&mut asked.fields, false)?;
    let changes = Changes {
        timing: times.changed(),
        timezone: times.timezone(),
        rules: body::rules(&mut asked.fields)?,
        keep_runs: body::keep_runs(&mut asked.fields)?,
        notify: body::wanted_events(&mut asked.fields)?,
    };
    let known = asked.fields.known();
    let asked = asked.end()?;
    if !changes.say_anything() {
        return Err(Problem::no_change(&known));
    }
    let (id, because) = (asked.id.as_str(), asked.because());
    let mut tx = crate::transaction::begin(&api.db).await?;
    change::change(&mut tx, &api.queue, id, &changes, &because).await.map_err(explained)?;
    tx.commit().await?;
    found(&api, id).await.map(Json)
}

/// Lets a paused schedule go on.
pub async fn resume(State(api): State<Api>, asked: Asked) -> Result<Json<Shown>, Problem> {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    manage::resume(&mut tx, &asked.id, &asked.because()).await.map_err(explained)?;
    tx.commit().await?;
    found(&api, &asked.id).await.map(Json)
}

/// Cancels the unfinished runs of a schedule, at AMC too.
pub async fn cancel(State(api): State<Api>, asked: Asked) -> Result<impl IntoResponse, Problem> {
    let asked = asked.end()?;
    let (id, because) = (asked.id.as_str(), asked.because());
    let mut tx = crate::transaction::begin(&api.db).await?;
    let runs = manage::cancel_runs(&mut tx, &api.queue, id, &because).await.map_err(explained)?;
    tx.commit().await?;
    Ok(Json(json!({"schedule_id": id, "cancelled": runs})))
}

/// Takes a schedule away and cancels its unfinished runs; its past runs stay: 204.
pub async fn remove(State(api): State<Api>, id: Id, query: Given) -> Result<StatusCode, Problem> {
    let id = read_id(id)?;
    let person = Person::of_address(Parameters::of(query)?)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let removed = manage::remove(&mut tx, &api.queue, &id, &person.because()).await;
    removed.map_err(explained)?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
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
        ManageError::NotPaused(_) | ManageError::KeptOut { .. } => Problem::conflict(detail),
        ManageError::Parameters(wrong) => Problem::invalid(parameter_field(&wrong), detail),
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
