//! What a collection is: its row, and how it is added with all its weeks.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};

use super::rules::{FeedOrder, Rules};
use crate::store::ids::{CollectionUuid, InstanceUuid, UserId, VersionId, WeekId};
use crate::store::text;
use crate::store::words::{Sha256, words};

words! {
    /// What a collection is for.
    CollectionKind as "collection_kind" {
        /// A range of the past, once.
        Backfill = "backfill",
        /// The newest weeks, again and again.
        Incremental = "incremental",
    }
}

words! {
    /// How long a slice is.
    CollectionGrain as "collection_grain" {
        /// A day.
        Day = "day",
        /// Seven days.
        Week = "week",
        /// A month of the calendar.
        Month = "month",
    }
}

words! {
    /// Where a collection stands.
    CollectionStatus as "collection_status" {
        /// Nothing has begun.
        Pending = "pending",
        /// Slices are under way.
        Running = "running",
        /// No further slice begins until it is resumed.
        Paused = "paused",
        /// Every slice succeeded or was skipped.
        Completed = "completed",
        /// Some slices succeeded, some did not.
        CompletedWithErrors = "completed_with_errors",
        /// No slice succeeded.
        Failed = "failed",
        /// Stopped by a person.
        Cancelled = "cancelled",
    }
}

impl CollectionStatus {
    /// Whether nothing more will happen to the collection.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running | Self::Paused)
    }
}

/// A row of `report_data_collections`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Collection {
    /// Names the collection here.
    pub id: CollectionUuid,
    /// Names the collection for people and programs.
    pub collection_id: String,
    /// What to call it on a page.
    pub name: String,
    /// What every slice runs.
    pub workflow_version_id: VersionId,
    /// Where every slice runs.
    pub instance_id: InstanceUuid,
    /// In whose name every slice runs.
    pub user_id: UserId,
    /// What it is for.
    pub kind: CollectionKind,
    /// How long a slice is.
    pub grain: CollectionGrain,
    /// The first day it covers.
    pub period_start: NaiveDate,
    /// The first day after those it covers.
    pub period_end: NaiveDate,
    /// How many slices it has.
    pub target_weeks: i32,
    /// The IANA zone in which its days begin.
    pub timezone: String,
    /// How many days ago a slice had to have ended when it was planned.
    pub lag_days: i32,
    /// The first day of its weeks: 1 is Monday, 7 is Sunday.
    pub week_starts_on: i16,
    /// The values of the workflow's parameters.
    pub parameters: Value,
    /// How many executions a slice may spend before it is failed.
    pub max_attempts_per_week: i32,
    /// Where it stands.
    pub status: CollectionStatus,
    /// In which order its slices have their turn.
    pub feed_order: FeedOrder,
    /// How many of its slices are in the queue at most.
    pub max_queued_weeks: i32,
    /// So many failed slices pause it.
    pub max_failed_weeks: Option<i32>,
    /// So many percent of failed slices pause it.
    pub max_failed_percent: Option<i32>,
    /// How many slices have failed since it began, or since it last went on.
    pub failures: i32,
    /// Why it is paused, and what to do about it.
    pub pause_reason: Option<String>,
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// Whether the engine paused it by itself.
    pub auto_paused: bool,
    /// The resource whose opening lets it go on by itself, if it waits for one.
    pub paused_for: Option<String>,
    /// When it goes on by itself.
    pub resume_at: Option<DateTime<Utc>>,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// When its first slice began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last slice ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A collection to be added.
#[derive(Debug, Clone, Copy)]
pub struct NewCollection<'a> {
    /// Names the collection for people and programs.
    pub collection_id: &'a str,
    /// What to call it on a page.
    pub name: &'a str,
    /// What every slice runs.
    pub workflow_version_id: VersionId,
    /// Where every slice runs.
    pub instance_id: InstanceUuid,
    /// In whose name every slice runs.
    pub user_id: UserId,
    /// What it is for.
    pub kind: CollectionKind,
    /// How long a slice is.
    pub grain: CollectionGrain,
    /// The IANA zone in which its days begin.
    pub timezone: &'a str,
    /// How many days ago a slice has to have ended; at least 2.
    pub lag_days: i32,
    /// The first day of its weeks: 1 is Monday, 7 is Sunday.
    pub week_starts_on: i16,
    /// The values of the workflow's parameters, a JSON object.
    pub parameters: &'a Value,
    /// How many executions a slice may spend before it is failed.
    pub max_attempts_per_week: i32,
    /// In which order it goes forward, how many at a time, and what may go wrong.
    pub rules: Rules,
}

