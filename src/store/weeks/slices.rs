//! Weeks of different collections that ask the same question: it is asked once.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::row::WeekStatus;
use crate::store::ids::{ExecutionUuid, WeekId};

/// Another week that asks the same question.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct SameSlice {
    /// That week.
    pub id: WeekId,
    /// `Running` or `Succeeded`.
    pub status: WeekStatus,
    /// Its execution.
    pub workflow_execution_id: Option<ExecutionUuid>,
    /// When its rows came from AMC; none while they have not.
    pub collected_at: Option<DateTime<Utc>>,
}

/// Another week that asks the same question as this one and has the answer, or is about to.
///
/// One that succeeded comes before one that is running, the newest answer first. Answers that are too
/// old for the week's collection, or whose rows have been dropped since, are none.
pub async fn same_slice(
    db: impl PgExecutor<'_>,
    week: WeekId,
) -> Result<Option<SameSlice>, sqlx::Error> {
    sqlx::query_as(
        r"-- weeks_same_slice
        select other.id, other.status, other.workflow_execution_id,
            case when other.status = 'succeeded' then execution.finished_at end as collected_at
        from report_data_weeks week
        join report_data_collections collection on collection.id = week.collection_id
        join report_data_weeks other on other.slice_key = week.slice_key and other.id <> week.id
        left join workflow_executions execution on execution.id = other.workflow_execution_id
        left join execution_results result
            on result.execution_id = coalesce(execution.reused_from, execution.id)
        where week.id = $1
          and other.status in ('running', 'succeeded')
          and (other.status = 'running' or result.expired_at is null)
          and (reuse_after is null or other.status = 'running' or execution.finished_at >= reuse_after)
        order by other.status = 'succeeded' desc, execution.finished_at desc
        limit 1",
    )
    .bind(week)
    .fetch_optional(db)
    .await
}

