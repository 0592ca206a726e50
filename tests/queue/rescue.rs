//! The jobs of the dead run again, and a job that kills is stopped.

use super::{House, name_of, named};
use recomamp::queue::session::ThisProcess;
use recomamp::queue::store::{Rescued, Store};
use recomamp::queue::{Outcome, State};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(9);

async fn rescue(house: &House) -> Rescued {
    house.store.rescue(PATIENCE).await.expect("the store answers")
}

#[tokio::test]
async fn the_jobs_of_a_process_that_stopped_renewing_run_again_and_spend_no_attempt() {
    let mut house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    house.claim_one().await;

    house.db.advance_clock(Duration::from_secs(5)).await;
    assert_eq!(rescue(&house).await, Rescued::default(), "it may still be alive");
    house.db.advance_clock(Duration::from_secs(5)).await;
    assert_eq!(
        rescue(&house).await,
        Rescued { lost_sessions: 1, requeued: 1, ..Rescued::default() }
    );

    assert!(
        !house.store.renew(house.session).await.expect("answered"),
        "it is told that it is lost"
    );
    house.session = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
    assert_eq!(house.claim_one().await.attempt, 1);
    let job = house.job(id).await;
    assert_eq!((job.state, job.rescues), (State::Running, 1));
}

#[tokio::test]
async fn a_process_that_renews_keeps_its_jobs_however_long_they_take() {
    let house = House::new().await;
    house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    for _ in 0..5 {
        house.wait(Duration::from_secs(8)).await;
        assert_eq!(rescue(&house).await, Rescued::default());
    }
    assert!(house.end(&lease, Ok(Outcome::Done)).await.stale.is_empty());
}

#[tokio::test]
async fn a_job_whose_process_died_three_times_is_discarded_as_poison() {
    let mut house = House::new().await;
    let id = house.enqueue_one(named("killer").if_discarded(named("clean up"))).await;
    for death in 1..=3 {
        // Later deaths are followed by a random wait.
        house.db.advance_clock(Duration::from_secs(30)).await;
        house.session = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
        house.claim_one().await;
        house.db.advance_clock(Duration::from_secs(30)).await;
        let rescued = rescue(&house).await;
        assert_eq!((rescued.requeued, rescued.poisoned), if death < 3 { (1, 0) } else { (0, 1) });
    }
    let job = house.job(id).await;
    assert_eq!(job.state, State::Discarded);
    assert!(job.last_error.expect("it says why").starts_with("poison: its process died 3 times"));
    house.session = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
    assert_eq!(name_of(&house.claim_one().await), "clean up");
}

#[tokio::test]
async fn a_session_that_ended_leaves_no_job_behind() {
    let house = House::new().await;
    house.enqueue_one(named("a")).await;
    house.claim_one().await;
    house.store.end_session(house.session).await.expect("ended");
    assert_eq!(rescue(&house).await.requeued, 1);
}

#[tokio::test]
async fn a_job_that_somebody_has_locked_is_left_for_the_next_rescue_and_delays_no_other() {
    let house = House::new().await;
    let stuck = house.enqueue_one(named("stuck")).await;
    let other = house.enqueue_one(named("other")).await;
    house.claim(2).await;
    house.db.advance_clock(Duration::from_secs(60)).await;
    // Its process stands still in the middle of its own transaction.
    let mut transaction = house.db.pool().begin().await.expect("begun");
    sqlx::query("select from engine.jobs where id = $1 for update")
        .bind(stuck)
        .execute(&mut *transaction)
        .await
        .expect("locked");
    assert_eq!(rescue(&house).await.requeued, 1);
    assert_eq!(house.state(other).await, State::Waiting);
    transaction.rollback().await.expect("rolled back");
    assert_eq!(rescue(&house).await.requeued, 1);
    assert_eq!(house.state(stuck).await, State::Waiting);
}
