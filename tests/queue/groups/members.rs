//! Who is a member of a group, and when it ends.

use super::{group, of_jobs};
use crate::queue::{ANN, House, boom, name_of, named};
use futures::future::join_all;
use recomamp::queue::error::Error;
use recomamp::queue::group::{NewGroup, Rule, Standing};
use recomamp::queue::session::ThisProcess;
use recomamp::queue::steer::{Cancelled, Replay, Replayed};
use recomamp::queue::store::Store;
use recomamp::queue::{Attempt, Failure, NewJob, Outcome, State};
use std::time::Duration;

#[tokio::test]
async fn whoever_cancels_or_discards_a_job_ends_its_group_and_whoever_replays_it_reopens_it() {
    let house = House::new().await;
    let id = house.make(group("g", Rule::AllDone).reopening()).await;
    let ids: Vec<i64> = house
        .enqueue(&["a", "b", "c"].map(|name| named(name).in_group(id)))
        .await
        .iter()
        .map(|job| job.id())
        .collect();
    house.seal(id).await;
    assert_eq!(house.cancel(ids[0]).await, Cancelled::Cancelled);
    let mut connection = house.connection().await;
    house.queue.discard(&mut connection, &[ids[1]], &ANN).await.expect("discarded");
    let failed = house.progress(id).await;
    assert_eq!((failed.state, failed.cancelled, failed.discarded), (Standing::Failed, 1, 1));
    assert_eq!(house.waiting("else").await, 1);

    // A running one ends as cancelled when it would run again.
    let running = house.claim_one().await;
    assert_eq!(house.cancel(ids[2]).await, Cancelled::Requested);
    house.end(&running, Err(boom())).await;
    assert_eq!(house.progress(id).await.cancelled, 2);

    let mut newest = ids.clone();
    for attempt in ["bad", "good"] {
        for job in &mut newest {
            let how = Replay { done: true, ..Replay::default() };
            let replayed = house.queue.replay(&mut connection, *job, &how, &ANN).await;
            let Ok(Replayed::Replayed(new)) = replayed else { panic!("{replayed:?}") };
            *job = new;
        }
        for lease in house.claim(10).await {
            let bad = || Failure::permanent(boom());
            let result = if attempt == "bad" { Err(bad()) } else { Ok(Outcome::Done) };
            house.end(&lease, result).await;
        }
    }
    let met = house.progress(id).await;
    assert_eq!((met.state, met.total, met.done, met.fired), (Standing::Met, 3, 3, 1));
    assert_eq!((house.waiting("then").await, house.waiting("else").await), (1, 1));
}

#[tokio::test]
async fn a_replay_in_the_name_of_a_discarded_job_is_its_late_success() {
    let house = House::new().await;
    let id = of_jobs(&house, group("g", Rule::AllDone).reopening(), &["good"]).await;
    let bad = house.enqueue_one(named("bad").in_group(id)).await;
    house.work().await;
    assert_eq!(house.standing(id).await, Standing::Failed);
    house.enqueue_one(named("good replay").in_group_as(id, format!("job:{bad}"))).await;
    house.work().await;
    let met = house.progress(id).await;
    assert_eq!((met.state, met.total, met.done, met.fired), (Standing::Met, 2, 2, 1));
    assert_eq!((house.waiting("then").await, house.waiting("else").await), (1, 1));
    assert_eq!(house.events_of("g").await, ["group_failed", "group_reopened"]);
}

#[tokio::test]
async fn a_job_that_kills_its_process_ends_its_group_too() {
    let mut house = House::new().await;
    let id = of_jobs(&house, group("g", Rule::AllFinished), &["killer"]).await;
    for _ in 0..3 {
        assert_eq!(house.standing(id).await, Standing::Open);
        house.db.advance_clock(Duration::from_secs(30)).await;
        house.session = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
        house.claim_one().await;
        house.db.advance_clock(Duration::from_secs(30)).await;
        house.store.rescue(Duration::from_secs(9)).await.expect("rescued");
    }
    let met = house.progress(id).await;
    assert_eq!((met.state, met.discarded), (Standing::Met, 1));
    assert_eq!(house.waiting("then").await, 1);
}

