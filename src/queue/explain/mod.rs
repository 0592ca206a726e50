//! Why a job is not running: everything that holds it, in order, with facts. Without I/O; a store
//! gathers the [`Facts`] on one snapshot.
//!
//! The order is the one in which a job meets them: its time, its credential, a process that can run it,
//! the gates in the order in which a claim asks them, its lane. When nothing holds it, its rank is the
//! answer. So no waiting job is without one.
//!
//! It tells what is true now. A lane may still be shut by a gate that has opened since; that is told too.

mod facts;
mod gates;
mod words;

pub use facts::{Facts, Holder, Holders, LaneStanding, Process, Setter, Standing, Subject};
pub use gates::event_of;

use super::gate::Gate;
use super::state::State;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// What holds a job, or what it does instead of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It has finished. Nothing holds it.
    Finished,
    /// It runs. Nothing holds it.
    Running,
    /// Its time is still to come.
    NotDue,
    /// Its credential was refused.
    Credential,
    /// No live process can run it.
    NoProcess,
    /// [`Gate::Paused`].
    Paused,
    /// [`Gate::Breaker`].
    Breaker,
    /// [`Gate::NotBefore`].
    NotBefore,
    /// [`Gate::Limit`].
    Limit,
    /// [`Gate::Rate`].
    Rate,
    /// [`Gate::Quota`].
    Quota,
    /// [`Gate::Hold`].
    Hold,
    /// Its lane was shut by a gate that is open now, and has not been woken yet.
    Lane,
    /// No gate is shut: it waits for its turn and a free slot.
    Turn,
}

impl What {
    /// The word used on pages and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::NotDue => "not_due",
            Self::Credential => "credential",
            Self::NoProcess => "no_process",
            Self::Paused => Gate::Paused.as_str(),
            Self::Breaker => Gate::Breaker.as_str(),
            Self::NotBefore => Gate::NotBefore.as_str(),
            Self::Limit => Gate::Limit.as_str(),
            Self::Rate => Gate::Rate.as_str(),
            Self::Quota => Gate::Quota.as_str(),
            Self::Hold => Gate::Hold.as_str(),
            Self::Lane => "lane",
            Self::Turn => "turn",
        }
    }
}

impl From<Gate> for What {
    fn from(gate: Gate) -> Self {
        match gate {
            Gate::Paused => Self::Paused,
            Gate::Breaker => Self::Breaker,
            Gate::NotBefore => Self::NotBefore,
            Gate::Limit => Self::Limit,
            Gate::Rate => Self::Rate,
            Gate::Quota => Self::Quota,
            Gate::Hold => Self::Hold,
        }
    }
}

/// One thing that holds a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Which.
    pub what: What,
    /// On which resource.
    pub resource: Option<String>,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// Until when; `None` when something has to happen first.
    pub until: Option<DateTime<Utc>>,
    /// What has to happen, if no time is enough: a phrase.
    pub waits_for: Option<String>,
    /// Who set it.
    pub by: Option<String>,
    /// Why, in a sentence.
    pub why: Option<String>,
    /// Who has what the job waits for.
    pub holders: Option<Holders>,
    /// All of it, in a sentence.
    pub text: String,
}

impl Reason {
    fn new(what: What, text: String) -> Self {
        Self {
            what,
            resource: None,
            since: None,
            until: None,
            waits_for: None,
            by: None,
            why: None,
            holders: None,
            text,
        }
    }
}

/// A waiting job's place among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rank {
    /// So many jobs of its lane go first; counted up to [`Rank::MOST`].
    pub ahead: i64,
    /// So many other lanes of its queue and share have jobs ready and take turns with its own; counted
    /// up to [`Rank::MOST`].
    pub lanes: i64,
    /// The slots that all live processes have for its queue; `None` when one of them did not say.
    pub slots: Option<i64>,
    /// The jobs of the queue that run.
    pub running: i64,
}

impl Rank {
    /// Nobody counts further than this.
    pub const MOST: i64 = 1000;

    /// The free slots of the fleet, if they are known.
    pub fn free(&self) -> Option<i64> {
        self.slots.map(|slots| (slots - self.running).max(0))
    }
}

/// Why a job is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The job.
    pub job_id: i64,
    /// Its kind.
    pub kind: String,
    /// Its queue.
    pub queue: String,
    /// Where it stands.
    pub state: State,
    /// When this was true.
    pub now: DateTime<Utc>,
    /// What holds it, in order. Never empty.
    pub reasons: Vec<Reason>,
    /// Its rank, while it waits.
    pub rank: Option<Rank>,
}

impl Explanation {
    /// Whether anything keeps it from being claimed by the next free slot.
    pub fn is_held(&self) -> bool {
        !self.reasons.iter().any(|r| matches!(r.what, What::Finished | What::Running | What::Turn))
    }
}

/// Draws the conclusions.
pub fn explain(facts: &Facts) -> Explanation {
    let job = &facts.job;
    let reasons = match job.state {
        State::Waiting => waiting(facts),
        State::Running => vec![running(facts)],
        State::Done | State::Discarded | State::Cancelled => vec![finished(facts)],
    };
    Explanation {
        job_id: job.id,
        kind: job.kind.clone(),
        queue: job.queue.clone(),
        state: job.state,
        now: facts.now,
        reasons,
        rank: facts.rank.filter(|_| job.state == State::Waiting),
    }
}

fn waiting(facts: &Facts) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = not_due(facts).into_iter().collect();
    reasons.extend(credential(facts));
    reasons.extend(no_process(facts));
    reasons.extend(gates::shut(facts));
    if reasons.is_empty() {
        let mut turn = Reason::new(What::Turn, words::turn(facts));
        turn.since = facts.job.run_at;
        reasons.push(turn);
    }
    reasons
}

fn finished(facts: &Facts) -> Reason {
    let mut reason = Reason::new(What::Finished, words::finished(facts));
    reason.since = facts.job.finished_at;
    reason.why.clone_from(&facts.job.last_error);
    reason
}

fn running(facts: &Facts) -> Reason {
    let mut reason = Reason::new(What::Running, words::running(facts));
    reason.since = facts.job.claimed_at;
    reason.by.clone_from(&facts.runner);
    reason
}

fn not_due(facts: &Facts) -> Option<Reason> {
    let job = &facts.job;
    if job.is_due(facts.now) || job.blocked_by.is_some() {
        return None;
    }
    let why = words::why_later(job);
    let mut reason = Reason::new(What::NotDue, words::not_due(facts, &why));
    reason.since = job.claimed_at.or(Some(job.created_at));
    reason.until = job.run_at;
    reason.why = Some(why);
    Some(reason)
}

fn credential(facts: &Facts) -> Option<Reason> {
    let job = &facts.job;
    let resource = job.blocked_by.clone()?;
    let mut reason = Reason::new(What::Credential, words::credential(facts, &resource));
    reason.since = job.claimed_at;
    reason.until = job.run_at;
    reason.waits_for = Some(format!("{resource} is opened"));
    reason.why.clone_from(&job.last_error);
    reason.resource = Some(resource);
    Some(reason)
}

fn no_process(facts: &Facts) -> Option<Reason> {
    if facts.processes.iter().any(|process| process.can_run(&facts.job)) {
        return None;
    }
    let (text, waits_for) = words::no_process(facts);
    let mut reason = Reason::new(What::NoProcess, text);
    reason.waits_for = Some(waits_for);
    Some(reason)
}

#[cfg(test)]
mod tests;
