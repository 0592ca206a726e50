//! How a collection is locked, stops, goes on and is taken up again.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::row::{Collection, CollectionStatus, by_id};
use crate::store::ids::{CollectionUuid, UserId, WeekId};
use crate::store::text;
use crate::store::weeks;

/// How a collection is paused.
#[derive(Debug, Clone, Copy)]
pub struct Pause<'a> {
    /// Why, in one sentence.
    pub reason: &'a str,
    /// Who: a person, a program, or the engine.
    pub by: &'a str,
    /// Whether the engine did it by itself.
    pub auto: bool,
    /// The resource whose opening lets it go on, if the engine paused it for one.
    pub paused_for: Option<&'a str>,
    /// When it goes on by itself.
    pub resume_at: Option<DateTime<Utc>>,
}

/// The collection as it is now; nobody else changes it before the transaction ends.
pub async fn lock(
    db: &mut PgConnection,
    collection: CollectionUuid,
) -> Result<Option<Collection>, sqlx::Error> {
    sqlx::query(
        r"-- collections_lock
        select
        from report_data_collections
        where id = $1
        for no key update",
    )
    .bind(collection)
    .execute(&mut *db)
    .await?;
    // A statement of its own, so that it sees what was committed while the lock was waited for.
    by_id(db, collection).await
}

/// Locks the collection of a week.
pub async fn lock_of_week(db: impl PgExecutor<'_>, week: WeekId) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- collections_lock_of_week
        select
        from report_data_collections
        where id = (select collection_id from report_data_weeks where id = $1)
        for no key update",
    )
    .bind(week)
    .execute(db)
    .await?;
    Ok(())
}

/// pending, running → paused. What the engine has paused, a person may pause too: then it is theirs.
pub async fn pause(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    pause: &Pause<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- collections_pause
        update report_data_collections
        set status = 'paused',
            pause_reason = $2,
            paused_at = coalesce(paused_at, (select engine.now())),
            paused_by = $3,
            auto_paused = $4,
            paused_for = $6,
            resume_at = $5
        where id = $1
          and (status in ('pending', 'running') or (auto_paused and not $4))",
    )
    .bind(collection)
    .bind(text::message(pause.reason))
    .bind(text::message(pause.by))
    .bind(pause.auto)
    .bind(pause.resume_at)
    .bind(pause.paused_for)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// pending, running → paused, of these users, whose credentials are refused, until they are good again.
/// Which, and where they stood.
pub async fn pause_refused(
    db: impl PgExecutor<'_>,
    users: &[UserId],
    reason: &str,
    by: &str,
) -> Result<Vec<(CollectionUuid, CollectionStatus)>, sqlx::Error> {
    sqlx::query_as(
        r"-- collections_pause_refused
        with found as (
            select id, status
            from report_data_collections
            where user_id = any($1)
              and status in ('pending', 'running')
            -- Two who do so at once lock in the same order.
            order by id
            for no key update
        )
        update report_data_collections collection
        set status = 'paused',
            pause_reason = $2,
            paused_at = (select engine.now()),
            paused_by = $3,
            auto_paused = true,
            paused_for = 'lwa_user:' || user_id
        from found
        where collection.id = found.id
        returning collection.id, found.status",
    )
    .bind(users)
    .bind(text::message(reason))
    .bind(by)
    .fetch_all(db)
    .await
}

/// Locks the collections that are paused until this resource is opened.
pub async fn lock_waiting_for(
    db: impl PgExecutor<'_>,
    resource: &str,
) -> Result<Vec<CollectionUuid>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- collections_lock_waiting_for
        select id
        from report_data_collections
        where paused_for = $1
        order by id
        for no key update",
    )
    .bind(resource)
    .fetch_all(db)
    .await
}

/// paused → running, or pending when nothing has begun. Failures are counted anew, and so is its pace.
pub async fn resume(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- collections_resume
        update report_data_collections
        set status = case when started_at is null then 'pending' else 'running' end::collection_status,
            pause_reason = null,
            paused_at = null,
            paused_by = null,
            auto_paused = false,
            paused_for = null,
            resume_at = null,
            failures = 0,
            paced_from = case when started_at is not null then (select engine.now()) end
        where id = $1
          and status = 'paused'",
    )
    .bind(collection)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// There is work again: whatever has ended, and what the engine has paused → running. What a person
