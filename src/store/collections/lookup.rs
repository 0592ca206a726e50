//! What is asked about collections as a whole: their names for people, and whether one is there already.

use serde_json::Value;
use sqlx::{FromRow, PgConnection, PgExecutor};

use super::row::{NewCollection, NewWeek};
use crate::store::ids::{CollectionUuid, WorkflowUuid};

/// What people and programs call the things that a collection points to.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Names {
    /// The workflow, by its public id.
    pub workflow_id: String,
    /// The instance, by AMC's id.
    pub instance_id: String,
    /// The user, by email.
    pub email: String,
}

/// The names of what a collection points to.
pub async fn names(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<Option<Names>, sqlx::Error> {
    sqlx::query_as(
        r"-- collections_names
        select workflow.workflow_id, instance.instance_id, users.email
        from report_data_collections collection
        join workflow_versions version on version.id = collection.workflow_version_id
        join workflows workflow on workflow.id = version.workflow_id
        join amc_instances instance on instance.id = collection.instance_id
        join users on users.id = collection.user_id
        where collection.id = $1",
    )
    .bind(collection)
    .fetch_optional(db)
    .await
}

/// An unfinished collection that would do exactly what this one is to do.
///
/// Of two who ask at the same time for the same workflow, the second waits until the first has
/// committed, and sees what that one added.
pub async fn same_unfinished(
    connection: &mut PgConnection,
    workflow: WorkflowUuid,
    collection: &NewCollection<'_>,
    weeks: &[NewWeek],
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query(
        r"-- collections_lock_workflow
        select
        from workflows
        where id = $1
        for no key update",
    )
    .bind(workflow)
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar(
        r"-- collections_same_unfinished
        select collection_id
        from report_data_collections
        where workflow_version_id = $1
          and instance_id = $2
          and kind = $3
          and grain = $4
          and timezone = $5
          and parameters = $6::jsonb
          and period_start = $7
          and period_end = $8
          and status in ('pending', 'running', 'paused')
        order by created_at
        limit 1",
    )
    .bind(collection.workflow_version_id)
    .bind(collection.instance_id)
    .bind(collection.kind)
    .bind(collection.grain)
    .bind(collection.timezone)
    .bind::<&Value>(collection.parameters)
    .bind(weeks.iter().map(|week| week.start).min())
    .bind(weeks.iter().map(|week| week.end).max())
    .fetch_optional(connection)
    .await
}

/// The paused collections whose time to go on has come.
pub async fn resuming(db: impl PgExecutor<'_>) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- collections_resuming
        select collection_id
        from report_data_collections
        where status = 'paused'
          and resume_at <= (select engine.now())
        order by resume_at, id",
    )
    .fetch_all(db)
    .await
}

/// The collections that go on, have weeks whose turn has not come, and too few in the queue. There
/// should be none.
pub async fn hungry(db: impl PgExecutor<'_>) -> Result<Vec<CollectionUuid>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- collections_hungry
        select id
        from report_data_collections collection
        where status in ('pending', 'running')
          and exists (
              select
              from report_data_weeks
              where collection_id = collection.id
                and queued_at is null
                and status = 'pending'
          )
          and max_queued_weeks > (
              select count(*)
              from report_data_weeks
              where collection_id = collection.id
                and queued_at is not null
                and status in ('pending', 'running', 'blocked')
          )
        order by id",
    )
    .fetch_all(db)
    .await
}
