//! When weeks have their turn: they are given to the queue a few at a time, and handed back.

use sqlx::PgExecutor;

use crate::store::ids::{CollectionUuid, WeekId};

/// Takes the weeks that have their turn now, as many as the collection may have in the queue. The first
/// first. Call it under the collection's lock; of one that is paused or has ended it takes none.
pub async fn take_turns(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<Vec<WeekId>, sqlx::Error> {
    let mut taken: Vec<(i32, WeekId)> = sqlx::query_as(
        r"-- weeks_take_turns
        with room as (
            select max_queued_weeks - (
                select count(*)
                from report_data_weeks
                where collection_id = $1
                  and queued_at is not null
                  and status in ('pending', 'running', 'blocked')
            ) as weeks
            from report_data_collections
            where id = $1
              and status in ('pending', 'running')
        ),
        next as (
            select id
            from report_data_weeks
            where collection_id = $1
              and queued_at is null
              and status = 'pending'
            order by turn, week_start_date
            limit greatest(coalesce((select weeks from room), 0), 0)
        )
        update report_data_weeks week
        set queued_at = (select engine.now())
        from next
        where week.id = next.id
        returning week.turn, week.id",
    )
    .bind(collection)
    .fetch_all(db)
    .await?;
    taken.sort_unstable_by_key(|(turn, _)| *turn);
    Ok(taken.into_iter().map(|(_, week)| week).collect())
}

/// pending, running, blocked → pending, out of the queue until its turn comes again. Call it of a week
/// whose executions have all ended. `unsent` of them were never sent, and do not count.
pub async fn hand_back(
    db: impl PgExecutor<'_>,
    week: WeekId,
    unsent: i32,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_hand_back
        update report_data_weeks
        set status = 'pending',
            queued_at = null,
            attempts_forgiven = attempts_forgiven + $2,
            error_message = null
        where id = $1
          and status in ('pending', 'running', 'blocked')",
    )
    .bind(week)
    .bind(unsent)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
