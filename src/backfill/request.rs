//! What somebody wants to be collected, checked: which workflows on which instances, and which slices.

use super::cut::Cut;
use super::fingerprint::{Slice, fingerprint};
use super::plan::{Plan, PlanError, PlanRequest, plan};
use super::select::Mode;
use crate::clock;
use crate::parameters::fill::Form;
use crate::parameters::{self, check};
use crate::store::collections::{NewWeek, Rules};
use crate::store::credentials::TokenState;
use crate::store::executions::SubmitMode;
use crate::store::instances::{self, Instance, InstanceStatus};
use crate::store::versions::Version;
use crate::store::workflows::{self, Workflow};
use crate::store::{Sha256, VersionId, credentials, versions};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};

/// What somebody wants to be collected: one collection for each workflow on each instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The workflows, by their public ids.
    pub workflows: BTreeSet<String>,
    /// The instances, by AMC's ids; each workflow's own when none is given.
    pub instances: BTreeSet<String>,
    /// Which slices.
    pub slices: PlanRequest,
    /// How long each is.
    pub cut: Cut,
    /// Which of them AMC is asked for.
    pub mode: Mode,
    /// In which order they have their turn, and how many may fail.
    pub rules: Rules,
    /// The zone in which days begin.
    pub zone: Tz,
    /// How many days ago a slice has to have ended.
    pub lag_days: u16,
    /// The values of the workflows' parameters, a JSON object.
    pub parameters: Value,
    /// What to call it on a page; made from the workflow's name when not given.
    pub name: Option<String>,
    /// How many executions a slice may spend before it is given up.
    pub max_attempts_per_week: i32,
    /// Who asks, as the record of events tells it: a command or a program.
    pub actor: String,
}

/// A request that has been checked: all that is needed to create it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The slices, the same for every collection, and what AMC still knows of them.
    pub plan: Plan,
    /// What each collection runs, and where: by workflow, then by instance.
    pub targets: Vec<Target>,
    /// When it was checked, by the store's clock.
    pub now: DateTime<Utc>,
}

/// A workflow on an instance.
#[derive(Debug, Clone)]
pub struct Target {
    /// The workflow.
    pub workflow: Workflow,
    /// What every slice runs.
    pub version: VersionId,
    /// Where every slice runs.
    pub instance: Instance,
    /// The values of its parameters, checked and with defaults.
    pub parameters: Value,
    sql_sha256: Sha256,
}

