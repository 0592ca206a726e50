//! Where a plan stands: what its collections sum up to.

use super::progress::Progress;
use super::status::{count, progress};
use crate::store::collections::{CollectionStatus, Progress as Counted};
use crate::store::plans::{self, Member, Plan};
use chrono::{DateTime, Utc};
use serde::Serialize;
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
    let whole = together(plan.now, members);
    PlanStatus {
        plan_id: plan.plan_id,
        name: plan.name,
        status: whole.status,
        progress: progress(&whole),
        skipped: count(whole.skipped),
        open_executions: members.iter().map(|member| member.progress.open_executions).sum(),
        row_count: whole.row_count,
        created_at: plan.created_at,
        started_at: whole.started_at,
        finished_at: whole.finished_at,
        collections: members.iter().map(member_status).collect(),
    }
}

fn member_status(member: &Member) -> MemberStatus {
    MemberStatus {
        collection_id: member.collection_id.clone(),
        workflow: member.workflow_id.clone(),
        instance: member.instance_id.clone(),
        status: member.progress.status,
        progress: progress(&member.progress),
        last_error: member.last_error.clone(),
    }
}

/// The counts of all collections, as if they were one. Its pace is measured since that of the first is.
fn together(now: DateTime<Utc>, members: &[Member]) -> Counted {
    let all = || members.iter().map(|member| &member.progress);
    let sum = |of: fn(&Counted) -> i64| all().map(of).sum();
    let first = |of: fn(&Counted) -> Option<DateTime<Utc>>| all().filter_map(of).min();
    let statuses: Vec<_> = all().map(|one| one.status).collect();
    let ends: Option<Vec<_>> = all().map(|one| one.finished_at).collect();
    Counted {
        status: sum_up(&statuses),
        pending: sum(|one| one.pending),
        running: sum(|one| one.running),
        succeeded: sum(|one| one.succeeded),
        failed: sum(|one| one.failed),
        skipped: sum(|one| one.skipped),
        blocked: sum(|one| one.blocked),
        cancelled: sum(|one| one.cancelled),
        // As many as weeks of its own collection are under way: those of others are not open for it.
        open_executions: sum(|one| one.open_executions.min(one.running)),
        retries: sum(|one| one.retries),
        row_count: sum(|one| one.row_count),
        first_completed_at: first(|one| one.first_completed_at),
        last_completed_at: all().filter_map(|one| one.last_completed_at).max(),
        settled_before: sum(|one| one.settled_before),
        paced_from: first(|one| one.paced_from),
        started_at: first(|one| one.started_at),
        finished_at: ends.and_then(|ends| ends.into_iter().max()),
        now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CollectionStatus as Is;
    use chrono::TimeDelta;

    fn member(counted: Counted) -> Member {
        Member {
            collection_id: "col_1".to_owned(),
            workflow_id: "wf_campaigns".to_owned(),
            instance_id: "amcibersblt".to_owned(),
            last_error: None,
            progress: counted,
        }
    }

    fn counted(status: Is, running: i64, succeeded: i64, open_executions: i64) -> Counted {
        let began = DateTime::UNIX_EPOCH;
        Counted {
            status,
            pending: 0,
            running,
            succeeded,
            failed: 0,
            skipped: 0,
            blocked: 0,
            cancelled: 0,
            open_executions,
            retries: 1,
            row_count: 0,
            first_completed_at: None,
            last_completed_at: None,
            settled_before: 0,
            paced_from: Some(began),
            started_at: Some(began),
            finished_at: None,
            now: began + TimeDelta::seconds(100),
        }
    }

    #[test]
    fn the_pace_of_a_plan_is_that_since_its_collections_went_on_and_a_paused_one_has_none() {
        let went_on = counted(Is::Running, 10, 30, 10);
        let paced_from = went_on.paced_from.map(|began| began + TimeDelta::seconds(80));
        let went_on = member(Counted { paced_from, settled_before: 10, ..went_on });
        let now = went_on.progress.now;
        let told = progress(&together(now, &[went_on.clone(), went_on.clone()]));
        assert_eq!(told, Progress { eta_seconds: Some(10), elapsed_seconds: 20, ..told });
        assert_eq!((told.running, told.retries, told.total), (20, 2, 80));

        let paused = member(counted(Is::Paused, 10, 30, 10));
        assert_eq!(progress(&together(now, &[paused.clone(), paused])).eta_seconds, None);
    }

    #[test]
    fn what_a_cancelled_collection_still_has_open_at_amc_is_not_another_ones() {
        let cancelled = member(counted(Is::Cancelled, 0, 1, 3));
        let waiting = member(counted(Is::Running, 3, 1, 0));
        let told = progress(&together(waiting.progress.now, &[cancelled, waiting]));
        assert_eq!((told.running, told.total), (0, 5));
    }

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
