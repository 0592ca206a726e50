//! One job in a corner of its own, with whatever may hold it, and the ways to let it go.

use crate::queue::{House, boom};
use anyhow::anyhow;
use chrono::{DateTime, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use recomamp::queue::explain::{Explanation, Reason, What};
use recomamp::queue::gate::Rule;
use recomamp::queue::gate::breaker::{Rule as BreakerRule, Trip};
use recomamp::queue::gate::quota::Quota;
use recomamp::queue::gate::rate::Rate;
use recomamp::queue::session::{SessionId, ThisProcess};
use recomamp::queue::share::Slots;
use recomamp::queue::store::{Ask, Lease, Store};
use recomamp::queue::{Failure, NewJob, Outcome};
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// What can keep a job back, besides what a resource does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Past {
    Fresh,
    Later,
    Retry,
    Snooze,
    Throttle,
    Denial,
}

/// One job with a queue, a kind and resources of its own, so that only the clock is shared.
pub struct Corner<'a> {
    house: &'a House,
    job: i64,
    queue: String,
    kind: &'static str,
    /// What the processes work on and know.
    queue_is_worked_on: bool,
    knows: Option<i16>,
    session: Option<SessionId>,
    leases: HashMap<i64, Lease>,
    others: usize,
    story: Vec<String>,
}

impl<'a> Corner<'a> {
    pub async fn furnish(house: &'a House, random: &mut StdRng, number: usize) -> Self {
        let kind: &'static str = Box::leak(format!("k{number}").into_boxed_str());
        let resources: Vec<String> =
            (0..random.random_range(0..3)).map(|nth| format!("r{number}.{nth}")).collect();
        let mut this = Self {
            house,
            job: 0,
            queue: format!("q{number}"),
            kind,
            queue_is_worked_on: !random.random_bool(0.06),
            knows: [Some(1), Some(2), Some(2), Some(2), Some(2), None]
                .choose(random)
                .copied()
                .flatten(),
            session: None,
            leases: HashMap::new(),
            others: 0,
            story: Vec::new(),
        };
        let past = *[
            Past::Fresh,
            Past::Fresh,
            Past::Fresh,
            Past::Later,
            Past::Retry,
            Past::Snooze,
            Past::Throttle,
            Past::Denial,
        ]
        .choose(random)
        .expect("there are some");
        let mut job = of(kind, &this.queue, 2);
        if random.random_bool(0.5) {
            job = job.holding_as(format!("mine{number}"));
        }
        job = job.using(resources.clone());
        if past == Past::Later {
            job = job.after(Duration::from_secs(random.random_range(300..100_000)));
        }
        this.job = house.enqueue_one(job).await;
        this.live_through(past).await;
        this.register().await;
        let mut is_held = !matches!(past, Past::Fresh | Past::Retry)
            || !this.queue_is_worked_on
            || this.knows != Some(2);
        for resource in &resources {
            is_held |= this.break_down(random, resource).await;
        }
        for resource in &resources {
            is_held |= this.fill_up(random, resource).await;
        }
        let own = [format!("queue:{}", this.queue), format!("kind:{kind}")];
        for resource in resources.iter().chain(&own) {
            is_held |= this.stop(random, resource).await;
        }
        if !is_held {
            this.pause(&own[0], None).await;
        }
        this
    }

    /// Its own first attempt.
    async fn live_through(&mut self, past: Past) {
        let result = match past {
            Past::Fresh | Past::Later => return,
            Past::Retry => Err(boom()),
            Past::Snooze => Ok(Outcome::Snooze(Duration::from_secs(900))),
            Past::Throttle => {
                let told = Some(Duration::from_secs(900));
                Err(Failure::throttled(anyhow!("429"), told, format!("else:{}", self.queue)))
            }
            Past::Denial => Err(Failure::unauthorized(anyhow!("401"), self.credential())),
        };
        let queue = self.queue.clone();
        let lease = self.claim_any(&queue).await.expect("nothing holds it yet");
        self.house.end(&lease, result).await;
    }

    fn credential(&self) -> String {
        format!("lwa:{}", self.queue)
    }

    /// Says what the processes work on: one process for each corner, besides the house's own, which
    /// says that it works on nothing.
    async fn register(&mut self) {
        let mut process = ThisProcess::new();
        let queues = self.queue_is_worked_on.then(|| (self.queue.clone(), 4));
        process.queues = Some(queues.into_iter().collect());
        let kinds = self.knows.map(|version| (self.kind.to_owned(), version));
        process.kinds = Some(kinds.into_iter().collect());
        if let Some(old) = self.session.take() {
            self.house.store.end_session(old).await.expect("ended");
        }
        self.session = Some(self.house.store.begin_session(&process).await.expect("a session"));
        sqlx::query("update engine.sessions set queues = '{}' where id = $1")
            .bind(self.house.session.0)
            .execute(self.house.db.pool())
            .await
            .expect("the house's own process works on nothing");
    }

