//! `execution_results`: what came back, counted and checked.

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::{FromRow, PgExecutor};

use super::ids::ExecutionUuid;
use super::words::Sha256;

/// A row of `execution_results`, without the rows of the result themselves.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct ExecutionResult {
    /// The execution it is the result of.
    pub execution_id: ExecutionUuid,
    /// Its columns: a list of `{name, type}`.
    pub columns: Value,
    /// The sha256 of the columns' names and types.
    pub schema_sha256: Sha256,
    /// How many rows it has.
    pub row_count: i64,
    /// How many bytes the files had.
    pub byte_count: i64,
    /// How many files there were.
    pub file_count: i64,
    /// The sha256 of the rows.
    pub content_sha256: Sha256,
    /// Where the whole result lies.
    pub storage_uri: Option<String>,
    /// Whether the database has fewer rows than `row_count`.
    pub truncated: bool,
    /// How many values AMC left blank for privacy.
    pub suppressed_values: i64,
    /// How many lines could not be read as rows.
    pub quarantined_rows: i64,
    /// How many values were not UTF-8 and lost characters.
    pub lossy_values: i64,
    /// How many values lost NUL characters.
    pub nul_values: i64,
    /// How many values of additive columns are no numbers, and so in no sum.
    pub unreadable_values: i64,
    /// When it was stored.
    pub fetched_at: DateTime<Utc>,
}

/// A result to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewResult<'a> {
    /// The execution it is the result of.
    pub execution_id: ExecutionUuid,
    /// Its columns: a list of `{name, type}`.
    pub columns: &'a Value,
    /// The sha256 of the columns' names and types.
    pub schema_sha256: Sha256,
    /// How many rows it has, all files together.
    pub row_count: i64,
    /// How many bytes the files had.
    pub byte_count: i64,
    /// How many files there were.
    pub file_count: i64,
    /// The sha256 of the rows.
    pub content_sha256: Sha256,
    /// Where the whole result lies; none when only the database has it.
    pub storage_uri: Option<&'a str>,
    /// The rows, or the first of them, as a JSON list; none keeps none here.
    pub rows: Option<&'a RawValue>,
    /// Whether `rows` has fewer than `row_count`; then `storage_uri` is needed.
    pub truncated: bool,
    /// How many values AMC left blank for privacy.
    pub suppressed_values: i64,
    /// How many lines could not be read as rows.
    pub quarantined_rows: i64,
    /// How many values were not UTF-8 and lost characters.
    pub lossy_values: i64,
    /// How many values lost NUL characters.
    pub nul_values: i64,
    /// How many values of additive columns are no numbers, and so in no sum.
    pub unreadable_values: i64,
}

/// Stores a result, and says whether it is the first for its execution; only the first is kept.
pub async fn insert(db: impl PgExecutor<'_>, result: &NewResult<'_>) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- results_insert
        insert into execution_results
            (execution_id, columns, schema_sha256, row_count, byte_count, file_count, content_sha256,
             storage_uri, rows, truncated, suppressed_values, quarantined_rows, lossy_values,
             nul_values, unreadable_values, fetched_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, (select engine.now()))
        on conflict (execution_id) do nothing",
    )
    .bind(result.execution_id)
    .bind(result.columns)
    .bind(result.schema_sha256)
    .bind(result.row_count)
    .bind(result.byte_count)
    .bind(result.file_count)
    .bind(result.content_sha256)
    .bind(result.storage_uri)
    .bind(result.rows)
    .bind(result.truncated)
    .bind(result.suppressed_values)
    .bind(result.quarantined_rows)
    .bind(result.lossy_values)
    .bind(result.nul_values)
    .bind(result.unreadable_values)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The result of an execution, its own or the one it took over, without its rows.
pub async fn by_execution(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
) -> Result<Option<ExecutionResult>, sqlx::Error> {
    sqlx::query_as(
        r"-- results_by_execution
        select execution_id, columns, schema_sha256, row_count, byte_count, file_count, content_sha256,
            storage_uri, truncated, suppressed_values, quarantined_rows, lossy_values,
            nul_values, unreadable_values, fetched_at
        from execution_results
        where execution_id = coalesce((select reused_from from workflow_executions where id = $1), $1)",
    )
    .bind(execution)
    .fetch_optional(db)
    .await
}

/// The rows of a result that are kept here, as a JSON list.
pub async fn rows(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
) -> Result<Option<Box<RawValue>>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- results_rows
        select rows
        from execution_results
        where execution_id = coalesce((select reused_from from workflow_executions where id = $1), $1)
          and rows is not null",
    )
    .bind(execution)
    .fetch_optional(db)
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::fixture::{House, result};

    #[tokio::test]
    async fn the_first_result_of_an_execution_is_kept_as_it_was() {
        let house = House::new().await;
        let execution = house.manual().await;
        let columns = json!([{"name": "campaign_id", "type": "LONG"}]);
        let text = r#"[["3141592653589793238"],[null]]"#.to_owned();
        let kept = RawValue::from_string(text).unwrap();
        let first = NewResult { rows: Some(&kept), ..result(execution, &columns) };
        assert!(insert(house.db(), &first).await.unwrap());
        let second = NewResult { row_count: 9, ..result(execution, &columns) };
        assert!(!insert(house.db(), &second).await.unwrap());

        let stored = by_execution(house.db(), execution).await.unwrap().expect("it was stored");
        assert_eq!((stored.row_count, stored.suppressed_values), (3, 1));
        assert_eq!((stored.content_sha256, stored.columns), ([2; 32], columns));
        let read = rows(house.db(), execution).await.unwrap().expect("they were stored");
        let read: Value = serde_json::from_str(read.get()).unwrap();
        assert_eq!(read, json!([["3141592653589793238"], [null]]));
    }

    #[tokio::test]
    async fn a_result_without_rows_here_says_so() {
        let house = House::new().await;
        let execution = house.manual().await;
        assert!(rows(house.db(), execution).await.unwrap().is_none());
        insert(house.db(), &result(execution, &json!([]))).await.unwrap();
        assert!(rows(house.db(), execution).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn rows_are_not_cut_off_unless_the_whole_lies_elsewhere() {
        let house = House::new().await;
        let execution = house.manual().await;
        let columns = json!([]);
        let cut = NewResult { truncated: true, ..result(execution, &columns) };
        let error = insert(house.db(), &cut).await.unwrap_err();
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some("truncated_is_stored_elsewhere"));
        let whole = NewResult { storage_uri: Some("file:///results/1.csv.gz"), ..cut };
        assert!(insert(house.db(), &whole).await.unwrap());
    }
}
