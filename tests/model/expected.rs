//! The model: what the store should have come to, job by job and gate by gate.

use super::steps::{Plan, Set};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// When a job is to run: known, or between two waits from the step that is being checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RunAt {
    Exactly(DateTime<Utc>),
    After(TimeDelta, TimeDelta),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Waiting,
    /// Under a lease of this session.
    Running(i64),
    Done,
    Discarded,
    Cancelled,
}

/// A job, as far as the queue cares.
#[derive(Debug, Clone)]
pub struct Job {
    pub name: String,
    pub plan: Plan,
    pub parent: Option<i64>,
    pub place: Place,
    pub fence: i32,
    pub attempt: i16,
    pub snoozes: i32,
    pub throttles: i16,
    pub denials: i16,
    pub rescues: i16,
    pub interruptions: i16,
    pub run_at: RunAt,
    pub blocked_by: Option<&'static str>,
    /// It has not taken its places yet.
    pub wants_hold: bool,
    pub claimed_at: Option<DateTime<Utc>>,
    /// The last attempt passed gates.
    pub gated: bool,
    pub slots: BTreeSet<String>,
}

pub const KINDS: [&str; 3] = ["alpha", "beta", "gamma"];

pub fn queue_of(kind: usize) -> &'static str {
    if kind == 2 { "other" } else { "default" }
}

impl Job {
    pub fn new(name: String, plan: &Plan, parent: Option<i64>) -> Self {
        let delay = TimeDelta::milliseconds(i64::try_from(plan.delay_ms).expect("short"));
        Self {
            name,
            plan: plan.clone(),
            parent,
            place: Place::Waiting,
            fence: 0,
            attempt: 0,
            snoozes: 0,
            throttles: 0,
            denials: 0,
            rescues: 0,
            interruptions: 0,
            run_at: RunAt::After(delay, delay),
            blocked_by: None,
            wants_hold: plan.holder.is_some(),
            claimed_at: None,
            gated: false,
            slots: BTreeSet::new(),
        }
    }

    pub fn queue(&self) -> &'static str {
        queue_of(self.plan.kind)
    }

    pub fn key(&self) -> Option<String> {
        self.plan.key.map(|key| format!("{}:{key}", KINDS[self.plan.kind]))
    }

    pub fn is_finished(&self) -> bool {
        matches!(self.place, Place::Done | Place::Discarded | Place::Cancelled)
    }

    /// Everything whose gates it has to pass.
    pub fn resources(&self) -> Vec<String> {
        let used = self.plan.uses.iter().map(|(name, _)| (*name).to_owned());
        used.chain([format!("queue:{}", self.queue()), format!("kind:{}", KINDS[self.plan.kind])])
            .collect()
    }

    pub fn cost(&self, resource: &str) -> u32 {
        self.plan.uses.iter().find(|(name, _)| *name == resource).map_or(1, |(_, cost)| *cost)
    }

    pub fn holds(&self, resource: &str) -> bool {
        self.wants_hold && self.plan.uses.iter().any(|(name, _)| *name == resource)
    }

    /// Jobs that need the same things.
    pub fn lane(&self) -> String {
        let Plan { kind, version, share, uses, .. } = &self.plan;
        format!("{kind} {version} {share:?} {uses:?} {}", self.wants_hold)
    }

    /// What is claimed first within a lane.
    pub fn rank(&self, id: i64) -> (i16, DateTime<Utc>, i64) {
        let RunAt::Exactly(run_at) = self.run_at else { panic!("read back before") };
        (self.plan.priority as i16, run_at, id)
    }

    pub fn may_run_by(&self, now: DateTime<Utc>) -> bool {
        self.place == Place::Waiting
            && self.blocked_by.is_none()
            && matches!(self.run_at, RunAt::Exactly(at) if at <= now)
    }
}

/// How a breaker stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    Closed,
    /// Until then; `None` until a person resumes.
    Open(Option<DateTime<Utc>>),
    HalfOpen {
        left: u32,
        good: u32,
        probes: BTreeSet<(i64, i64)>,
    },
}

/// A breaker that opens after so many failures in a row.
#[derive(Debug, Clone)]
pub struct Breaker {
    pub k: u32,
    pub probes: u32,
    pub manual: bool,
    pub failures: u32,
    pub closed_since: Option<DateTime<Utc>>,
    pub phase: Phase,
}

/// What an attempt that ended says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Good,
    /// In a way that counts.
    Failed,
    Nothing,
}

impl Breaker {
    /// It has no way to tell more of an opening than that it happened: the cool-down has jitter.
    pub fn heard(&mut self, probe: (i64, i64), claimed_at: DateTime<Utc>, said: Said) {
        match &mut self.phase {
            Phase::Open(_) => {}
            Phase::Closed => {
                if self.closed_since.is_some_and(|since| claimed_at < since) {
                    return;
                }
                match said {
                    Said::Good => self.failures = 0,
                    Said::Failed => self.failures += 1,
                    Said::Nothing => {}
                }
                if self.failures >= self.k {
                    self.open();
                }
            }
            Phase::HalfOpen { left, good, probes } => {
                if !probes.remove(&probe) {
                    return;
                }
                match said {
                    Said::Failed => self.open(),
                    Said::Nothing => *left += 1,
                    Said::Good => {
                        *good += 1;
                        if *left == 0 && probes.is_empty() {
                            self.close();
                        }
                    }
                }
            }
        }
    }

