//! `collection_plans`: collections that were asked for together.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgExecutor};

use super::collections::CollectionStatus;
use super::ids::{CollectionUuid, PlanUuid};

/// A row of `collection_plans`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Plan {
    /// Names the plan here.
    pub id: PlanUuid,
    /// Names the plan for people and programs.
    pub plan_id: String,
    /// What to call it on a page.
    pub name: String,
    /// Who asked for it: a command or a program.
    pub asked_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The time by the store's clock, to measure the others against.
    pub now: DateTime<Utc>,
}

/// A collection of a plan, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Member {
    /// Names the collection for people and programs.
    pub collection_id: String,
    /// What it runs.
    pub workflow_id: String,
    /// Where it runs: AMC's id of the instance.
    pub instance_id: String,
    /// Where it stands.
    pub status: CollectionStatus,
    /// Weeks of which nothing has begun.
    pub pending: i64,
    /// Weeks under way.
    pub running: i64,
    /// Weeks whose rows are stored.
    pub succeeded: i64,
    /// Weeks given up.
    pub failed: i64,
    /// Weeks that the rules said not to collect.
    pub skipped: i64,
    /// Weeks that wait until Amazon lets us in again.
    pub blocked: i64,
    /// Weeks stopped by a person.
    pub cancelled: i64,
    /// Executions that AMC has, or may have, and has not finished.
    pub open_executions: i64,
    /// Executions beyond the first of each week.
    pub retries: i64,
    /// Rows of all weeks together.
    pub row_count: i64,
    /// What last went wrong, or why it is paused.
    pub last_error: Option<String>,
    /// When its first week began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last week ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Adds a plan and makes these collections part of it. A public id that is taken is a unique violation.
pub async fn insert(
    db: impl PgExecutor<'_>,
    (plan_id, name, asked_by): (&str, &str, &str),
    collections: &[CollectionUuid],
) -> Result<PlanUuid, sqlx::Error> {
    // The foreign key is checked at the end of the statement, when the plan is there.
    sqlx::query_scalar(
        r"-- plans_insert
        with plan as (
            insert into collection_plans (id, plan_id, name, asked_by)
            values ($1, $2, $3, $4)
            returning id
        ),
        joined as (
            update report_data_collections
            set plan_id = $1
            where id = any($5)
        )
        select id from plan",
    )
    .bind(PlanUuid::fresh())
    .bind(plan_id)
    .bind(name)
    .bind(asked_by)
    .bind(collections)
    .fetch_one(db)
    .await
}

/// The plan with this public id.
pub async fn by_plan_id(
    db: impl PgExecutor<'_>,
    plan_id: &str,
) -> Result<Option<Plan>, sqlx::Error> {
    sqlx::query_as(
        r"-- plans_by_plan_id
        select id, plan_id, name, asked_by, created_at, (select engine.now()) as now
        from collection_plans
        where plan_id = $1",
    )
    .bind(plan_id)
    .fetch_optional(db)
    .await
}

