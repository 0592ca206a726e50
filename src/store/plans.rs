//! `collection_plans`: collections that were asked for together.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgExecutor};

use super::collections::{CollectionStatus, Progress, progress_of_all};
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Names the collection for people and programs.
    pub collection_id: String,
    /// What it runs.
    pub workflow_id: String,
    /// Where it runs: AMC's id of the instance.
    pub instance_id: String,
    /// What last went wrong, or why it is paused.
    pub last_error: Option<String>,
    /// How far it is.
    pub progress: Progress,
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
pub async fn members(db: &mut PgConnection, plan: PlanUuid) -> Result<Vec<Member>, sqlx::Error> {
    #[derive(FromRow)]
    struct Row {
        id: CollectionUuid,
        collection_id: String,
        workflow_id: String,
        instance_id: String,
        last_error: Option<String>,
    }
    let rows: Vec<Row> = sqlx::query_as(
        r"-- plans_members
        select collection.id, collection_id, workflow.workflow_id, instance.instance_id,
            case when collection.status = 'paused' then pause_reason else last_error end as last_error
        from report_data_collections collection
        join workflow_versions version on version.id = collection.workflow_version_id
        join workflows workflow on workflow.id = version.workflow_id
        join amc_instances instance on instance.id = collection.instance_id
        where collection.plan_id = $1
        order by workflow.workflow_id, instance.instance_id",
    )
    .bind(plan)
    .fetch_all(&mut *db)
    .await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut progress = progress_of_all(db, &ids).await?;
    let member = |row: Row| {
        Some(Member {
            progress: progress.remove(&row.id)?,
            collection_id: row.collection_id,
            workflow_id: row.workflow_id,
            instance_id: row.instance_id,
            last_error: row.last_error,
        })
    };
    Ok(rows.into_iter().filter_map(member).collect())
}

/// The public ids of the collections of a plan, and where they stand, locked in the order of their ids.
pub async fn lock_collections(
    db: impl PgExecutor<'_>,
    plan: PlanUuid,
) -> Result<Vec<(String, CollectionStatus)>, sqlx::Error> {
    sqlx::query_as(
        r"-- plans_lock_collections
        select collection_id, status
        from report_data_collections
        where plan_id = $1
        order by id
        for no key update",
    )
    .bind(plan)
    .fetch_all(db)
    .await
}

/// The plan that a collection is part of, locked: of all who end, or take up again, collections of a plan
/// at the same time, each waits here for the others' commits.
pub async fn lock_of_collection(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<Option<(PlanUuid, String)>, sqlx::Error> {
    sqlx::query_as(
        r"-- plans_lock_of_collection
        select plan.id, plan.plan_id
        from report_data_collections collection
        join collection_plans plan on plan.id = collection.plan_id
        where collection.id = $1
        for no key update of plan",
    )
    .bind(collection)
    .fetch_optional(db)
    .await
}

/// Locks the plan with this public id; none when there is none.
pub async fn lock(db: impl PgExecutor<'_>, plan_id: &str) -> Result<Option<PlanUuid>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- plans_lock
        select id
        from collection_plans
        where plan_id = $1
        for no key update",
    )
    .bind(plan_id)
    .fetch_optional(db)
    .await
}

/// The collections of a plan, and where they stand.
pub async fn standing(
    db: impl PgExecutor<'_>,
    plan: PlanUuid,
) -> Result<Vec<(CollectionUuid, CollectionStatus)>, sqlx::Error> {
    sqlx::query_as(
        r"-- plans_standing
        select id, status
        from report_data_collections
        where plan_id = $1
        order by id",
    )
    .bind(plan)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::collections;
    use crate::store::fixture::House;
    use crate::store::weeks::{cancel_all, fail};

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
        let execution = house.queued(others[0]).await;
        house.submit(execution).await;
        assert_eq!(cancel_all(house.db(), second, "enough").await.unwrap(), 1);

        let found = by_plan_id(house.db(), "plan_1").await.unwrap().expect("it was added");
        assert_eq!((found.id, found.asked_by.as_str()), (plan, "a test"));
        assert_eq!(list(house.db(), 10).await.unwrap().len(), 1);
        let mut connection = house.db().acquire().await.unwrap();
        let members = members(&mut connection, plan).await.unwrap();
        assert_eq!(members.len(), 2);
        let one = members.iter().find(|one| one.collection_id == "col_1").expect("it is part");
        assert_eq!((one.progress.succeeded, one.progress.running, one.progress.pending), (1, 1, 1));
        assert_eq!((one.progress.open_executions, one.progress.row_count), (1, 3));
        let other = members.iter().find(|one| one.collection_id == "col_2").expect("it is part");
        let (cancelled, open) = (other.progress.cancelled, other.progress.open_executions);
        assert_eq!((cancelled, open), (1, 1), "AMC still has it");

        let mut tx = house.db().begin().await.unwrap();
        for week in [weeks[1], weeks[2]] {
            assert!(fail(&mut *tx, week, "no").await.unwrap());
        }
        assert!(collections::finish_if_done(&mut tx, first).await.unwrap().is_some());
        assert_eq!(lock_of_collection(&mut *tx, alone).await.unwrap(), None, "it has no plan");
        let found = lock_of_collection(&mut *tx, first).await.unwrap().expect("it has one");
        assert_eq!(found, (plan, "plan_1".to_owned()));
        assert_eq!(lock(&mut *tx, "plan_1").await.unwrap(), Some(plan));
        assert_eq!(lock(&mut *tx, "plan_2").await.unwrap(), None);
        let standing: Vec<_> = standing(&mut *tx, plan).await.unwrap();
        assert_eq!(standing.len(), 2);
        let ended = (first, CollectionStatus::CompletedWithErrors);
        assert!(standing.contains(&ended) && standing.iter().any(|(id, _)| *id == second));
    }
}
