//! The model: what the store should have come to, job by job.

use super::resources::Resource;
use super::steps::Plan;
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
    /// The finished one that it does again.
    pub replay_of: Option<i64>,
    pub place: Place,
    /// Somebody wants it to end, and it runs.
    pub cancel_asked: bool,
    pub fence: i32,
    pub attempt: i16,
    pub snoozes: i32,
    pub throttles: i16,
    pub denials: i16,
    pub rescues: i16,
    pub interruptions: i16,
    pub run_at: RunAt,
    pub blocked_by: Option<&'static str>,
    /// On these it has not taken its place yet.
    pub wants_hold: BTreeSet<&'static str>,
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
            replay_of: None,
            place: Place::Waiting,
            cancel_asked: false,
            fence: 0,
            attempt: 0,
            snoozes: 0,
            throttles: 0,
            denials: 0,
            rescues: 0,
            interruptions: 0,
            run_at: RunAt::After(delay, delay),
            blocked_by: None,
            wants_hold: plan.holder.iter().flat_map(|_| plan.used()).collect(),
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
        let used = self.plan.used().map(str::to_owned);
        used.chain([format!("queue:{}", self.queue()), format!("kind:{}", KINDS[self.plan.kind])])
            .collect()
    }

    pub fn cost(&self, resource: &str) -> u32 {
        self.plan.uses.iter().find(|(name, _)| *name == resource).map_or(1, |(_, cost)| *cost)
    }

    pub fn holder(&self) -> Option<String> {
        self.plan.holder.map(|holder| format!("h{holder}"))
    }

    pub fn holds(&self, resource: &str) -> bool {
        self.wants_hold.contains(resource)
    }

    /// Jobs that need the same things.
    pub fn lane(&self) -> String {
        let Plan { kind, version, share, uses, .. } = &self.plan;
        format!("{kind} {version} {share:?} {uses:?} {:?}", self.wants_hold)
    }

    /// What is claimed first within a lane.
    pub fn rank(&self, id: i64) -> (i16, DateTime<Utc>, i64) {
        let RunAt::Exactly(run_at) = self.run_at else { panic!("read back before") };
        (self.plan.priority as i16, run_at, id)
    }

    pub fn may_run_by(&self, now: DateTime<Utc>) -> bool {
        self.place == Place::Waiting && self.blocked_by.is_none() && self.is_due_by(now)
    }

    pub fn is_due_by(&self, now: DateTime<Utc>) -> bool {
        matches!(self.run_at, RunAt::Exactly(at) if at <= now)
    }
}

/// A job that has finished.
#[derive(Debug, Clone)]
pub struct Past {
    pub job: Job,
    pub finished_at: DateTime<Utc>,
    /// The job that does it again.
    pub replayed_as: Option<i64>,
}

/// A process, as the store knows it.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: i64,
    /// Whether it renews.
    pub alive: bool,
    /// Given up for lost, or ended by itself.
    pub ended: bool,
    /// It has renewed at this time, or a moment later.
    pub seen_at: DateTime<Utc>,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Model {
    /// Those that have not finished.
    pub jobs: BTreeMap<i64, Job>,
    pub past: BTreeMap<i64, Past>,
    /// Jobs that the step has enqueued, by name: their ids are read back.
    pub coming: BTreeMap<String, Job>,
    pub resources: BTreeMap<String, Resource>,
    pub names: u32,
}

impl Model {
    pub fn resource(&mut self, name: &str) -> &mut Resource {
        self.resources.entry(name.to_owned()).or_default()
    }

    /// How many run on each resource of those that are counted.
    pub fn running(&self) -> BTreeMap<String, usize> {
        let runs = |job: &&Job| matches!(job.place, Place::Running(_));
        let mut running = BTreeMap::new();
        for name in self.jobs.values().filter(runs).flat_map(|job| &job.slots) {
            *running.entry(name.clone()).or_default() += 1;
        }
        running
    }

    fn is_taken(&self, key: &str) -> bool {
        let mut coming = self.coming.values();
        self.with_key(key).is_some() || coming.any(|job| job.key().as_deref() == Some(key))
    }

    /// The unfinished job with this key.
    pub fn with_key(&self, key: &str) -> Option<i64> {
        let mut jobs = self.jobs.iter();
        jobs.find(|(_, job)| !job.is_finished() && job.key().as_deref() == Some(key))
            .map(|(id, _)| *id)
    }

    /// Expects this job to be enqueued, unless its key is taken.
    pub fn expect(&mut self, name: &str, plan: &Plan, parent: Option<i64>) {
        let job = Job::new(name.to_owned(), plan, parent);
        if job.key().is_none_or(|key| !self.is_taken(&key)) {
            self.coming.insert(name.to_owned(), job);
        }
    }

    pub fn new_name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }
}
