//! What has been kept long enough, and how it goes: in batches, and never more than asked for.

use std::time::Duration;

use sqlx::{FromRow, PgConnection, PgExecutor};

use super::ids::{ExecutionUuid, ScheduleRunUuid};

/// A result whose rows and files are to go.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OldResult {
    /// The execution it is the result of.
    pub execution_id: ExecutionUuid,
    /// Where the first of its files lies; the others stand beside it.
    pub storage_uri: Option<String>,
    /// How many files there are.
    pub file_count: i64,
}

/// Results that are older than the retention.
pub async fn old_results(
    db: impl PgExecutor<'_>,
    retention: Duration,
    at_most: i64,
) -> Result<Vec<OldResult>, sqlx::Error> {
    sqlx::query_as(
        r"-- retention_old_results
        select execution_id, storage_uri, file_count
        from execution_results
        where expired_at is null
          and fetched_at < (select engine.now()) - make_interval(secs => $1)
        order by fetched_at
        limit $2",
    )
    .bind(retention.as_secs_f64())
    .bind(at_most)
    .fetch_all(db)
    .await
}

/// The results of these runs that still have rows or files.
pub async fn results_of_runs(
    db: impl PgExecutor<'_>,
    runs: &[ScheduleRunUuid],
) -> Result<Vec<OldResult>, sqlx::Error> {
    sqlx::query_as(
        r"-- retention_results_of_runs
        select execution_id, storage_uri, file_count
        from execution_results
        join workflow_executions execution on execution.id = execution_id
        where expired_at is null
          and schedule_run_id = any($1)",
    )
    .bind(runs)
    .fetch_all(db)
    .await
}

/// Drops the rows of a result, and the word of where its files were. Its counts and sums stay.
pub async fn expire(db: impl PgExecutor<'_>, execution: ExecutionUuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- retention_expire
        update execution_results
        set rows = null, storage_uri = null, expired_at = (select engine.now())
        where execution_id = $1
          and expired_at is null",
    )
    .bind(execution)
    .execute(db)
    .await?;
    Ok(())
}

/// Runs that have ended and are more than their schedule keeps or, of a schedule that does not say how many it
/// keeps, ended longer ago than the retention.
pub async fn old_runs(
    db: impl PgExecutor<'_>,
    retention: Duration,
    at_most: i64,
) -> Result<Vec<ScheduleRunUuid>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- retention_old_runs
        select run.id
        from workflow_schedules schedule
        cross join lateral (
            (
                select id
                from schedule_runs
                where schedule.execution_history_limit is not null
                  and schedule_id = schedule.id
                  and status not in ('pending', 'running')
                order by created_at desc, id desc
                offset schedule.execution_history_limit
            )
            union all
            select id
            from schedule_runs
            where schedule.execution_history_limit is null
              and schedule_id = schedule.id
              and finished_at < (select engine.now()) - make_interval(secs => $1)
              -- Says nothing new, but has an index.
              and created_at < (select engine.now()) - make_interval(secs => $1)
        ) as run
        -- One whose execution is still being stopped at AMC is needed until it is.
        where not exists (
              select
              from workflow_executions
              where schedule_run_id = run.id
                and finished_at is null
          )
          -- Nor one whose result another run, which is kept, took over.
          and not exists (
              select
              from workflow_executions own
              join workflow_executions taker on taker.reused_from = own.id
              where own.schedule_run_id = run.id
                and taker.schedule_run_id is distinct from run.id
          )
        limit $2",
    )
    .bind(retention.as_secs_f64())
    .bind(at_most)
    .fetch_all(db)
    .await
}

/// Deletes runs with all that hangs on them. Their files have to be gone before. How many.
pub async fn delete_runs(
    connection: &mut PgConnection,
    runs: &[ScheduleRunUuid],
) -> Result<u64, sqlx::Error> {
    sqlx::query(
        r"-- retention_delete_results
        delete from execution_results
        using workflow_executions execution
        where execution.id = execution_id
          and schedule_run_id = any($1)",
    )
    .bind(runs)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        r"-- retention_delete_attempts
        delete from submit_attempts
        using workflow_executions execution
        where execution.id = execution_id
          and schedule_run_id = any($1)",
    )
    .bind(runs)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        r"-- retention_delete_answers
        delete from unexpected_answers
        using workflow_executions execution
        where execution.id = execution_id
          and schedule_run_id = any($1)",
    )
    .bind(runs)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        r"-- retention_delete_executions
        delete from workflow_executions
        where schedule_run_id = any($1)",
    )
    .bind(runs)
    .execute(&mut *connection)
    .await?;
    let done = sqlx::query(
        r"-- retention_delete_runs
        delete from schedule_runs
        where id = any($1)",
    )
    .bind(runs)
    .execute(&mut *connection)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes the oldest events beyond the retention. How many.
pub async fn prune_events(
    db: impl PgExecutor<'_>,
    retention: Duration,
    at_most: i32,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        r"-- retention_prune_events
        select prune_events(make_interval(secs => $1), $2)",
    )
    .bind(retention.as_secs_f64())
    .bind(at_most)
    .fetch_one(db)
    .await
}

