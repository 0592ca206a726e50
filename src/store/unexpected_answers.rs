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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::House;

    #[tokio::test]
    async fn whatever_came_is_kept() {
        let house = House::new().await;
        let execution = house.manual().await;
        let huge = "<html>\0ä".repeat(10_000);
        let bodies = [(Some(execution), Some(200), huge.as_str()), (None, None, "")];
        let mut lengths = Vec::new();
        for (execution, http_status, body) in bodies {
            let id =
                insert(house.db(), execution, "get_execution", http_status, body).await.unwrap();
            let length: i32 = sqlx::query_scalar(
                "select octet_length(body) from unexpected_answers where id = $1",
            )
            .bind(id)
            .fetch_one(house.db())
            .await
            .unwrap();
            lengths.push(length);
        }
        assert_eq!(lengths, [16_384, 0]);
    }
}
