//! What is known of slices from all collections, and slices that a collection leaves out.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{FromRow, PgExecutor};

use crate::store::ids::CollectionUuid;
use crate::store::text;
use crate::store::words::Sha256;

/// What all collections together know of a slice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Known {
    /// When its newest rows came from AMC; none while nobody has any, or when they have been dropped since.
    pub collected_at: Option<DateTime<Utc>>,
    /// When it was last given up.
    pub failed_at: Option<DateTime<Utc>>,
    /// Whether somebody is collecting it.
    pub is_running: bool,
}

/// What is known of these slices, in their order. Rows are as old as the execution they came from, whoever
/// took them over since.
pub async fn known(
    db: impl PgExecutor<'_>,
    slice_keys: &[Sha256],
) -> Result<Vec<Known>, sqlx::Error> {
    sqlx::query_as(
        r"-- weeks_known
        select known.*
        from unnest($1::bytea[]) with ordinality as slice (slice_key, place)
        cross join lateral (
            select
                max(execution.finished_at) filter (
                    where week.status = 'succeeded' and result.expired_at is null
                ) as collected_at,
                max(completed_at) filter (where week.status = 'failed') as failed_at,
                count(*) filter (where week.status = 'running') > 0 as is_running
            from report_data_weeks week
            left join workflow_executions execution on execution.id = week.workflow_execution_id
            left join execution_results result
                on result.execution_id = coalesce(execution.reused_from, execution.id)
            where week.slice_key = slice.slice_key
              and week.status in ('running', 'succeeded', 'failed')
        ) as known
        order by place",
    )
    .bind(slice_keys)
    .fetch_all(db)
    .await
}

/// pending → skipped: the slices that begin on these days are no part of the work. How many.
pub async fn skip(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    slices: &[(NaiveDate, &str)],
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_skip
        update report_data_weeks week
        set status = 'skipped', error_message = slice.reason, completed_at = (select engine.now())
        from unnest($2::date[], $3::text[]) as slice (start_date, reason)
        where week.collection_id = $1
          and week.week_start_date = slice.start_date
          and week.status = 'pending'",
    )
    .bind(collection)
    .bind(slices.iter().map(|(start, _)| *start).collect::<Vec<_>>())
    .bind(slices.iter().map(|(_, reason)| text::message(reason)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{House, MONDAY};
    use crate::store::weeks::{Filter, WeekStatus, fail, list};

    #[tokio::test]
    async fn a_slice_is_known_from_every_collection_that_tried_it() {
        let house = House::new().await;
        let (_, first) = house.collection("col_1", 4).await;
        let (_, second) = house.collection("col_2", 1).await;
        house.collect(first[0]).await;
        assert!(fail(house.db(), second[0], "no").await.unwrap());
        house.queued(first[1]).await;
        assert!(fail(house.db(), first[2], "no").await.unwrap());

        let keys = [[3; 32], [2; 32], [1; 32], [0; 32], [9; 32]];
        let known = known(house.db(), &keys).await.unwrap();
        let seen: Vec<_> = known
            .iter()
            .map(|one| (one.collected_at.is_some(), one.failed_at.is_some(), one.is_running))
            .collect();
        let nothing = (false, false, false);
        assert_eq!(
            seen,
            [nothing, (false, true, false), (false, false, true), (true, true, false), nothing]
        );
    }

    #[tokio::test]
    async fn slices_that_are_left_out_are_skipped_with_their_reason() {
        let house = House::new().await;
        let (collection, weeks) = house.collection("col_1", 3).await;
        house.collect(weeks[1]).await;
        let second = MONDAY + chrono::Days::new(7);
        let left_out = [(MONDAY, "it is collected already"), (second, "too late")];
        assert_eq!(skip(house.db(), collection, &left_out).await.unwrap(), 1);
        let weeks = list(house.db(), collection, &Filter::default()).await.unwrap();
        assert_eq!(weeks[0].status, WeekStatus::Skipped);
        assert_eq!(weeks[0].error_message.as_deref(), Some("it is collected already"));
        assert_eq!(weeks[1].status, WeekStatus::Succeeded);
        assert_eq!(weeks[2].status, WeekStatus::Pending);
    }
}
