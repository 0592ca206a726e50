//! Starts a backfill: a request becomes a collection with all its weeks, in the caller's transaction.
//!
//! Whoever calls [`create`] enqueues the jobs of the weeks in the same transaction, so that there is
//! never a collection that nobody works on.

use super::fingerprint::{Slice, fingerprint};
use super::plan::{Plan, PlanError, PlanRequest, plan};
use crate::clock;
use crate::store::collections::{
    self, CollectionGrain, CollectionKind, CollectionStatus, NewCollection, NewWeek, Rules,
};
use crate::store::events::{self, NewEvent};
use crate::store::instances::{self, Instance, InstanceStatus};
use crate::store::workflows::{self, Workflow};
use crate::store::{CollectionUuid, VersionId, WeekId, credentials, versions};
use chrono::{DateTime, Utc, Weekday};
use chrono_tz::Tz;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

/// What somebody wants to be collected.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The workflow, by its public id.
    pub workflow: String,
    /// The instance, by AMC's id; the workflow's own when not given.
    pub instance: Option<String>,
    /// Which weeks.
    pub weeks: PlanRequest,
    /// The zone in which days begin.
    pub zone: Tz,
    /// How many days ago a week has to have ended.
    pub lag_days: u16,
    /// The first day of every week.
    pub week_starts_on: Weekday,
    /// The values of the workflow's parameters, a JSON object.
    pub parameters: Value,
    /// What to call it on a page; made from the workflow's name when not given.
    pub name: Option<String>,
    /// How many executions a week may spend before it is given up.
    pub max_attempts_per_week: i32,
    /// Who asks, as the record of events tells it: a command or a program.
    pub actor: &'static str,
}

/// A request that has been checked: all that is needed to create it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The workflow.
    pub workflow: Workflow,
    /// What every week runs.
    pub version: VersionId,
    /// Where every week runs.
    pub instance: Instance,
    /// The weeks, and what AMC still knows of them.
    pub plan: Plan,
    /// The weeks as they are stored, in the order of the plan.
    weeks: Vec<NewWeek>,
    /// When it was checked, by the store's clock.
    now: DateTime<Utc>,
}

/// A collection that has been created.
#[derive(Debug, Clone)]
pub struct Created {
    /// Names it in the store.
    pub collection: CollectionUuid,
    /// Names it for people and programs.
    pub collection_id: String,
    /// Its weeks, the earliest first.
    pub weeks: Vec<WeekId>,
    /// What the person who asked should know.
    pub warning: Option<String>,
}

/// Why a backfill does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
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
    #[error(
        "Amazon refuses us on instance {instance:?} ({reason}): settle it, then run `recomamp instances unblock {instance}`"
    )]
    Blocked {
        /// The instance.
        instance: String,
        /// What Amazon said.
        reason: String,
    },
    /// A person has switched the instance off.
    #[error("instance {0:?} is disabled: take another one")]
    Disabled(String),
    /// The user whose workflow it is never gave us a token.
    #[error(
        "the user whose workflow it is has no refresh token: give one with `recomamp users authorise`"
    )]
    NoToken,
    /// The parameters have no names.
    #[error("parameters is not an object: give one that has a value for each name")]
    Parameters,
    /// The weeks cannot be collected.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The same work is under way.
    #[error("collection {0} does the same and has not finished: follow that one")]
    Duplicate(String),
    /// The database did not do what it was asked.
    #[error("the store did not answer: {0}")]
    Database(#[from] sqlx::Error),
}

/// Checks a request and plans its weeks, without creating anything.
pub async fn prepare(
    connection: &mut PgConnection,
    request: &Request,
) -> Result<Prepared, StartError> {
    if !request.parameters.is_object() {
        return Err(StartError::Parameters);
    }
    let now = clock::now(&mut *connection).await?;
    let plan = plan(now, request.weeks, request.zone, request.lag_days, request.week_starts_on)?;
    let workflow = workflow(&mut *connection, &request.workflow).await?;
    let instance = instance(&mut *connection, request, &workflow).await?;
    if credentials::access_token(&mut *connection, workflow.user_id).await?.is_none() {
        return Err(StartError::NoToken);
    }
    let no_query = || StartError::NoQuery(request.workflow.clone());
    let version = workflow.current_version_id.ok_or_else(no_query)?;
    let version = versions::by_id(&mut *connection, version).await?.ok_or_else(no_query)?;
    let week = |week: &super::week::Week| NewWeek {
        start: week.start,
        end: week.end,
        slice_key: fingerprint(&Slice {
            amc_instance_id: &instance.instance_id,
            sql_sha256: &version.sha256,
            parameters: &request.parameters,
            week: *week,
            zone: request.zone,
        }),
    };
    let weeks = plan.slices.iter().map(week).collect();
    Ok(Prepared { workflow, version: version.id, instance, plan, weeks, now })
}

