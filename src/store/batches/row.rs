//! What a batch and its members are: their rows, and the questions asked about them.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};

use crate::store::collections::CollectionStatus;
use crate::store::ids::{BatchMemberId, BatchUuid, ExecutionUuid, InstanceUuid, UserId, VersionId};
use crate::store::weeks::WeekStatus;

/// A row of `batch_executions`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Batch {
    /// Names the batch here.
    pub id: BatchUuid,
    /// Names the batch for people and programs.
    pub batch_id: String,
    /// What to call it on a page.
    pub name: String,
    /// What every member runs, by its public id.
    pub workflow_id: String,
    /// The values of the workflow's parameters that all members share.
    pub parameters: Value,
    /// The first day of the window.
    pub window_start: NaiveDate,
    /// The first day after the window.
    pub window_end: NaiveDate,
    /// The IANA zone in which its days begin.
    pub window_tz: String,
    /// Where it stands.
    pub status: CollectionStatus,
    /// Who asked for it.
    pub asked_by: String,
    /// When its first member began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last member ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A member with what its batch says about it: all that running it takes.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct BatchMember {
    /// Names the member here.
    pub id: BatchMemberId,
    /// The batch it is a member of.
    pub batch_id: BatchUuid,
    /// Where it runs.
    pub instance_id: InstanceUuid,
    /// The values of the workflow's parameters.
    pub parameters: Value,
    /// Where it stands.
    pub status: WeekStatus,
    /// How many executions it has had since it was asked for, or last retried.
    pub attempts: i32,
    /// Why it failed, was cancelled or is blocked.
    pub error_message: Option<String>,
    /// What it runs.
    pub workflow_version_id: VersionId,
    /// In whose name.
    pub user_id: UserId,
    /// The first day of the window.
    pub window_start: NaiveDate,
    /// The first day after the window.
    pub window_end: NaiveDate,
    /// The IANA zone in which its days begin.
    pub window_tz: String,
    /// How many executions it may spend.
    pub max_attempts: i32,
}

/// A member as people look at it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Member {
    /// Names the member here.
    pub id: BatchMemberId,
    /// Where it runs: AMC's id of the instance.
    pub instance_id: String,
    /// The values of the workflow's parameters.
    pub parameters: Value,
    /// Where it stands.
    pub status: WeekStatus,
    /// How many executions it has had since it was asked for, or last retried.
    pub attempts: i32,
    /// Rows in its result.
    pub row_count: Option<i64>,
    /// Why it failed, was cancelled or is blocked.
    pub error_message: Option<String>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
}

/// A batch to be added.
#[derive(Debug, Clone, Copy)]
pub struct NewBatch<'a> {
    /// Names the batch for people and programs.
    pub batch_id: &'a str,
    /// What to call it on a page.
    pub name: &'a str,
    /// What every member runs.
    pub workflow_version_id: VersionId,
    /// In whose name every member runs.
    pub user_id: UserId,
    /// The values of the workflow's parameters that all members share, a JSON object.
    pub parameters: &'a Value,
    /// The first day of the window, and the first day after it.
    pub window: (NaiveDate, NaiveDate),
    /// The IANA zone in which its days begin.
    pub window_tz: &'a str,
    /// How many executions a member may spend before it is failed.
    pub max_attempts: i32,
    /// Who asks for it.
    pub asked_by: &'a str,
}

/// A member to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMember {
    /// Where it runs.
    pub instance_id: InstanceUuid,
    /// All values of the workflow's parameters, a JSON object.
    pub parameters: Value,
}

