//! The counts are exact at every moment, whatever happens at once.

use super::{House, boom, keyed, named};
use anyhow::anyhow;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use recomamp::queue::error::Failure;
use recomamp::queue::postgres::{fold_counts, inspect};
use recomamp::queue::{Outcome, State};
use sqlx::PgConnection;
use std::time::Duration;

type Counted = Vec<(String, String, State, i64, i64)>;

/// What the counts say, and what there is, in one snapshot.
async fn both(connection: &mut PgConnection) -> (Counted, Counted) {
    let said = sqlx::query_as(
        "select queue, kind, state, jobs, blocked from engine.job_totals order by 1, 2, 3",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("the store answers");
    let there = sqlx::query_as(
        "select queue, kind, state, count(*), count(blocked_by)
        from (
            select queue, kind, state, blocked_by from engine.jobs
            union all
            select queue, kind, state, null from engine.jobs_history
        ) as every_job
        group by 1, 2, 3
        order by 1, 2, 3",
    )
    .fetch_all(connection)
    .await
    .expect("the store answers");
    (said, there)
}

async fn do_things(house: &House, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    for step in 0..25 {
        let many = dice.random_range(1..6);
        let name = format!("{seed}/{step}");
        match dice.random_range(0..5) {
            0 => drop(house.enqueue(&[named(&name), keyed(&name), keyed("same")]).await),
            1 => drop(house.enqueue(&[named(&name).after(Duration::from_secs(5))]).await),
            2 => drop(fold_counts(house.db.pool()).await.expect("folded")),
            _ => {
                for lease in house.claim(many).await {
                    let result = match dice.random_range(0..6) {
                        0 => Err(boom()),
                        1 => Err(Failure::permanent(anyhow!("no"))),
                        2 => Err(Failure::unauthorized(anyhow!("401"), "lwa:u")),
                        3 => Ok(Outcome::Snooze(Duration::ZERO)),
                        _ => Ok(Outcome::Done),
                    };
                    house.end(&lease, result).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn counts_are_exact_in_every_snapshot_while_eight_change_what_they_count() {
    let house = House::new().await;
    let changes = futures::future::join_all((0..8).map(|seed| do_things(&house, seed)));
    let looks = async {
        for _ in 0..20 {
            let mut look = house.db.pool().begin().await.expect("begun");
            sqlx::query("set transaction isolation level repeatable read")
                .execute(&mut *look)
                .await
                .expect("set");
            let (said, there) = both(&mut look).await;
            assert_eq!(said, there, "the counts (left) in the middle of it");
        }
    };
    tokio::join!(changes, looks);

    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let (said, there) = both(&mut connection).await;
    assert_eq!(said, there, "the counts (left) at the end");
    fold_counts(house.db.pool()).await.expect("folded");
    assert_eq!(both(&mut connection).await.0, said, "folding changes nothing");
    let left: i64 = sqlx::query_scalar("select count(*) from engine.job_count_changes")
        .fetch_one(&mut *connection)
        .await
        .expect("the store answers");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn counts_know_the_blocked_ones_the_oldest_one_and_how_many_have_ever_ended() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    house.enqueue(&[named("b"), named("c").after(Duration::from_secs(60))]).await;
    let first = house.claim_one().await;
    house.end(&first, Err(Failure::unauthorized(anyhow!("401"), "lwa:u"))).await;

    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let counts = inspect::counts(&mut connection).await.expect("counted");
    let [waiting] = &counts[..] else { panic!("{counts:?}") };
    assert_eq!((waiting.state, waiting.jobs, waiting.blocked), (State::Waiting, 3, 1));
    let b = waiting.oldest_due_at.expect("one is due");
    assert!(house.job(id).await.run_at.expect("it waits") > b);

    let second = house.claim_one().await;
    house.end(&second, Ok(Outcome::Done)).await;
    house.wait(Duration::from_secs(60)).await;
    let counts = inspect::counts(&mut connection).await.expect("counted");
    assert!(counts[0].oldest_due_at.expect("c is due, though nobody has met it") > b);
    let finished = inspect::finished(&mut connection).await.expect("counted");
    assert_eq!(finished.iter().map(|f| (f.state, f.jobs)).collect::<Vec<_>>(), [(State::Done, 1)]);

    sqlx::query("truncate engine.jobs").execute(&mut *connection).await.expect("truncated");
    assert_eq!(inspect::counts(&mut connection).await.expect("counted"), []);
}
