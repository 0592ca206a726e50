//! Who gets which job, and when.

use super::{House, key_of, name_of, named};
use recomamp::queue::session::ThisProcess;
use recomamp::queue::store::Store;
use recomamp::queue::{Outcome, Priority};
use std::collections::HashSet;
use std::time::Duration;

#[tokio::test]
async fn a_claim_asks_for_no_more_than_it_can_run() {
    let house = House::new().await;
    house.enqueue(&(0..10).map(|n| named(&n.to_string())).collect::<Vec<_>>()).await;
    let claimed = house.claim_as(house.session, 4).await;
    assert_eq!(claimed.leases.len(), 4);
    assert!(claimed.more);
}

#[tokio::test]
async fn jobs_are_claimed_by_priority_and_then_in_the_order_they_came() {
    let house = House::new().await;
    house
        .enqueue(&[
            named("normal 1"),
            named("low").with_priority(Priority::Low),
            named("urgent").with_priority(Priority::Urgent),
            named("normal 2"),
            named("live").with_priority(Priority::Live),
        ])
        .await;
    let claimed = house.claim(10).await;
    let order: Vec<&str> = claimed.iter().map(name_of).collect();
    assert_eq!(order, ["urgent", "live", "normal 1", "normal 2", "low"]);
}

#[tokio::test]
async fn no_job_is_claimed_twice_by_processes_that_claim_at_the_same_time() {
    let house = House::new().await;
    house.enqueue(&(0..500).map(|n| named(&n.to_string())).collect::<Vec<_>>()).await;
    let claims = (0..8).map(|_| async {
        let mut mine = Vec::new();
        loop {
            let leases = house.claim(7).await;
            if leases.is_empty() {
                return mine;
            }
            mine.extend(leases.iter().map(|lease| lease.job_id));
        }
    });
    let all: Vec<i64> = futures::future::join_all(claims).await.concat();
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (500, 500));
}

#[tokio::test]
async fn the_stores_clock_decides_what_is_due() {
    let house = House::new().await;
    house.enqueue(&[named("later").after(Duration::from_secs(3600))]).await;

    let early = house.claim_as(house.session, 1).await;
    assert!(early.leases.is_empty());
    let next = early.next_due_in.expect("it knows when the next job is due");
    assert!(next > Duration::from_secs(3500) && next <= Duration::from_secs(3600), "{next:?}");

    house.wait(Duration::from_secs(3600)).await;
    assert_eq!(house.claim(1).await.len(), 1);
}

#[tokio::test]
async fn a_session_that_was_given_up_for_lost_gets_nothing() {
    let house = House::new().await;
    house.enqueue(&[named("a")]).await;
    house.db.advance_clock(Duration::from_secs(60)).await;
    let other = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
    house.store.rescue(Duration::from_secs(9)).await.expect("rescued");

    let lost = house.claim_as(house.session, 1).await;
    assert!(lost.leases.is_empty());
    assert!(!lost.more, "it must not try again without end");
    let live = house.claim_as(other, 1).await;
    assert_eq!(live.leases.len(), 1);
}

#[tokio::test]
async fn what_a_claim_took_whose_answer_was_lost_is_put_back() {
    let house = House::new().await;
    house.enqueue(&[named("known"), named("lost 1"), named("lost 2")]).await;
    let claimed = house.claim(3).await;
    let known = [key_of(&claimed[0])];
    let a_minute = Duration::from_secs(60);
    let young = house.store.give_back(house.session, "default", &known, a_minute).await;
    assert_eq!(young.expect("the store answers"), 0, "the answer may be on its way");
    let given = house.store.give_back(house.session, "default", &known, Duration::ZERO).await;
    assert_eq!(given.expect("the store answers"), 2);

    let again = house.claim(3).await;
    assert_eq!(again.iter().map(name_of).collect::<Vec<_>>(), ["lost 1", "lost 2"]);
    assert!(again.iter().all(|lease| lease.attempt == 1), "a lost claim is no attempt");
    assert!(house.end(&claimed[0], Ok(Outcome::Done)).await.stale.is_empty());
    assert_eq!(house.end(&claimed[1], Ok(Outcome::Done)).await.stale, [key_of(&claimed[1])]);
}
