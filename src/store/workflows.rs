//! `workflows`: the reports, each a name for a query.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::executions::SubmitMode;
use super::ids::{InstanceUuid, UserId, VersionId, WorkflowUuid};
use super::words::{Sha256, words};

words! {
    /// Whether AMC keeps a saved copy of a workflow.
    SyncStatus as "workflow_sync_status" {
        /// AMC has never been given it.
        NotSynced = "not_synced",
        /// Being given to AMC.
        Syncing = "syncing",
        /// AMC has the version of `amc_definition_hash`.
        Synced = "synced",
        /// AMC refused it.
        SyncFailed = "sync_failed",
    }
}

/// A row of `workflows`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Workflow {
    /// Names the workflow here.
    pub id: WorkflowUuid,
    /// Names the workflow for people and programs.
    pub workflow_id: String,
    /// What to call it on a page.
    pub name: String,
    /// The instance it is meant for.
    pub instance_id: InstanceUuid,
    /// Whose it is.
    pub user_id: UserId,
    /// What new executions run; none until a version is added.
    pub current_version_id: Option<VersionId>,
    /// How its current query reaches AMC.
    pub submit_mode: SubmitMode,
    /// The name AMC keeps its saved copy under.
    pub amc_workflow_id: Option<String>,
    /// Whether AMC keeps a saved copy.
    pub amc_sync_status: SyncStatus,
    /// The sha256 of the version AMC last took.
    pub amc_definition_hash: Option<Sha256>,
    /// When a person put it away.
    pub archived_at: Option<DateTime<Utc>>,
}

/// A workflow to be added.
#[derive(Debug, Clone, Copy)]
pub struct NewWorkflow<'a> {
    /// Names the workflow for people and programs.
    pub workflow_id: &'a str,
    /// What to call it on a page.
    pub name: &'a str,
    /// The instance it is meant for.
    pub instance_id: InstanceUuid,
    /// Whose it is.
    pub user_id: UserId,
}

/// Adds a workflow, as yet without a query. One that is there already is a unique violation.
pub async fn insert(
    db: impl PgExecutor<'_>,
    workflow: &NewWorkflow<'_>,
) -> Result<WorkflowUuid, sqlx::Error> {
    sqlx::query_scalar(
        r"-- workflows_insert
        insert into workflows (id, workflow_id, name, instance_id, user_id)
        values ($1, $2, $3, $4, $5)
        returning id",
    )
    .bind(WorkflowUuid::fresh())
    .bind(workflow.workflow_id)
    .bind(workflow.name)
    .bind(workflow.instance_id)
    .bind(workflow.user_id)
    .fetch_one(db)
    .await
}

/// The workflow with this public id.
pub async fn by_workflow_id(
    db: impl PgExecutor<'_>,
    workflow_id: &str,
) -> Result<Option<Workflow>, sqlx::Error> {
    sqlx::query_as(
        r"-- workflows_by_workflow_id
        select workflow.id, workflow.workflow_id, name, instance_id, user_id, current_version_id,
            coalesce(version.submit_mode, 'inline') as submit_mode, amc_workflow_id, amc_sync_status,
            amc_definition_hash, archived_at
        from workflows as workflow
        left join workflow_versions as version on version.id = current_version_id
        where workflow.workflow_id = $1",
    )
    .bind(workflow_id)
    .fetch_optional(db)
    .await
}

/// Lets nobody else change the workflow with this public id until the transaction ends. Read it afterwards:
/// what is joined to a row is as old as the wait for its lock.
pub async fn lock(db: impl PgExecutor<'_>, workflow_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- workflows_lock
        select from workflows where workflow_id = $1 for no key update",
    )
    .bind(workflow_id)
    .execute(db)
    .await?;
    Ok(())
}

/// Every workflow that is in use, by public id.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Workflow>, sqlx::Error> {
    sqlx::query_as(
        r"-- workflows_list
        select workflow.id, workflow.workflow_id, name, instance_id, user_id, current_version_id,
            coalesce(version.submit_mode, 'inline') as submit_mode, amc_workflow_id, amc_sync_status,
            amc_definition_hash, archived_at
        from workflows as workflow
        left join workflow_versions as version on version.id = current_version_id
        where archived_at is null
        order by workflow.workflow_id",
    )
    .fetch_all(db)
    .await
}