/// Deletes the oldest unexpected answers beyond the retention. How many.
pub async fn prune_answers(
    db: impl PgExecutor<'_>,
    retention: Duration,
    at_most: i32,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- retention_prune_answers
        delete from unexpected_answers
        where id in (
            select id
            from unexpected_answers
            where seen_at < (select engine.now()) - make_interval(secs => $1)
            order by seen_at
            limit $2
        )",
    )
    .bind(retention.as_secs_f64())
    .bind(at_most)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::events::{self, NewEvent};
    use crate::store::fixture::{House, result};
    use crate::store::results;
    use serde_json::json;
    use serde_json::value::RawValue;

    const DAY: Duration = Duration::from_hours(24);

    #[tokio::test]
    async fn what_has_expired_keeps_its_counts_and_nothing_else() {
        let house = House::new().await;
        let (db, execution) = (house.db(), house.manual().await);
        let columns = json!([]);
        let kept = RawValue::from_string("[[1]]".to_owned()).unwrap();
        let stored = results::NewResult {
            rows: Some(&kept),
            storage_uri: Some("file:///r/0.csv.gz"),
            truncated: true,
            ..result(execution, &columns)
        };
        assert!(results::insert(db, &stored).await.unwrap());
        assert_eq!(old_results(db, DAY, 10).await.unwrap(), []);
        house.database.advance_clock(DAY * 2).await;
        let old = old_results(db, DAY, 10).await.unwrap();
        assert_eq!(old.len(), 1);
        assert_eq!(old[0].storage_uri.as_deref(), Some("file:///r/0.csv.gz"));

        expire(db, execution).await.unwrap();
        assert_eq!(old_results(db, DAY, 10).await.unwrap(), []);
        let left = results::by_execution(db, execution).await.unwrap().expect("it is there");
        assert_eq!((left.row_count, left.storage_uri), (3, None));
        assert!(results::rows(db, execution).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn old_runs_are_found_in_batches_unless_their_schedule_says_how_many_it_keeps() {
        let house = House::new().await;
        let db = house.db();
        sqlx::query(
            "insert into workflow_schedules (schedule_id, name, workflow_id, user_id, schedule_type,
                cron_expression, timezone, settled_until, next_run_at, execution_history_limit)
            select name, name, $1, $2, 'cron', '* * * * *', 'UTC', engine.now(), engine.now(), keeps
            from (values ('all', null), ('four', 4)) as one (name, keeps)",
        )
        .bind(house.workflow)
        .bind(house.user)
        .execute(db)
        .await
        .unwrap();
        let fire = async |status: &str| {
            sqlx::query(
                "insert into schedule_runs (schedule_id, kind, status, created_at, finished_at)
                select id, 'manual', $1::run_status, clock.now,
                    case when $1 not in ('pending', 'running') then clock.now end
                from workflow_schedules, (select engine.now() as now) as clock",
            )
            .bind(status)
            .execute(db)
            .await
            .unwrap();
        };
        for status in ["running", "succeeded", "failed", "skipped", "missed"] {
            fire(status).await;
        }
        assert_eq!(old_runs(db, DAY, 9).await.unwrap(), []);
        house.database.advance_clock(DAY * 2).await;
        fire("succeeded").await;
        let mut connection = db.acquire().await.unwrap();
        let mut deleted = Vec::new();
        for _ in 0..4 {
            let old = old_runs(db, DAY, 2).await.unwrap();
            deleted.push(delete_runs(&mut connection, &old).await.unwrap());
        }
        assert_eq!(deleted, [2, 2, 1, 0]);
        let left: Vec<(String, i64)> = sqlx::query_as(
            "select schedule.schedule_id, count(*)
            from schedule_runs
            join workflow_schedules schedule on schedule.id = schedule_runs.schedule_id
            group by 1
            order by 1",
        )
        .fetch_all(db)
        .await
        .unwrap();
        // One that runs and one that has just ended; one that runs and the four that the other keeps.
        assert_eq!(left, [("all".to_owned(), 2), ("four".to_owned(), 5)]);
    }

    #[tokio::test]
    async fn old_events_go_by_their_function_alone_and_in_batches() {
        let house = House::new().await;
        let db = house.db();
        let note = async || {
            let event = NewEvent {
                entity: "execution",
                entity_id: "e-1",
                from_status: None,
                to_status: None,
                actor: "ada",
                reason: None,
                detail: &json!({}),
            };
            events::append(db, &event).await.unwrap();
        };
        for _ in 0..3 {
            note().await;
        }
        house.database.advance_clock(DAY * 2).await;
        note().await;
        let by_hand = sqlx::query("delete from events").execute(db).await.unwrap_err();
        assert!(by_hand.to_string().contains("never changes"), "{by_hand}");
        assert_eq!(prune_events(db, DAY, 2).await.unwrap(), 2);
        assert_eq!(prune_events(db, DAY, 2).await.unwrap(), 1);
        assert_eq!(prune_events(db, DAY, 2).await.unwrap(), 0);
        assert_eq!(events::of(db, "execution", "e-1").await.unwrap().len(), 1);
        assert!(sqlx::query("delete from events").execute(db).await.is_err());
    }
}
