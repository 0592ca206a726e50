//! The queries that backfills and schedules run: added, given another wording, saved at AMC, asked about again.

use super::{RegisterError, instances, users};
use crate::amc::{AmcWorkflowId, INLINE_CHARS_MAX, IdError, Sql};
use crate::backfill::request::form;
use crate::jobs::sync_workflow;
use crate::parameters::{check, declare, fill};
use crate::queue::Queue;
use crate::store::events::{self, Because, NewEvent};
use crate::store::executions::SubmitMode;
use crate::store::versions::{self, Version};
use crate::store::workflows::{self, SyncStatus, Workflow};
use crate::store::{VersionId, WorkflowUuid, checks, copies, schedules};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;

/// A workflow to be added.
#[derive(Debug, Clone)]
pub struct NewWorkflow {
    /// How people and programs name it.
    pub workflow_id: AmcWorkflowId,
    /// What to call it on a page.
    pub name: String,
    /// AMC's id of the instance it is meant for.
    pub instance_id: String,
    /// The email of the user whose it is.
    pub user: String,
}

/// What a workflow says, checked.
#[derive(Debug, Clone)]
pub struct Wording {
    sql: String,
    parameters: Value,
    mode: SubmitMode,
    /// Whether it is saved at AMC because it is too long to be sent along.
    pub is_long: bool,
}

/// What of a workflow is to be otherwise. What is not given stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// The query.
    pub sql: Option<String>,
    /// The list of parameters it declares.
    pub parameters: Option<Value>,
    /// Whether AMC keeps it.
    pub saved: Option<bool>,
}

/// A workflow that was given another wording.
#[derive(Debug, Clone)]
pub struct Updated {
    /// The wording.
    pub stored: Stored,
    /// The schedules whose runs will fail with it.
    pub broken: Vec<Broken>,
    /// Whether it is saved at AMC only because it is too long to be sent along.
    pub is_long: bool,
}

/// A wording that is stored.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Stored {
    /// The workflow's id in the database.
    pub id: WorkflowUuid,
    /// The version that new executions run.
    pub version_id: VersionId,
}

/// A schedule whose runs will fail with a new wording.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// Which one.
    pub schedule_id: String,
    /// Why.
    pub why: String,
}

/// How people and programs name a workflow.
///
/// # Errors
/// It is no such name.
pub fn id(text: &str) -> Result<AmcWorkflowId, IdError> {
    text.parse()
}

impl Wording {
    /// The query, checked but word for word, and the list of parameters it declares. `saved` has AMC keep
    /// it; one that is too long to be sent along is saved in any case.
    ///
    /// # Errors
    /// What is wrong with either.
    pub fn read(text: &str, parameters: Value, saved: bool) -> Result<Self, RegisterError> {
        let declared = declare::parse(&parameters)?;
        let sql = Sql::normalise(&fill::bare(text, &declared)?.sql)?;
        let is_long = sql.as_str().chars().count() > INLINE_CHARS_MAX;
        let is_saved = saved || is_long;
        if is_saved {
            fill::saved(text, &declared).map_err(|invalid| {
                RegisterError::wrong("sql", format!("the query cannot be saved at AMC: {invalid}"))
            })?;
        }
        Ok(Self {
            sql: text.trim().to_owned(),
            parameters,
            mode: if is_saved { SubmitMode::Saved } else { SubmitMode::Inline },
            is_long: is_long && !saved,
        })
    }

    async fn store(
        &self,
        transaction: &mut PgConnection,
        workflow: WorkflowUuid,
    ) -> Result<Stored, RegisterError> {
        let (sql, parameters) = (&self.sql, &self.parameters);
        let version = versions::add(transaction, workflow, sql, parameters, self.mode).await?;
        Ok(Stored { id: workflow, version_id: version })
    }
}

impl Changes {
    /// Whether anything is to be otherwise.
    pub fn say_anything(&self) -> bool {
        *self != Self::default()
    }

    /// The whole wording: what is not given is as it was before.
    fn onto(&self, workflow_id: &str, before: Option<&Version>) -> Result<Wording, RegisterError> {
        let sql = self.sql.as_deref().or(before.map(|version| version.sql_query.as_str()));
        let sql = sql.ok_or_else(|| {
            let why = format!("workflow {workflow_id} has no query yet: give it one");
            RegisterError::wrong("sql", why)
        })?;
        let declared = before.map(|version| &version.input_parameters);
        let parameters = self.parameters.as_ref().or(declared).cloned();
        let was_saved = before.is_some_and(|version| version.submit_mode == SubmitMode::Saved);
        let saved = self.saved.unwrap_or(was_saved);
        Wording::read(sql, parameters.unwrap_or_else(|| json!([])), saved)
    }
}

