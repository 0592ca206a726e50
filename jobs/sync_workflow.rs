//! Saves a version of a workflow at AMC, under a name that tells the version. Needed where a query is too
//! long to be sent along, and where somebody wants to see it there.
//!
//! Creating what is there already is answered by replacing it, so it may be done twice; what AMC adds
//! to a definition is never read back and compared. Whoever is about to send an execution waits for it.

use super::check_version::Standing;
use super::submit_execution::SubmitExecution;
use crate::amc::{self, AmcWorkflowId, Class, Created, NewWorkflow, Sql};
use crate::parameters::{declare, fill};
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Priority, Queue};
use crate::store::events::{self, Because, NewEvent};
use crate::store::executions::Execution;
use crate::store::versions::Version;
use crate::store::workflows::{SyncStatus, Workflow};
use crate::store::{InstanceUuid, UserId, VersionId, checks, copies, instances, versions};
use crate::tools::{Place, Tools, resources};
use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use std::time::Duration;

/// Saves a version at AMC.
#[derive(Debug, Serialize, Deserialize)]
pub struct SyncWorkflow {
    /// Which version.
    pub version_id: VersionId,
    /// Where it is to be kept.
    pub instance_id: InstanceUuid,
    /// In whose name.
    pub user_id: UserId,
}

impl Job for SyncWorkflow {
    type Tools = Tools;
    const KIND: &'static str = "sync_workflow";
    const QUEUE: &'static str = "amc";
    const PRIORITY: Priority = Priority::Live;
    const TIMEOUT: Duration = Duration::from_secs(180);
    /// An outage of Amazon's is not the job's fault: this is weeks of trying.
    const MAX_ATTEMPTS: i16 = 10_000;

    fn unique_key(&self) -> Option<String> {
        Some(format!("{} {}", self.version_id, self.instance_id))
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let copy = copies::of(&tools.db, self.version_id, self.instance_id).await?;
        let Some(copy) = copy.filter(|copy| copy.status == SyncStatus::Syncing) else {
            return Ok(Outcome::Done.unasked());
        };
        let version = versions::by_id(&tools.db, self.version_id).await?;
        let instance = instances::address(&tools.db, self.instance_id).await?;
        let (Some(version), Some(instance)) = (version, instance) else {
            return Err(Failure::permanent(anyhow!("there is no such version or instance")));
        };
        let workflow = match definition(&version, &copy.amc_workflow_id) {
            Ok(workflow) => workflow,
            Err(why) => {
                return self.end(tools, attempt, Some(&why), Outcome::Done.unasked()).await;
            }
        };
        let place = Place::of(&instance, self.user_id);
        let who = tools.sign_in(attempt, place).await?;
        let mut saved = tools.amc.create_workflow(&who.caller, &who.instance, &workflow).await;
        if let Ok(Created::Existing) = saved {
            saved = tools
                .amc
                .update_workflow(&who.caller, &who.instance, &workflow)
                .await
                .map(|()| Created::Existing);
        }
        match saved {
            Ok(_) => self.end(tools, attempt, None, Outcome::Done).await,
            Err(error) if error.class() == Class::Permanent => {
                self.end(tools, attempt, Some(error.reason()), Outcome::Done).await
            }
            // Nobody probes for a user who may not use another's instance.
            Err(error) if !place.is_own && who.bearer.class(&error) == Class::Blocked => {
                let named = versions::named(&tools.db, self.version_id).await?;
                let workflow = named.map(|found| found.workflow).unwrap_or_default();
                let why = format!(
                    "its user may not use {}, which is another user's ({}): give the user access, then run \
                     `recomamp workflows recheck {workflow}`",
                    instance.amc_instance_id,
                    error.reason()
                );
                self.end(tools, attempt, Some(&why), Outcome::Done).await
            }
            Err(error) => Err(tools.judge(&who, place, error).await),
        }
    }
}

/// Whether the version that an execution runs is saved where it is to run. Whoever asks first has it
/// saved.
pub async fn standing(tools: &Tools, execution: &Execution) -> Result<Standing, Failure> {
    let (version, instance) = (execution.workflow_version_id, execution.instance_id);
    let url = tools.api_url(execution.region, execution.endpoint_url.as_deref())?;
    let (place, host) = ((instance, execution.user_id), Some(resources::host(&url)));
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    let status = ask(&tools.queue, &mut transaction, version, place, host).await?;
    transaction.commit().await?;
    Ok(match status {
        Some((SyncStatus::Synced, _)) => Standing::Fit,
        Some((SyncStatus::SyncFailed, why)) => Standing::Unfit(why.unwrap_or_default()),
        _ => Standing::Open,
    })
}

