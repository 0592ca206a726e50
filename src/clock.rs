//! The one place that asks what time it is: the store's clock, which tests can move.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// Now, by the clock of the database that decides what is due.
///
/// Every process of the fleet gets the same answer, however wrong the clock of its own machine is,
/// and a test that moves `engine.clock` moves it for all of them.
pub async fn now<'e>(db: impl PgExecutor<'e>) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar(
        "-- clock_now
        select engine.now()",
    )
    .fetch_one(db)
    .await
}

/// Now, by this machine's clock.
///
/// Only for what never meets the store: log lines, a simulator's own clock, the names of files.
pub fn machine() -> DateTime<Utc> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    Utc::now()
}