#[tokio::test]
async fn a_named_member_ends_with_the_last_job_that_works_in_its_name() {
    let house = House::new().await;
    let id = house.make(group("g", Rule::AllDone)).await;
    let week = |name: &str| named(name).in_group_as(id, "week");
    house.enqueue_one(week("submit").if_discarded(week("mend"))).await;
    house.seal(id).await;

    let submit = house.claim_one().await;
    house.end(&submit, Err(Failure::permanent(boom()))).await;
    assert_eq!(house.standing(id).await, Standing::Open, "another job has taken it over");
    let mend = house.claim_one().await;
    house.end(&mend, Ok(Outcome::Then(vec![week("poll"), week("fetch"), named("aside")]))).await;
    let names = ["poll", "fetch"];
    for lease in house.claim(3).await.iter().filter(|lease| names.contains(&name_of(lease))) {
        assert_eq!(house.standing(id).await, Standing::Open);
        house.end(lease, Ok(Outcome::Done)).await;
    }
    let met = house.progress(id).await;
    assert_eq!((met.state, met.total, met.done), (Standing::Met, 1, 1));
}

#[tokio::test]
async fn two_jobs_of_one_member_that_end_at_once_end_it() {
    let house = House::new().await;
    let id = house.make(group("g", Rule::AllDone)).await;
    let members: Vec<NewJob> =
        (0..40).map(|n| named(&n.to_string()).in_group_as(id, format!("pair {}", n / 2))).collect();
    house.enqueue(&members).await;
    house.seal(id).await;
    assert_eq!(house.progress(id).await.total, 20);
    let leases = house.claim(40).await;
    join_all(leases.iter().map(|lease| house.end(lease, Ok(Outcome::Done)))).await;
    let met = house.progress(id).await;
    assert_eq!((met.state, met.done, met.fired), (Standing::Met, 20, 1));
}

#[tokio::test]
async fn a_member_may_add_members_before_it_ends() {
    let house = House::new().await;
    let id = of_jobs(&house, group("g", Rule::AllDone), &["split"]).await;
    let split = house.claim_one().await;
    let parts = ["good 1", "good 2"].map(|name| named(name).in_group(id));
    house.end(&split, Ok(Outcome::Then(parts.into()))).await;
    let progress = house.progress(id).await;
    assert_eq!((progress.state, progress.total, progress.done), (Standing::Open, 3, 1));
    house.work().await;
    assert_eq!(house.standing(id).await, Standing::Met);
}

#[tokio::test]
async fn groups_nest_whichever_was_made_first() {
    let house = House::new().await;
    for outer_first in [true, false] {
        let name = |what: &str| format!("{what} {outer_first}");
        let outer = house.make(group(&name("outer"), Rule::AllDone)).await;
        let mut inner = Vec::new();
        for n in 0..4 {
            let sum = named("good sum").in_group_as(outer, format!("inner {n}"));
            let new = NewGroup::new(name(&format!("inner {n}")), Rule::AllDone).then(sum);
            inner.push(house.make(new).await);
        }
        house.add_members(outer, &(0..4).map(|n| format!("inner {n}")).collect::<Vec<_>>()).await;
        let jobs: Vec<NewJob> = inner
            .iter()
            .flat_map(|id| (0..4).map(|n| named(&format!("good {n}")).in_group(*id)))
            .chain((0..4).map(|n| named(&format!("good {n}")).in_group(outer)))
            .collect();
        house.enqueue(&jobs).await;
        let mut order: Vec<i64> = inner.iter().copied().chain([outer]).collect();
        if outer_first {
            order.reverse();
        }
        for id in order {
            house.seal(id).await;
        }
        // Ends of both kinds of member meet in every order: no deadlock, and nothing is lost.
        let leases = house.claim(20).await;
        assert_eq!(leases.len(), 20);
        join_all(leases.iter().map(|lease| house.end(lease, Ok(Outcome::Done)))).await;
        assert_eq!(house.standing(outer).await, Standing::Open);
        assert_eq!(house.work().await, ["good sum"; 4]);
        let met = house.progress(outer).await;
        assert_eq!((met.state, met.total, met.done), (Standing::Met, 8, 8));
    }
    assert_eq!(house.waiting("then").await, 2);
}

