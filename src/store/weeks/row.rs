//! What a week is: its row, and the questions asked about many of them.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};

use crate::store::collections::CollectionStatus;
use crate::store::ids::{CollectionUuid, ExecutionUuid, InstanceUuid, UserId, VersionId, WeekId};
use crate::store::words::{Sha256, words};

words! {
    /// Where a week stands.
    WeekStatus as "week_status" {
        /// Nothing has begun.
        Pending = "pending",
        /// An execution is under way, or the next attempt is waiting.
        Running = "running",
        /// Its rows are stored, counted and summed.
        Succeeded = "succeeded",
        /// Its attempts are spent, or it is hopeless.
        Failed = "failed",
        /// The rules said not to collect it.
        Skipped = "skipped",
        /// Amazon refuses us on its instance; goes on when the instance is unblocked.
        Blocked = "blocked",
        /// Stopped by a person.
        Cancelled = "cancelled",
    }
}

impl Week {
    /// How many of its executions count towards its limit.
    pub fn spent(&self) -> i32 {
        self.attempts - self.attempts_forgiven
    }
}

impl WeekStatus {
    /// Whether nothing more will happen to the week.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running | Self::Blocked)
    }
}

/// A row of `report_data_weeks`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Week {
    /// Names the week here.
    pub id: WeekId,
    /// The collection it is a slice of.
    pub collection_id: CollectionUuid,
    /// Its first day, in the collection's zone.
    pub week_start_date: NaiveDate,
    /// The first day after it.
    pub week_end_date: NaiveDate,
    /// Equal for two weeks that ask the same question.
    pub slice_key: Sha256,
    /// Where it stands.
    pub status: WeekStatus,
    /// Its current execution.
    pub workflow_execution_id: Option<ExecutionUuid>,
    /// How many executions it has had.
    pub attempts: i32,
    /// How many of them do not count towards its limit.
    pub attempts_forgiven: i32,
    /// Rows in its result.
    pub row_count: Option<i64>,
    /// The sha256 of its rows.
    pub data_checksum: Option<Sha256>,
    /// The sha256 of its columns' names and types.
    pub schema_checksum: Option<Sha256>,
    /// Its additive sums, `{name: decimal as text}`.
    pub metrics: Option<Value>,
    /// Raised each time its rows are stored anew.
    pub data_version: i32,
    /// While it is collected again: the execution whose rows it still has.
    pub previous_execution_id: Option<ExecutionUuid>,
    /// When it was last collected again.
    pub last_checked_at: Option<DateTime<Utc>>,
    /// When it was given to the queue; none while its turn has not come.
    pub queued_at: Option<DateTime<Utc>>,
    /// Why it failed, was skipped or is blocked, or why collecting it again failed.
    pub error_message: Option<String>,
    /// When its first attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
}

/// A week with what its collection says about it: all that collecting it takes.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct WeekInCollection {
    /// The week.
    #[sqlx(flatten)]
    pub week: Week,
    /// Where the collection stands.
    pub collection_status: CollectionStatus,
    /// What every slice runs.
    pub workflow_version_id: VersionId,
    /// Where every slice runs.
    pub instance_id: InstanceUuid,
    /// In whose name every slice runs.
    pub user_id: UserId,
    /// The values of the workflow's parameters.
    pub parameters: Value,
    /// The IANA zone in which days begin.
    pub timezone: String,
    /// How many executions a slice may spend.
    pub max_attempts_per_week: i32,
}

/// A week whose rows are stored, as much of it as aggregates are made from.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Summary {
    /// The week.
    pub id: WeekId,
    /// Its first day.
    pub week_start_date: NaiveDate,
    /// The first day after it.
    pub week_end_date: NaiveDate,
    /// Rows in it.
    pub row_count: i64,
    /// The sha256 of its rows.
    pub data_checksum: Sha256,
    /// The sha256 of its columns' names and types.
    pub schema_checksum: Sha256,
    /// Its additive sums, `{name: decimal as text}`.
    pub metrics: Value,
}

/// Which weeks of a collection to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only those that stand there.
    pub status: Option<WeekStatus>,
    /// Only those that begin after this day.
    pub after: Option<NaiveDate>,
    /// At most so many; none for all.
    pub limit: Option<i64>,
}