    /// Opens the resource's breaker, perhaps; perhaps a probe is under way.
    async fn break_down(&mut self, random: &mut StdRng, resource: &str) -> bool {
        if !random.random_bool(0.2) {
            return false;
        }
        let rule = BreakerRule {
            trips: vec![Trip::Consecutive { k: 1 }],
            cool_downs_s: vec![60],
            ..BreakerRule::default()
        };
        self.set(resource, Rule::Breaker(Some(rule))).await;
        let lease = self.other([resource.to_owned()], false).await;
        self.house.end(&lease, Err(boom())).await;
        if random.random_bool(0.5) {
            self.pass(Duration::from_secs(80)).await;
            let probe = self.other([resource.to_owned()], false).await;
            self.leases.insert(probe.job_id, probe);
        }
        true
    }

    /// Another job takes all that there is of some of the resource's gates.
    async fn fill_up(&mut self, random: &mut StdRng, resource: &str) -> bool {
        let explanation = self.explain().await;
        let is_shut =
            |r: &Reason| r.what == What::Breaker && r.resource.as_deref() == Some(resource);
        if explanation.reasons.iter().any(is_shut) {
            return true;
        }
        let [limit, rate, quota, hold] = [(); 4].map(|()| random.random_bool(0.2));
        if limit {
            self.set(resource, Rule::Running(Some(1))).await;
        }
        if rate {
            let rate = Rate::new(1, Duration::from_secs(600)).expect("a rate");
            self.set(resource, Rule::Rate(Some(rate))).await;
        }
        if quota {
            let quota = Quota::new(1, "Europe/Berlin").expect("a quota");
            self.set(resource, Rule::Quota(Some(quota))).await;
        }
        if hold {
            self.set(resource, Rule::Holds(Some(1))).await;
        }
        if limit || rate || quota || hold {
            let lease = self.other([resource.to_owned()], hold).await;
            if limit {
                self.leases.insert(lease.job_id, lease);
            } else {
                self.house.end(&lease, Ok(Outcome::Done)).await;
            }
        }
        // Where there are places a quota keeps only those out who take one.
        limit || rate || (quota && !hold)
    }

    /// People and Amazon stop it.
    async fn stop(&mut self, random: &mut StdRng, resource: &str) -> bool {
        let mut is_held = false;
        if random.random_bool(0.1) {
            let lasts = Some(Duration::from_secs(random.random_range(60..10_000)));
            self.pause(resource, lasts.filter(|_| random.random_bool(0.5))).await;
            is_held = true;
        }
        if random.random_bool(0.08) {
            let mut connection = self.house.db.pool().acquire().await.expect("a connection");
            let trip = self.house.queue.trip(&mut connection, resource, "ann", "a test");
            trip.await.expect("tripped");
            is_held = true;
        }
        if random.random_bool(0.1) {
            let told = Some(Duration::from_secs(random.random_range(60..10_000)));
            let lease = self.other([], false).await;
            let throttled = Failure::throttled(anyhow!("429"), told, resource.to_owned());
            self.house.end(&lease, Err(throttled)).await;
            is_held = true;
        }
        is_held
    }

    async fn set(&self, resource: &str, rule: Rule) {
        let mut connection = self.house.db.pool().acquire().await.expect("a connection");
        let set = self.house.queue.set_gate_by(&mut connection, resource, rule, "ann", "a test");
        set.await.expect("set");
    }

    async fn pause(&self, resource: &str, lasts: Option<Duration>) {
        let mut connection = self.house.db.pool().acquire().await.expect("a connection");
        let pause = self.house.queue.pause(&mut connection, resource, "ann", "a test", lasts);
        pause.await.expect("paused");
    }

    /// Another job, in a queue of its own, that has just been claimed.
    async fn other<const N: usize>(&mut self, uses: [String; N], holds: bool) -> Lease {
        self.others += 1;
        let queue = format!("other {} {}", self.queue, self.others);
        let mut job = of("other", &queue, 1);
        if holds {
            job = job.holding_as(format!("holder of {queue}"));
        }
        self.house.enqueue_one(job.using(uses)).await;
        self.claim_any(&queue).await.expect("nothing holds the other job")
    }

    async fn claim_any(&self, queue: &str) -> Option<Lease> {
        let ask = Ask { queue, slots: Slots::free_of_all(1), kinds: None };
        let claimed = self.house.store.claim(self.house.session, &ask).await.expect("claimed");
        claimed.leases.into_iter().next()
    }

