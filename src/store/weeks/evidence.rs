//! What proves that a slice was collected, once.

use chrono::NaiveDate;
use sqlx::{FromRow, PgExecutor};

use super::row::WeekStatus;
use crate::store::ids::CollectionUuid;
use crate::store::words::Sha256;

/// What proves that a slice was collected.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Evidence {
    /// Its first day.
    pub week_start_date: NaiveDate,
    /// The first day after it.
    pub week_end_date: NaiveDate,
    /// Where it stands.
    pub status: WeekStatus,
    /// Why it failed, was skipped or is blocked.
    pub error_message: Option<String>,
    /// Whether its rows are stored, or were: their sums stay.
    pub has_rows: bool,
    /// Whether they have been dropped since, because they had been kept long enough.
    pub is_dropped: bool,
    /// Rows in its result.
    pub row_count: Option<i64>,
    /// Raised each time its rows are stored anew.
    pub data_version: i32,
    /// The sha256 of its rows.
    pub data_checksum: Option<Sha256>,
    /// Executions that ran for it; 0 when it took over another collection's rows.
    pub executions: i64,
    /// The collection that has its rows, by its public id, when it was left out of this one.
    pub elsewhere: Option<String>,
    /// Times that AMC took one of them beyond the first.
    pub duplicates: i64,
}

/// The evidence of every slice of a collection, the earliest first.
pub async fn evidence(
    db: impl PgExecutor<'_>,
    collection: CollectionUuid,
) -> Result<Vec<Evidence>, sqlx::Error> {
    sqlx::query_as(
        r"-- weeks_evidence
        select week_start_date, week_end_date, week.status, week.error_message,
            metrics is not null as has_rows, row_count, data_version, data_checksum,
            ran.executions, ran.duplicates,
            exists (
                select
                from workflow_executions answered
                join execution_results result
                    on result.execution_id = coalesce(answered.reused_from, answered.id)
                where answered.id = week.workflow_execution_id
                  and expired_at is not null
            ) as is_dropped,
            case when week.status = 'skipped' then (
                select other.collection_id
                from report_data_weeks twin
                join report_data_collections other on other.id = twin.collection_id
                where twin.slice_key = week.slice_key
                  -- As the index has them: one that waits to be collected again is found when it runs.
                  and twin.status in ('running', 'succeeded', 'failed')
                  and twin.metrics is not null
                order by twin.completed_at desc
                limit 1
            ) end as elsewhere
        from report_data_weeks week
        cross join lateral (
            select
                count(*) as executions,
                coalesce(sum(greatest(taken - 1, 0)), 0)::bigint as duplicates
            from workflow_executions execution
            cross join lateral (
                select count(*) as taken
                from submit_attempts
                where execution_id = execution.id
                  and outcome in ('accepted', 'reconciled_found')
            ) as attempt
            where execution.week_id = week.id
        ) as ran
        where week.collection_id = $1
        order by week_start_date, week_end_date",
    )
    .bind(collection)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{House, MONDAY};
    use crate::store::weeks::skip;
    use chrono::Days;

    #[tokio::test]
    async fn a_slice_that_amc_took_twice_is_seen() {
        let house = House::new().await;
        let (collection, weeks) = house.collection("col_1", 3).await;
        house.collect(weeks[0]).await;
        let execution = house.queued(weeks[1]).await;
        house.submit(execution).await;
        sqlx::query(
            "insert into submit_attempts (execution_id, n, client_ref, started_at, ended_at, outcome)
             values ($1, 7, 'again', engine.now(), engine.now(), 'reconciled_found')",
        )
        .bind(execution)
        .execute(house.db())
        .await
        .unwrap();
        let evidence = evidence(house.db(), collection).await.unwrap();
        let seen: Vec<_> =
            evidence.iter().map(|one| (one.has_rows, one.executions, one.duplicates)).collect();
        assert_eq!(seen, [(true, 1, 0), (false, 1, 1), (false, 0, 0)]);
        assert_eq!((evidence[0].row_count, evidence[0].data_version), (Some(3), 1));
        assert!(evidence.iter().all(|one| one.elsewhere.is_none()));
    }

    #[tokio::test]
    async fn a_slice_that_is_left_out_is_found_where_its_rows_are() {
        let house = House::new().await;
        let (_, weeks) = house.collection("col_1", 2).await;
        house.collect(weeks[0]).await;
        let (second, _) = house.collection("col_2", 2).await;
        let left_out = [(MONDAY, "it is there"), (MONDAY + Days::new(7), "it is said to be")];
        skip(house.db(), second, &left_out).await.unwrap();
        let evidence = evidence(house.db(), second).await.unwrap();
        let seen: Vec<_> = evidence.iter().map(|one| one.elsewhere.as_deref()).collect();
        assert_eq!(seen, [Some("col_1"), None]);
    }
}
