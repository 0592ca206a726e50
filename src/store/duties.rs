//! `duties`: what schedulers do again and again, and when it was last done.

use sqlx::PgExecutor;

/// Writes down that a duty was done.
pub async fn done(db: impl PgExecutor<'_>, duty: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- duties_done
        insert into duties (duty, done_at)
        values ($1, (select engine.now()))
        on conflict (duty) do update set done_at = excluded.done_at",
    )
    .bind(duty)
    .execute(db)
    .await?;
    Ok(())
}

/// How many seconds ago a scheduler last did any of its duties; none when none ever did.
pub async fn silent_for(db: impl PgExecutor<'_>) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- duties_silent_for
        select extract(epoch from (select engine.now()) - max(done_at))::bigint
        from duties",
    )
    .fetch_one(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::House;
    use std::time::Duration;

    #[tokio::test]
    async fn the_last_duty_tells_how_long_schedulers_have_been_silent() {
        let house = House::new().await;
        assert_eq!(silent_for(house.db()).await.unwrap(), None);
        done(house.db(), "sweep").await.unwrap();
        house.database.advance_clock(Duration::from_secs(90)).await;
        done(house.db(), "rescue").await.unwrap();
        house.database.advance_clock(Duration::from_secs(60)).await;
        let silent = silent_for(house.db()).await.unwrap().expect("a duty was done");
        assert!((60..70).contains(&silent), "{silent}");
    }
}
