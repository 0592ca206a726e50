//! `/v1/plans`: collections that were asked for together, looked at and steered as one.

use super::Api;
use super::asked::{Asked, answer};
use super::error::Problem;
use super::query::{Given, Parameters};
use crate::backfill::plans::{self, PlanStatus};
use crate::steering::{self, SteeredPlan};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

type Id = Result<Path<String>, PathRejection>;
type Answer = Result<Json<SteeredPlan>, Problem>;

/// The newest plans.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<PlanStatus>>, Problem> {
    let mut parameters = Parameters::of(query)?;
    let limit = parameters.limit()?;
    parameters.end()?;
    let mut connection = api.db.acquire().await?;
    Ok(Json(plans::newest(&mut connection, limit).await?))
}

/// Where a plan stands, collection by collection.
pub async fn show(State(api): State<Api>, id: Id) -> Result<Json<PlanStatus>, Problem> {
    let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
    found(&api, &id).await.map(Json)
}

/// Pauses every unfinished collection of a plan, for good or until a time.
pub async fn pause(State(api): State<Api>, mut asked: Asked) -> Answer {
    let until = asked.until()?;
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::pause_plan(&mut tx, &asked.id, until, &asked.because()).await;
    answer(tx, steered).await
}

/// Lets every paused collection of a plan go on.
pub async fn resume(State(api): State<Api>, asked: Asked) -> Answer {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::resume_plan(&mut tx, &api.queue, &asked.id, &asked.because()).await;
    answer(tx, steered).await
}

/// Cancels what the collections of a plan have left to do, at AMC too.
pub async fn cancel(State(api): State<Api>, asked: Asked) -> Answer {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::cancel_plan(&mut tx, &api.queue, &asked.id, &asked.because()).await;
    answer(tx, steered).await
}

/// Takes up the failed and the cancelled weeks of every collection of a plan.
pub async fn retry(State(api): State<Api>, asked: Asked) -> Answer {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::retry_plan(&mut tx, &api.queue, &asked.id, &asked.because()).await;
    answer(tx, steered).await
}

/// Where the plan stands.
pub(super) async fn found(api: &Api, id: &str) -> Result<PlanStatus, Problem> {
    if id.contains('\0') {
        return Err(Problem::not_found("no plan's id has a NUL character in it"));
    }
    let mut connection = api.db.acquire().await?;
    let plan = plans::of(&mut connection, id).await?;
    plan.ok_or_else(|| Problem::not_found(format!("there is no plan {id:?}")))
}
