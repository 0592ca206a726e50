//! `/v1/batches`: one workflow on many instances, started, looked at, called off, tried again.

use super::Api;
use super::asked::{Asked, answer};
use super::collections::body;
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::backfill::batches::{self, BatchStatus};
use crate::given;
use crate::steering::{self, BatchError, BatchRequest, SteeredBatch};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Body = Result<Bytes, BytesRejection>;
type Id = Result<Path<String>, PathRejection>;
type Answer = Result<Json<SteeredBatch>, Problem>;

/// The newest batches.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<BatchStatus>>, Problem> {
    let mut parameters = Parameters::of(query)?;
    let limit = parameters.limit()?;
    parameters.end()?;
    Ok(Json(batches::newest(&mut *api.db.acquire().await?, limit).await?))
}

/// Starts a batch: 201, its address in `Location`, and where it stands.
pub async fn create(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let mut fields = Fields::from_request(&headers, body)?;
    let request = read(&mut fields, api.limits.week_attempts)?;
    let by = fields.who()?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let id = steering::start_batch(&mut tx, &api.queue, &request, &by).await?;
    tx.commit().await?;
    let location = [(header::LOCATION, format!("/v1/batches/{id}"))];
    Ok((StatusCode::CREATED, location, Json(found(&api, &id).await?)))
}

/// Where a batch stands, instance by instance.
pub async fn show(State(api): State<Api>, id: Id) -> Result<Json<BatchStatus>, Problem> {
    let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
    found(&api, &id).await.map(Json)
}

/// Cancels what a batch has left to do, at AMC too.
pub async fn cancel(State(api): State<Api>, asked: Asked) -> Answer {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::cancel_batch(&mut tx, &api.queue, &asked.id, &asked.because()).await;
    answer(tx, steered).await
}

/// Takes up the failed and the cancelled members of a batch.
pub async fn retry(State(api): State<Api>, asked: Asked) -> Answer {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::retry_batch(&mut tx, &api.queue, &asked.id, &asked.because()).await;
    answer(tx, steered).await
}

fn read(fields: &mut Fields, week_attempts: u32) -> Result<BatchRequest, Problem> {
    const DATE: &str = "a date such as 2025-01-06";
    const VALUES: &str = "an object";
    const OWN: &str = "an object with an object of values for each instance";
    let workflow = fields.required("workflow", "the id of a workflow, as text")?;
    let ids: Vec<String> = fields.required("instances", "a list of AMC's ids of instances")?;
    let parameters = fields.optional("parameters", VALUES)?.unwrap_or_default();
    let own: BTreeMap<String, Map<String, Value>> =
        fields.optional("parameters_for", OWN)?.unwrap_or_default();
    let mut instances: BTreeMap<_, _> = ids.into_iter().map(|id| (id, Map::new())).collect();
    for (id, values) in own {
        let Some(instance) = instances.get_mut(&id) else {
            let detail = format!("parameters_for names {id:?}, which is none of the instances");
            return Err(Problem::invalid("parameters_for", detail)
                .with_remedy("name it in instances too, or leave it out"));
        };
        *instance = values;
    }
    Ok(BatchRequest {
        workflow,
        instances,
        parameters,
        from: fields.required("start", DATE)?,
        until: fields.required("end", DATE)?,
        zone: body::zone(fields)?,
        name: fields.text("name", given::name)?,
        max_attempts: i32::try_from(week_attempts).unwrap_or(i32::MAX),
    })
}

async fn found(api: &Api, id: &str) -> Result<BatchStatus, Problem> {
    if id.contains('\0') {
        return Err(Problem::not_found("no batch's id has a NUL character in it"));
    }
    let batch = batches::of(&mut *api.db.acquire().await?, id).await?;
    batch.ok_or_else(|| Problem::not_found(format!("there is no batch {id:?}")))
}

/// Why it is not done, as a program is told.
impl From<BatchError> for Problem {
    fn from(error: BatchError) -> Self {
        let message = error.to_string();
        let (detail, remedy) = body::halves(&message);
        let problem = match error {
            BatchError::Database(error) => return error.into(),
            BatchError::Queue(error) => return error.into(),
            BatchError::Start(error) => return body::explained(error),
            BatchError::Unknown(_) => Self::not_found(detail),
            BatchError::NoInstance => Self::invalid("instances", detail),
            BatchError::TooOld(_) => Self::invalid("start", detail),
            BatchError::EmptyWindow { .. } | BatchError::TooRecent { .. } => {
                Self::invalid("end", detail)
            }
            BatchError::NoReason => Self::invalid("why", detail),
        };
        problem.with_remedy(remedy)
    }
}