    fn open(&mut self) {
        self.failures = 0;
        self.phase = Phase::Open(None);
    }

    /// When is read back.
    pub fn close(&mut self) {
        self.failures = 0;
        self.phase = Phase::Closed;
    }

    /// A person has mended what was wrong.
    pub fn resume(&mut self) {
        match self.phase {
            Phase::Closed => {}
            Phase::Open(_) => self.half_open(),
            Phase::HalfOpen { .. } => self.close(),
        }
    }

    pub fn half_open(&mut self) {
        self.phase = Phase::HalfOpen { left: self.probes, good: 0, probes: BTreeSet::new() };
    }

    pub fn change_rule(&mut self, k: u32, probes: u32, manual: bool) {
        (self.k, self.probes, self.manual, self.failures) = (k, probes, manual, 0);
        if let Phase::HalfOpen { left, good, probes: under_way } = &mut self.phase {
            let under_way = u32::try_from(under_way.len()).expect("few");
            *left = probes.saturating_sub(under_way + *good);
            if *left == 0 && under_way == 0 {
                *left = 1;
            }
        }
    }
}

/// A resource with its gates.
#[derive(Debug, Clone, Default)]
pub struct Resource {
    pub max_holds: Option<i32>,
    pub holders: BTreeSet<String>,
    pub max_running: Option<i32>,
    /// Until then; `Some(None)` until it is resumed.
    #[expect(clippy::option_option, reason = "paused or not, with an end or without")]
    pub paused: Option<Option<DateTime<Utc>>>,
    pub not_before: Option<DateTime<Utc>>,
    /// (tokens, seconds), and what has started since it was set.
    pub rate: Option<(u32, u64)>,
    pub started: Vec<(DateTime<Utc>, u32)>,
    pub quota: Option<u32>,
    pub started_under_quota: Vec<(DateTime<Utc>, u32)>,
    pub breaker: Option<Breaker>,
    pub opened_at: Option<DateTime<Utc>>,
    /// The step has told it so; until when is read back.
    pub asked_for_quiet: Option<TimeDelta>,
    /// Its rate may be lower than the rule.
    pub was_slowed: bool,
}

impl Resource {
    pub fn set(&mut self, set: &Set) {
        match set {
            Set::Holds(max) => self.max_holds = *max,
            Set::Running(max) => self.max_running = *max,
            Set::Rate(rate) => (self.rate, self.started) = (*rate, Vec::new()),
            Set::Quota(limit) => {
                if self.quota.is_none() {
                    self.started_under_quota.clear();
                }
                self.quota = *limit;
            }
            Set::Breaker(None) => self.breaker = None,
            Set::Breaker(Some((k, probes, _, manual))) => {
                let new = || Breaker {
                    k: *k,
                    probes: *probes,
                    manual: *manual,
                    failures: 0,
                    closed_since: None,
                    phase: Phase::Closed,
                };
                self.breaker.get_or_insert_with(new).change_rule(*k, *probes, *manual);
            }
            Set::Weight(_) => {}
        }
    }

    pub fn is_gated(&self) -> bool {
        self.max_holds.is_some()
            || self.max_running.is_some()
            || self.rate.is_some()
            || self.quota.is_some()
            || self.breaker.is_some()
            || self.paused.is_some()
            || self.not_before.is_some()
    }

    pub fn is_paused(&self, now: DateTime<Utc>) -> bool {
        self.paused.is_some_and(|until| until.is_none_or(|until| until > now))
    }

    pub fn used_of_quota(&self, now: DateTime<Utc>) -> u32 {
        let today = now.date_naive();
        let of_today = |(at, _): &&(DateTime<Utc>, u32)| at.date_naive() == today;
        self.started_under_quota.iter().filter(of_today).map(|(_, cost)| cost).sum()
    }
}

/// A process, as the store knows it.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: i64,
    /// Whether it renews.
    pub alive: bool,
    /// Given up for lost, or ended by itself.
    pub ended: bool,
    pub seen_at: DateTime<Utc>,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Model {
    pub jobs: BTreeMap<i64, Job>,
    /// Jobs that the step has enqueued, by name: their ids are read back.
    pub coming: BTreeMap<String, Job>,
    pub resources: BTreeMap<String, Resource>,
    pub names: u32,
}

impl Model {
    pub fn resource(&mut self, name: &str) -> &mut Resource {
        self.resources.entry(name.to_owned()).or_default()
    }

    /// How many run on the resource of those that are counted.
    pub fn running_on(&self, resource: &str) -> usize {
        let runs = |job: &&Job| matches!(job.place, Place::Running(_));
        self.jobs.values().filter(runs).filter(|job| job.slots.contains(resource)).count()
    }

    pub fn unfinished_with_key(&self, key: &str) -> Option<&str> {
        let all = self.jobs.values().chain(self.coming.values());
        let mut with_key =
            all.filter(|job| !job.is_finished() && job.key().as_deref() == Some(key));
        with_key.next().map(|job| job.name.as_str())
    }

    /// Expects this job to be enqueued, unless its key is taken.
    pub fn expect(&mut self, name: &str, plan: &Plan, parent: Option<i64>) {
        let job = Job::new(name.to_owned(), plan, parent);
        if job.key().is_none_or(|key| self.unfinished_with_key(&key).is_none()) {
            self.coming.insert(name.to_owned(), job);
        }
    }

    pub fn new_name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }
}
