//! Sums a collection's weeks up to weeks, months and quarters, with the ratios of the sums.
//!
//! Doing it twice changes nothing: an aggregate whose source weeks are the same is not written again.

use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Share};
use crate::reports::aggregate::{self, Aggregate, Grain, Length, WeekSummary};
use crate::reports::metrics::Metrics;
use crate::store::aggregates::{self, AggregateGrain, NewAggregate};
use crate::store::collections::{self, CollectionGrain};
use crate::store::{CollectionUuid, weeks};
use crate::tools::Tools;
use chrono::Weekday;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// Sums a collection's weeks up.
#[derive(Debug, Serialize, Deserialize)]
pub struct AggregateReport {
    /// Which collection.
    pub collection_id: CollectionUuid,
}

impl Job for AggregateReport {
    type Tools = Tools;
    const KIND: &'static str = "aggregate_report";
    const QUEUE: &'static str = "reports";
    const SHARE: Share = Share::Backfill;

    fn unique_key(&self) -> Option<String> {
        Some(self.collection_id.to_string())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        // Whoever ends it once more waits here, and then finds that no report is under way.
        collections::lock(&mut transaction, self.collection_id).await?;
        let length = self.length(&mut transaction).await?;
        let weeks = self.weeks(&mut transaction).await?;
        let mut changed = 0;
        for grain in Grain::ALL {
            let sums = aggregate::aggregate(grain, length, &weeks).map_err(Failure::permanent)?;
            for sum in &sums {
                changed += usize::from(self.write(&mut transaction, grain, sum).await?);
            }
        }
        let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
        transaction.commit().await?;
        tracing::info!(collection = %self.collection_id, changed, "report aggregated");
        Ok(outcome)
    }
}

impl AggregateReport {
    /// The job for this collection.
    pub fn job(collection_id: CollectionUuid) -> Result<NewJob, Failure> {
        Ok(NewJob::of(&Self { collection_id })?)
    }

    /// How long the slices of the collection are.
    async fn length(&self, connection: &mut PgConnection) -> Result<Length, Failure> {
        let collection = collections::by_id(connection, self.collection_id).await?;
        let collection = collection.ok_or(sqlx::Error::RowNotFound)?;
        Ok(match collection.grain {
            CollectionGrain::Day => Length::Day(weekday(collection.week_starts_on)),
            CollectionGrain::Week => Length::Week,
            CollectionGrain::Month => Length::Month,
        })
    }

    async fn weeks(&self, connection: &mut PgConnection) -> Result<Vec<WeekSummary>, Failure> {
        let stored = weeks::summaries(connection, self.collection_id).await?;
        stored
            .into_iter()
            .map(|week| {
                let metrics: Metrics =
                    serde_json::from_value(week.metrics).map_err(Failure::permanent)?;
                Ok(WeekSummary {
                    start: week.week_start_date,
                    end: week.week_end_date,
                    content_sha256: week.data_checksum,
                    row_count: week.row_count,
                    metrics,
                })
            })
            .collect()
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        grain: Grain,
        sum: &Aggregate,
    ) -> Result<bool, Failure> {
        let metrics = serde_json::to_value(&sum.metrics).map_err(Failure::permanent)?;
        let derived = serde_json::to_value(sum.ratios).map_err(Failure::permanent)?;
        let row = NewAggregate {
            grain: stored(grain),
            period_start: sum.period_start,
            period_end: sum.period_end,
            metrics: &metrics,
            derived: &derived,
            row_count: sum.row_count,
            source_week_count: i64::from(sum.source_week_count),
            missing_week_count: i64::from(sum.missing_week_count),
            source_digest: sum.source_digest,
        };
        Ok(aggregates::upsert(connection, self.collection_id, &row).await?)
    }
}

/// The day with this number: 1 is Monday, 7 is Sunday.
fn weekday(number: i16) -> Weekday {
    u8::try_from(number - 1)
        .ok()
        .and_then(|day| Weekday::try_from(day).ok())
        .unwrap_or(Weekday::Mon)
}

fn stored(grain: Grain) -> AggregateGrain {
    match grain {
        Grain::Week => AggregateGrain::Week,
        Grain::Month => AggregateGrain::Month,
        Grain::Quarter => AggregateGrain::Quarter,
    }
}
