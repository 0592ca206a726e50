//! When a group is decided, and what follows from it.

use super::{by_name, group, of_jobs};
use crate::queue::{House, name_of, named};
use futures::future::join_all;
use recomamp::queue::group::{Made, NewGroup, Rule, Standing};
use recomamp::queue::store::Store;
use recomamp::queue::{NewJob, Outcome, State, retry};
use std::time::Duration;

#[tokio::test]
async fn each_rule_is_decided_by_the_end_that_decides_it() {
    let all: [(Rule, &[&str], Standing); 8] = [
        (Rule::AllDone, &["good 1", "good 2"], Standing::Met),
        (Rule::AllDone, &["good", "bad"], Standing::Failed),
        (Rule::AllDone, &["good", "stop"], Standing::Failed),
        (Rule::AllFinished, &["good", "bad", "stop"], Standing::Met),
        (Rule::AtLeast(2), &["good 1", "good 2", "bad"], Standing::Met),
        (Rule::AtLeast(2), &["good", "bad", "stop"], Standing::Failed),
        (Rule::AllDone, &[], Standing::Met),
        (Rule::AtLeast(1), &[], Standing::Failed),
    ];
    for (rule, names, expected) in all {
        let house = House::new().await;
        let id = of_jobs(&house, group("g", rule), names).await;
        let before = house.progress(id).await;
        assert_eq!(before.total, i64::try_from(names.len()).expect("few"));
        assert_eq!(before.state == Standing::Open, !names.is_empty(), "{rule:?} {names:?}");
        house.work().await;
        let after = house.progress(id).await;
        assert_eq!(after.state, expected, "{rule:?} {names:?}");
        assert_eq!((after.open, after.why.is_some()), (0, true));
        let followed = (house.waiting("then").await, house.waiting("else").await);
        let met = expected == Standing::Met;
        assert_eq!(followed, if met { (1, 0) } else { (0, 1) }, "{rule:?} {names:?}");
    }
}

#[tokio::test]
async fn a_group_that_cannot_be_met_any_more_ends_although_others_still_run() {
    let house = House::new().await;
    let all = of_jobs(&house, group("all", Rule::AllDone), &["bad", "good 1", "good 2"]).await;
    let some = house.make(group("some", Rule::AtLeast(2))).await;
    house.enqueue(&["bad 2", "bad 3", "good 3"].map(|name| named(name).in_group(some))).await;
    house.seal(some).await;

    for lease in house.claim(6).await.iter().filter(|lease| name_of(lease).starts_with("bad")) {
        house.end(lease, by_name(lease)).await;
    }
    let (all, some) = (house.progress(all).await, house.progress(some).await);
    assert_eq!((all.state, all.open, all.discarded), (Standing::Failed, 2, 1));
    assert_eq!((some.state, some.open, some.discarded), (Standing::Failed, 1, 2));
    assert_eq!(house.waiting("else").await, 2);
    let why = all.why.expect("a reason");
    assert_eq!(why, "all are to be done, and of 3 members 1 were discarded and 0 cancelled");
}

#[tokio::test]
async fn nothing_is_decided_before_the_group_is_sealed_and_all_of_it_when_it_is() {
    let house = House::new().await;
    let id = house.make(group("g", Rule::AllDone)).await;
    house.enqueue_one(named("good").in_group(id)).await;
    house.work().await;
    assert_eq!(house.standing(id).await, Standing::Open);
    house.enqueue_one(named("good too").in_group(id)).await;
    house.work().await;
    house.seal(id).await;
    house.seal(id).await;
    let met = house.progress(id).await;
    assert_eq!((met.state, met.done, met.fired), (Standing::Met, 2, 1));
    assert_eq!(house.waiting("then").await, 1);
    assert_eq!(house.events_of("g").await, ["group_met"]);
}

#[tokio::test]
async fn a_group_of_a_known_name_is_found_and_not_made_again() {
    let house = House::new().await;
    let id = house.make(group("g", Rule::AllDone)).await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let other = NewGroup::new("g", Rule::AllFinished);
    let again = house.queue.make_group(&mut connection, &other).await.expect("answered");
    assert_eq!(again, Made::Existing(id));
    let found = house.queue.find_group(&mut connection, "g").await.expect("answered");
    assert_eq!(found.map(|group| (group.id, group.rule)), Some((id, Rule::AllDone)));
    let none = house.queue.find_group(&mut connection, "other").await.expect("answered");
    assert_eq!(none, None);
}

#[tokio::test]
async fn of_sixteen_who_end_the_last_members_at_once_one_enqueues_the_follow_up() {
    let house = House::new().await;
    for round in 0..4 {
        let id = house.make(group(&round.to_string(), Rule::AllDone)).await;
        let jobs: Vec<NewJob> = (0..64).map(|n| named(&format!("good {n}")).in_group(id)).collect();
        house.enqueue(&jobs).await;
        house.seal(id).await;
        let leases = house.claim(64).await;
        let ends = leases.chunks(4).map(|few| {
            let acks: Vec<_> = few
                .iter()
                .map(|lease| retry::verdict(lease, Ok(Outcome::Done)).expect("an ack"))
                .collect();
            let store = house.store.clone();
            async move { store.ack(&acks).await.expect("the store answers") }
        });
        for acked in join_all(ends).await {
            assert!(acked.stale.is_empty());
        }
        let met = house.progress(id).await;
        assert_eq!((met.state, met.done, met.fired), (Standing::Met, 64, 1));
        assert_eq!(house.waiting("then").await, round + 1);
    }
}

