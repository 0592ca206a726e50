//! `/v1/collections`: backfills, started and looked at.

pub(super) mod body;

use super::error::Problem;
use super::{Api, plans};
use crate::backfill::completion::{self, Completion};
use crate::backfill::plans::PlanStatus;
use crate::backfill::preview;
use crate::backfill::select::LeftOut;
use crate::backfill::start;
use crate::backfill::status::{self, Detailed};
use crate::jobs::feed;
use crate::tools::resources;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use body::Asked;
use serde::Serialize;

/// What a program is told of what it has just started.
#[derive(Debug, Serialize)]
struct Started {
    #[serde(flatten)]
    what: What,
    /// Slices that are no part of the work, and why not.
    left_out: Vec<LeftOut>,
    /// What whoever asked should know.
    warning: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum What {
    Collection(Box<Detailed>),
    Plan(Box<PlanStatus>),
}

/// Starts a backfill: 201, its address in `Location`, and where it stands; or, as a dry run, 200 and
/// what it would do.
pub async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Asked { request, dry_run } = Asked::read(&headers, body, api.limits.week_attempts)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    if dry_run {
        let preview = preview::preview(&mut tx, &request, resources::NAMES, api.curve).await;
        return Ok(Json(preview.map_err(body::explained)?).into_response());
    }
    let created = start::create(&mut tx, &request).await.map_err(body::explained)?;
    feed::begin(&api.queue, &mut tx, &created).await?;
    tx.commit().await?;
    for made in &created.collections {
        tracing::info!(collection = made.collection_id, weeks = made.weeks, "collection started");
    }
    let (what, place) = match (&created.plan_id, created.collections.as_slice()) {
        (None, [made, ..]) => {
            let collection = found(&api, &made.collection_id).await?;
            (What::Collection(Box::new(collection)), format!("collections/{}", made.collection_id))
        }
        (plan, _) => {
            let id = plan.as_deref().unwrap_or_default();
            (What::Plan(Box::new(plans::found(&api, id).await?)), format!("plans/{id}"))
        }
    };
    let location = [(header::LOCATION, format!("/v1/{place}"))];
    let started = Started { what, left_out: created.left_out, warning: created.warning };
    Ok((StatusCode::CREATED, location, Json(started)).into_response())
}

/// Where a backfill stands, week by week.
pub async fn show(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Detailed>, Problem> {
    let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
    found(&api, &id).await.map(Json)
}

/// Whether a backfill has every day of its period once, and what it lacks.
pub async fn report(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Completion>, Problem> {
    let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
    known_text(&id)?;
    let report = completion::report(&mut *api.db.acquire().await?, &id).await?;
    report.map(Json).ok_or_else(|| unknown(&id))
}

async fn found(api: &Api, id: &str) -> Result<Detailed, Problem> {
    known_text(id)?;
    let mut connection = api.db.acquire().await?;
    let detailed = status::detailed(&mut connection, id).await?;
    detailed.ok_or_else(|| unknown(id))
}

fn known_text(id: &str) -> Result<(), Problem> {
    if id.contains('\0') {
        return Err(Problem::not_found("no collection's id has a NUL character in it"));
    }
    Ok(())
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no collection {id:?}"))
}