/// The week with this id, and what its collection says about it.
pub async fn by_id(
    db: impl PgExecutor<'_>,
    week: WeekId,
) -> Result<Option<WeekInCollection>, sqlx::Error> {
    sqlx::query_as(
        r"-- weeks_by_id
        select week.id, week.collection_id, week_start_date, week_end_date, slice_key, week.status,
            workflow_execution_id, attempts, attempts_forgiven, row_count, data_checksum, schema_checksum,
            metrics, data_version, previous_execution_id, last_checked_at, queued_at, error_message,
            week.started_at, completed_at,
            collection.status as collection_status, workflow_version_id, instance_id, user_id,
            parameters, timezone, max_attempts_per_week
        from report_data_weeks week
        join report_data_collections collection on collection.id = week.collection_id
        where week.id = $1",
    )
    .bind(week)
    .fetch_optional(db)
    .await
}

/// Weeks of a collection, the earliest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    filter: &Filter,
) -> Result<Vec<Week>, sqlx::Error> {
    sqlx::query_as(
        r"-- weeks_list
        select id, collection_id, week_start_date, week_end_date, slice_key, status,
            workflow_execution_id, attempts, attempts_forgiven, row_count, data_checksum, schema_checksum,
            metrics, data_version, previous_execution_id, last_checked_at, queued_at, error_message,
            started_at, completed_at
        from report_data_weeks
        where collection_id = $1
          and ($2::week_status is null or status = $2)
          and ($3::date is null or week_start_date > $3)
        order by week_start_date
        limit $4",
    )
    .bind(collection)
    .bind(filter.status)
    .bind(filter.after)
    .bind(filter.limit)
    .fetch_all(db)
    .await
}

/// The weeks of a collection whose rows are stored, the earliest first. One that is collected again is
/// among them with the rows that it still has.
pub async fn summaries(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<Vec<Summary>, sqlx::Error> {
    sqlx::query_as(
        r"-- weeks_summaries
        select id, week_start_date, week_end_date, row_count, data_checksum, schema_checksum, metrics
        from report_data_weeks
        where collection_id = $1
          and metrics is not null
        order by week_start_date",
    )
    .bind(collection)
    .fetch_all(db)
    .await
}

/// How many weeks of a collection are left to do, blocked ones included.
pub async fn unfinished_count(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        r"-- weeks_unfinished_count
        select count(*)
        from report_data_weeks
        where collection_id = $1
          and status in ('pending', 'running', 'blocked')",
    )
    .bind(collection)
    .fetch_one(db)
    .await
}

/// The blocked weeks on an instance, to be collected again once it is unblocked.
pub async fn blocked_on(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
) -> Result<Vec<WeekId>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- weeks_blocked_on
        select week.id
        from report_data_weeks week
        join report_data_collections collection on collection.id = week.collection_id
        where instance_id = $1
          and collection.status in ('pending', 'running', 'paused')
          and week.status = 'blocked'
        order by week_start_date, week.id",
    )
    .bind(instance)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{House, MONDAY};

    #[tokio::test]
    async fn weeks_are_listed_by_status_from_a_day_on_and_in_pages() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 4).await;
        house.collect(week_ids[0]).await;
        let ids = async |filter: Filter| -> Vec<WeekId> {
            let weeks = list(house.db(), collection, &filter).await.unwrap();
            weeks.iter().map(|week| week.id).collect()
        };
        let pending = Filter { status: Some(WeekStatus::Pending), ..Filter::default() };
        assert_eq!(ids(pending).await, week_ids[1..]);
        let second_page = Filter { after: Some(MONDAY), limit: Some(2), ..Filter::default() };
        assert_eq!(ids(second_page).await, week_ids[1..3]);
    }

    #[tokio::test]
    async fn only_weeks_with_rows_are_summed_up() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 3).await;
        house.collect(week_ids[1]).await;
        let summaries = summaries(house.db(), collection).await.unwrap();
        assert_eq!(summaries.len(), 1);
        assert_eq!((summaries[0].id, summaries[0].row_count), (week_ids[1], 3));
        assert_eq!(summaries[0].metrics, serde_json::json!({"clicks": "12"}));
        assert_eq!(unfinished_count(house.db(), collection).await.unwrap(), 2);
    }
}
