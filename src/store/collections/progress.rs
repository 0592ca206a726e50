//! How far a collection is, and when it is done.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgExecutor};
use std::collections::HashMap;

use super::row::CollectionStatus;
use super::steps::lock;
use crate::store::ids::CollectionUuid;

/// How far a collection is.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Progress {
    /// Where the collection stands.
    pub status: CollectionStatus,
    /// Weeks of which nothing has begun.
    pub pending: i64,
    /// Weeks under way.
    pub running: i64,
    /// Weeks whose rows are stored.
    pub succeeded: i64,
    /// Weeks given up.
    pub failed: i64,
    /// Weeks that the rules said not to collect.
    pub skipped: i64,
    /// Weeks that wait until Amazon lets us in again.
    pub blocked: i64,
    /// Weeks stopped by a person.
    pub cancelled: i64,
    /// Executions that AMC has, or may have, and has not finished.
    pub open_executions: i64,
    /// Executions beyond the first of each week.
    pub retries: i64,
    /// Rows of all weeks together.
    pub row_count: i64,
    /// When the first week ended.
    pub first_completed_at: Option<DateTime<Utc>>,
    /// When the last week ended so far.
    pub last_completed_at: Option<DateTime<Utc>>,
    /// Weeks that had ended before its pace was measured.
    pub settled_before: i64,
    /// Since when its pace is measured: since the first week began, or since it last went on.
    pub paced_from: Option<DateTime<Utc>>,
    /// When the first week began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the collection finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// The time by the store's clock, to measure the others against.
    pub now: DateTime<Utc>,
}

/// How far the collection is; none when there is no such collection.
pub async fn progress(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<Option<Progress>, sqlx::Error> {
    Ok(progress_of_all(db, &[collection]).await?.remove(&collection))
}

/// How far these collections are, those of them that there are.
pub async fn progress_of_all(
    db: impl PgExecutor<'_>,
    collections: &[CollectionUuid],
) -> Result<HashMap<CollectionUuid, Progress>, sqlx::Error> {
    #[derive(FromRow)]
    struct Row {
        id: CollectionUuid,
        #[sqlx(flatten)]
        progress: Progress,
    }
    let rows: Vec<Row> =
    sqlx::query_as(
        r"-- collections_progress
        select collection.id, collection.status, collection.started_at, collection.finished_at, paced_from, week.*,
            open_executions,
            (select engine.now()) as now
        from report_data_collections collection
        cross join lateral (
            select
                count(*) filter (where status = 'pending') as pending,
                count(*) filter (where status = 'running') as running,
                count(*) filter (where status = 'succeeded') as succeeded,
                count(*) filter (where status = 'failed') as failed,
                count(*) filter (where status = 'skipped') as skipped,
                count(*) filter (where status = 'blocked') as blocked,
                count(*) filter (where status = 'cancelled') as cancelled,
                coalesce(sum(greatest(attempts - attempts_forgiven - 1, 0)), 0) as retries,
                coalesce(sum(row_count), 0)::bigint as row_count,
                count(*) filter (where completed_at < paced_from and status <> 'skipped') as settled_before,
                min(completed_at) as first_completed_at,
                max(completed_at) as last_completed_at
            from report_data_weeks
            where collection_id = collection.id
        ) week
        cross join lateral (
            select count(*) as open_executions
            from report_data_weeks
            join workflow_executions execution on execution.id = workflow_execution_id
            where collection_id = collection.id
              and report_data_weeks.status in ('running', 'blocked', 'cancelled')
              and execution.status in ('submitting', 'submit_unknown', 'pending', 'running')
        ) open
        where collection.id = any($1)",
    )
    .bind(collections)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.progress)).collect())
}

