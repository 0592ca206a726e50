//! Batches: one workflow on many instances over one window. They are started, called off, and what failed
//! is taken up again. Each verb is one transaction with its event, and asking twice is asking once.

use super::Because;
use crate::backfill::plan::LAG_DAYS_MIN;
use crate::backfill::request::{StartError, form, usable, workflow};
use crate::clock;
use crate::jobs::run_batch_member;
use crate::parameters::check;
use crate::plural::counted;
use crate::queue::Queue;
use crate::store::batches::{self, Batch, NewBatch, NewMember};
use crate::store::collections::CollectionStatus;
use crate::store::events::{self, NewEvent};
use crate::store::weeks::WeekStatus;
use crate::store::{executions, instances};
use chrono::{DateTime, Days, NaiveDate};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A batch that somebody wants.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRequest {
    /// The workflow, by its public id.
    pub workflow: String,
    /// The instances, by AMC's ids, each with the values that it has for itself.
    pub instances: BTreeMap<String, Map<String, Value>>,
    /// The values of the workflow's parameters that all share.
    pub parameters: Map<String, Value>,
    /// The first day of the window.
    pub from: NaiveDate,
    /// The first day after it.
    pub until: NaiveDate,
    /// The zone in which days begin.
    pub zone: Tz,
    /// What to call it on a page; made from the workflow's name when not given.
    pub name: Option<String>,
    /// How many executions a member may spend before it is failed.
    pub max_attempts: i32,
}

/// What became of a batch that somebody steered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SteeredBatch {
    /// Which one.
    pub batch_id: String,
    /// How many of its members changed.
    pub changed: usize,
    /// The answer in a sentence.
    pub said: String,
}

