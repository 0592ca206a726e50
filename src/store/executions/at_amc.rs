//! What is open at AMC on one instance, and which of AMC's executions are ours already.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::row::ExecutionStatus;
use crate::store::ids::ExecutionUuid;

/// An execution that AMC has and has not finished, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct OpenExecution {
    /// Names the execution here.
    pub id: ExecutionUuid,
    /// AMC's id of it.
    pub amc_execution_id: String,
    /// `Pending` or `Running`.
    pub status: ExecutionStatus,
    /// When AMC took it, by AMC's clock: the oldest says how far back to list.
    pub amc_created_at: Option<DateTime<Utc>>,
    /// When we learned that AMC had taken it.
    pub submitted_at: DateTime<Utc>,
    /// When AMC was last asked about it.
    pub last_polled_at: Option<DateTime<Utc>>,
    /// After this it is given up.
    pub deadline_at: Option<DateTime<Utc>>,
}

/// The executions that AMC has and has not finished, on one instance, the oldest first.
pub async fn open_on_instance(
    db: impl PgExecutor<'_>,
    amc_instance_id: &str,
) -> Result<Vec<OpenExecution>, sqlx::Error> {
    sqlx::query_as(
        r"-- executions_open_on_instance
        select id, amc_execution_id, status, amc_created_at, submitted_at, last_polled_at, deadline_at
        from workflow_executions
        where amc_instance_id = $1
          and status in ('pending', 'running')
        order by submitted_at, id",
    )
    .bind(amc_instance_id)
    .fetch_all(db)
    .await
}

/// Writes down that AMC was asked about these just now, whatever it said.
pub async fn mark_polled(
    db: impl PgExecutor<'_>,
    executions: &[ExecutionUuid],
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- executions_mark_polled
        update workflow_executions
        set last_polled_at = (select engine.now())
        where id = any($1)
          and status in ('pending', 'running')",
    )
    .bind(executions)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Which of these ids of AMC belong to executions of ours already: no other may adopt them.
pub async fn bound_amc_ids(
    db: impl PgExecutor<'_>,
    amc_instance_id: &str,
    among: &[String],
) -> Result<HashSet<String>, sqlx::Error> {
    let bound = sqlx::query_scalar(
        r"-- executions_bound_amc_ids
        select amc_execution_id
        from workflow_executions
        where amc_instance_id = $1
          and amc_execution_id = any($2)",
    )
    .bind(amc_instance_id)
    .bind(among)
    .fetch_all(db)
    .await?;
    Ok(bound.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{AMC_INSTANCE, House};

    #[tokio::test]
    async fn open_is_what_amc_has_and_has_not_finished() {
        let house = House::new().await;
        let queued = house.manual().await;
        let open = house.manual().await;
        house.submit(open).await;
        let done = house.manual().await;
        house.submit(done).await;
        house.finish(done).await;

        let listed = open_on_instance(house.db(), AMC_INSTANCE).await.unwrap();
        assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [open]);
        assert_eq!(listed[0].last_polled_at, None);
        assert_eq!(open_on_instance(house.db(), "another").await.unwrap(), []);

        assert_eq!(mark_polled(house.db(), &[queued, open, done]).await.unwrap(), 1);
        let listed = open_on_instance(house.db(), AMC_INSTANCE).await.unwrap();
        assert!(listed[0].last_polled_at.is_some());
    }

    #[tokio::test]
    async fn an_id_of_amc_that_is_ours_is_known_on_its_own_instance() {
        let house = House::new().await;
        let ours = house.manual().await;
        house.submit(ours).await;
        let among = [format!("amc-{ours}"), "amc-of-somebody-else".to_owned()];
        let bound = bound_amc_ids(house.db(), AMC_INSTANCE, &among).await.unwrap();
        assert_eq!(bound, HashSet::from([among[0].clone()]));
        assert_eq!(bound_amc_ids(house.db(), "another", &among).await.unwrap(), HashSet::new());
    }
}
