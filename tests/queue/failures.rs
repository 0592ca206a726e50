//! What each class of failure costs, and where it ends.

use super::{House, boom, named};
use anyhow::anyhow;
use recomamp::queue::{Failure, Outcome, State};
use std::time::Duration;

#[tokio::test]
async fn a_transient_failure_spends_an_attempt_and_waits() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    house.end(&lease, Err(boom())).await;

    let job = house.job(id).await;
    assert_eq!((job.state, job.attempt), (State::Waiting, 1));
    assert_eq!(job.last_error.as_deref(), Some("boom"));
    assert_eq!(house.waiting_kinds().await, ["named"]);
}

#[tokio::test]
async fn a_job_that_has_spent_its_attempts_is_discarded_with_its_error() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    for expected in 1..=3 {
        let lease = house.claim_one().await;
        assert_eq!(lease.attempt, expected);
        house.end(&lease, Err(boom())).await;
        house.wait(Duration::from_secs(600)).await;
    }
    let job = house.job(id).await;
    assert_eq!((job.state, job.attempt), (State::Discarded, 3));
    assert_eq!(job.last_error.as_deref(), Some("boom"));
}

#[tokio::test]
async fn snoozes_throttles_denials_and_interruptions_spend_no_attempt() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let minute = Duration::from_secs(60);
    let results: [fn() -> Result<Outcome, Failure>; 4] = [
        || Ok(Outcome::Snooze(Duration::from_secs(60))),
        || Err(Failure::throttled(anyhow!("429"), Some(Duration::from_secs(60)), "host:x")),
        || Err(Failure::unauthorized(anyhow!("401"), "lwa:x")),
        || Err(Failure::interrupted()),
    ];
    for result in results {
        let lease = house.claim_one().await;
        assert_eq!(lease.attempt, 1);
        house.end(&lease, result()).await;
        if house.job(id).await.blocked_by.is_some() {
            let mut connection = house.db.pool().acquire().await.expect("a connection");
            house.queue.open(&mut connection, "lwa:x").await.expect("opened");
        }
        house.wait(2 * minute).await;
    }
    let job = house.job(id).await;
    assert_eq!(job.attempt, 0);
    assert_eq!((job.snoozes, job.throttles, job.denials, job.interruptions), (1, 1, 1, 1));
}

#[tokio::test]
async fn a_permanent_failure_discards_the_job_and_enqueues_what_was_left_for_that_case() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a").if_discarded(named("clean up"))).await;
    let lease = house.claim_one().await;
    house.end(&lease, Err(Failure::permanent(anyhow!("no such thing")))).await;
    assert_eq!(house.state(id).await, State::Discarded);
    let next = house.claim_one().await;
    assert_eq!(super::name_of(&next), "clean up");
    assert_eq!(house.job(next.job_id).await.parent_id, Some(id));
}

#[tokio::test]
async fn a_job_that_goes_well_does_not_enqueue_what_was_left_for_the_other_case() {
    let house = House::new().await;
    house.enqueue_one(named("a").if_discarded(named("clean up"))).await;
    let lease = house.claim_one().await;
    house.end(&lease, Ok(Outcome::Done)).await;
    assert!(house.waiting_kinds().await.is_empty());
}