/// A slice of a collection to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewWeek {
    /// The first day.
    pub start: NaiveDate,
    /// The first day after it.
    pub end: NaiveDate,
    /// Over everything that decides what AMC would answer: equal for equal work.
    pub slice_key: Sha256,
}

/// Adds a collection and all its weeks in one statement.
///
/// Returns the ids of the weeks in the order in which the weeks were given. Without weeks, with two
/// that begin on one day, or with a public id that is taken, the database refuses.
pub async fn insert(
    db: impl PgExecutor<'_>,
    collection: &NewCollection<'_>,
    weeks: &[NewWeek],
) -> Result<(CollectionUuid, Vec<WeekId>), sqlx::Error> {
    let id = CollectionUuid::fresh();
    let week_ids: Vec<_> = weeks.iter().map(|_| WeekId::fresh()).collect();
    sqlx::query(
        r"-- collections_insert
        with week as (
            select id, week_start_date, week_end_date, slice_key,
                row_number() over (order by week_start_date) as from_the_first,
                row_number() over (order by week_start_date desc) as from_the_last
            from unnest($14::uuid[], $15::date[], $16::date[], $17::bytea[])
                as week (id, week_start_date, week_end_date, slice_key)
        ),
        collection as (
            insert into report_data_collections
                (id, collection_id, name, workflow_version_id, instance_id, user_id, kind, grain, timezone,
                 lag_days, week_starts_on, parameters, max_attempts_per_week,
                 feed_order, max_queued_weeks, max_failed_weeks, max_failed_percent,
                 period_start, period_end, target_weeks)
            select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $18::feed_order, $19, $20, $21,
                min(week_start_date), max(week_end_date), count(*)
            from week
            returning id
        )
        insert into report_data_weeks
            (id, collection_id, week_start_date, week_end_date, slice_key, turn)
        select week.id, collection.id, week_start_date, week_end_date, slice_key,
            case $18::feed_order
                when 'oldest_first' then from_the_first
                when 'newest_first' then from_the_last
                else least(2 * from_the_first - 1, 2 * from_the_last)
            end
        from collection, week",
    )
    .bind(id)
    .bind(collection.collection_id)
    .bind(collection.name)
    .bind(collection.workflow_version_id)
    .bind(collection.instance_id)
    .bind(collection.user_id)
    .bind(collection.kind)
    .bind(collection.grain)
    .bind(collection.timezone)
    .bind(collection.lag_days)
    .bind(collection.week_starts_on)
    .bind(collection.parameters)
    .bind(collection.max_attempts_per_week)
    .bind(&week_ids)
    .bind(weeks.iter().map(|week| week.start).collect::<Vec<_>>())
    .bind(weeks.iter().map(|week| week.end).collect::<Vec<_>>())
    .bind(weeks.iter().map(|week| week.slice_key).collect::<Vec<_>>())
    .bind(collection.rules.feed_order)
    .bind(collection.rules.max_queued_weeks)
    .bind(collection.rules.max_failed_weeks)
    .bind(collection.rules.max_failed_percent)
    .execute(db)
    .await?;
    Ok((id, week_ids))
}