/// Creates a collection with all its weeks. The caller enqueues their jobs in the same transaction.
pub async fn create(
    transaction: &mut PgConnection,
    request: &Request,
) -> Result<Created, StartError> {
    let prepared = prepare(transaction, request).await?;
    let collection_id = collection_id(&request.workflow, prepared.now);
    let name = request.name.clone().unwrap_or_else(|| name(&prepared));
    let collection = NewCollection {
        collection_id: &collection_id,
        name: &name,
        workflow_version_id: prepared.version,
        instance_id: prepared.instance.id,
        user_id: prepared.workflow.user_id,
        kind: CollectionKind::Backfill,
        grain: CollectionGrain::Week,
        timezone: request.zone.name(),
        lag_days: i32::from(request.lag_days),
        week_starts_on: i16::try_from(request.week_starts_on.number_from_monday()).unwrap_or(1),
        parameters: &request.parameters,
        max_attempts_per_week: request.max_attempts_per_week,
        rules: Rules::default(),
    };
    let workflow = prepared.workflow.id;
    let same =
        collections::same_unfinished(transaction, workflow, &collection, &prepared.weeks).await?;
    if let Some(same) = same {
        return Err(StartError::Duplicate(same));
    }
    let (collection, weeks) =
        collections::insert(&mut *transaction, &collection, &prepared.weeks).await?;
    note(transaction, request.actor, &collection_id, weeks.len()).await?;
    Ok(Created { collection, collection_id, weeks, warning: prepared.plan.warning() })
}

async fn note(
    transaction: &mut PgConnection,
    actor: &str,
    collection_id: &str,
    weeks: usize,
) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity: "collection",
        entity_id: collection_id,
        from_status: None,
        to_status: Some(CollectionStatus::Pending.as_str()),
        actor,
        reason: None,
        detail: &json!({"weeks": weeks}),
    };
    events::append(transaction, &event).await
}

async fn workflow(connection: &mut PgConnection, id: &str) -> Result<Workflow, StartError> {
    let Some(workflow) = workflows::by_workflow_id(connection, id).await? else {
        return Err(StartError::UnknownWorkflow(id.to_owned()));
    };
    if workflow.archived_at.is_some() {
        return Err(StartError::Archived(id.to_owned()));
    }
    Ok(workflow)
}

async fn instance(
    connection: &mut PgConnection,
    request: &Request,
    workflow: &Workflow,
) -> Result<Instance, StartError> {
    let instance = match &request.instance {
        Some(id) => instances::by_instance_id(connection, id)
            .await?
            .ok_or_else(|| StartError::UnknownInstance(id.clone()))?,
        None => instances::by_id(connection, workflow.instance_id)
            .await?
            .ok_or(sqlx::Error::RowNotFound)?,
    };
    match instance.status {
        InstanceStatus::Active => Ok(instance),
        InstanceStatus::Disabled => Err(StartError::Disabled(instance.instance_id)),
        InstanceStatus::Blocked => Err(StartError::Blocked {
            instance: instance.instance_id,
            reason: instance.block_reason.unwrap_or_default(),
        }),
    }
}

/// A name that a person can type and that tells what it is: `campaigns-20250917-3f9a2c1e`.
fn collection_id(workflow: &str, now: DateTime<Utc>) -> String {
    let tail = Uuid::new_v4().simple().to_string();
    format!("{workflow}-{}-{}", now.format("%Y%m%d"), &tail[..8])
}

fn name(prepared: &Prepared) -> String {
    match prepared.plan.slices.as_slice() {
        [first, .., last] => {
            format!("{}, {} to {}", prepared.workflow.name, first.start, last.end)
        }
        [only] => format!("{}, {} to {}", prepared.workflow.name, only.start, only.end),
        [] => prepared.workflow.name.clone(),
    }
}