    /// As the corner's process does it; nobody does when the queue is not worked on.
    async fn claim(&self) -> Option<Lease> {
        let session = self.session.filter(|_| self.queue_is_worked_on)?;
        let kinds: Vec<(&'static str, i16)> =
            self.knows.iter().map(|version| (self.kind, *version)).collect();
        let ask = Ask { queue: &self.queue, slots: Slots::free_of_all(1), kinds: Some(&kinds) };
        let claimed = self.house.store.claim(session, &ask).await.expect("claimed");
        claimed.leases.into_iter().next()
    }

    async fn explain(&self) -> Explanation {
        let explained = self.house.queue.explain(self.house.db.pool(), self.job).await;
        explained.expect("the store answers").expect("the job exists")
    }

    async fn pass(&self, time: Duration) {
        self.house.wait(time).await;
        if let Some(session) = self.session {
            self.house.store.renew(session).await.expect("renewed");
        }
    }

    async fn pass_until(&self, time: DateTime<Utc>, now: DateTime<Utc>) {
        let rest = (time - now).to_std().unwrap_or_default();
        self.pass(rest + Duration::from_millis(1)).await;
    }

    /// Opens one named gate after the other.
    pub async fn open_until_it_runs(
        &mut self,
        random: &mut StdRng,
        seen: &mut BTreeSet<What>,
        seed: u64,
    ) {
        let mut is_first = true;
        let mut explanation = self.explain().await;
        for _ in 0..60 {
            let whats = explanation.reasons.iter().map(|reason| reason.what);
            seen.extend(whats);
            self.story.extend(explanation.reasons.iter().map(|reason| reason.text.clone()));
            self.story.push("---".to_owned());
            let story = || format!("seed {seed}, job {}:\n{}", self.job, self.story.join("\n"));
            assert!(!explanation.reasons.is_empty(), "unexplained: {}", story());
            if !explanation.is_held() {
                assert!(!is_first, "explain names nothing: {}", story());
                let lease = self.claim().await;
                assert!(lease.is_some_and(|l| l.job_id == self.job), "not claimed: {}", story());
                return;
            }
            is_first = false;
            let asks_anyhow = random.random_bool(0.3);
            if let Some(lease) = if asks_anyhow { self.claim().await } else { None } {
                // What was told may have come to its end in this very moment.
                let is_over = |at: DateTime<Utc>| at <= lease.claimed_at;
                let reasons = &explanation.reasons;
                let all_over = reasons.iter().all(|reason| reason.until.is_some_and(is_over));
                assert!(all_over, "claimed all the same: {}", story());
                return;
            }
            let reason = explanation.reasons.choose(random).expect("there is one").clone();
            self.story.push(format!("open: {}", reason.text));
            self.open(&reason, explanation.now, random).await;
            explanation = self.explain().await;
            let same = |r: &Reason| r.what == reason.what && r.resource == reason.resource;
            let is_gone = !explanation.reasons.iter().any(same);
            assert!(is_gone, "not opened by what was named: {}", self.story.join("\n"));
        }
        panic!("seed {seed}: never ran:\n{}", self.story.join("\n"));
    }

    /// Waits until the named time, or does what is waited for.
    async fn open(&mut self, reason: &Reason, now: DateTime<Utc>, random: &mut StdRng) {
        let mut connection = self.house.db.pool().acquire().await.expect("a connection");
        let queue = &self.house.queue;
        let resource = reason.resource.clone().unwrap_or_default();
        match (reason.what, reason.until) {
            (What::Credential, Some(until)) if random.random_bool(0.5) => {
                self.pass_until(until, now).await;
                queue.sweep(&mut connection).await.expect("swept");
            }
            (What::Credential, _) => {
                queue.open(&mut connection, &resource).await.expect("opened");
            }
            (What::Paused, _) if random.random_bool(0.3) || reason.until.is_none() => {
                assert!(queue.resume(&mut connection, &resource, "bob").await.expect("resumed"));
            }
            (What::NoProcess, _) => {
                drop(connection);
                self.queue_is_worked_on = true;
                self.knows = Some(2);
                self.register().await;
            }
            (_, Some(until)) => self.pass_until(until, now).await,
            (What::Breaker, None) => match self.lease_of_a_probe(&reason.text) {
                Some(probe) => {
                    self.house.end(&probe, Ok(Outcome::Done)).await;
                }
                None => assert!(queue.resume(&mut connection, &resource, "bob").await.expect("ok")),
            },
            (What::Limit, None) => {
                let holders = reason.holders.as_ref().expect("who runs is named");
                assert_eq!(holders.count, 1);
                let lease = self.leases.remove(&holders.first[0].job_id).expect("it runs");
                self.house.end(&lease, Ok(Outcome::Done)).await;
            }
            (What::Hold, None) => {
                let holders = reason.holders.as_ref().expect("who holds is named");
                let released = queue.release(&mut connection, &holders.first[0].name).await;
                assert!(released.expect("the store answers"));
            }
            (What::Lane, None) => {
                queue.sweep(&mut connection).await.expect("swept");
            }
            other => panic!("{other:?} names no way out"),
        }
    }

    /// The probe that a half-open breaker waits for, as its sentence names it.
    fn lease_of_a_probe(&mut self, text: &str) -> Option<Lease> {
        if !text.contains("half-open") {
            return None;
        }
        let named = |id: &&i64| {
            text.contains(&format!("job {id},")) || text.contains(&format!("job {id})"))
        };
        let id = self.leases.keys().find(named).copied().expect("a probe is named");
        self.leases.remove(&id)
    }
}

/// A job of any kind and queue, in this version.
fn of(kind: &str, queue: &str, version: i16) -> NewJob {
    let job = serde_json::from_value(json!({
        "kind": kind, "queue": queue, "args": {}, "priority": 2, "max_attempts": 20,
        "timeout_ms": 1000, "unique_key": null, "delay_ms": 0, "version": version,
        "hold_as": null, "if_discarded": null,
    }));
    job.expect("a job")
}