/// Finishes the collection when no week is left to do, and says how it ended.
///
/// Call it in the transaction that ended a week, after that. Of all who end the last weeks at the
/// same time exactly one gets an answer: each waits for the others' commits at the collection's row,
/// and only then looks for weeks that are left.
pub async fn finish_if_done(
    db: &mut PgConnection,
    collection: CollectionUuid,
) -> Result<Option<CollectionStatus>, sqlx::Error> {
    if lock(db, collection).await?.is_none_or(|found| found.status.is_terminal()) {
        return Ok(None);
    }
    sqlx::query_scalar(
        r"-- collections_finish_if_done
        update report_data_collections
        set status = (
                select case
                    when bool_and(status in ('succeeded', 'skipped')) then 'completed'
                    when bool_or(status = 'succeeded') then 'completed_with_errors'
                    else 'failed'
                end::collection_status
                from report_data_weeks
                where collection_id = $1
            ),
            finished_at = (select engine.now()),
            pause_reason = null,
            paused_at = null,
            paused_by = null,
            auto_paused = false,
            paused_for = null,
            resume_at = null
        where id = $1
          and status in ('pending', 'running', 'paused')
          and not exists (
              select
              from report_data_weeks
              where collection_id = $1
                and status in ('pending', 'running', 'blocked')
          )
        returning status",
    )
    .bind(collection)
    .fetch_optional(db)
    .await
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::store::executions::{self, Ending, Trouble};
    use crate::store::fixture::{House, while_it_waits};
    use crate::store::weeks;

    async fn finish(house: &House, collection: CollectionUuid) -> Option<CollectionStatus> {
        let mut connection = house.db().acquire().await.unwrap();
        finish_if_done(&mut connection, collection).await.unwrap()
    }

    #[tokio::test]
    async fn of_all_who_end_the_last_weeks_exactly_one_finishes_the_collection() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 10).await;
        let ends = week_ids.into_iter().map(|week| {
            let db = house.db();
            async move {
                let mut tx = db.begin().await.unwrap();
                assert!(weeks::fail(&mut *tx, week, "no").await.unwrap());
                let finished = finish_if_done(&mut tx, collection).await.unwrap();
                tx.commit().await.unwrap();
                finished
            }
        });
        let finished: Vec<_> = join_all(ends).await.into_iter().flatten().collect();
        assert_eq!(finished, [CollectionStatus::Failed]);
        assert_eq!(finish(&house, collection).await, None);
    }

    #[tokio::test]
    async fn who_ends_a_week_sees_what_another_has_not_yet_committed() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 2).await;
        let mut one = house.db().begin().await.unwrap();
        let mut other = house.db().begin().await.unwrap();
        weeks::fail(&mut *one, week_ids[0], "no").await.unwrap();
        weeks::fail(&mut *other, week_ids[1], "no").await.unwrap();

        assert_eq!(finish_if_done(&mut one, collection).await.unwrap(), None);
        let finish = finish_if_done(&mut other, collection);
        let finished =
            while_it_waits(house.db(), finish, async { one.commit().await.unwrap() }).await;
        assert_eq!(finished.unwrap(), Some(CollectionStatus::Failed));
    }

    #[tokio::test]
    async fn a_collection_is_complete_when_its_weeks_have_succeeded() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 2).await;
        house.collect(week_ids[0]).await;
        assert_eq!(finish(&house, collection).await, None);
        house.collect(week_ids[1]).await;
        assert_eq!(finish(&house, collection).await, Some(CollectionStatus::Completed));
    }

    #[tokio::test]
    async fn a_blocked_week_keeps_a_collection_open_and_a_failed_one_ends_it_with_errors() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 2).await;
        house.collect(week_ids[0]).await;
        assert!(weeks::block(house.db(), week_ids[1], "terms", 0).await.unwrap());
        assert_eq!(finish(&house, collection).await, None);
        assert_eq!(weeks::blocked_on(house.db(), house.instance).await.unwrap(), [week_ids[1]]);

        assert!(weeks::fail(house.db(), week_ids[1], "no").await.unwrap());
        assert_eq!(finish(&house, collection).await, Some(CollectionStatus::CompletedWithErrors));
        assert_eq!(weeks::blocked_on(house.db(), house.instance).await.unwrap(), []);
    }

    #[tokio::test]
    async fn progress_counts_weeks_open_executions_and_retries() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 6).await;
        house.collect(week_ids[0]).await;
        weeks::fail(house.db(), week_ids[1], "no").await.unwrap();
        weeks::block(house.db(), week_ids[2], "terms", 0).await.unwrap();
        house.queued(week_ids[3]).await;
        let first = house.queued(week_ids[4]).await;
        let trouble = Trouble {
            ending: Ending::Failed,
            class: "transient",
            code: None,
            message: "lost",
            amc_status: None,
        };
        executions::finish_unsuccessfully(house.db(), first, &trouble).await.unwrap();
        let again = house.new_execution(week_ids[4], 2);
        let second = executions::insert_queued(house.db(), &again).await.unwrap();
        weeks::set_current_execution(house.db(), week_ids[4], second).await.unwrap();
        house.submit(second).await;

        let progress = progress(house.db(), collection).await.unwrap().expect("it exists");
        assert_eq!(progress.status, CollectionStatus::Running);
        assert_eq!((progress.pending, progress.running, progress.succeeded), (1, 2, 1));
        assert_eq!((progress.failed, progress.blocked), (1, 1));
        assert_eq!((progress.skipped, progress.cancelled), (0, 0));
        assert_eq!((progress.open_executions, progress.retries, progress.row_count), (1, 1, 3));
        assert!(progress.started_at <= progress.first_completed_at);
        assert!(progress.first_completed_at <= progress.last_completed_at);
        assert!(progress.last_completed_at <= Some(progress.now));
        assert_eq!(progress.finished_at, None);
    }

    #[tokio::test]
    async fn what_does_not_exist_has_no_progress() {
        let house = House::new().await;
        assert_eq!(progress(house.db(), CollectionUuid::fresh()).await.unwrap(), None);
        assert_eq!(finish(&house, CollectionUuid::fresh()).await, None);
    }
}