/// The collection with this id.
pub async fn by_id(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<Option<Collection>, sqlx::Error> {
    sqlx::query_as(
        r"-- collections_by_id
        select id, collection_id, name, workflow_version_id, instance_id, user_id, kind, grain, period_start,
            period_end, target_weeks, timezone, lag_days, week_starts_on, parameters, max_attempts_per_week,
            status, feed_order, max_queued_weeks, max_failed_weeks, max_failed_percent, failures,
            pause_reason, paused_at, paused_by, auto_paused, paused_for, resume_at, last_error, started_at, finished_at,
            created_at
        from report_data_collections
        where id = $1",
    )
    .bind(collection)
    .fetch_optional(db)
    .await
}

/// The collection with this public id.
pub async fn by_collection_id(
    db: impl PgExecutor<'_>,
    collection_id: &str,
) -> Result<Option<Collection>, sqlx::Error> {
    sqlx::query_as(
        r"-- collections_by_collection_id
        select id, collection_id, name, workflow_version_id, instance_id, user_id, kind, grain, period_start,
            period_end, target_weeks, timezone, lag_days, week_starts_on, parameters, max_attempts_per_week,
            status, feed_order, max_queued_weeks, max_failed_weeks, max_failed_percent, failures,
            pause_reason, paused_at, paused_by, auto_paused, paused_for, resume_at, last_error, started_at, finished_at,
            created_at
        from report_data_collections
        where collection_id = $1",
    )
    .bind(collection_id)
    .fetch_optional(db)
    .await
}

/// The newest collections, at most `limit`, the newest first.
pub async fn list(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Collection>, sqlx::Error> {
    sqlx::query_as(
        r"-- collections_list
        select id, collection_id, name, workflow_version_id, instance_id, user_id, kind, grain, period_start,
            period_end, target_weeks, timezone, lag_days, week_starts_on, parameters, max_attempts_per_week,
            status, feed_order, max_queued_weeks, max_failed_weeks, max_failed_percent, failures,
            pause_reason, paused_at, paused_by, auto_paused, paused_for, resume_at, last_error, started_at, finished_at,
            created_at
        from report_data_collections
        order by created_at desc, id desc
        limit $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Writes down what last went wrong in the collection.
pub async fn set_last_error(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
    error: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- collections_set_last_error
        update report_data_collections
        set last_error = $2
        where id = $1",
    )
    .bind(collection)
    .bind(text::message(error))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Answers that other collections got before this moment are too old to be taken over by these.
pub async fn reuse_after(
    db: impl PgExecutor<'_>,
    collections: &[CollectionUuid],
    moment: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- collections_reuse_after
        update report_data_collections
        set reuse_after = $2
        where id = any($1)",
    )
    .bind(collections)
    .bind(moment)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::Days;
    use serde_json::json;

    use super::*;
    use crate::store::fixture::{House, MONDAY};
    use crate::store::weeks::{self, Filter};

    #[tokio::test]
    async fn a_collection_covers_its_weeks() {
        let house = House::new().await;
        let (id, week_ids) = house.collection("col_1", 52).await;
        let collection = by_collection_id(house.db(), "col_1").await.unwrap().expect("it exists");
        assert_eq!(collection.id, id);
        assert_eq!(collection.status, CollectionStatus::Pending);
        assert_eq!((collection.period_start, collection.target_weeks), (MONDAY, 52));
        assert_eq!(collection.period_end, MONDAY + Days::new(364));

        let weeks = weeks::list(house.db(), id, &Filter::default()).await.unwrap();
        assert_eq!(weeks.iter().map(|week| week.id).collect::<Vec<_>>(), week_ids);
        assert_eq!(weeks[51].slice_key, [51; 32]);
        assert_eq!(weeks::unfinished_count(house.db(), id).await.unwrap(), 52);
    }

    #[tokio::test]
    async fn a_collection_without_weeks_is_refused() {
        let house = House::new().await;
        let collection = NewCollection {
            collection_id: "col_1",
            name: "Nothing",
            workflow_version_id: house.version,
            instance_id: house.instance,
            user_id: house.user,
            kind: CollectionKind::Backfill,
            grain: CollectionGrain::Week,
            timezone: "UTC",
            lag_days: 14,
            week_starts_on: 1,
            parameters: &json!({}),
            max_attempts_per_week: 5,
            rules: Rules::default(),
        };
        assert!(insert(house.db(), &collection, &[]).await.is_err());
        assert_eq!(list(house.db(), 10).await.unwrap(), []);
    }

    #[tokio::test]
    async fn the_newest_collections_come_first_with_what_last_went_wrong() {
        let house = House::new().await;
        let (first, _) = house.collection("col_1", 1).await;
        let (second, _) = house.collection("col_2", 1).await;
        assert!(set_last_error(house.db(), first, "AMC\0said no").await.unwrap());
        let listed = list(house.db(), 10).await.unwrap();
        assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [second, first]);
        assert_eq!(listed[1].last_error.as_deref(), Some("AMC said no"));
        assert_eq!(by_id(house.db(), first).await.unwrap().as_ref(), Some(&listed[1]));
        assert_eq!(list(house.db(), 1).await.unwrap().len(), 1);
    }
}
