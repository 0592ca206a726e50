//! How many jobs there are: kept exact by triggers, folded together now and then.

use crate::queue::error::Error;
use sqlx::PgPool;

/// Folds the noted changes into the counts, so that there are never many to read. How many there were.
pub async fn fold(db: &PgPool) -> Result<i64, Error> {
    let folded = sqlx::query_scalar(
        "-- fold_counts
        select engine.fold_counts()",
    )
    .fetch_one(db)
    .await?;
    Ok(folded)
}
