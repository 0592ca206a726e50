//! How a member of a batch begins, moves on and ends, and its batch with it.

use sqlx::{PgConnection, PgExecutor};

use crate::store::collections::CollectionStatus;
use crate::store::ids::{BatchMemberId, BatchUuid};
use crate::store::text;
use crate::store::weeks::WeekStatus;
use crate::store::words::Sha256;

/// pending, running, blocked → running: an execution begins, and is counted. Its batch begins with its
/// first member. False when the member has ended.
pub async fn start(db: impl PgExecutor<'_>, member: BatchMemberId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- batch_members_start
        with started as (
            update batch_members
            set status = 'running',
                attempts = attempts + 1,
                started_at = coalesce(started_at, (select engine.now())),
                error_message = null
            where id = $1
              and status in ('pending', 'running', 'blocked')
            returning batch_id
        ),
        first as (
            update batch_executions
            set status = 'running', started_at = coalesce(started_at, (select engine.now()))
            from started
            where id = started.batch_id
              and status = 'pending'
        )
        select from started",
    )
    .bind(member)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// pending, running → blocked. So many of its executions do not count: they never were let in.
pub async fn block(
    db: impl PgExecutor<'_>,
    member: BatchMemberId,
    reason: &str,
    forgiven: i32,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- batch_members_block
        update batch_members
        set status = 'blocked',
            error_message = $2,
            attempts = greatest(attempts - $3, 0)
        where id = $1
          and status in ('pending', 'running')",
    )
    .bind(member)
    .bind(text::message(reason))
    .bind(forgiven)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// pending, running, blocked → succeeded. Refused until an execution of it has succeeded: of one that was
/// taken up again it may be the execution before that, which was still under way.
pub async fn succeed(
    db: impl PgExecutor<'_>,
    member: BatchMemberId,
    row_count: i64,
    data_checksum: Sha256,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- batch_members_succeed
        update batch_members member
        set status = 'succeeded',
            row_count = $2,
            data_checksum = $3,
            error_message = null,
            completed_at = (select engine.now())
        where id = $1
          and status in ('pending', 'running', 'blocked')
          and exists (
              select
              from workflow_executions
              where batch_member_id = member.id
                and status = 'succeeded'
          )",
    )
    .bind(member)
    .bind(row_count)
    .bind(data_checksum)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// pending, running, blocked → failed or cancelled.
pub async fn finish(
    db: impl PgExecutor<'_>,
    member: BatchMemberId,
    status: WeekStatus,
    why: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- batch_members_finish
        update batch_members
        set status = $2, error_message = $3, completed_at = (select engine.now())
        where id = $1
          and status in ('pending', 'running', 'blocked')",
    )
    .bind(member)
    .bind(status)
    .bind(text::message(why))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// failed, cancelled → pending: they have all their attempts again. Which ones.
pub async fn retry(
    db: impl PgExecutor<'_>,
    batch: BatchUuid,
) -> Result<Vec<BatchMemberId>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- batch_members_retry
        update batch_members
        set status = 'pending', attempts = 0, error_message = null, completed_at = null
        where batch_id = $1
          and status in ('failed', 'cancelled')
        returning id",
    )
    .bind(batch)
    .fetch_all(db)
    .await
}

/// A batch whose members were taken up again is under way again.
pub async fn reopen(db: impl PgExecutor<'_>, batch: BatchUuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- batches_reopen
        update batch_executions
        set status = 'running', finished_at = null
        where id = $1
          and status in ('completed_with_errors', 'failed', 'cancelled')",
    )
    .bind(batch)
    .execute(db)
    .await?;
    Ok(())
}

/// Finishes the batch when no member is left to do, and says how it ended, with its public id.
///
/// Of all who end the last members at the same time exactly one gets an answer: each waits for the
/// others' commits at the batch's row, and only then looks for members that are left.
pub async fn finish_if_done(
    connection: &mut PgConnection,
    batch: BatchUuid,
) -> Result<Option<(String, CollectionStatus)>, sqlx::Error> {
    sqlx::query(
        r"-- batches_lock_by_id
        select
        from batch_executions
        where id = $1
        for no key update",
    )
    .bind(batch)
    .execute(&mut *connection)
    .await?;
    // A statement of its own, so that it sees what was committed while the lock was waited for.
    sqlx::query_as(
        r"-- batches_finish_if_done
        update batch_executions
        set status = (
                select case
                    when bool_and(status = 'succeeded') then 'completed'
                    when bool_or(status = 'succeeded') then 'completed_with_errors'
                    when bool_and(status = 'cancelled') then 'cancelled'
                    else 'failed'
                end::collection_status
                from batch_members
                where batch_id = $1
            ),
            finished_at = (select engine.now())
        where id = $1
          and status in ('pending', 'running', 'paused')
          and not exists (
              select
              from batch_members
              where batch_id = $1
                and status in ('pending', 'running', 'blocked')
          )
        returning batch_id, status",
    )
    .bind(batch)
    .fetch_optional(connection)
    .await
}
