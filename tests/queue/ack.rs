//! How an attempt ends, and who may say so.

use super::{House, boom, key_of, name_of, named};
use recomamp::queue::error::Error;
use recomamp::queue::session::ThisProcess;
use recomamp::queue::store::{Lease, Store};
use recomamp::queue::{Outcome, State, retry};
use std::time::Duration;

/// A lease that its owner still believes in, although the job was rescued and claimed again.
async fn overtaken(house: &House) -> (Lease, Lease) {
    house.enqueue_one(named("a")).await;
    let late = house.claim_one().await;
    house.db.advance_clock(Duration::from_secs(60)).await;
    house.store.rescue(Duration::from_secs(9)).await.expect("rescued");
    let session = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
    let newer = house.claim_as(session, 1).await.leases;
    (late, newer.into_iter().next().expect("it runs again"))
}

#[tokio::test]
async fn a_late_ack_is_refused_and_changes_nothing() {
    let house = House::new().await;
    let (late, newer) = overtaken(&house).await;

    for result in [Ok(Outcome::Done), Ok(Outcome::Snooze(Duration::ZERO)), Err(boom())] {
        let acked = house.end(&late, result).await;
        assert_eq!(acked.stale, [key_of(&late)]);
    }
    let follow_up = Ok(Outcome::then(named("follow-up")));
    assert_eq!(house.end(&late, follow_up).await.stale, [key_of(&late)]);

    assert_eq!(house.state(newer.job_id).await, State::Running);
    assert!(house.waiting_kinds().await.is_empty(), "a refused attempt enqueues nothing");
    assert!(house.end(&newer, Ok(Outcome::Done)).await.stale.is_empty());
    assert_eq!(house.state(newer.job_id).await, State::Done);
}

#[tokio::test]
async fn a_late_ack_is_refused_even_before_the_job_is_claimed_again() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let late = house.claim_one().await;
    house.db.advance_clock(Duration::from_secs(60)).await;
    house.store.rescue(Duration::from_secs(9)).await.expect("rescued");
    assert_eq!(house.end(&late, Ok(Outcome::Done)).await.stale, [key_of(&late)]);
    assert_eq!(house.state(id).await, State::Waiting);
}

#[tokio::test]
async fn a_late_ack_in_one_batch_with_the_newer_one_is_refused_and_enqueues_nothing() {
    let house = House::new().await;
    let (late, newer) = overtaken(&house).await;
    let acks = [(&late, "of the late one"), (&newer, "of the newer one")].map(|(lease, name)| {
        retry::verdict(lease, Ok(Outcome::then(named(name)))).expect("something to write down")
    });
    let acked = house.store.ack(&acks).await.expect("the store answers");
    assert_eq!(acked.stale, [key_of(&late)]);
    let next: Vec<String> = sqlx::query_scalar("select args ->> 'name' from engine.jobs")
        .fetch_all(house.db.pool())
        .await
        .expect("the store answers");
    assert_eq!(next, ["of the newer one"]);
}

#[tokio::test]
async fn an_outcome_and_the_jobs_it_asks_for_are_written_together() {
    let house = House::new().await;
    let id = house.enqueue_one(named("parent")).await;
    let lease = house.claim_one().await;
    house.end(&lease, Ok(Outcome::Then(vec![named("one"), named("two")]))).await;

    assert_eq!(house.state(id).await, State::Done);
    let children = house.claim(10).await;
    assert_eq!(children.iter().map(name_of).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(house.job(children[0].job_id).await.parent_id, Some(id));
}

#[tokio::test]
async fn many_acks_are_written_at_once_and_only_the_stale_ones_are_refused() {
    let house = House::new().await;
    house.enqueue(&(0..300).map(|n| named(&n.to_string())).collect::<Vec<_>>()).await;
    let leases = house.claim(300).await;
    let acks: Vec<_> = leases
        .iter()
        .enumerate()
        .map(|(at, lease)| {
            let lease = Lease { fence: lease.fence - i32::from(at % 3 == 0), ..lease.clone() };
            recomamp::queue::retry::verdict(&lease, Ok(Outcome::Done)).expect("written down")
        })
        .collect();
    let acked = house.store.ack(&acks).await.expect("the store answers");
    assert_eq!(acked.stale.len(), 100);
}

#[tokio::test]
async fn one_ack_that_cannot_be_stored_delays_no_other() {
    let house = House::new().await;
    let ids = house.enqueue(&[named("fine"), named("broken"), named("fine too")]).await;
    let leases = house.claim(3).await;
    // Postgres has no way to keep a NUL in JSON.
    let impossible = Outcome::then(named("nul: \0"));
    let mut results = vec![Ok(Outcome::Done), Ok(impossible), Ok(Outcome::Done)];
    let acks: Vec<_> = leases
        .iter()
        .zip(results.drain(..))
        .map(|(lease, result)| recomamp::queue::retry::verdict(lease, result).expect("an ack"))
        .collect();
    house.store.ack(&acks).await.expect("the store answers");

    assert_eq!(house.state(ids[0].id()).await, State::Done);
    assert_eq!(house.state(ids[2].id()).await, State::Done);
    let broken = house.job(ids[1].id()).await;
    assert_eq!(broken.state, State::Discarded);
    let said = broken.last_error.expect("it says why");
    assert!(said.contains("cannot be stored"), "{said}");
}

/// Runs `with` in a transaction beside a row of data, as a handler would.
async fn complete(house: &House, lease: &Lease, commit: bool) -> Result<(), Error> {
    let attempt = recomamp::queue::Attempt::under(lease.clone());
    let mut transaction = house.db.pool().begin().await?;
    sqlx::query("create table if not exists mine (id int)").execute(&mut *transaction).await?;
    let outcome = Outcome::then(named("next"));
    attempt.complete_in(&mut transaction, outcome).await?;
    if commit {
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_handler_can_finish_inside_its_own_transaction() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;

    complete(&house, &lease, false).await.expect("rolled back without an error");
    assert_eq!(house.state(id).await, State::Running);
    assert!(house.waiting_kinds().await.is_empty());

    complete(&house, &lease, true).await.expect("committed");
    assert_eq!(house.state(id).await, State::Done);
    assert_eq!(house.waiting_kinds().await, ["named"]);
}

#[tokio::test]
async fn a_handler_that_lost_its_lease_cannot_finish_inside_its_own_transaction() {
    let house = House::new().await;
    let (late, _newer) = overtaken(&house).await;
    let refused = complete(&house, &late, true).await;
    assert!(matches!(refused, Err(Error::LeaseLost { job_id }) if job_id == late.job_id));
    let table: Option<String> = sqlx::query_scalar("select to_regclass('mine')::text")
        .fetch_one(house.db.pool())
        .await
        .expect("the store answers");
    assert_eq!(table, None, "what the handler wrote is undone");
}