#[tokio::test]
async fn a_deadline_fails_the_group_once_however_many_look() {
    let house = House::new().await;
    let hour = Duration::from_secs(3600);
    let ids = [
        of_jobs(&house, group("sealed", Rule::AllFinished).within(hour), &["good"]).await,
        house.make(group("forgotten", Rule::AllDone).within(hour)).await,
        of_jobs(&house, group("later", Rule::AllDone).within(hour * 3), &["good"]).await,
    ];
    let sweep = || async {
        let mut transaction = house.db.pool().begin().await.expect("begun");
        let many = house.queue.end_overdue_groups(&mut transaction).await.expect("swept");
        transaction.commit().await.expect("committed");
        many
    };
    assert_eq!(sweep().await, 0);
    house.wait(hour * 2).await;
    let swept: u64 = join_all((0..8).map(|_| sweep())).await.into_iter().sum();
    assert_eq!(swept, 2);
    let [sealed, forgotten, later] =
        join_all(ids.map(|id| house.progress(id))).await.try_into().expect("three");
    assert_eq!(sealed.state, Standing::Failed);
    assert_eq!(sealed.why.as_deref(), Some("its deadline passed while 1 of 1 members were open"));
    assert_eq!((forgotten.state, later.state), (Standing::Failed, Standing::Open));
    assert_eq!(house.waiting("else").await, 2);

    house.work().await;
    assert_eq!(house.progress(ids[0]).await.late(), 1);
    assert_eq!(house.events_of("sealed").await, ["group_failed", "group_superseded"]);
    assert_eq!(house.waiting("then").await, 1, "only of the one whose deadline is to come");
}

#[tokio::test]
async fn a_late_success_is_noted_and_enqueues_the_follow_up_again_only_in_a_group_that_reopens() {
    for reopens in [false, true] {
        let house = House::new().await;
        let new = group("g", Rule::AllFinished);
        let id = house.make(if reopens { new.reopening() } else { new }).await;
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(house.add_members(id, &names).await, 3);
        assert_eq!(house.add_members(id, &names).await, 0, "they are there already");
        house.seal(id).await;
        for (member, state) in
            [("a", State::Done), ("b", State::Discarded), ("c", State::Cancelled)]
        {
            assert!(house.end_member(id, member, state).await);
            assert!(!house.end_member(id, member, state).await, "it has ended so already");
        }
        assert_eq!(house.progress(id).await.fired, 1);
        assert!(!house.end_member(id, "a", State::Discarded).await, "done is for ever");
        assert!(!house.end_member(id, "nobody", State::Done).await);

        assert!(house.end_member(id, "c", State::Discarded).await, "late, but no success");
        assert_eq!((house.progress(id).await.late(), house.progress(id).await.fired), (0, 1));
        assert!(house.end_member(id, "b", State::Done).await);
        assert!(house.end_member(id, "c", State::Done).await);
        let progress = house.progress(id).await;
        assert_eq!((progress.done, progress.discarded, progress.cancelled), (3, 0, 0));
        assert_eq!(house.waiting("then").await, if reopens { 3 } else { 1 });
        let (late, what) = if reopens {
            (0, ["group_met", "group_reopened", "group_reopened"].as_slice())
        } else {
            (2, ["group_met", "group_superseded"].as_slice())
        };
        assert_eq!(progress.late(), late);
        assert_eq!(progress.superseded, !reopens);
        assert_eq!(house.events_of("g").await, what);
    }
}

#[tokio::test]
async fn a_member_that_is_taken_up_again_opens_a_group_that_reopens_and_what_follows_comes_again() {
    let house = House::new().await;
    let names = ["one", "two"].map(str::to_owned);
    let reopens = house.make(group("reopens", Rule::AllFinished).reopening()).await;
    let stays = house.make(group("stays", Rule::AllFinished)).await;
    let enough = house.make(group("enough", Rule::AtLeast(1)).reopening()).await;
    for id in [reopens, stays, enough] {
        house.add_members(id, &names).await;
        house.seal(id).await;
        house.end_member(id, "one", State::Done).await;
        house.end_member(id, "two", State::Discarded).await;
    }
    assert_eq!(house.waiting("then").await, 3);
    for id in [reopens, stays, enough] {
        assert_eq!(house.reopen_member(id, "two").await, 1);
        assert_eq!(house.reopen_member(id, "two").await, 0, "it is open already");
        assert_eq!(house.reopen_member(id, "nobody").await, 0);
        let now = house.progress(id).await;
        assert_eq!((now.open, now.done, now.discarded), (1, 1, 0));
    }
    assert_eq!(house.standing(reopens).await, Standing::Open);
    assert_eq!(house.standing(stays).await, Standing::Met);
    assert_eq!(house.standing(enough).await, Standing::Met, "it holds without the other");
    // Also when it ends badly once more: it was taken up, and has ended.
    for id in [reopens, stays, enough] {
        house.end_member(id, "two", State::Cancelled).await;
    }
    let again = house.progress(reopens).await;
    assert_eq!((again.state, again.fired, again.cancelled), (Standing::Met, 2, 1));
    assert_eq!(house.waiting("then").await, 4);
    assert_eq!(house.reopen_member(reopens, "one").await, 1, "one that was done, too");
    assert!(house.end_member(reopens, "one", State::Done).await);
    assert_eq!(house.progress(reopens).await.fired, 3);
    let told = house.events_of("reopens").await;
    let expected = ["group_met", "group_open_again", "group_met", "group_open_again", "group_met"];
    assert_eq!(told, expected);
}
