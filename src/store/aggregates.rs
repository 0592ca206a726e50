//! `report_data_aggregates`: what the weeks of a collection come to, by week, month and quarter.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};

use super::ids::CollectionUuid;
use super::words::{Sha256, words};

words! {
    /// How long an aggregate's period is.
    AggregateGrain as "aggregate_grain" {
        /// One week.
        Week = "week",
        /// A month of the calendar.
        Month = "month",
        /// A quarter of the calendar.
        Quarter = "quarter",
    }
}

/// A row of `report_data_aggregates`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Aggregate {
    /// How long the period is.
    pub grain: AggregateGrain,
    /// The first day of the period.
    pub period_start: NaiveDate,
    /// The first day after the period.
    pub period_end: NaiveDate,
    /// The additive sums, `{name: decimal as text}`.
    pub metrics: Value,
    /// The ratios of those sums.
    pub derived: Value,
    /// How many rows the weeks had together.
    pub row_count: i64,
    /// How many weeks were summed.
    pub source_week_count: i64,
    /// How many weeks of the period have no data.
    pub missing_week_count: i64,
    /// Over the weeks' checksums and the rules applied.
    pub source_digest: Sha256,
    /// When it was last computed to something new.
    pub computed_at: DateTime<Utc>,
}

/// An aggregate to be written.
#[derive(Debug, Clone, Copy)]
pub struct NewAggregate<'a> {
    /// How long the period is.
    pub grain: AggregateGrain,
    /// The first day of the period.
    pub period_start: NaiveDate,
    /// The first day after the period.
    pub period_end: NaiveDate,
    /// The additive sums, `{name: decimal as text}`.
    pub metrics: &'a Value,
    /// The ratios of those sums; null where the denominator is zero.
    pub derived: &'a Value,
    /// How many rows the weeks had together.
    pub row_count: i64,
    /// How many weeks were summed.
    pub source_week_count: i64,
    /// How many weeks of the period have no data.
    pub missing_week_count: i64,
    /// Over the weeks' checksums and the rules applied: the same digest is the same aggregate.
    pub source_digest: Sha256,
}

/// Writes an aggregate of a collection, and says whether that changed anything.
///
/// Nothing is written when the stored one has the same digest.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    aggregate: &NewAggregate<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- aggregates_upsert
        insert into report_data_aggregates as aggregate
            (workflow_id, instance_id, collection_id, grain, period_start, period_end, metrics, derived,
             row_count, source_week_count, missing_week_count, source_digest, computed_at)
        select version.workflow_id, collection.instance_id, collection.id, $2, $3, $4, $5, $6,
            $7, $8, $9, $10, (select engine.now())
        from report_data_collections collection
        join workflow_versions version on version.id = collection.workflow_version_id
        where collection.id = $1
        on conflict (collection_id, grain, period_start) do update
        set period_end = excluded.period_end,
            metrics = excluded.metrics,
            derived = excluded.derived,
            row_count = excluded.row_count,
            source_week_count = excluded.source_week_count,
            missing_week_count = excluded.missing_week_count,
            source_digest = excluded.source_digest,
            computed_at = excluded.computed_at
        where aggregate.source_digest <> excluded.source_digest",
    )
    .bind(collection)
    .bind(aggregate.grain)
    .bind(aggregate.period_start)
    .bind(aggregate.period_end)
    .bind(aggregate.metrics)
    .bind(aggregate.derived)
    .bind(aggregate.row_count)
    .bind(aggregate.source_week_count)
    .bind(aggregate.missing_week_count)
    .bind(aggregate.source_digest)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The aggregates of a collection of one grain, the earliest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    grain: AggregateGrain,
) -> Result<Vec<Aggregate>, sqlx::Error> {
    sqlx::query_as(
        r"-- aggregates_list
        select grain, period_start, period_end, metrics, derived, row_count, source_week_count,
            missing_week_count, source_digest, computed_at
        from report_data_aggregates
        where collection_id = $1
          and grain = $2
        order by period_start",
    )
    .bind(collection)
    .bind(grain)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use chrono::Days;
    use serde_json::json;

    use super::*;
    use crate::store::fixture::{House, MONDAY};

    #[tokio::test]
    async fn an_aggregate_is_written_again_only_when_its_sources_have_changed() {
        let house = House::new().await;
        let (collection, _) = house.collection("col_1", 1).await;
        let (clicks, more, none) = (json!({"clicks": "12"}), json!({"clicks": "13"}), json!({}));
        let first = NewAggregate {
            grain: AggregateGrain::Week,
            period_start: MONDAY,
            period_end: MONDAY + Days::new(7),
            metrics: &clicks,
            derived: &none,
            row_count: 3,
            source_week_count: 1,
            missing_week_count: 0,
            source_digest: [1; 32],
        };
        assert!(upsert(house.db(), collection, &first).await.unwrap());
        let same = NewAggregate { metrics: &more, ..first };
        assert!(!upsert(house.db(), collection, &same).await.unwrap());
        let changed = NewAggregate { metrics: &more, source_digest: [2; 32], ..first };
        assert!(upsert(house.db(), collection, &changed).await.unwrap());
        let month = NewAggregate { grain: AggregateGrain::Month, ..first };
        assert!(upsert(house.db(), collection, &month).await.unwrap());

        let weeks = list(house.db(), collection, AggregateGrain::Week).await.unwrap();
        assert_eq!(weeks.len(), 1);
        assert_eq!((&weeks[0].metrics, weeks[0].source_digest), (&more, [2; 32]));
    }
}
