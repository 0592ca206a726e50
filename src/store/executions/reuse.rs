//! An execution takes over the result of another one that asked AMC the same.

use std::time::Duration;

use sqlx::{FromRow, PgExecutor};

use crate::store::ids::ExecutionUuid;
use crate::store::words::Sha256;

/// A stored result that answers an execution.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Answered {
    /// The execution it is the result of.
    pub execution_id: ExecutionUuid,
    /// How many rows it has.
    pub row_count: i64,
    /// The sha256 of the rows.
    pub content_sha256: Sha256,
    /// The sha256 of the columns' names and types.
    pub schema_sha256: Sha256,
}

/// The newest result of the same version on the same instance, with the same values, window and zone,
/// that is no older than this. None while nothing like it was asked, or it is no longer kept.
pub async fn answered(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    max_age: Duration,
) -> Result<Option<Answered>, sqlx::Error> {
    sqlx::query_as(
        r"-- executions_answered
        select result.execution_id, row_count, content_sha256, schema_sha256
        from workflow_executions own
        join workflow_executions source on source.workflow_version_id = own.workflow_version_id
            and source.instance_id = own.instance_id
            and source.window_start = own.window_start
            and source.window_end = own.window_end
            and source.window_tz = own.window_tz
            and source.parameters = own.parameters
        join execution_results result on result.execution_id = source.id
        where own.id = $1
          and source.status = 'succeeded'
          and source.reused_from is null
          and result.expired_at is null
          and result.fetched_at > (select engine.now()) - make_interval(secs => $2)
        order by result.fetched_at desc
        limit 1
        for key share of source",
    )
    .bind(execution)
    .bind(max_age.as_secs_f64())
    .fetch_optional(db)
    .await
}

/// queued → succeeded, with the result of another execution. False when it is no longer queued.
pub async fn reuse(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
    source: ExecutionUuid,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- executions_reuse
        update workflow_executions
        set status = 'succeeded', reused_from = $2, finished_at = (select engine.now())
        where id = $1
          and status = 'queued'",
    )
    .bind(execution)
    .bind(source)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::executions::Origin;
    use crate::store::executions::{ExecutionStatus, insert_queued};
    use crate::store::fixture::House;
    use crate::store::ids::WeekId;
    use crate::store::results;
    use serde_json::json;

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn only_what_asked_exactly_the_same_and_is_young_enough_is_taken_over() {
        let house = House::new().await;
        let db = house.db();
        let first = house.manual().await;
        house.submit(first).await;
        let second = house.manual().await;
        assert_eq!(answered(db, second, HOUR).await.unwrap(), None, "it has not finished");
        house.finish(first).await;
        let found = answered(db, second, HOUR).await.unwrap().expect("the first has the answer");
        assert_eq!(found.execution_id, first);

        let brand = json!({"brand": "Acme"});
        let other = crate::store::executions::NewExecution {
            origin: Origin::Manual,
            week_id: None,
            parameters: &brand,
            ..house.new_execution(WeekId::fresh(), 1)
        };
        let other = insert_queued(db, &other).await.unwrap();
        assert_eq!(answered(db, other, HOUR).await.unwrap(), None, "other values");

        assert!(reuse(db, second, first).await.unwrap());
        assert!(!reuse(db, second, first).await.unwrap());
        assert_eq!(house.status(second).await, ExecutionStatus::Succeeded);
        let result = results::by_execution(db, second).await.unwrap().expect("the first's");
        assert_eq!(result.execution_id, first);
        house.database.advance_clock(HOUR * 2).await;
        let third = house.manual().await;
        assert_eq!(answered(db, third, HOUR).await.unwrap(), None, "too old");
    }
}
