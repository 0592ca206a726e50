//! What a person or a program may ask of jobs that are there already, and what it is answered.
//!
//! | verb | on a waiting job | on a running job | on a finished job |
//! |---|---|---|---|
//! | cancel | it ends as cancelled; nothing follows | its handler is stopped at once, and it ends as cancelled; if it ends well first, it is done | – |
//! | discard | it ends as discarded; what it named for that case is enqueued | refused: cancel it | – |
//! | edit | it runs at another time, or before or after others | refused | – |
//! | replay | – | – | a new job does the same again, from its first attempt |
//!
//! Asking twice is asking once. To cancel is to say that the work is not wanted any more, so the job
//! that was to clean up after a failure ([`NewJob::if_discarded`](super::NewJob::if_discarded)) is not
//! enqueued; who wants it discards. Places that a job has taken outlive it, as always: who cancels it
//! lets go of them, with [`Queue::release`](super::Queue::release), after cancelling.

use super::gate::invalid::Invalid;
use super::job::Priority;
use super::share::Share;
use super::state::State;
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name and the longest reason, in bytes.
const BECAUSE_MAX: usize = 1000;

/// Who asks, and why. Kept with the job and in the events.
#[derive(Debug, Clone, Copy)]
pub struct Because<'a> {
    /// A person, or a program.
    pub by: &'a str,
    /// A sentence for whoever looks at it later.
    pub why: &'a str,
}

impl Because<'_> {
    /// Refuses one that says nothing, or that nobody reads to the end.
    pub(super) fn checked(&self) -> Result<&Self, Invalid> {
        for (field, text) in [("by", self.by), ("why", self.why)] {
            if text.trim().is_empty() || text.len() > BECAUSE_MAX {
                return Err(Invalid::new(field, format!("give 1 to {BECAUSE_MAX} characters")));
            }
        }
        Ok(self)
    }

    /// What the job says of its end.
    pub(super) fn said(&self, state: State) -> String {
        format!("{} by {}: {}", state.as_str(), self.by, self.why)
    }
}

/// Which unfinished jobs. Each field that is given narrows the choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unfinished {
    /// In this queue.
    pub queue: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Out of this share of the slots.
    pub share: Option<Share>,
    /// That use this resource; `queue:…` and `kind:…` are resources too.
    pub resource: Option<String>,
    /// Waiting, or running.
    pub state: Option<State>,
    /// Enqueued at this time or later.
    pub created_after: Option<DateTime<Utc>>,
    /// Enqueued before this time.
    pub created_before: Option<DateTime<Utc>>,
}

/// Which finished jobs. Each field that is given narrows the choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Finished {
    /// That ended so; discarded and cancelled ones when it is not given. Done ones only when asked for.
    pub state: Option<State>,
    /// In this queue.
    pub queue: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// That finished at this time or later.
    pub finished_after: Option<DateTime<Utc>>,
    /// That finished before this time.
    pub finished_before: Option<DateTime<Utc>>,
    /// Whose last error has this text in it.
    pub error: Option<String>,
}

impl Unfinished {
    /// Refuses a choice of everything: it is most likely a mistake.
    pub(super) fn checked(&self) -> Result<&Self, Invalid> {
        if *self == Self::default() {
            return Err(Invalid::new("filter", "it chooses every job: give a queue, a kind, …"));
        }
        if self.state.is_some_and(State::is_final) {
            return Err(Invalid::new("state", "give waiting or running"));
        }
        sane("created_after", self.created_after)?;
        sane("created_before", self.created_before)?;
        Ok(self)
    }
}

/// Refuses times that no job has, and of which some are beyond what a store can keep.
fn sane(field: &'static str, at: Option<DateTime<Utc>>) -> Result<(), Invalid> {
    if at.is_some_and(|at| !(1970..10_000).contains(&at.year())) {
        return Err(Invalid::new(field, "give a time between the years 1970 and 9999"));
    }
    Ok(())
}

impl Finished {
    /// Refuses a choice of everything: it is most likely a mistake.
    pub(super) fn checked(&self) -> Result<&Self, Invalid> {
        if *self == Self::default() {
            return Err(Invalid::new("filter", "it chooses every job: give a state, a queue, …"));
        }
        if self.state.is_some_and(|state| !state.is_final()) {
            return Err(Invalid::new("state", "give discarded, cancelled or done"));
        }
        sane("finished_after", self.finished_after)?;
        sane("finished_before", self.finished_before)?;
        Ok(self)
    }

    pub(super) fn states(&self) -> Vec<State> {
        self.state.map_or_else(|| vec![State::Discarded, State::Cancelled], |state| vec![state])
    }
}

/// The choice in a line, as the events keep it.
fn line(f: &mut fmt::Formatter<'_>, fields: &[(&str, Option<String>)]) -> fmt::Result {
    f.write_str("jobs")?;
    for (name, value) in fields {
        if let Some(value) = value {
            write!(f, " {name}={value}")?;
        }
    }
    Ok(())
}

fn time(time: Option<DateTime<Utc>>) -> Option<String> {
    time.map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("queue", self.queue.clone()),
            ("kind", self.kind.clone()),
            ("share", self.share.map(|share| share.as_str().to_owned())),
            ("resource", self.resource.clone()),
            ("state", self.state.map(|state| state.as_str().to_owned())),
            ("created_after", time(self.created_after)),
            ("created_before", time(self.created_before)),
        ];
        line(f, &fields)
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("state", self.state.map(|state| state.as_str().to_owned())),
            ("queue", self.queue.clone()),
            ("kind", self.kind.clone()),
            ("finished_after", time(self.finished_after)),
            ("finished_before", time(self.finished_before)),
            ("error", self.error.clone()),
        ];
        line(f, &fields)
    }
}

