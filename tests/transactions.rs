//! A transaction that is given up leaves nothing behind, however far it had come.

use crate::harness::database::TestDatabase;
use recomamp::transaction;
use sqlx::postgres::PgPoolOptions;
use std::pin::pin;

#[tokio::test]
async fn a_beginning_that_is_given_up_takes_no_later_statement_with_it() {
    let db = TestDatabase::new().await;
    let one = PgPoolOptions::new().max_connections(1).connect(db.url()).await.expect("connected");
    sqlx::query("create table notes (nth int)").execute(db.pool()).await.expect("created");
    for nth in 0..20 {
        {
            // Each time it comes a little farther.
            let mut beginning = pin!(transaction::begin(&one));
            for _ in 0..=nth {
                if futures::poll!(beginning.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        sqlx::query("insert into notes values ($1)").bind(nth).execute(&one).await.expect("noted");
        let seen: i64 = sqlx::query_scalar("select count(*) from notes")
            .fetch_one(db.pool())
            .await
            .expect("counted");
        assert_eq!(seen, i64::from(nth) + 1, "what was written is there for everybody");
    }
}
