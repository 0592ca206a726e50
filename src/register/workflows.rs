//! The queries that backfills and schedules run: added, given another wording, saved at AMC, asked about again.

use super::{RegisterError, instances, users};
use crate::amc::{AmcWorkflowId, INLINE_CHARS_MAX, IdError, Sql};
use crate::backfill::request::form;
use crate::jobs::sync_workflow;
use crate::parameters::{check, declare, fill};
use crate::queue::Queue;
use crate::store::executions::SubmitMode;
use crate::store::workflows::{self, SyncStatus, Workflow};
use crate::store::{VersionId, WorkflowUuid, checks, copies, schedules, versions};
use serde::Serialize;
use serde_json::Value;
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

/// Adds a workflow with its query.
pub async fn add(
    transaction: &mut PgConnection,
    new: &NewWorkflow,
    wording: &Wording,
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
    wording.store(transaction, id).await
}

/// Gives a workflow another query. Backfills that have begun keep the one they began with. Also which
/// schedules' runs will fail.
pub async fn update(
    transaction: &mut PgConnection,
    workflow_id: &str,
    wording: &Wording,
) -> Result<(Stored, Vec<Broken>), RegisterError> {
    let workflow = find(transaction, workflow_id).await?;
    let form = form(wording.mode);
    let stored = wording.store(transaction, workflow.id).await?;
    let schedules = schedules::list(&mut *transaction).await?.into_iter();
    let broken = schedules.filter(|schedule| schedule.workflow == workflow_id).filter_map(|s| {
        let wrong = check::check(&wording.sql, &wording.parameters, &s.parameters, form).err()?;
        Some(Broken { schedule_id: s.schedule_id, why: wrong.to_string() })
    });
    Ok((stored, broken.collect()))
}

/// Has the current query of a workflow saved at AMC, also when AMC refused it before. How that stands.
pub async fn sync(
    transaction: &mut PgConnection,
    queue: &Queue,
    workflow_id: &str,
    actor: &str,
) -> Result<SyncStatus, RegisterError> {
    let workflow = find(transaction, workflow_id).await?;
    let status = sync_workflow::again(queue, transaction, &workflow, actor).await?;
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
) -> Result<u64, RegisterError> {
    let workflow = find(transaction, workflow_id).await?;
    let checks = checks::forget(&mut *transaction, workflow.id).await?;
    Ok(checks + copies::forget(transaction, workflow.id).await?)
}

/// The workflow with this id.
pub async fn find(
    connection: &mut PgConnection,
    workflow_id: &str,
) -> Result<Workflow, RegisterError> {
    let found = workflows::by_workflow_id(connection, workflow_id).await?;
    found.ok_or_else(|| RegisterError::unknown("workflow", workflow_id))
}