#[tokio::test]
async fn a_handlers_transaction_that_is_rolled_back_decides_nothing() {
    let house = House::new().await;
    let id = of_jobs(&house, group("g", Rule::AllDone), &["good"]).await;
    let lease = house.claim_one().await;
    let attempt = Attempt::under(lease);
    let mut transaction = house.db.pool().begin().await.expect("begun");
    attempt.complete_in(&mut transaction, Outcome::Done).await.expect("completed");
    transaction.rollback().await.expect("rolled back");
    assert_eq!(house.standing(id).await, Standing::Open);

    let mut transaction = house.db.pool().begin().await.expect("begun");
    attempt.complete_in(&mut transaction, Outcome::Done).await.expect("completed");
    transaction.commit().await.expect("committed");
    assert_eq!((house.standing(id).await, house.waiting("then").await), (Standing::Met, 1));
}

#[tokio::test]
async fn jobs_without_a_group_never_look_at_groups() {
    let house = House::new().await;
    let mut other = house.db.pool().begin().await.expect("begun");
    sqlx::query("lock table engine.groups, engine.members in access exclusive mode")
        .execute(&mut *other)
        .await
        .expect("locked");
    // Whoever asked either table anything would wait for ever.
    house.enqueue_one(named("parent").if_discarded(named("else"))).await;
    let parent = house.claim_one().await;
    house.end(&parent, Ok(Outcome::then(named("child")))).await;
    let child = house.claim_one().await;
    house.end(&child, Err(Failure::permanent(boom()))).await;
    other.rollback().await.expect("unlocked");
}

#[tokio::test]
async fn a_member_cannot_end_in_a_state_that_is_no_end() {
    let house = House::new().await;
    let id = house.make(group("g", Rule::AllDone)).await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let refused = house.queue.end_member(&mut connection, id, "a", State::Waiting).await;
    let Err(Error::Invalid(invalid)) = refused else { panic!("{refused:?}") };
    assert_eq!(
        invalid.to_string(),
        "state: a member ends done, discarded or cancelled, not waiting"
    );
}

#[tokio::test]
async fn a_group_that_was_forgotten_stops_no_job() {
    let house = House::new().await;
    let id = of_jobs(&house, group("g", Rule::AllDone), &["good", "bad"]).await;
    house.work().await;
    house.wait(Duration::from_secs(86400)).await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let pruned = house.queue.prune(&mut connection, Duration::from_secs(3600)).await;
    assert_eq!(pruned.expect("pruned").groups, 1);
    let left = house.queue.group(&mut connection, id).await.expect("answered");
    assert_eq!(left, None);
    let members = "select count(*) from engine.members";
    let members: i64 = sqlx::query_scalar(members).fetch_one(&mut *connection).await.expect("read");
    assert_eq!(members, 0);

    house.enqueue_one(named("good").in_group(id)).await;
    assert_eq!(house.work().await, ["good"]);
}

#[tokio::test]
async fn a_hundred_thousand_members_join_in_one_statement_and_are_counted_without_being_read() {
    let house = House::new().await;
    let id = house.make(group("g", Rule::AllFinished)).await;
    let names: Vec<String> = (0..100_000).map(|n| format!("week:{n}")).collect();
    assert_eq!(house.add_members(id, &names).await, 100_000);
    house.seal(id).await;
    let mut transaction = house.db.pool().begin().await.expect("begun");
    let ends: Vec<(String, State)> =
        names[1..].iter().map(|name| (name.clone(), State::Done)).collect();
    let ended = house.queue.end_members(&mut transaction, id, &ends).await.expect("ended");
    assert_eq!(ended, 99_999);
    transaction.commit().await.expect("committed");

    let mut other = house.db.pool().begin().await.expect("begun");
    sqlx::query("lock table engine.members in access exclusive mode")
        .execute(&mut *other)
        .await
        .expect("locked");
    let progress = house.progress(id).await;
    assert_eq!((progress.total, progress.open, progress.done), (100_000, 1, 99_999));
    other.rollback().await.expect("unlocked");
    assert!(house.end_member(id, &names[0], State::Discarded).await);
    assert_eq!((house.standing(id).await, house.waiting("then").await), (Standing::Met, 1));
}
