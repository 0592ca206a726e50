//! Starts a backfill: a request becomes collections with all their slices, in the caller's transaction.
//!
//! Whoever calls [`create`] gives the first slices to the queue in the same transaction, so that there is
//! never a collection that nobody works on. Collections are written one after the other, each in a few
//! statements whatever its length: 260,000 slices need no more memory than one collection's.

use super::request::{Prepared, Request, StartError, Target, prepare};
use super::select::{LeftOut, Mode, Selection, select};
use crate::store::collections::{self, CollectionKind, CollectionStatus, NewCollection, NewWeek};
use crate::store::events::{self, NewEvent};
use crate::store::{CollectionUuid, PlanUuid, plans, weeks};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

/// What has been created.
#[derive(Debug, Clone)]
pub struct Created {
    /// The plan that holds the collections together, by its public id; none for a single one.
    pub plan_id: Option<String>,
    /// The collections, by workflow, then by instance.
    pub collections: Vec<Made>,
    /// Slices that are no part of the work, in all of them together, and why not.
    pub left_out: Vec<LeftOut>,
    /// What the person who asked should know.
    pub warning: Option<String>,
}

/// A collection that has been created.
#[derive(Debug, Clone)]
pub struct Made {
    /// Names it in the store.
    pub collection: CollectionUuid,
    /// Names it for people and programs.
    pub collection_id: String,
    /// How many slices are to be collected.
    pub weeks: u64,
}

/// Creates a collection for each workflow on each instance, with all its slices, and a plan when they
/// are several. The caller gives their first slices to the queue in the same transaction.
///
/// Where every slice is left out there is no collection; where that is so everywhere it is an error.
pub async fn create(
    transaction: &mut PgConnection,
    request: &Request,
) -> Result<Created, StartError> {
    let prepared = prepare(transaction, request).await?;
    let mut collections = Vec::new();
    let mut left_out = Selection::default();
    for target in &prepared.targets {
        let weeks = target.weeks(&prepared.plan, request);
        let selection = match request.mode {
            Mode::All => Selection { asked: weeks.len() as u64, ..Selection::default() },
            mode => select(&mut *transaction, mode, &weeks, prepared.now).await?,
        };
        if selection.taken() > 0 {
            collections
                .push(insert(transaction, request, &prepared, target, (&weeks, &selection)).await?);
        }
        left_out.left_out.extend(selection.left_out);
    }
    let left_out = left_out.reasons();
    if collections.is_empty() {
        return Err(StartError::NothingToDo(said(&left_out)));
    }
    if let Some(moment) = request.mode.reuse_after(prepared.now) {
        let ids: Vec<_> = collections.iter().map(|made| made.collection).collect();
        collections::reuse_after(&mut *transaction, &ids, moment).await?;
    }
    let plan_id = match prepared.targets.len() {
        1 => None,
        _ => Some(insert_plan(transaction, request, &prepared, &collections).await?),
    };
    Ok(Created { plan_id, collections, left_out, warning: prepared.plan.warning() })
}

/// Reasons as a person reads them: "12 left out: it is collected already".
pub fn said(left_out: &[LeftOut]) -> String {
    let each = |one: &LeftOut| format!("{} left out ({})", one.slices, one.why);
    left_out.iter().map(each).collect::<Vec<_>>().join(", ")
}

async fn insert(
    transaction: &mut PgConnection,
    request: &Request,
    prepared: &Prepared,
    target: &Target,
    (weeks, selection): (&[NewWeek], &Selection),
) -> Result<Made, StartError> {
    let collection_id = public_id(&target.workflow.workflow_id, prepared.now);
    let name = request.name.clone().unwrap_or_else(|| name(prepared, &target.workflow.name));
    let week_starts_on = prepared.plan.cut.week_starts_on().number_from_monday();
    let collection = NewCollection {
        collection_id: &collection_id,
        name: &name,
        workflow_version_id: target.version,
        instance_id: target.instance.id,
        user_id: target.workflow.user_id,
        kind: CollectionKind::Backfill,
        grain: prepared.plan.cut.grain(),
        timezone: request.zone.name(),
        lag_days: i32::from(request.lag_days),
        week_starts_on: i16::try_from(week_starts_on).unwrap_or(1),
        parameters: &target.parameters,
        max_attempts_per_week: request.max_attempts_per_week,
        rules: request.rules,
    };
    let workflow = target.workflow.id;
    let same = collections::same_unfinished(transaction, workflow, &collection, weeks).await?;
    if let Some(same) = same {
        return Err(StartError::Duplicate(same));
    }
    let (collection, _) = collections::insert(&mut *transaction, &collection, weeks).await?;
    if !selection.left_out.is_empty() {
        weeks::skip(&mut *transaction, collection, &selection.left_out).await?;
    }
    let detail = json!({"weeks": selection.taken(), "left_out": selection.reasons()});
    note(transaction, &request.actor, ("collection", &collection_id), &detail).await?;
    Ok(Made { collection, collection_id, weeks: selection.taken() })
}

async fn insert_plan(
    transaction: &mut PgConnection,
    request: &Request,
    prepared: &Prepared,
    made: &[Made],
) -> Result<String, StartError> {
    let plan_id = public_id("plan", prepared.now);
    let workflows: Vec<_> = request.workflows.iter().map(String::as_str).collect();
    let name = request.name.clone().unwrap_or_else(|| name(prepared, &workflows.join(", ")));
    let ids: Vec<_> = made.iter().map(|one| one.collection).collect();
    let words = (plan_id.as_str(), name.as_str(), request.actor.as_str());
    let _: PlanUuid = plans::insert(&mut *transaction, words, &ids).await?;
    let detail = json!({"collections": ids.len()});
    note(transaction, &request.actor, ("plan", &plan_id), &detail).await?;
    Ok(plan_id)
}

async fn note(
    transaction: &mut PgConnection,
    actor: &str,
    (entity, entity_id): (&str, &str),
    detail: &Value,
) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity,
        entity_id,
        from_status: None,
        to_status: Some(CollectionStatus::Pending.as_str()),
        actor,
        reason: None,
        detail,
    };
    events::append(transaction, &event).await
}

/// A name that a person can type and that tells what it is: `campaigns-20250917-3f9a2c1e`.
fn public_id(what: &str, now: DateTime<Utc>) -> String {
    let tail = Uuid::new_v4().simple().to_string();
    format!("{what}-{}-{}", now.format("%Y%m%d"), &tail[..8])
}

fn name(prepared: &Prepared, what: &str) -> String {
    match prepared.plan.slices.as_slice() {
        [first, .., last] => format!("{what}, {} to {}", first.start, last.end),
        [only] => format!("{what}, {} to {}", only.start, only.end),
        [] => what.to_owned(),
    }
}