/// has paused stays paused. Where it stands then.
pub async fn reopen(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<CollectionStatus, sqlx::Error> {
    sqlx::query_scalar(
        r"-- collections_reopen
        update report_data_collections
        set status = case
                when status = 'paused' and not auto_paused then 'paused'
                when started_at is null then 'pending'
                else 'running'
            end::collection_status,
            finished_at = null,
            pause_reason = case when not auto_paused then pause_reason end,
            paused_at = case when not auto_paused then paused_at end,
            paused_by = case when not auto_paused then paused_by end,
            auto_paused = false,
            paused_for = null,
            resume_at = case when not auto_paused then resume_at end,
            last_error = null,
            failures = 0,
            paced_from = case
                when status in ('pending', 'running') then paced_from
                when started_at is not null then (select engine.now())
            end
        where id = $1
        returning status",
    )
    .bind(collection)
    .fetch_one(db)
    .await
}

/// pending, running, paused → cancelled; or completed, when all that was left was to collect weeks again
/// that keep their rows. Call it before the weeks are cancelled. Where it stands then; none when it had
/// ended.
pub async fn cancel(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    reason: &str,
) -> Result<Option<CollectionStatus>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- collections_cancel
        update report_data_collections
        set status = case when lacks.rows then 'cancelled' else 'completed' end::collection_status,
            finished_at = (select engine.now()),
            last_error = case when lacks.rows then $2 else last_error end,
            pause_reason = null,
            paused_at = null,
            paused_by = null,
            auto_paused = false,
            paused_for = null,
            resume_at = null
        from (
            select exists (
                select
                from report_data_weeks
                where collection_id = $1
                  and status not in ('succeeded', 'skipped')
                  and previous_execution_id is null
            ) as rows
        ) as lacks
        where id = $1
          and status in ('pending', 'running', 'paused')
        returning status",
    )
    .bind(collection)
    .bind(text::message(reason))
    .fetch_optional(db)
    .await
}

/// Counts a failed week, and keeps what it said. How many failed, this one included, and of how many that
/// are asked for.
pub async fn count_failure(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    why: &str,
) -> Result<(i32, i64), sqlx::Error> {
    sqlx::query_as(
        r"-- collections_count_failure
        update report_data_collections
        set failures = failures + 1, last_error = $2
        where id = $1
        returning failures, (
            select count(*) from report_data_weeks where collection_id = $1 and status <> 'skipped'
        )",
    )
    .bind(collection)
    .bind(text::message(why))
    .fetch_one(db)
    .await
}

/// Makes the collection cover exactly the weeks that it has, but for those that a person has called off, and
/// gives those that wait their turns anew.
pub async fn cover(db: impl PgExecutor<'_>, collection: CollectionUuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- collections_cover
        with week as (
            select id, week_start_date, week_end_date,
                row_number() over (order by week_start_date) as from_the_first,
                row_number() over (order by week_start_date desc) as from_the_last
            from report_data_weeks
            where collection_id = $1
              and not (status = 'skipped' and starts_with(coalesce(error_message, ''), $2))
        ),
        collection as (
            update report_data_collections
            set period_start = coalesce((select min(week_start_date) from week), period_start),
                period_end = coalesce((select max(week_end_date) from week), period_end),
                target_weeks = (select count(*) from week)
            where id = $1
            returning feed_order
        )
        update report_data_weeks
        set turn = case feed_order
                when 'oldest_first' then from_the_first
                when 'newest_first' then from_the_last
                else least(2 * from_the_first - 1, 2 * from_the_last)
            end
        from week, collection
        where report_data_weeks.id = week.id",
    )
    .bind(collection)
    .bind(weeks::SKIPPED_BY)
    .execute(db)
    .await?;
    Ok(())
}
