//! What has to be known of a job to explain it.

use super::Rank;
use crate::queue::gate::{Gate, Resource};
use crate::queue::job::Use;
use crate::queue::state::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything, as it was at one instant.
#[derive(Debug, Clone)]
pub struct Facts {
    /// That instant, by the store's clock.
    pub now: DateTime<Utc>,
    /// The job.
    pub job: Subject,
    /// The process that runs it.
    pub runner: Option<String>,
    /// Its lane, if a claim has met it.
    pub lane: Option<LaneStanding>,
    /// What it needs, its queue and kind included.
    pub needs: Vec<Standing>,
    /// The processes that have been heard of lately.
    pub processes: Vec<Process>,
    /// Its place among the others.
    pub rank: Option<Rank>,
}

/// The job that is explained.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The job.
    pub id: i64,
    /// Names the code that runs it.
    pub kind: String,
    /// The queue it is in.
    pub queue: String,
    /// The version of its arguments.
    pub version: i16,
    /// Where it stands.
    pub state: State,
    /// Not claimed before, while unfinished.
    pub run_at: Option<DateTime<Utc>>,
    /// Whether a claim has noticed that its time has come.
    pub due: bool,
    /// The credential it waits for.
    pub blocked_by: Option<String>,
    /// Attempts spent.
    pub attempt: i16,
    /// Attempts it may spend.
    pub max_attempts: i16,
    /// Times it asked to run again later.
    pub snoozes: i32,
    /// Times the outside asked it to slow down.
    pub throttles: i16,
    /// Times its process died under it.
    pub rescues: i16,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When its current or last attempt was claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// When it finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// What the last failed attempt said.
    pub last_error: Option<String>,
}

impl Subject {
    /// Whether its time has come.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.due || self.run_at.is_none_or(|run_at| run_at <= now)
    }
}

/// A lane as its row says.
#[derive(Debug, Clone, Default)]
pub struct LaneStanding {
    /// The resource and the gate that shut it, and since when.
    pub shut: Option<(String, String, DateTime<Utc>)>,
    /// When it opens by itself.
    pub opens_at: Option<DateTime<Utc>>,
}

/// One thing that a job needs, and how it stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The need.
    pub needed: Use,
    /// Its gates.
    pub resource: Resource,
    /// When it was paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// Why, in a sentence.
    pub pause_reason: Option<String>,
    /// The attempts that are counted against its limit.
    pub running: Holders,
    /// Who has a place on it.
    pub places: Holders,
    /// Who set which of its gates last, as far as that is remembered.
    pub set_by: BTreeMap<Gate, Setter>,
}

/// Who set a gate.
#[derive(Debug, Clone)]
pub struct Setter {
    /// A person or a program.
    pub by: String,
    /// Why, in a sentence.
    pub why: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Those who have what others wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Holders {
    /// How many there are.
    pub count: i64,
    /// The first of them, those who have had it longest first.
    pub first: Vec<Holder>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// What it is called: the holder of a place, or the kind of a running job.
    pub name: String,
    /// The job that runs, or that took the place.
    pub job_id: i64,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
}

/// A process that has been heard of lately.
#[derive(Debug, Clone)]
pub struct Process {
    /// Where it runs.
    pub name: String,
    /// The queues it works on, each with its slots; `None` when it does not say.
    pub queues: Option<BTreeMap<String, i64>>,
    /// The kinds it can run, each with the newest version; `None` for any.
    pub kinds: Option<BTreeMap<String, i16>>,
}

impl Process {
    /// Whether it looks for jobs of this queue. One that does not say may.
    pub fn works_on(&self, queue: &str) -> bool {
        self.queues.as_ref().is_none_or(|queues| queues.contains_key(queue))
    }

    /// The newest version of this kind that it can run; `None` when it does not know the kind.
    pub fn version_of(&self, kind: &str) -> Option<i16> {
        match &self.kinds {
            Some(kinds) => kinds.get(kind).copied(),
            None => Some(i16::MAX),
        }
    }

    /// Whether it may claim this job.
    pub fn can_run(&self, job: &Subject) -> bool {
        self.works_on(&job.queue)
            && self.version_of(&job.kind).is_some_and(|version| version >= job.version)
    }
}
