//! `/v1/workflows`: the queries, what AMC said of them, and asking it again.

use super::Api;
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::jobs::sync_workflow;
use crate::store::executions::SubmitMode;
use crate::store::versions::{self, Told};
use crate::store::workflows::{self, SyncStatus, Workflow};
use crate::store::{checks, copies};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;

type Body = Result<Bytes, BytesRejection>;
type Id = Result<Path<String>, PathRejection>;

/// A workflow as a program is told of it.
#[derive(Debug, Serialize)]
pub struct Shown {
    workflow_id: String,
    name: String,
    submit_mode: SubmitMode,
    amc_sync_status: SyncStatus,
    amc_workflow_id: Option<String>,
}

/// The same with its versions.
#[derive(Debug, Serialize)]
pub struct Detailed {
    #[serde(flatten)]
    workflow: Shown,
    versions: Vec<Told>,
}

impl Shown {
    fn of(workflow: Workflow) -> Self {
        Self {
            workflow_id: workflow.workflow_id,
            name: workflow.name,
            submit_mode: workflow.submit_mode,
            amc_sync_status: workflow.amc_sync_status,
            amc_workflow_id: workflow.amc_workflow_id,
        }
    }
}

/// Every workflow that is in use.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<Shown>>, Problem> {
    Parameters::none(query)?;
    Ok(Json(workflows::list(&api.db).await?.into_iter().map(Shown::of).collect()))
}

/// A workflow with its versions, and what AMC said of them.
pub async fn show(State(api): State<Api>, id: Id) -> Result<Json<Detailed>, Problem> {
    let mut connection = api.db.acquire().await?;
    let workflow = found(&mut connection, id).await?;
    let versions = versions::told(&mut *connection, workflow.id).await?;
    Ok(Json(Detailed { workflow: Shown::of(workflow), versions }))
}

/// Has the current query of a workflow saved at AMC: 202 and how that stands.
pub async fn sync(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let mut fields = Fields::from_request(&headers, body)?;
    let by = fields.who()?;
    fields.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let workflow = found(&mut tx, id).await?;
    let status = sync_workflow::again(&api.queue, &mut tx, &workflow, &by).await?;
    let Some(status) = status else {
        return Err(Problem::conflict("the workflow has no query yet")
            .with_field("workflow")
            .with_remedy("give it one with `recomamp workflows update`"));
    };
    tx.commit().await?;
    let answer = json!({"workflow_id": workflow.workflow_id, "status": status});
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Forgets what AMC refused of a workflow, so that it is asked again before the next execution.
pub async fn recheck(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    Fields::from_request(&headers, body)?.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let workflow = found(&mut tx, id).await?;
    let forgotten = checks::forget(&mut *tx, workflow.id).await?
        + copies::forget(&mut *tx, workflow.id).await?;
    tx.commit().await?;
    Ok(Json(json!({"workflow_id": workflow.workflow_id, "forgotten": forgotten})))
}

async fn found(connection: &mut PgConnection, id: Id) -> Result<Workflow, Problem> {
    let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
    let none = || Problem::not_found(format!("there is no workflow {id:?}"));
    if id.contains('\0') {
        return Err(none());
    }
    workflows::by_workflow_id(connection, &id).await?.ok_or_else(none)
}
