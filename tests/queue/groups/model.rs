//! Random lives of groups, beside a model that counts everything again after every step.

use crate::queue::{House, name_of, named};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use recomamp::queue::error::Class;
use recomamp::queue::group::{NewGroup, Rule, Standing};
use recomamp::queue::store::Store;
use recomamp::queue::{Failure, NewJob, Outcome, State, retry};
use std::collections::BTreeMap;
use std::time::Duration;

const STEPS: usize = 400;
const FINAL: [State; 3] = [State::Done, State::Discarded, State::Cancelled];

/// A group as it should be.
struct Model {
    id: i64,
    rule: Rule,
    reopens: bool,
    sealed: bool,
    overdue: bool,
    members: BTreeMap<String, Option<State>>,
    state: Standing,
    followed: i64,
    failed: i64,
    seen_done: usize,
}

impl Model {
    fn count(&self, state: Option<State>) -> usize {
        self.members.values().filter(|member| **member == state).count()
    }

    fn end(&mut self, member: &str, state: State) {
        if let Some(member) = self.members.get_mut(member)
            && *member != Some(State::Done)
        {
            *member = Some(state);
        }
    }

    fn take_up(&mut self, member: &str) {
        let ended = self.members.get_mut(member).and_then(Option::take);
        if ended.is_none() {
            return;
        }
        self.seen_done = self.seen_done.min(self.count(Some(State::Done)));
        if self.reopens && !self.overdue && self.rule_says() == Standing::Open {
            self.state = Standing::Open;
        }
    }

    /// What the rule says: met, hopeless, or neither.
    fn rule_says(&self) -> Standing {
        let (open, done) = (self.count(None), self.count(Some(State::Done)));
        let lost = self.members.len() - open - done;
        let (met, hopeless) = match self.rule {
            Rule::AllDone => (open + lost == 0, lost > 0),
            Rule::AllFinished => (open == 0, false),
            Rule::AtLeast(n) => (done >= n as usize, done + open < n as usize),
        };
        match (self.sealed, met, hopeless) {
            (true, true, _) => Standing::Met,
            (true, _, true) => Standing::Failed,
            _ => Standing::Open,
        }
    }

    /// After every step.
    fn settle(&mut self) {
        let (says, done) = (self.rule_says(), self.count(Some(State::Done)));
        if self.state == Standing::Open {
            let overdue = self.overdue && says == Standing::Open;
            self.state = if overdue { Standing::Failed } else { says };
            self.followed += i64::from(self.state == Standing::Met);
            self.failed += i64::from(self.state == Standing::Failed);
            self.seen_done = done;
        } else if done > self.seen_done && self.reopens && says == Standing::Met {
            self.state = Standing::Met;
            self.followed += 1;
            self.seen_done = done;
        }
    }
}

async fn make(house: &House, random: &mut StdRng, nth: usize) -> Model {
    let rule = match random.random_range(0..3) {
        0 => Rule::AllDone,
        1 => Rule::AllFinished,
        _ => Rule::AtLeast(random.random_range(0..6)),
    };
    let year = Duration::from_secs(365 * 86400);
    let mut new = NewGroup::new(format!("group {nth}"), rule)
        .then(named(&format!("then {nth}")).after(year))
        .if_failed(named(&format!("else {nth}")).after(year));
    let reopens = random.random_bool(0.5);
    if reopens {
        new = new.reopening();
    }
    if random.random_bool(0.3) {
        new = new.within(Duration::from_secs(3600));
    }
    Model {
        id: house.make(new).await,
        rule,
        reopens,
        sealed: false,
        overdue: false,
        members: BTreeMap::new(),
        state: Standing::Open,
        followed: 0,
        failed: 0,
        seen_done: 0,
    }
}

/// Jobs of several groups end in one batch.
async fn work(house: &House, random: &mut StdRng, groups: &mut [Model]) {
    let limit = random.random_range(1..8);
    let acks: Vec<_> = house
        .claim(limit)
        .await
        .iter()
        .map(|lease| {
            let state = *FINAL.choose(random).expect("three");
            let group = groups
                .iter_mut()
                .find(|group| name_of(lease) == format!("job of {}", group.id))
                .expect("its group");
            group.end(&format!("job:{}", lease.job_id), state);
            let error = anyhow::anyhow!("random");
            let result = match state {
                State::Done => Ok(Outcome::Done),
                State::Discarded => Err(Failure::permanent(error)),
                _ => Err(Failure::new(Class::Cancelled, error)),
            };
            retry::verdict(lease, result).expect("an ack")
        })
        .collect();
    house.store.ack(&acks).await.expect("acked");
}

