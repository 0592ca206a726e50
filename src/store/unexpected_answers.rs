//! `unexpected_answers`: answers of Amazon that nobody expected, kept for a person to read.

use sqlx::PgExecutor;

use super::ids::ExecutionUuid;
use super::text;

/// Keeps an answer, or the first 16 KiB of it.
///
/// `execution` is none when the answer was about none, `http_status` when there was no answer at all.
pub async fn insert(
    db: impl PgExecutor<'_>,
    execution: Option<ExecutionUuid>,
    operation: &str,
    http_status: Option<u16>,
    body: &str,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        r"-- unexpected_answers_insert
        insert into unexpected_answers (execution_id, operation, http_status, body, seen_at)
        values ($1, $2, $3, $4, (select engine.now()))
        returning id",
    )
    .bind(execution)
    .bind(operation)
    .bind(http_status.map(i32::from))
    .bind(text::body(body))
    .fetch_one(db)
    .await
}
