//! How long the executions of an instance take.

use sqlx::{FromRow, PgExecutor};

use crate::store::ids::InstanceUuid;

/// How long the last executions of an instance took, from their submit to their stored result.
#[derive(Debug, Clone, Copy, PartialEq, FromRow)]
pub struct Pace {
    /// The instance.
    pub instance_id: InstanceUuid,
    /// How many there were, at most the last 200.
    pub executions: i64,
    /// Half of them took no longer, in seconds; none when there were none.
    pub p50_seconds: Option<f64>,
    /// Nineteen of twenty took no longer, in seconds.
    pub p95_seconds: Option<f64>,
}

/// The pace of each of these instances.
pub async fn paces(
    db: impl PgExecutor<'_>,
    instances: &[InstanceUuid],
) -> Result<Vec<Pace>, sqlx::Error> {
    sqlx::query_as(
        r"-- executions_paces
        select instance.id as instance_id, pace.*
        from unnest($1::uuid[]) as instance (id)
        cross join lateral (
            select
                count(*) as executions,
                percentile_cont(0.5) within group (order by seconds) as p50_seconds,
                percentile_cont(0.95) within group (order by seconds) as p95_seconds
            from (
                select extract(epoch from finished_at - submitted_at)::float8 as seconds
                from workflow_executions
                where instance_id = instance.id
                  and status = 'succeeded'
                order by created_at desc
                limit 200
            ) as last
        ) as pace",
    )
    .bind(instances)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::House;

    #[tokio::test]
    async fn the_pace_is_that_of_the_executions_that_succeeded() {
        let house = House::new().await;
        let none = paces(house.db(), &[house.instance]).await.unwrap();
        assert_eq!((none[0].executions, none[0].p50_seconds), (0, None));

        let (_, weeks) = house.collection("col_1", 4).await;
        for week in &weeks[..3] {
            house.collect(*week).await;
        }
        house.queued(weeks[3]).await;
        sqlx::query(
            "update workflow_executions set finished_at = submitted_at + place * interval '1 minute'
             from (select id, row_number() over (order by created_at) as place
                   from workflow_executions where status = 'succeeded') as numbered
             where numbered.id = workflow_executions.id",
        )
        .execute(house.db())
        .await
        .unwrap();
        let pace = paces(house.db(), &[house.instance]).await.unwrap()[0];
        assert_eq!((pace.executions, pace.p50_seconds), (3, Some(120.0)));
        assert!(pace.p95_seconds.is_some_and(|seconds| (seconds - 174.0).abs() < 0.001));
    }
}