async fn step(house: &House, random: &mut StdRng, groups: &mut Vec<Model>) {
    let nth = groups.len();
    let at = random.random_range(0..nth.max(1));
    let name = || format!("member {}", nth % 7);
    match random.random_range(0..11) {
        0 | 1 if nth < 40 => groups.push(make(house, random, nth).await),
        _ if nth == 0 => {}
        2 => {
            let names: Vec<String> =
                (0..random.random_range(0..5)).map(|n| n.to_string()).collect();
            house.add_members(groups[at].id, &names).await;
            for name in names {
                groups[at].members.entry(name).or_insert(None);
            }
        }
        3 => {
            let group = &mut groups[at];
            let job = || named(&format!("job of {}", group.id)).in_group(group.id);
            let jobs: Vec<NewJob> = (0..random.random_range(1..4)).map(|_| job()).collect();
            for job in house.enqueue(&jobs).await {
                group.members.insert(format!("job:{}", job.id()), None);
            }
        }
        4 => {
            house.seal(groups[at].id).await;
            groups[at].sealed = true;
        }
        5 if random.random_bool(0.1) => {
            house.wait(Duration::from_secs(7200)).await;
            let overdue: Vec<i64> =
                sqlx::query_scalar("select id from engine.groups where deadline <= engine.now()")
                    .fetch_all(house.db.pool())
                    .await
                    .expect("asked");
            for group in groups.iter_mut() {
                group.overdue = overdue.contains(&group.id);
            }
            let mut transaction = house.db.pool().begin().await.expect("begun");
            house.queue.end_overdue_groups(&mut transaction).await.expect("swept");
            transaction.commit().await.expect("committed");
        }
        6 | 7 => work(house, random, groups).await,
        8 => {
            let names: Vec<String> = groups[at].members.keys().cloned().collect();
            let member = names.choose(random).cloned().unwrap_or_else(name);
            house.reopen_member(groups[at].id, &member).await;
            groups[at].take_up(&member);
        }
        _ => {
            let names: Vec<String> = groups[at].members.keys().cloned().collect();
            let member = names.choose(random).cloned().unwrap_or_else(name);
            let state = *FINAL.choose(random).expect("three");
            house.end_member(groups[at].id, &member, state).await;
            groups[at].end(&member, state);
        }
    }
}

async fn compare(house: &House, group: &Model, nth: usize) {
    let found = house.progress(group.id).await;
    let count = |state| i64::try_from(group.count(state)).expect("few");
    let expected = [
        i64::try_from(group.members.len()).expect("few"),
        count(None),
        count(Some(State::Done)),
        count(Some(State::Discarded)),
        count(Some(State::Cancelled)),
    ];
    let counts = [found.total, found.open, found.done, found.discarded, found.cancelled];
    assert_eq!((counts, found.state), (expected, group.state), "{found:?}");
    assert_eq!(i64::from(found.fired), group.followed, "{found:?}");
    let followed = house.waiting(&format!("then {nth}")).await;
    let failed = house.waiting(&format!("else {nth}")).await;
    assert_eq!((followed, failed), (group.followed, group.failed), "{found:?}");
}

#[tokio::test]
async fn whatever_happens_to_groups_they_are_as_a_model_says() {
    let seed = std::env::var("RECOMAMP_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| rand::rng().random());
    eprintln!("RECOMAMP_TEST_SEED={seed} replays this");
    let mut random = StdRng::seed_from_u64(seed);
    let house = House::new().await;
    let mut groups = Vec::new();
    for _ in 0..STEPS {
        step(&house, &mut random, &mut groups).await;
        for group in &mut groups {
            group.settle();
        }
        if let Some((nth, group)) =
            groups.iter().enumerate().collect::<Vec<_>>().choose(&mut random)
        {
            compare(&house, group, *nth).await;
        }
    }
    for (nth, group) in groups.iter().enumerate() {
        compare(&house, group, nth).await;
    }
}
