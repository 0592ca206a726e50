//! What follows a group of members comes once, in the transaction that decides it, and always.

use super::{House, boom, name_of, named};
use futures::future::join_all;
use recomamp::queue::error::Error;
use recomamp::queue::group::{Made, NewGroup, Progress, Rule, Standing};
use recomamp::queue::session::ThisProcess;
use recomamp::queue::store::{Lease, Store};
use recomamp::queue::{Attempt, Failure, NewJob, Outcome, State, retry};
use std::time::Duration;

/// Verbs of groups that read well in a test.
impl House {
    pub async fn make(&self, group: NewGroup) -> i64 {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        let made = self.queue.make_group(&mut connection, &group).await.expect("made");
        made.id()
    }

    pub async fn seal(&self, group: i64) {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        let mut transaction = sqlx::Connection::begin(&mut *connection).await.expect("begun");
        assert!(self.queue.seal(&mut transaction, group).await.expect("sealed"));
        transaction.commit().await.expect("committed");
    }

    pub async fn add_members(&self, group: i64, names: &[String]) -> u64 {
        let mut transaction = self.db.pool().begin().await.expect("begun");
        let added = self.queue.add_members(&mut transaction, group, names).await.expect("added");
        transaction.commit().await.expect("committed");
        added
    }

    pub async fn end_member(&self, group: i64, member: &str, state: State) -> bool {
        let mut transaction = self.db.pool().begin().await.expect("begun");
        let ended = self.queue.end_member(&mut transaction, group, member, state).await;
        transaction.commit().await.expect("committed");
        ended.expect("ended")
    }

    pub async fn progress(&self, group: i64) -> Progress {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        let progress = self.queue.group(&mut connection, group).await.expect("answered");
        progress.expect("there is such a group")
    }

    pub async fn standing(&self, group: i64) -> Standing {
        self.progress(group).await.state
    }

    /// How many jobs of this name are waiting.
    pub async fn waiting(&self, name: &str) -> i64 {
        sqlx::query_scalar(
            "select count(*) from engine.jobs where state = 'waiting' and args ->> 'name' = $1",
        )
        .bind(name)
        .fetch_one(self.db.pool())
        .await
        .expect("counted")
    }

    async fn events(&self, group: &str) -> Vec<String> {
        sqlx::query_scalar("select what from engine.events where resource = $1 order by id")
            .bind(format!("group:{group}"))
            .fetch_all(self.db.pool())
            .await
            .expect("read")
    }

    /// Claims everything that is due and ends it as its name begins: `good`, `bad` or `stop`.
    async fn work(&self) -> Vec<String> {
        let mut names = Vec::new();
        for lease in self.claim(100).await {
            self.end(&lease, by_name(&lease)).await;
            names.push(name_of(&lease).to_owned());
        }
        names
    }
}

fn by_name(lease: &Lease) -> Result<Outcome, Failure> {
    let name = name_of(lease);
    if name.starts_with("bad") {
        Err(Failure::permanent(anyhow::anyhow!("bad")))
    } else if name.starts_with("stop") {
        Err(Failure::new(recomamp::queue::error::Class::Cancelled, anyhow::anyhow!("stopped")))
    } else {
        Ok(Outcome::Done)
    }
}

/// A group with both kinds of follow-up, which are due in a year, so that nobody claims them.
fn group(name: &str, rule: Rule) -> NewGroup {
    NewGroup::new(name, rule).then(later("then")).if_failed(later("else"))
}

fn later(name: &str) -> NewJob {
    named(name).after(Duration::from_secs(365 * 86400))
}

/// A sealed group of jobs with these names.
async fn of_jobs(house: &House, group: NewGroup, names: &[&str]) -> i64 {
    let id = house.make(group).await;
    let jobs: Vec<NewJob> = names.iter().map(|name| named(name).in_group(id)).collect();
    house.enqueue(&jobs).await;
    house.seal(id).await;
    id
}

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
    assert_eq!(house.events("g").await, ["group_met"]);
}

#[tokio::test]
async fn a_group_of_a_known_name_is_found_and_not_made_again() {
    let house = House::new().await;
    let id = house.make(group("g", Rule::AllDone)).await;
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let again = house.queue.make_group(&mut connection, &NewGroup::new("g", Rule::AllFinished));
    assert_eq!(again.await.expect("answered"), Made::Existing(id));
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
    assert_eq!(house.events("sealed").await, ["group_failed", "group_superseded"]);
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
        assert_eq!(house.events("g").await, what);
    }
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
    assert_eq!(house.events("g").await, ["group_failed", "group_reopened"]);
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
