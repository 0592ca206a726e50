//! `/v1/workflows`: the queries, added and changed, what AMC said of them, and asking it again.

use super::Api;
use super::asked::{Asked, Person};
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::given;
use crate::register::workflows::{self, Changes, NewWorkflow, Stored, Updated, Wording};
use crate::store::executions::SubmitMode;
use crate::store::versions::{self, Told};
use crate::store::workflows::{self as store, SyncStatus, Workflow};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Value, json};

/// What the field `sql` has to be.
const SQL: &str = "the query, as text";

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
    Ok(Json(store::list(&api.db).await?.into_iter().map(Shown::of).collect()))
}

/// A workflow with its versions, and what AMC said of them.
pub async fn show(State(api): State<Api>, id: Id) -> Result<Json<Detailed>, Problem> {
    let mut connection = api.db.acquire().await?;
    let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
    if id.contains('\0') {
        return Err(Problem::not_found("no workflow's id has a NUL character in it"));
    }
    let workflow = workflows::find(&mut connection, &id).await?;
    let versions = versions::told(&mut *connection, workflow.id).await?;
    Ok(Json(Detailed { workflow: Shown::of(workflow), versions }))
}

/// Adds a workflow with its query: 201, its address in `Location`.
pub async fn add(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    const ID: &str = "an id, as text";
    let mut fields = Fields::from_request(&headers, body)?;
    let new = NewWorkflow {
        workflow_id: fields.required_told("workflow_id", ID, workflows::id)?,
        name: fields.required_text("name", "a name, as text", given::name)?,
        instance_id: fields.required("instance", "AMC's id of an instance, as text")?,
        user: fields.required("user", "the email of a user")?,
    };
    let sql: String = fields.required("sql", SQL)?;
    let (parameters, saved) = (parameters(&mut fields)?, saved(&mut fields)?);
    let parameters = parameters.unwrap_or_else(|| json!([]));
    let wording = Wording::read(&sql, parameters, saved.unwrap_or(false))?;
    let person = Person::of(fields)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let stored = workflows::add(&mut tx, &new, &wording, &person.because()).await?;
    tx.commit().await?;
    let location = [(header::LOCATION, format!("/v1/workflows/{}", new.workflow_id))];
    let Stored { id, version_id } = stored;
    let answer = json!({"id": id, "workflow_id": new.workflow_id, "version_id": version_id});
    Ok((StatusCode::CREATED, location, Json(answer)))
}

/// Gives a workflow another query, other parameters or another way to AMC: what is missing stays. Backfills
/// that have begun keep what they began with; the schedules whose runs will fail are named.
pub async fn update(
    State(api): State<Api>,
    mut asked: Asked,
) -> Result<impl IntoResponse, Problem> {
    let changes = Changes {
        sql: asked.fields.optional("sql", SQL)?,
        parameters: parameters(&mut asked.fields)?,
        saved: saved(&mut asked.fields)?,
    };
    let known = asked.fields.known();
    let asked = asked.end()?;
    if !changes.say_anything() {
        return Err(Problem::no_change(&known));
    }
    let mut tx = crate::transaction::begin(&api.db).await?;
    let updated = workflows::update(&mut tx, &asked.id, &changes, &asked.because()).await?;
    tx.commit().await?;
    let Updated { stored: Stored { id, version_id }, broken, .. } = updated;
    Ok(Json(json!({
        "id": id, "workflow_id": asked.id, "version_id": version_id, "schedules_that_fail": broken,
    })))
}

/// Has the current query of a workflow saved at AMC: 202 and how that stands.
pub async fn sync(State(api): State<Api>, asked: Asked) -> Result<impl IntoResponse, Problem> {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let status = workflows::sync(&mut tx, &api.queue, &asked.id, &asked.because()).await?;
    tx.commit().await?;
    let answer = json!({"workflow_id": asked.id, "status": status});
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Forgets what AMC refused of a workflow, so that it is asked again before the next execution.
pub async fn recheck(State(api): State<Api>, asked: Asked) -> Result<impl IntoResponse, Problem> {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let forgotten = workflows::recheck(&mut tx, &asked.id, &asked.because()).await?;
    tx.commit().await?;
    Ok(Json(json!({"workflow_id": asked.id, "forgotten": forgotten})))
}

/// The parameters that a query declares.
fn parameters(fields: &mut Fields) -> Result<Option<Value>, Problem> {
    fields.optional("parameters", "a list of declarations")
}

/// Whether AMC keeps a query.
fn saved(fields: &mut Fields) -> Result<Option<bool>, Problem> {
    fields.optional("saved", "true or false")
}