/// Why a backfill does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No workflow is named.
    #[error("no workflow is given: name at least one")]
    NoWorkflow,
    /// Nobody has added the workflow.
    #[error("there is no workflow {0:?}: `recomamp workflows list` shows those there are")]
    UnknownWorkflow(String),
    /// A person has put the workflow away.
    #[error("workflow {0:?} is archived: take another one")]
    Archived(String),
    /// The workflow says nothing yet.
    #[error("workflow {0:?} has no query yet: give it one with `recomamp workflows update`")]
    NoQuery(String),
    /// Nobody has added the instance.
    #[error("there is no instance {0:?}: `recomamp instances list` shows those there are")]
    UnknownInstance(String),
    /// Amazon does not let us in.
    #[error("instance {instance:?} is blocked ({reason}): {remedy}")]
    Blocked {
        /// The instance.
        instance: String,
        /// What Amazon said.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// A person has switched the instance off.
    #[error("instance {0:?} is disabled: take another one")]
    Disabled(String),
    /// The user whose workflow it is never gave us a token.
    #[error(
        "the user whose workflow it is has no refresh token: give one with `recomamp users authorise`"
    )]
    NoToken,
    /// Amazon does not take that user's token any more.
    #[error(
        "Amazon refuses the grant of the user whose workflow it is (needs_reauth): let the user log in again, then run `recomamp users authorise`"
    )]
    TokenRefused,
    /// Amazon does not take our client id or its secret.
    #[error(
        "Amazon refuses our client (client_invalid): correct RECOMAMP_LWA_CLIENT_ID and its secret, restart the workers, then run `recomamp users resume`"
    )]
    ClientRefused,
    /// The values of the parameters.
    #[error(transparent)]
    Parameters(#[from] parameters::Invalid),
    /// The slices cannot be collected.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The same work is under way.
    #[error("collection {0} does the same and has not finished: follow that one")]
    Duplicate(String),
    /// Every slice was left out.
    #[error("nothing is left to do, {0}: ask for other slices, or for all")]
    NothingToDo(String),
    /// The database did not do what it was asked.
    #[error("the store did not answer: {0}")]
    Database(#[from] sqlx::Error),
}

/// In which form a query reaches AMC that is sent so.
pub fn form(mode: SubmitMode) -> Form {
    match mode {
        SubmitMode::Inline => Form::Inline,
        SubmitMode::Saved => Form::Saved,
    }
}

/// Checks a request and plans its slices, without creating anything.
pub async fn prepare(
    connection: &mut PgConnection,
    request: &Request,
) -> Result<Prepared, StartError> {
    if request.workflows.is_empty() {
        return Err(StartError::NoWorkflow);
    }
    let now = clock::now(&mut *connection).await?;
    let plan = plan(now, request.slices, request.zone, request.lag_days, request.cut)?;
    let mut instances = BTreeMap::new();
    for id in &request.instances {
        let found = instances::by_instance_id(&mut *connection, id).await?;
        let found = found.ok_or_else(|| StartError::UnknownInstance(id.clone()))?;
        instances.insert(id.as_str(), usable(found)?);
    }
    let mut targets = Vec::new();
    for id in &request.workflows {
        let (workflow, version) = workflow(&mut *connection, id).await?;
        let declared = &version.input_parameters;
        let parameters = check::check(
            &version.sql_query,
            declared,
            &request.parameters,
            form(version.submit_mode),
        )?;
        let own = if instances.is_empty() {
            Some(own_instance(&mut *connection, &workflow).await?)
        } else {
            None
        };
        targets.extend(instances.values().chain(&own).map(|instance| Target {
            workflow: workflow.clone(),
            version: version.id,
            instance: instance.clone(),
            parameters: parameters.clone(),
            sql_sha256: version.sha256,
        }));
    }
    Ok(Prepared { plan, targets, now })
}

impl Target {
    /// The slices of the plan as they are stored for this workflow on this instance.
    pub fn weeks(&self, plan: &Plan, request: &Request) -> Vec<NewWeek> {
        let week = |week: &super::week::Week| NewWeek {
            start: week.start,
            end: week.end,
            slice_key: fingerprint(&Slice {
                amc_instance_id: &self.instance.instance_id,
                sql_sha256: &self.sql_sha256,
                parameters: &self.parameters,
                week: *week,
                zone: request.zone,
            }),
        };
        plan.slices.iter().map(week).collect()
    }
}

/// The workflow with this public id if it can run, and what it runs.
pub async fn workflow(
    connection: &mut PgConnection,
    id: &str,
) -> Result<(Workflow, Version), StartError> {
    let Some(workflow) = workflows::by_workflow_id(&mut *connection, id).await? else {
        return Err(StartError::UnknownWorkflow(id.to_owned()));
    };
    if workflow.archived_at.is_some() {
        return Err(StartError::Archived(id.to_owned()));
    }
    let token = credentials::access_token(&mut *connection, workflow.user_id).await?;
    match token.ok_or(StartError::NoToken)?.state {
        TokenState::Active => {}
        TokenState::NeedsReauth => return Err(StartError::TokenRefused),
        TokenState::ClientInvalid => return Err(StartError::ClientRefused),
    }
    let no_query = || StartError::NoQuery(id.to_owned());
    let version = workflow.current_version_id.ok_or_else(no_query)?;
    let version = versions::by_id(connection, version).await?.ok_or_else(no_query)?;
    Ok((workflow, version))
}

async fn own_instance(
    connection: &mut PgConnection,
    workflow: &Workflow,
) -> Result<Instance, StartError> {
    let own = instances::by_id(connection, workflow.instance_id).await?;
    usable(own.ok_or(sqlx::Error::RowNotFound)?)
}

/// The instance, if work on it may start.
pub fn usable(instance: Instance) -> Result<Instance, StartError> {
    match instance.status {
        InstanceStatus::Active => Ok(instance),
        InstanceStatus::Disabled => Err(StartError::Disabled(instance.instance_id)),
        InstanceStatus::Blocked => Err(StartError::Blocked {
            remedy: instance.remedy(),
            instance: instance.instance_id,
            reason: instance.block_reason.unwrap_or_default(),
        }),
    }
}
