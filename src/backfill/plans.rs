//! Where a plan stands: what its collections sum up to, and that it ends once.

use super::progress::{Progress, Timing, WeekCounts};
use crate::store::CollectionUuid;
use crate::store::collections::CollectionStatus;
use crate::store::events::{self, NewEvent};
use crate::store::plans::{self, Member, Plan};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;

/// Where a plan stands. The names of its fields are a promise to programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanStatus {
    /// Names it.
    pub plan_id: String,
    /// What it is called on a page.
    pub name: String,
    /// Where it stands.
    pub status: CollectionStatus,
    /// How far it is.
    pub progress: Progress,
    /// Slices that are no part of the work.
    pub skipped: u64,
    /// Executions that AMC has, or may have, and has not finished.
    pub open_executions: i64,
    /// Rows of all collections together.
    pub row_count: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its first slice began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last collection ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its collections, by workflow, then by instance.
    pub collections: Vec<MemberStatus>,
}

/// Where a collection of a plan stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberStatus {
    /// Names it.
    pub collection_id: String,
    /// What it runs.
    pub workflow: String,
    /// Where it runs: AMC's id of the instance.
    pub instance: String,
    /// Where it stands.
    pub status: CollectionStatus,
    /// How far it is.
    pub progress: Progress,
    /// What last went wrong, or why it is paused.
    pub last_error: Option<String>,
}

/// Where the plan with this public id stands; none when there is none.
pub async fn of(
    connection: &mut PgConnection,
    plan_id: &str,
) -> Result<Option<PlanStatus>, sqlx::Error> {
    let Some(plan) = plans::by_plan_id(&mut *connection, plan_id).await? else { return Ok(None) };
    let members = plans::members(connection, plan.id).await?;
    Ok(Some(told(plan, &members)))
}

/// The newest plans, at most `limit`, the newest first.
pub async fn newest(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<PlanStatus>, sqlx::Error> {
    let mut told_of = Vec::new();
    for plan in plans::list(&mut *connection, limit).await? {
        let members = plans::members(&mut *connection, plan.id).await?;
        told_of.push(told(plan, &members));
    }
    Ok(told_of)
}

/// Notes the end of the plan that a collection is part of, if this collection was the last to end.
///
/// Call it in the transaction that ended the collection, after that. A plan ends again when a collection
/// of it was taken up again.
pub async fn after_collection(
    connection: &mut PgConnection,
    collection: CollectionUuid,
    actor: &str,
) -> Result<Option<CollectionStatus>, sqlx::Error> {
    let Some((plan_id, statuses)) = plans::ended_with(&mut *connection, collection).await? else {
        return Ok(None);
    };
    let status = sum_up(&statuses);
    let event = NewEvent {
        entity: "plan",
        entity_id: &plan_id,
        from_status: Some(CollectionStatus::Running.as_str()),
        to_status: Some(status.as_str()),
        actor,
        reason: None,
        detail: &json!({"collections": statuses.len()}),
    };
    events::append(connection, &event).await?;
    Ok(Some(status))
}

/// What collections that stand there are together.
fn sum_up(statuses: &[CollectionStatus]) -> CollectionStatus {
    use CollectionStatus as Is;
    let all = |wanted: Is| statuses.iter().all(|status| *status == wanted);
    let any = |wanted: Is| statuses.contains(&wanted);
    match () {
        () if [Is::Pending, Is::Paused, Is::Completed, Is::Failed, Is::Cancelled]
            .into_iter()
            .any(all) =>
        {
            statuses.first().copied().unwrap_or(Is::Pending)
        }
        () if any(Is::Running) || any(Is::Pending) => Is::Running,
        () if any(Is::Paused) => Is::Paused,
        () => Is::CompletedWithErrors,
    }
}

fn told(plan: Plan, members: &[Member]) -> PlanStatus {
    let statuses: Vec<_> = members.iter().map(|member| member.status).collect();
    let mut whole = WeekCounts::default();
    for member in members {
        whole = whole.plus(&counts(member));
    }
    let started_at = members.iter().filter_map(|member| member.started_at).min();
    let ends: Option<Vec<_>> = members.iter().map(|member| member.finished_at).collect();
    let finished_at = ends.and_then(|ends| ends.into_iter().max());
    let retries = members.iter().map(|member| member.retries).sum();
    PlanStatus {
        plan_id: plan.plan_id,
        name: plan.name,
        status: sum_up(&statuses),
        progress: progress(&whole, retries, (started_at, finished_at, plan.now)),
        skipped: whole.skipped,
        open_executions: members.iter().map(|member| member.open_executions).sum(),
        row_count: members.iter().map(|member| member.row_count).sum(),
        created_at: plan.created_at,
        started_at,
        finished_at,
        collections: members.iter().map(|member| member_status(member, plan.now)).collect(),
    }
}

fn member_status(member: &Member, now: DateTime<Utc>) -> MemberStatus {
    let times = (member.started_at, member.finished_at, now);
    MemberStatus {
        collection_id: member.collection_id.clone(),
        workflow: member.workflow_id.clone(),
        instance: member.instance_id.clone(),
        status: member.status,
        progress: progress(&counts(member), member.retries, times),
        last_error: member.last_error.clone(),
    }
}

/// The weeks by their status. Of those that have begun, those that wait for a place are not open at AMC.
fn counts(member: &Member) -> WeekCounts {
    let open = member.open_executions.min(member.running);
    WeekCounts {
        pending: count(member.pending + member.running - open),
        running: count(open),
        succeeded: count(member.succeeded),
        failed: count(member.failed),
        skipped: count(member.skipped),
        blocked: count(member.blocked),
        cancelled: count(member.cancelled),
    }
}

fn progress(
    counts: &WeekCounts,
    retries: i64,
    (began, ended, now): (Option<DateTime<Utc>>, Option<DateTime<Utc>>, DateTime<Utc>),
) -> Progress {
    let elapsed = began.and_then(|began| (ended.unwrap_or(now) - began).to_std().ok());
    let timing = Timing { elapsed: elapsed.unwrap_or_default(), settled_before: 0 };
    Progress::new(counts, count(retries), timing)
}

fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use CollectionStatus as Is;

    #[test]
    fn a_plan_stands_where_its_collections_stand_together() {
        for (statuses, together) in [
            (&[Is::Pending, Is::Pending][..], Is::Pending),
            (&[Is::Pending, Is::Completed], Is::Running),
            (&[Is::Running, Is::Paused], Is::Running),
            (&[Is::Paused, Is::Completed], Is::Paused),
            (&[Is::Completed, Is::Completed], Is::Completed),
            (&[Is::Completed, Is::Failed], Is::CompletedWithErrors),
            (&[Is::Failed, Is::Cancelled], Is::CompletedWithErrors),
            (&[Is::Failed, Is::Failed], Is::Failed),
            (&[Is::Cancelled, Is::Cancelled], Is::Cancelled),
        ] {
            assert_eq!(sum_up(statuses), together, "{statuses:?}");
        }
    }
}