/// pending, running → succeeded with the rows of another week that asked the same question; the
/// collection begins with it, when this is its first. Its pace is measured from the first week that AMC
/// is asked for.
///
/// Refused when `source` asked another one, has no answer, or has it no more, when this week has an
/// execution under way, and when it is collected again: then the answer is to come from AMC.
pub async fn reuse(
    db: impl PgExecutor<'_>,
    week: WeekId,
    source: WeekId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- weeks_reuse
        with reused as (
            update report_data_weeks week
            set status = 'succeeded',
                workflow_execution_id = source.workflow_execution_id,
                row_count = source.row_count,
                data_checksum = source.data_checksum,
                schema_checksum = source.schema_checksum,
                metrics = source.metrics,
                data_version = week.data_version + 1,
                error_message = null,
                started_at = coalesce(week.started_at, (select engine.now())),
                completed_at = (select engine.now())
            from report_data_weeks source
            where week.id = $1
              and week.status in ('pending', 'running', 'blocked')
              and (week.workflow_execution_id is null or week.status <> 'running')
              and not exists (
                  select
                  from workflow_executions execution
                  where execution.week_id = week.id
                    and execution.status in
                        ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching')
              )
              and week.previous_execution_id is null
              and source.id = $2
              and source.status = 'succeeded'
              and source.slice_key = week.slice_key
              and not exists (
                  select
                  from workflow_executions execution
                  join execution_results result
                      on result.execution_id = coalesce(execution.reused_from, execution.id)
                  where execution.id = source.workflow_execution_id
                    and expired_at is not null
              )
            returning week.collection_id
        ),
        first as (
            update report_data_collections
            set status = 'running', started_at = (select engine.now())
            from reused
            where id = reused.collection_id
              and status = 'pending'
        )
        select from reused",
    )
    .bind(week)
    .bind(source)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::collections::{self, CollectionStatus};
    use crate::store::fixture::{House, while_it_waits};
    use crate::store::weeks::{Filter, by_id, collect_again, fail, known, list, start};
    use chrono::TimeDelta;
    use std::time::Duration;

    #[tokio::test]
    async fn the_same_slice_is_not_run_by_two_collections_at_once() {
        let house = House::new().await;
        let (_, first) = house.collection("col_1", 2).await;
        let (_, second) = house.collection("col_2", 2).await;
        house.queued(first[0]).await;
        assert!(!start(house.db(), second[0]).await.unwrap());
        assert!(start(house.db(), second[1]).await.unwrap(), "another slice");

        let same = same_slice(house.db(), second[0]).await.unwrap().expect("the first has it");
        assert_eq!((same.id, same.status), (first[0], WeekStatus::Running));
    }

    #[tokio::test]
    async fn of_two_that_start_the_same_slice_at_the_same_moment_one_is_refused() {
        let house = House::new().await;
        let (_, first) = house.collection("col_1", 1).await;
        let (_, second) = house.collection("col_2", 1).await;
        let mut one = house.db().begin().await.unwrap();
        assert!(start(&mut *one, first[0]).await.unwrap());
        let other = start(house.db(), second[0]);
        let other = while_it_waits(house.db(), other, async { one.commit().await.unwrap() }).await;
        let error = other.unwrap_err();
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some("report_data_weeks_slice_running"));
        assert_eq!(house.week_status(second[0]).await, WeekStatus::Pending);
    }

    #[tokio::test]
    async fn an_answer_is_as_old_as_its_execution_whoever_took_it_over_or_asked_again_in_vain() {
        let house = House::new().await;
        let (_, first) = house.collection("col_1", 1).await;
        let (taker, second) = house.collection("col_2", 1).await;
        let (asker, third) = house.collection("col_3", 1).await;
        house.collect(first[0]).await;
        let stored = by_id(house.db(), first[0]).await.unwrap().expect("it exists").week;
        let execution = stored.workflow_execution_id.expect("it has rows");
        let collected_at = house.execution(execution).await.finished_at.expect("it has ended");
        house.database.advance_clock(Duration::from_hours(24)).await;
        assert!(reuse(house.db(), second[0], first[0]).await.unwrap());
        let begun = collections::by_id(house.db(), taker).await.unwrap().expect("it exists");
        assert_eq!(begun.status, CollectionStatus::Running);
        house.database.advance_clock(Duration::from_hours(24)).await;
        assert_eq!(collect_again(house.db(), taker, 1).await.unwrap(), 1);
        assert!(fail(house.db(), second[0], "no").await.unwrap());
        assert_eq!(house.week_status(second[0]).await, WeekStatus::Succeeded);

        let known = known(house.db(), &[[0; 32]]).await.unwrap()[0];
        assert_eq!((known.collected_at, known.failed_at), (Some(collected_at), None));
        let same = same_slice(house.db(), third[0]).await.unwrap().expect("two have it");
        assert_eq!(same.collected_at, Some(collected_at));
        for (later, is_young) in [(0, true), (1, false)] {
            let moment = collected_at + TimeDelta::seconds(later);
            collections::reuse_after(house.db(), &[asker], moment).await.unwrap();
            assert_eq!(same_slice(house.db(), third[0]).await.unwrap().is_some(), is_young);
        }
    }

    #[tokio::test]
    async fn a_slice_that_another_collection_has_is_reused() {
        let house = House::new().await;
        let (collection, first) = house.collection("col_1", 2).await;
        let (again, second) = house.collection("col_2", 2).await;
        assert_eq!(same_slice(house.db(), second[0]).await.unwrap(), None);
        house.collect(first[0]).await;
        let same = same_slice(house.db(), second[0]).await.unwrap().expect("the first has it");
        assert_eq!((same.id, same.status), (first[0], WeekStatus::Succeeded));

        assert!(!reuse(house.db(), second[1], first[0]).await.unwrap(), "another slice");
        assert!(!reuse(house.db(), second[1], first[1]).await.unwrap(), "no answer yet");
        assert!(reuse(house.db(), second[0], first[0]).await.unwrap());
        assert!(!reuse(house.db(), second[0], first[0]).await.unwrap(), "it has ended");
        let source = &list(house.db(), collection, &Filter::default()).await.unwrap()[0];
        let copy = &list(house.db(), again, &Filter::default()).await.unwrap()[0];
        assert_eq!(copy.workflow_execution_id, source.workflow_execution_id);
        assert_eq!((copy.row_count, &copy.metrics), (source.row_count, &source.metrics));
        assert_eq!((copy.attempts, copy.data_version), (0, 1));
    }
}