/// What became of a job that was to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "result", content = "detail", rename_all = "snake_case")]
pub enum Cancelled {
    /// It waited, and is cancelled now.
    Cancelled,
    /// It runs, and its handler is being stopped.
    Requested,
    /// It had ended before, like this.
    AlreadyFinished(State),
    /// There is no such job.
    Unknown,
}

/// What became of a job that was to be discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "result", content = "detail", rename_all = "snake_case")]
pub enum Discarded {
    /// It waited, and is discarded now.
    Discarded,
    /// It runs, and was left alone: cancel it instead.
    Running,
    /// It had ended before, like this.
    AlreadyFinished(State),
    /// There is no such job.
    Unknown,
}

/// How many unfinished jobs were chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Chosen {
    /// Those that wait.
    pub waiting: u64,
    /// Those that run.
    pub running: u64,
}

/// What is to change of a waiting job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Edit {
    /// When it may run. A job that waits for a credential goes on waiting for that.
    pub run_at: Option<RunAt>,
    /// Before or after which others.
    pub priority: Option<Priority>,
}

/// When a job may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAt {
    /// At once.
    Now,
    /// Not before this time.
    At(DateTime<Utc>),
}

impl Edit {
    pub(super) fn checked(&self) -> Result<&Self, Invalid> {
        if *self == Self::default() {
            return Err(Invalid::new("edit", "it changes nothing: give run_at or priority"));
        }
        if let Some(RunAt::At(at)) = self.run_at {
            sane("run_at", Some(at))?;
        }
        Ok(self)
    }
}

/// What became of a job that was to be edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", content = "detail", rename_all = "snake_case")]
pub enum Edited {
    /// It is as asked now.
    Edited,
    /// Its priority is as asked; its time was left alone, because it waits for this credential.
    Blocked(String),
    /// It runs, and was left alone.
    Running,
    /// It had ended before, like this.
    AlreadyFinished(State),
    /// There is no such job.
    Unknown,
}

/// How a finished job is to be done again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replay {
    /// Changes the arguments, as RFC 7396 says. The unique key and the resources stay what they were.
    pub patch: Option<serde_json::Value>,
    /// So many a second; all at once when it is not given.
    pub per_second: Option<f64>,
    /// Also jobs that killed their processes.
    pub force: bool,
    /// Also jobs that were done. Of a choice, its state says so.
    pub done: bool,
}

impl Replay {
    pub(super) fn checked(&self) -> Result<&Self, Invalid> {
        if self.patch.as_ref().is_some_and(|patch| !patch.is_object()) {
            return Err(Invalid::new("patch", "give a JSON object (RFC 7396)"));
        }
        if self.per_second.is_some_and(|rate| !(rate.is_finite() && rate >= 0.000_01)) {
            return Err(Invalid::new("per_second", "give a number above 0, such as 0.5"));
        }
        Ok(self)
    }
}

/// What became of a finished job that was to be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "result", content = "detail", rename_all = "snake_case")]
pub enum Replayed {
    /// This new job does it again.
    Replayed(i64),
    /// This job was already asked to do it again. If that one failed too, replay it.
    AlreadyReplayed(i64),
    /// This unfinished job has the same unique key.
    Existing(i64),
    /// It was discarded because its processes died under it: that takes force.
    Poison,
    /// It was done, and that was not asked for.
    Done,
    /// It has not finished.
    Unfinished(State),
    /// There is no such job in the history.
    Unknown,
}

/// What became of many finished jobs that were to be replayed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replays {
    /// Those that are done again: the old job, and the new one.
    pub replayed: Vec<(i64, i64)>,
    /// Those whose unique key an unfinished job has.
    pub existing: Vec<i64>,
}

/// How many finished jobs a replay would do again, and how many of the chosen it would not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Replayable {
    /// Those that would be, if no unfinished job has their unique key.
    pub jobs: u64,
    /// Those that killed their processes, and are left out without force.
    pub poison: u64,
    /// Those that were replayed before.
    pub already: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_everything_is_refused_and_one_of_something_says_what() {
        assert!(Unfinished::default().checked().is_err());
        assert!(Finished::default().checked().is_err());
        let some = Unfinished {
            queue: Some("default".to_owned()),
            share: Some(Share::Backfill),
            ..Unfinished::default()
        };
        assert!(some.checked().is_ok());
        assert_eq!(some.to_string(), "jobs queue=default share=backfill");
        let failed = Finished { state: Some(State::Discarded), ..Finished::default() };
        assert_eq!(failed.to_string(), "jobs state=discarded");
    }

    #[test]
    fn a_state_that_such_jobs_never_have_is_refused() {
        let done = Unfinished { state: Some(State::Done), ..Unfinished::default() };
        let running = Finished { state: Some(State::Running), ..Finished::default() };
        for refused in [done.checked().err(), running.checked().err()] {
            assert_eq!(refused.expect("it is refused").field, "state");
        }
    }

    #[test]
    fn a_replay_that_makes_no_sense_names_its_field() {
        let patch = Replay { patch: Some(serde_json::json!([1])), ..Replay::default() };
        assert_eq!(patch.checked().expect_err("refused").field, "patch");
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let rate = Replay { per_second: Some(rate), ..Replay::default() };
            assert_eq!(rate.checked().expect_err("refused").field, "per_second");
        }
    }
}
