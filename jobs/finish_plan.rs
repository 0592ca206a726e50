//! Notes that a plan has ended.
//!
//! A plan is a group of the queue's whose members are its collections: this job follows when the last of
//! them has ended, and once more each time that collections were taken up again and have ended.

use crate::backfill::plans;
use crate::queue::group::{Made, NewGroup, Rule, Standing};
use crate::queue::{Attempt, Error, Failure, Job, NewJob, Outcome, Queue, State};
use crate::store::collections::CollectionStatus;
use crate::store::events::{self, NewEvent};
use crate::store::plans as rows;
use crate::store::{CollectionUuid, PlanUuid};
use crate::tools::Tools;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

/// Notes that a plan has ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct FinishPlan {
    /// Which plan, by its public id.
    pub plan_id: String,
}

impl Job for FinishPlan {
    type Tools = Tools;
    const KIND: &'static str = "finish_plan";
    const QUEUE: &'static str = "reports";

    fn unique_key(&self) -> Option<String> {
        Some(self.plan_id.clone())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        // Whoever has this follow once more waits for it, and then finds no such job under way.
        rows::lock(&mut *transaction, &self.plan_id).await?;
        let found = plans::of(&mut transaction, &self.plan_id).await?;
        // One that was taken up again meanwhile has its end noted when it comes to it.
        if let Some(plan) = found.filter(|plan| plan.status.is_terminal()) {
            let event = NewEvent {
                entity: "plan",
                entity_id: &self.plan_id,
                from_status: Some(CollectionStatus::Running.as_str()),
                to_status: Some(plan.status.as_str()),
                actor: "engine",
                reason: None,
                detail: &json!({"collections": plan.collections.len()}),
            };
            events::append(&mut *transaction, &event).await?;
            tracing::info!(plan = self.plan_id, status = %plan.status, "the plan has ended");
        }
        let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
        transaction.commit().await?;
        Ok(outcome)
    }
}

/// Makes a plan's group, in the transaction that made the plan.
pub async fn begin(
    queue: &Queue,
    connection: &mut PgConnection,
    plan_id: &str,
) -> Result<(), Error> {
    if let Some(plan) = rows::lock(&mut *connection, plan_id).await? {
        group(queue, connection, plan, plan_id).await?;
    }
    Ok(())
}

/// A collection has ended, in the caller's transaction: the plan that it is part of may have, too.
pub async fn collection_ended(
    queue: &Queue,
    connection: &mut PgConnection,
    collection: CollectionUuid,
    status: CollectionStatus,
) -> Result<(), Error> {
    if let Some((plan, plan_id)) = rows::lock_of_collection(&mut *connection, collection).await? {
        let group = group(queue, &mut *connection, plan, &plan_id).await?;
        queue.end_members(connection, group, &ends(vec![(collection, status)])).await?;
    }
    Ok(())
}

/// A collection that had ended is taken up again, in the caller's transaction, and so is its plan, with an
/// event, if that had ended.
pub async fn collection_reopened(
    queue: &Queue,
    connection: &mut PgConnection,
    collection: CollectionUuid,
    by: &str,
) -> Result<(), Error> {
    let Some((plan, plan_id)) = rows::lock_of_collection(&mut *connection, collection).await?
    else {
        return Ok(());
    };
    let group = group(queue, &mut *connection, plan, &plan_id).await?;
    let had_ended = has_ended(queue, &mut *connection, group).await?;
    queue.reopen_members(&mut *connection, group, &[collection.to_string()]).await?;
    if had_ended && !has_ended(queue, &mut *connection, group).await? {
        let event = NewEvent {
            entity: "plan",
            entity_id: &plan_id,
            from_status: None,
            to_status: Some(CollectionStatus::Running.as_str()),
            actor: by,
            reason: Some("a collection of it is taken up again"),
            detail: &json!({"collection": collection}),
        };
        events::append(connection, &event).await?;
    }
    Ok(())
}

async fn has_ended(
    queue: &Queue,
    connection: &mut PgConnection,
    group: i64,
) -> Result<bool, Error> {
    let found = queue.group(connection, group).await?;
    Ok(found.is_some_and(|group| group.state != Standing::Open))
}

/// The plan's group. One that was forgotten, long after its end, is made anew.
async fn group(
    queue: &Queue,
    connection: &mut PgConnection,
    plan: PlanUuid,
    plan_id: &str,
) -> Result<i64, Error> {
    let job = NewJob::of(&FinishPlan { plan_id: plan_id.to_owned() })?;
    let new = NewGroup::new(format!("plan:{plan_id}"), Rule::AllFinished).reopening().then(job);
    let group = match queue.make_group(&mut *connection, &new).await? {
        Made::Existing(group) => return Ok(group),
        Made::New(group) => group,
    };
    let standing = rows::standing(&mut *connection, plan).await?;
    let names: Vec<_> = standing.iter().map(|(id, _)| id.to_string()).collect();
    queue.add_members(&mut *connection, group, &names).await?;
    queue.end_members(&mut *connection, group, &ends(standing)).await?;
    queue.seal(connection, group).await?;
    Ok(group)
}

/// How those that have ended did.
fn ends(standing: Vec<(CollectionUuid, CollectionStatus)>) -> Vec<(String, State)> {
    let how = |status| match status {
        CollectionStatus::Completed | CollectionStatus::CompletedWithErrors => Some(State::Done),
        CollectionStatus::Failed => Some(State::Discarded),
        CollectionStatus::Cancelled => Some(State::Cancelled),
        _ => None,
    };
    standing.into_iter().filter_map(|(id, status)| Some((id.to_string(), how(status)?))).collect()
}