/// Why a batch does not start, or is not steered. Each says what to do instead, after the last colon.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// There is none.
    #[error("there is no batch {0:?}: `recomamp batches list` shows those there are")]
    Unknown(String),
    /// Nothing to run it on.
    #[error("no instance is given: name at least one")]
    NoInstance,
    /// The window has no day.
    #[error("until is {until}, which is not after from, {from}: give a later day")]
    EmptyWindow {
        /// The first day.
        from: NaiveDate,
        /// The day after the last.
        until: NaiveDate,
    },
    /// AMC takes no such window.
    #[error("from is {0}, and AMC's time begins in 1970: give a later day")]
    TooOld(NaiveDate),
    /// AMC's data of the last days are not complete.
    #[error(
        "until is {until}, but AMC completes its data after 48 hours: give {latest} or earlier"
    )]
    TooRecent {
        /// The day after the last.
        until: NaiveDate,
        /// The latest day possible now.
        latest: NaiveDate,
    },
    /// It is about to be stopped, and nobody says why.
    #[error("no reason is given: say why in one sentence")]
    NoReason,
    /// The workflow or an instance stands in the way.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The queue did not do what it was asked.
    #[error(transparent)]
    Queue(#[from] crate::queue::Error),
    /// The database did not do what it was asked.
    #[error("the store did not answer: {0}")]
    Database(#[from] sqlx::Error),
}

/// Starts a batch, all of it or nothing; gives its public id.
pub async fn start_batch(
    transaction: &mut PgConnection,
    queue: &Queue,
    request: &BatchRequest,
    by: &str,
) -> Result<String, BatchError> {
    let BatchRequest { from, until, zone, .. } = *request;
    if request.instances.is_empty() {
        return Err(BatchError::NoInstance);
    }
    if until <= from {
        return Err(BatchError::EmptyWindow { from, until });
    }
    if from < DateTime::UNIX_EPOCH.date_naive() {
        return Err(BatchError::TooOld(from));
    }
    let now = clock::now(&mut *transaction).await?;
    let today = now.with_timezone(&zone).date_naive();
    let latest = today.checked_sub_days(Days::new(u64::from(LAG_DAYS_MIN))).unwrap_or(today);
    if until > latest {
        return Err(BatchError::TooRecent { until, latest });
    }
    let (workflow, version) = workflow(&mut *transaction, &request.workflow).await?;
    let mut members = Vec::new();
    for (id, own) in &request.instances {
        let found = instances::by_instance_id(&mut *transaction, id).await?;
        let found = usable(found.ok_or_else(|| StartError::UnknownInstance(id.clone()))?)?;
        let mut parameters = request.parameters.clone();
        parameters.extend(own.clone());
        let declared = &version.input_parameters;
        let parameters = Value::Object(parameters);
        let parameters =
            check::check(&version.sql_query, declared, &parameters, form(version.submit_mode));
        let parameters = parameters.map_err(StartError::from)?;
        members.push(NewMember { instance_id: found.id, parameters });
    }
    let tail = Uuid::new_v4().simple().to_string();
    let batch_id = format!("batch-{}-{}", now.format("%Y%m%d"), &tail[..8]);
    let name = request.name.clone();
    let name = name.unwrap_or_else(|| format!("{}, {from} to {until}", workflow.name));
    let batch = NewBatch {
        batch_id: &batch_id,
        name: &name,
        workflow_version_id: version.id,
        user_id: workflow.user_id,
        parameters: &Value::Object(request.parameters.clone()),
        window: (from, until),
        window_tz: zone.name(),
        max_attempts: request.max_attempts,
        asked_by: by,
    };
    let ids = batches::insert(&mut *transaction, &batch, &members).await?;
    run_batch_member::look_after(queue, &mut *transaction, &ids).await?;
    let detail = json!({"members": ids.len()});
    let to = CollectionStatus::Pending;
    note(transaction, (&batch_id, None, to), &Because { by, why: None }, &detail).await?;
    Ok(batch_id)
}

/// Cancels what a batch has left to do, at AMC too. What is stored stays.
pub async fn cancel_batch(
    transaction: &mut PgConnection,
    queue: &Queue,
    batch_id: &str,
    because: &Because<'_>,
) -> Result<SteeredBatch, BatchError> {
    let batch = locked(&mut *transaction, batch_id).await?;
    let why = because.said().ok_or(BatchError::NoReason)?;
    let said = format!("cancelled by {}: {why}", because.by);
    let mut cancelled = Vec::new();
    for member in batches::members(&mut *transaction, batch.id).await? {
        let status = WeekStatus::Cancelled;
        if batches::finish(&mut *transaction, member.id, status, &said).await? {
            cancelled.push(member.id);
            // Also for whoever has read before that the member goes on.
            let current = batches::current_execution(&mut *transaction, member.id).await?;
            if let Some((execution, _)) = current {
                executions::ask_to_stop(&mut *transaction, execution, &said).await?;
            }
        }
    }
    if cancelled.is_empty() {
        return Ok(unchanged(&batch, "has ended: nothing changed"));
    }
    // Their jobs stop what AMC has of them.
    run_batch_member::look_after(queue, &mut *transaction, &cancelled).await?;
    let ended = batches::finish_if_done(&mut *transaction, batch.id).await?;
    let to = ended.map_or(batch.status, |(_, status)| status);
    let detail = json!({"members": cancelled.len()});
    note(transaction, (batch_id, Some(batch.status), to), because, &detail).await?;
    Ok(changed(&batch, cancelled.len(), "cancels"))
}

/// Takes up the failed and the cancelled members of a batch, each with all its attempts.
pub async fn retry_batch(
    transaction: &mut PgConnection,
    queue: &Queue,
    batch_id: &str,
    because: &Because<'_>,
) -> Result<SteeredBatch, BatchError> {
    let batch = locked(&mut *transaction, batch_id).await?;
    let again = batches::retry(&mut *transaction, batch.id).await?;
    if again.is_empty() {
        return Ok(unchanged(&batch, "has no failed and no cancelled member: nothing changed"));
    }
    batches::reopen(&mut *transaction, batch.id).await?;
    run_batch_member::look_after(queue, &mut *transaction, &again).await?;
    let detail = json!({"members": again.len()});
    let to = CollectionStatus::Running;
    note(transaction, (batch_id, Some(batch.status), to), because, &detail).await?;
    Ok(changed(&batch, again.len(), "takes up"))
}

async fn locked(transaction: &mut PgConnection, batch_id: &str) -> Result<Batch, BatchError> {
    let batch = batches::lock(transaction, batch_id).await?;
    batch.ok_or_else(|| BatchError::Unknown(batch_id.to_owned()))
}

fn unchanged(batch: &Batch, said: &str) -> SteeredBatch {
    let batch_id = batch.batch_id.clone();
    SteeredBatch { said: format!("{batch_id} {said}"), changed: 0, batch_id }
}

fn changed(batch: &Batch, members: usize, what: &str) -> SteeredBatch {
    let batch_id = batch.batch_id.clone();
    SteeredBatch {
        said: format!("{batch_id} {what} {}", counted(members, "member", "members")),
        changed: members,
        batch_id,
    }
}

async fn note(
    transaction: &mut PgConnection,
    (batch_id, from, to): (&str, Option<CollectionStatus>, CollectionStatus),
    because: &Because<'_>,
    detail: &Value,
) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity: "batch",
        entity_id: batch_id,
        from_status: from.map(CollectionStatus::as_str),
        to_status: Some(to.as_str()),
        actor: because.by,
        reason: because.said(),
        detail,
    };
    events::append(transaction, &event).await
}
