//! What a person does to many weeks of a collection at once, each in one statement. Call them under the
//! collection's lock.

use chrono::NaiveDate;
use sqlx::PgExecutor;

use crate::store::collections::NewWeek;
use crate::store::ids::{CollectionUuid, WeekId};
use crate::store::text;

/// pending, running, blocked → cancelled. One that was collected again keeps the rows it has, and has
/// succeeded with them. How many.
pub async fn cancel_all(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    reason: &str,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_cancel_all
        update report_data_weeks
        set status = case when previous_execution_id is null then 'cancelled' else 'succeeded' end::week_status,
            workflow_execution_id = coalesce(previous_execution_id, workflow_execution_id),
            previous_execution_id = null,
            error_message = case when previous_execution_id is null then $2 end,
            completed_at = (select engine.now())
        where collection_id = $1
          and status in ('pending', 'running', 'blocked')",
    )
    .bind(collection)
    .bind(text::message(reason))
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// failed, cancelled → pending, with all its attempts before it: all of them, or the one that begins on
/// this day. How many.
pub async fn retry(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    week: Option<NaiveDate>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_retry
        update report_data_weeks
        set status = 'pending',
            queued_at = null,
            attempts_forgiven = attempts,
            error_message = null,
            completed_at = null
        where collection_id = $1
          and status in ('failed', 'cancelled')
          and ($2::date is null or week_start_date = $2)",
    )
    .bind(collection)
    .bind(week)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// succeeded → pending, with the rows it has until the new ones are stored: the last so many weeks of the
/// collection, those of them that have succeeded. How many.
pub async fn collect_again(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    last: i64,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_collect_again
        with last as (
            select id
            from report_data_weeks
            where collection_id = $1
              and status <> 'skipped'
            order by week_start_date desc
            limit $2
        )
        update report_data_weeks week
        set status = 'pending',
            queued_at = null,
            previous_execution_id = workflow_execution_id,
            attempts_forgiven = attempts,
            error_message = null,
            completed_at = null
        from last
        where week.id = last.id
          and week.status = 'succeeded'",
    )
    .bind(collection)
    .bind(last)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// How the reason of a week begins that a person does not need, before who it was. One that was left out
/// when the collection was made says something else.
pub(in crate::store) const SKIPPED_BY: &str = "skipped by ";

/// Adds weeks, and takes up again those of them that [`skip_outside`] skipped; the others stay as they are.
/// How many.
pub async fn add(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    weeks: &[NewWeek],
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_add
        insert into report_data_weeks as week
            (id, collection_id, week_start_date, week_end_date, slice_key)
        select id, $1, week_start_date, week_end_date, slice_key
        from unnest($2::uuid[], $3::date[], $4::date[], $5::bytea[])
            as new (id, week_start_date, week_end_date, slice_key)
        on conflict on constraint report_data_weeks_week_start_date_key do update
        set status = 'pending', queued_at = null, error_message = null, completed_at = null
        where week.status = 'skipped'
          and starts_with(week.error_message, $6)",
    )
    .bind(collection)
    .bind(weeks.iter().map(|_| WeekId::fresh()).collect::<Vec<_>>())
    .bind(weeks.iter().map(|week| week.start).collect::<Vec<_>>())
    .bind(weeks.iter().map(|week| week.end).collect::<Vec<_>>())
    .bind(weeks.iter().map(|week| week.slice_key).collect::<Vec<_>>())
    .bind(SKIPPED_BY)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Whether a collection would have weeks left if those were skipped that [`skip_outside`] skips.
pub async fn any_left(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    (from, until): (NaiveDate, NaiveDate),
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        r"-- weeks_any_left
        select exists (
            select
            from report_data_weeks
            where collection_id = $1
              and not (status = 'skipped' and starts_with(coalesce(error_message, ''), $4))
              and not (
                  status = 'pending'
                  and previous_execution_id is null
                  and (week_start_date < $2 or week_end_date > $3)
              )
        )",
    )
    .bind(collection)
    .bind(from)
    .bind(until)
    .bind(SKIPPED_BY)
    .fetch_one(db)
    .await
}

/// pending → skipped, of the weeks that do not lie within these days. One that was to be collected again
/// keeps the rows it has. How many.
pub async fn skip_outside(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    (from, until): (NaiveDate, NaiveDate),
    (by, why): (&str, &str),
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_skip_outside
        update report_data_weeks
        set status = case when previous_execution_id is null then 'skipped' else 'succeeded' end::week_status,
            workflow_execution_id = coalesce(previous_execution_id, workflow_execution_id),
            previous_execution_id = null,
            error_message = case when previous_execution_id is null then $4 end,
            completed_at = (select engine.now())
        where collection_id = $1
          and status = 'pending'
          and (week_start_date < $2 or week_end_date > $3)",
    )
    .bind(collection)
    .bind(from)
    .bind(until)
    .bind(text::message(&format!("{SKIPPED_BY}{by}: {why}")))
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