/// Adds a workflow with its query.
pub async fn add(
    transaction: &mut PgConnection,
    new: &NewWorkflow,
    wording: &Wording,
    because: &Because<'_>,
) -> Result<Stored, RegisterError> {
    let user = users::find(transaction, &new.user).await?;
    let instance = instances::find(transaction, &new.instance_id).await?;
    let workflow = workflows::NewWorkflow {
        workflow_id: new.workflow_id.as_str(),
        name: &new.name,
        instance_id: instance.id,
        user_id: user.id,
    };
    let id = workflows::insert(&mut *transaction, &workflow).await.map_err(|error| {
        let taken = format!(
            "there is a workflow {} already: change its query with `recomamp workflows update`",
            new.workflow_id
        );
        RegisterError::of_insert(error, taken)
    })?;
    let stored = wording.store(&mut *transaction, id).await?;
    let detail = json!({"version_id": stored.version_id});
    note(transaction, new.workflow_id.as_str(), because, &detail).await?;
    Ok(stored)
}

/// Gives a workflow another query, other parameters or another way to AMC. Backfills that have begun keep
/// what they began with.
pub async fn update(
    transaction: &mut PgConnection,
    workflow_id: &str,
    changes: &Changes,
    because: &Because<'_>,
) -> Result<Updated, RegisterError> {
    // Two changes at once complete each other.
    workflows::lock(&mut *transaction, workflow_id).await?;
    let workflow = find(transaction, workflow_id).await?;
    let before = match workflow.current_version_id {
        Some(version) => versions::by_id(&mut *transaction, version).await?,
        None => None,
    };
    let wording = changes.onto(workflow_id, before.as_ref())?;
    let stored = wording.store(&mut *transaction, workflow.id).await?;
    let detail = json!({"was": before.map(|version| version.id), "version_id": stored.version_id});
    note(transaction, workflow_id, because, &detail).await?;
    let broken = broken(transaction, workflow_id, &wording).await?;
    Ok(Updated { stored, broken, is_long: wording.is_long })
}

/// The schedules whose runs will fail with this wording.
async fn broken(
    connection: &mut PgConnection,
    workflow_id: &str,
    wording: &Wording,
) -> Result<Vec<Broken>, sqlx::Error> {
    let form = form(wording.mode);
    let schedules = schedules::list(connection).await?.into_iter();
    let broken = schedules.filter(|schedule| schedule.workflow == workflow_id).filter_map(|s| {
        let wrong = check::check(&wording.sql, &wording.parameters, &s.parameters, form).err()?;
        Some(Broken { schedule_id: s.schedule_id, why: wrong.to_string() })
    });
    Ok(broken.collect())
}

/// Has the current query of a workflow saved at AMC, also when AMC refused it before. How that stands.
pub async fn sync(
    transaction: &mut PgConnection,
    queue: &Queue,
    workflow_id: &str,
    because: &Because<'_>,
) -> Result<SyncStatus, RegisterError> {
    let workflow = find(transaction, workflow_id).await?;
    let status = sync_workflow::again(queue, transaction, &workflow, because).await?;
    status.ok_or_else(|| {
        RegisterError::Refused(format!(
            "workflow {workflow_id} has no query yet: give it one with `recomamp workflows update \
             {workflow_id}`"
        ))
    })
}

/// Forgets what AMC refused of a workflow, so that it is asked again before the next execution. How much
/// there was.
pub async fn recheck(
    transaction: &mut PgConnection,
    workflow_id: &str,
    because: &Because<'_>,
) -> Result<u64, RegisterError> {
    let workflow = find(transaction, workflow_id).await?;
    let checks = checks::forget(&mut *transaction, workflow.id).await?;
    let forgotten = checks + copies::forget(&mut *transaction, workflow.id).await?;
    note(transaction, workflow_id, because, &json!({"forgotten": forgotten})).await?;
    Ok(forgotten)
}

/// Writes down what somebody did to a workflow.
async fn note(
    connection: &mut PgConnection,
    workflow_id: &str,
    because: &Because<'_>,
    detail: &Value,
) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity: "workflow",
        entity_id: workflow_id,
        from_status: None,
        to_status: None,
        actor: because.by,
        reason: because.said(),
        detail,
    };
    events::append(connection, &event).await
}

/// The workflow with this id.
pub async fn find(
    connection: &mut PgConnection,
    workflow_id: &str,
) -> Result<Workflow, RegisterError> {
    let found = workflows::by_workflow_id(connection, workflow_id).await?;
    found.ok_or_else(|| RegisterError::unknown("workflow", workflow_id))
}
