//! `/v1/jobs`: the jobs of the queue, looked at, and why one does not run.

pub mod steer;

use super::Api;
use super::error::Problem;
use super::query::{Given, Parameters};
use crate::jobs::explain;
use crate::queue;
use crate::queue::explain::Explanation;
use crate::queue::postgres::inspect::jobs::{self, Filter, Listed, Whole};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;

/// A page of jobs.
#[derive(Debug, Serialize)]
pub struct Page {
    /// The newest first.
    jobs: Vec<Listed>,
    /// What to give as `after` for the next page; null when this is the last one.
    next_after: Option<i64>,
}

/// Jobs, page by page, the newest first.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Page>, Problem> {
    let mut parameters = Parameters::of(query)?;
    let filter = Filter {
        queue: parameters.optional("queue", "the name of a queue")?,
        kind: parameters.optional("kind", "the name of a kind")?,
        state: state(&mut parameters)?,
        after: parameters.optional("after", "the id of a job")?,
        limit: parameters.limit()?,
    };
    parameters.end()?;
    let jobs = jobs::page(&mut *api.db.acquire().await?, &filter).await?;
    let is_full = i64::try_from(jobs.len()).is_ok_and(|count| count == filter.limit);
    let next_after = jobs.last().map(|job| job.id).filter(|_| is_full);
    Ok(Json(Page { jobs, next_after }))
}

/// One job with everything that is known of it.
pub async fn show(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Whole>, Problem> {
    let id = job_id(id)?;
    let job = jobs::whole(&mut *api.db.acquire().await?, id).await?;
    job.map(Json).ok_or_else(|| nothing(id))
}

/// Everything that holds it, in order.
pub async fn explain(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Explanation>, Problem> {
    let id = job_id(id)?;
    let explanation = api.queue.explain(&api.db, id).await?;
    let mut explanation = explanation.ok_or_else(|| nothing(id))?;
    explain::explain(&api.db, &mut explanation).await?;
    Ok(Json(explanation))
}

/// The job that an address names.
pub fn job_id(id: Result<Path<String>, PathRejection>) -> Result<i64, Problem> {
    let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
    id.parse().map_err(|_| Problem::not_found(format!("{id:?} is no id of a job: it is a number")))
}

fn nothing(id: i64) -> Problem {
    Problem::not_found(format!("there is no job {id}"))
}

fn state(parameters: &mut Parameters) -> Result<Option<queue::State>, Problem> {
    const MUST_BE: &str = "one of waiting, running, done, discarded, cancelled";
    let Some(word) = parameters.optional::<String>("state", MUST_BE)? else { return Ok(None) };
    let state = serde_json::from_value(serde_json::Value::String(word));
    state.map(Some).map_err(|_| {
        Problem::invalid("state", format!("state is not {MUST_BE}"))
            .with_remedy(format!("give {MUST_BE}"))
    })
}