/// Adds a batch and all its members in one statement; gives the members' ids.
pub async fn insert(
    db: impl PgExecutor<'_>,
    batch: &NewBatch<'_>,
    members: &[NewMember],
) -> Result<Vec<BatchMemberId>, sqlx::Error> {
    let ids: Vec<_> = members.iter().map(|_| BatchMemberId::fresh()).collect();
    sqlx::query(
        r"-- batches_insert
        with batch as (
            insert into batch_executions
                (id, batch_id, name, workflow_version_id, user_id, parameters, window_start, window_end,
                 window_tz, max_attempts, asked_by)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            returning id
        )
        insert into batch_members (id, batch_id, instance_id, parameters)
        select member.id, batch.id, member.instance_id, member.parameters
        from batch, unnest($12::uuid[], $13::uuid[], $14::jsonb[]) as member (id, instance_id, parameters)",
    )
    .bind(BatchUuid::fresh())
    .bind(batch.batch_id)
    .bind(batch.name)
    .bind(batch.workflow_version_id)
    .bind(batch.user_id)
    .bind(batch.parameters)
    .bind(batch.window.0)
    .bind(batch.window.1)
    .bind(batch.window_tz)
    .bind(batch.max_attempts)
    .bind(batch.asked_by)
    .bind(&ids)
    .bind(members.iter().map(|member| member.instance_id).collect::<Vec<_>>())
    .bind(members.iter().map(|member| member.parameters.clone()).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(ids)
}

/// The batch with this public id.
pub async fn by_batch_id(
    db: impl PgExecutor<'_>,
    batch_id: &str,
) -> Result<Option<Batch>, sqlx::Error> {
    sqlx::query_as(
        r"-- batches_by_batch_id
        select batch.id, batch_id, batch.name, workflow.workflow_id, batch.parameters, window_start,
            window_end, window_tz, batch.status, asked_by, started_at, finished_at, batch.created_at
        from batch_executions batch
        join workflow_versions version on version.id = batch.workflow_version_id
        join workflows workflow on workflow.id = version.workflow_id
        where batch_id = $1",
    )
    .bind(batch_id)
    .fetch_optional(db)
    .await
}

/// The same, locked until the transaction ends.
pub async fn lock(db: impl PgExecutor<'_>, batch_id: &str) -> Result<Option<Batch>, sqlx::Error> {
    sqlx::query_as(
        r"-- batches_lock
        select batch.id, batch_id, batch.name, workflow.workflow_id, batch.parameters, window_start,
            window_end, window_tz, batch.status, asked_by, started_at, finished_at, batch.created_at
        from batch_executions batch
        join workflow_versions version on version.id = batch.workflow_version_id
        join workflows workflow on workflow.id = version.workflow_id
        where batch_id = $1
        for no key update of batch",
    )
    .bind(batch_id)
    .fetch_optional(db)
    .await
}

/// Locks the batch of a member until the transaction ends. Everybody locks in this order: the batch, then
/// executions, then members.
pub async fn lock_of_member(
    db: impl PgExecutor<'_>,
    member: BatchMemberId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- batches_lock_of_member
        select
        from batch_members member
        join batch_executions batch on batch.id = member.batch_id
        where member.id = $1
        for no key update of batch",
    )
    .bind(member)
    .execute(db)
    .await?;
    Ok(())
}

/// The newest batches, at most `limit`, the newest first.
pub async fn list(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Batch>, sqlx::Error> {
    sqlx::query_as(
        r"-- batches_list
        select batch.id, batch_id, batch.name, workflow.workflow_id, batch.parameters, window_start,
            window_end, window_tz, batch.status, asked_by, started_at, finished_at, batch.created_at
        from batch_executions batch
        join workflow_versions version on version.id = batch.workflow_version_id
        join workflows workflow on workflow.id = version.workflow_id
        order by batch.created_at desc, batch.id desc
        limit $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The members of a batch, by AMC's id of their instances.
pub async fn members(
    db: impl PgExecutor<'_>,
    batch: BatchUuid,
) -> Result<Vec<Member>, sqlx::Error> {
    sqlx::query_as(
        r"-- batch_members_list
        select member.id, instance.instance_id, parameters, member.status, attempts, row_count,
            error_message, completed_at
        from batch_members member
        join amc_instances instance on instance.id = member.instance_id
        where batch_id = $1
        order by instance.instance_id",
    )
    .bind(batch)
    .fetch_all(db)
    .await
}

/// The member with this id, and what its batch says about it.
pub async fn member(
    db: impl PgExecutor<'_>,
    member: BatchMemberId,
) -> Result<Option<BatchMember>, sqlx::Error> {
    sqlx::query_as(
        r"-- batch_members_by_id
        select member.id, member.batch_id, instance_id, member.parameters, member.status, attempts,
            error_message, workflow_version_id, user_id, window_start, window_end, window_tz, max_attempts
        from batch_members member
        join batch_executions batch on batch.id = member.batch_id
        where member.id = $1",
    )
    .bind(member)
    .fetch_optional(db)
    .await
}

/// The last execution of a member, ended or not, and the how-manieth it is.
pub async fn current_execution(
    db: impl PgExecutor<'_>,
    member: BatchMemberId,
) -> Result<Option<(ExecutionUuid, i32)>, sqlx::Error> {
    sqlx::query_as(
        r"-- batch_members_current_execution
        select id, attempt
        from workflow_executions
        where batch_member_id = $1
        order by attempt desc
        limit 1",
    )
    .bind(member)
    .fetch_optional(db)
    .await
}

/// The blocked members on an instance, to be run again once it is unblocked.
pub async fn blocked_on(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
) -> Result<Vec<BatchMemberId>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- batch_members_blocked_on
        select id
        from batch_members
        where instance_id = $1
          and status = 'blocked'
        order by id",
    )
    .bind(instance)
    .fetch_all(db)
    .await
}