/// The newest plans, at most `limit`, the newest first.
pub async fn list(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Plan>, sqlx::Error> {
    sqlx::query_as(
        r"-- plans_list
        select id, plan_id, name, asked_by, created_at, (select engine.now()) as now
        from collection_plans
        order by created_at desc, id desc
        limit $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The collections of a plan, by workflow and instance.
pub async fn members(db: impl PgExecutor<'_>, plan: PlanUuid) -> Result<Vec<Member>, sqlx::Error> {
    sqlx::query_as(
        r"-- plans_members
        select collection.collection_id, workflow.workflow_id, instance.instance_id, collection.status,
            week.*,
            case when collection.status = 'paused' then pause_reason else last_error end as last_error, collection.started_at, collection.finished_at
        from report_data_collections collection
        join workflow_versions version on version.id = collection.workflow_version_id
        join workflows workflow on workflow.id = version.workflow_id
        join amc_instances instance on instance.id = collection.instance_id
        cross join lateral (
            select
                count(*) filter (where week.status = 'pending') as pending,
                count(*) filter (where week.status = 'running') as running,
                count(*) filter (where week.status = 'succeeded') as succeeded,
                count(*) filter (where week.status = 'failed') as failed,
                count(*) filter (where week.status = 'skipped') as skipped,
                count(*) filter (where week.status = 'blocked') as blocked,
                count(*) filter (where week.status = 'cancelled') as cancelled,
                count(execution.id) as open_executions,
                coalesce(sum(greatest(attempts - 1, 0)), 0)::bigint as retries,
                coalesce(sum(row_count), 0)::bigint as row_count
            from report_data_weeks week
            left join workflow_executions execution
                on execution.id = week.workflow_execution_id
                and week.status in ('running', 'blocked')
                and execution.status in ('submitting', 'submit_unknown', 'pending', 'running')
            where week.collection_id = collection.id
        ) as week
        where collection.plan_id = $1
        order by workflow.workflow_id, instance.instance_id",
    )
    .bind(plan)
    .fetch_all(db)
    .await
}

/// The public ids of the collections of a plan that have not ended, locked in the order of their ids.
pub async fn lock_unfinished(
    db: impl PgExecutor<'_>,
    plan: PlanUuid,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- plans_lock_unfinished
        select collection_id
        from report_data_collections
        where plan_id = $1
          and status in ('pending', 'running', 'paused')
        order by id
        for no key update",
    )
    .bind(plan)
    .fetch_all(db)
    .await
}

/// The public id of the plan that a collection is part of, if all collections of that plan have ended;
/// and where they stand.
///
/// Call it in the transaction that ended the collection, after that. Of all who end the last collections
/// at the same time exactly one gets an answer: each waits for the others' commits at the plan's row, and
/// only then looks.
pub async fn ended_with(
    connection: &mut PgConnection,
    collection: CollectionUuid,
) -> Result<Option<(String, Vec<CollectionStatus>)>, sqlx::Error> {
    let plan: Option<(PlanUuid, String)> = sqlx::query_as(
        r"-- plans_lock_of_collection
        select plan.id, plan.plan_id
        from report_data_collections collection
        join collection_plans plan on plan.id = collection.plan_id
        where collection.id = $1
        for no key update of plan",
    )
    .bind(collection)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((plan, plan_id)) = plan else { return Ok(None) };
    // A statement of its own, so that it sees what was committed while the lock was waited for.
    let statuses: Vec<CollectionStatus> = sqlx::query_scalar(
        r"-- plans_statuses
        select status
        from report_data_collections
        where plan_id = $1",
    )
    .bind(plan)
    .fetch_all(connection)
    .await?;
    let all_ended = statuses.iter().all(|status| status.is_terminal());
    Ok(all_ended.then_some((plan_id, statuses)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::collections;
    use crate::store::fixture::House;
    use crate::store::weeks::fail;

    #[tokio::test]
    async fn a_plan_sums_up_its_collections_and_ends_with_the_last_of_them() {
        let house = House::new().await;
        let (first, weeks) = house.collection("col_1", 3).await;
        let (second, others) = house.collection("col_2", 1).await;
        let (alone, _) = house.collection("col_3", 1).await;
        let words = ("plan_1", "Both", "a test");
        let plan = insert(house.db(), words, &[first, second]).await.unwrap();
        house.collect(weeks[0]).await;
        let execution = house.queued(weeks[1]).await;
        house.submit(execution).await;

        let found = by_plan_id(house.db(), "plan_1").await.unwrap().expect("it was added");
        assert_eq!((found.id, found.asked_by.as_str()), (plan, "a test"));
        assert_eq!(list(house.db(), 10).await.unwrap().len(), 1);
        let members = members(house.db(), plan).await.unwrap();
        assert_eq!(members.len(), 2);
        let one = members.iter().find(|one| one.collection_id == "col_1").expect("it is part");
        assert_eq!((one.succeeded, one.running, one.pending), (1, 1, 1));
        assert_eq!((one.open_executions, one.row_count), (1, 3));

        let mut tx = house.db().begin().await.unwrap();
        for week in [weeks[1], weeks[2]] {
            assert!(fail(&mut *tx, week, "no").await.unwrap());
        }
        assert!(collections::finish_if_done(&mut tx, first).await.unwrap().is_some());
        assert_eq!(ended_with(&mut tx, first).await.unwrap(), None, "the other has not");
        assert_eq!(ended_with(&mut tx, alone).await.unwrap(), None, "it has no plan");
        assert!(fail(&mut *tx, others[0], "no").await.unwrap());
        assert!(collections::finish_if_done(&mut tx, second).await.unwrap().is_some());
        let (plan_id, mut statuses) =
            ended_with(&mut tx, second).await.unwrap().expect("all have ended");
        statuses.sort_unstable();
        let expected = [CollectionStatus::CompletedWithErrors, CollectionStatus::Failed];
        assert_eq!((plan_id.as_str(), statuses.as_slice()), ("plan_1", expected.as_slice()));
    }
}
