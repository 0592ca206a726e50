//! The one place that begins transactions: one whose beginning is given up halfway is rolled back.

use sqlx::{PgPool, Postgres, Transaction};

/// Begins a transaction, which is rolled back when it is dropped before its commit.
///
/// sqlx counts a transaction as begun once the server has answered. If the future that waits for the
/// answer is dropped, by a time limit or a caller who has gone, the connection goes back to the pool
/// in a transaction that nobody ends, and takes in whatever its next users write. So the waiting is a
/// task of its own, which nobody drops.
pub async fn begin(db: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_as(db, "begin").await
}

/// Begins a transaction that only reads, and sees everything as it stands at its first statement.
pub async fn begin_snapshot(db: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_as(db, "begin isolation level repeatable read, read only").await
}

async fn begin_as(
    db: &PgPool,
    how: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let db = db.clone();
    let begun = tokio::spawn(async move { db.begin_with(how).await });
    // Only a runtime that ends gives up its tasks.
    begun.await.unwrap_or(Err(sqlx::Error::PoolClosed))
}