/// Asks for a copy in the caller's transaction, unless there is one already. How it stands; none when
/// there is no such version. Only workers know which host will be called.
async fn ask(
    queue: &Queue,
    connection: &mut PgConnection,
    version: VersionId,
    (instance, user): (InstanceUuid, UserId),
    host: Option<String>,
) -> Result<Option<(SyncStatus, Option<String>)>, crate::queue::Error> {
    let mut copy = copies::of(&mut *connection, version, instance).await?;
    if copy.is_none() {
        let Some(name) = name(&mut *connection, version).await? else { return Ok(None) };
        copies::ask(&mut *connection, version, instance, &name).await?;
        copies::show(&mut *connection, version, instance).await?;
        copy = copies::of(&mut *connection, version, instance).await?;
    }
    if let Some(copy) = copy.filter(|copy| copy.status != SyncStatus::Syncing) {
        return Ok(Some((copy.status, copy.reason)));
    }
    // Also for one that is under way: should its job be lost, whoever waits for it has it done.
    let job = SyncWorkflow { version_id: version, instance_id: instance, user_id: user };
    let mut job = NewJob::of(&job)?;
    if let Some(address) = instances::address(&mut *connection, instance).await? {
        job = job.using([
            resources::instance(&address.amc_instance_id),
            resources::account(&address.entity_id),
        ]);
        job = job.using(host);
    }
    queue.enqueue(connection, &[job]).await?;
    Ok(Some((SyncStatus::Syncing, None)))
}

/// Has the current version of a workflow saved on its own instance, also when AMC refused it before, or has
/// it already: somebody may have changed or deleted it there. How that stands; none when there is no query
/// yet.
pub async fn again(
    queue: &Queue,
    connection: &mut PgConnection,
    workflow: &Workflow,
    because: &Because<'_>,
) -> Result<Option<SyncStatus>, crate::queue::Error> {
    let Some(version) = workflow.current_version_id else { return Ok(None) };
    copies::forget(&mut *connection, workflow.id).await?;
    if let Some(name) = name(&mut *connection, version).await? {
        copies::lose(&mut *connection, workflow.instance_id, &name).await?;
    }
    let place = (workflow.instance_id, workflow.user_id);
    let Some((status, _)) = ask(queue, connection, version, place, None).await? else {
        return Ok(None);
    };
    let event = NewEvent {
        entity: "workflow",
        entity_id: &workflow.workflow_id,
        from_status: None,
        to_status: Some(status.as_str()),
        actor: because.by,
        reason: because.said(),
        detail: &json!({"version_id": version}),
    };
    events::append(connection, &event).await?;
    Ok(Some(status))
}

/// The name that AMC keeps a version under; none when there is no such version.
async fn name(
    connection: &mut PgConnection,
    version: VersionId,
) -> Result<Option<String>, sqlx::Error> {
    let found = versions::named(connection, version).await?;
    Ok(found.map(|found| copies::name(&found.workflow, &found.sha256)))
}

/// The definition as AMC keeps it: every placeholder is one of its own.
fn definition(version: &Version, name: &str) -> Result<NewWorkflow, String> {
    let declared =
        declare::parse(&version.input_parameters).map_err(|invalid| invalid.to_string())?;
    let query =
        fill::saved(&version.sql_query, &declared).map_err(|invalid| invalid.to_string())?;
    let id = AmcWorkflowId::new(name).map_err(|error| error.to_string())?;
    let sql = Sql::normalise(&query.sql).map_err(|error| error.to_string())?;
    let mut workflow = NewWorkflow::new(id, sql);
    let inputs: Result<Vec<amc::InputParameter>, _> = serde_json::from_value(query.inputs.into());
    workflow.input_parameters =
        inputs.map_err(|error| format!("the declared parameters: {error}"))?;
    Ok(workflow)
}

impl SyncWorkflow {
    /// The copy is there, or refused; those who waited for it go on.
    async fn end(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        refused: Option<&str>,
        then: Outcome,
    ) -> Result<Outcome, Failure> {
        let (version, instance) = (self.version_id, self.instance_id);
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        if copies::end(&mut transaction, version, instance, refused).await? {
            let status =
                if refused.is_none() { SyncStatus::Synced } else { SyncStatus::SyncFailed };
            let event = NewEvent {
                entity: "workflow_version",
                entity_id: &version.to_string(),
                from_status: Some(SyncStatus::Syncing.as_str()),
                to_status: Some(status.as_str()),
                actor: Self::KIND,
                reason: refused,
                detail: &json!({"instance_id": instance}),
            };
            events::append(&mut *transaction, &event).await?;
            tracing::info!(%version, %status, refused, "a version was to be saved at AMC");
        }
        for waiting in checks::queued(&mut *transaction, version, instance).await? {
            let key = waiting.to_string();
            tools.queue.hasten(&mut transaction, SubmitExecution::KIND, &key).await?;
        }
        let outcome = attempt.complete_in(&mut transaction, then).await?;
        transaction.commit().await?;
        Ok(outcome)
    }
}
