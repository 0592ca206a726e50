//! The witness: what clients really did, for tests that want the truth.

use super::call::Operation;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// What clients did since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Accepted submits: each created one execution, whether or not its answer arrived.
    pub submits: Vec<Submits>,
    /// Accepted dry runs: each created an execution that was only compiled.
    pub dry_runs: u64,
    /// Token requests per refresh token.
    pub refreshes: BTreeMap<String, Refreshes>,
    /// Calls per operation, those that met a fault included.
    pub calls: BTreeMap<Operation, u64>,
    /// Calls of any kind per minute that clients felt.
    pub calls_per_minute: BTreeMap<DateTime<Utc>, u64>,
    /// Calls of an operation made before the `Retry-After` of its last 429 had passed.
    pub early_calls: BTreeMap<Operation, u64>,
    /// Most executions pending or running at once, per instance.
    pub max_open: BTreeMap<String, u32>,
    /// Most executions running at once, per instance.
    pub max_running: BTreeMap<String, u32>,
    /// Calls to AMC with a required header absent, or one that names no account or client.
    pub wrong_headers: u64,
    /// Calls with a time that ends in `Z`, which AMC does not want.
    pub trailing_z: u64,
    /// Downloads that carried an `Authorization` header to the storage.
    pub authorization_to_storage: u64,
}

/// How often one workflow was submitted for one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submits {
    /// AMC's text id of the instance.
    pub instance: String,
    /// The saved workflow's id, or the id that the client chose for its inline workflow.
    pub workflow_id: String,
    /// `timeWindowStart` as sent; empty for windows that AMC chooses.
    pub window_start: String,
    /// `timeWindowEnd` as sent; empty for windows that AMC chooses.
    pub window_end: String,
    /// Executions created.
    pub accepted: u64,
}

/// How the token requests with one refresh token ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshes {
    /// Answered with an access token.
    pub granted: u64,
    /// Answered otherwise.
    pub refused: u64,
}

/// One line of the request log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up from one.
    pub sequence: u64,
    /// What was asked for.
    pub operation: Operation,
    /// The instance in the path; empty when the path names none.
    pub instance: String,
    /// The execution created or asked for, the workflow asked for; empty for neither.
    pub id: String,
    /// `timeWindowStart` of a submit, as sent; empty otherwise.
    pub window_start: String,
    /// The answer's status; `None` when the connection was reset instead.
    pub status: Option<u16>,
    /// The fault that it met.
    pub fault: Option<u64>,
    /// AMC's time.
    pub at: DateTime<Utc>,
    /// The client's time.
    pub felt_at: DateTime<Utc>,
}

/// One request and its answer, with their bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The [`Entry`] it belongs to.
    pub sequence: u64,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The request's body as JSON, a form as an object of texts; `None` when there was none.
    pub request: Option<Value>,
    /// The answer's status; `None` when the connection was reset instead.
    pub status: Option<u16>,
    /// The answer's body, if it was JSON.
    pub response: Option<Value>,
    /// The fault that it met: such an answer need not keep the contract.
    pub fault: Option<u64>,
}

impl Counts {
    /// Accepted submits for the windows that start at `window_start`, as sent, whatever the workflow.
    pub fn submits_of(&self, instance: &str, window_start: &str) -> u64 {
        let of = |one: &&Submits| one.instance == instance && one.window_start == window_start;
        self.submits.iter().filter(of).map(|one| one.accepted).sum()
    }

    /// All accepted submits.
    pub fn accepted(&self) -> u64 {
        self.submits.iter().map(|one| one.accepted).sum()
    }

    /// Windows (instance, start, end) that were submitted more than once, whatever the workflow,
    /// with how often.
    pub fn repeated(&self) -> BTreeMap<(String, String, String), u64> {
        let mut windows = BTreeMap::new();
        for one in &self.submits {
            let window = (one.instance.clone(), one.window_start.clone(), one.window_end.clone());
            *windows.entry(window).or_insert(0) += one.accepted;
        }
        windows.retain(|_, accepted| *accepted > 1);
        windows
    }

    /// Calls of one operation.
    pub fn calls_of(&self, operation: Operation) -> u64 {
        self.calls.get(&operation).copied().unwrap_or_default()
    }

    pub(crate) fn refreshed(&mut self, refresh_token: &str, granted: bool) {
        let refreshes = self.refreshes.entry(refresh_token.to_owned()).or_default();
        *(if granted { &mut refreshes.granted } else { &mut refreshes.refused }) += 1;
    }

    pub(crate) fn saw_open(&mut self, instance: &str, open: u32) {
        raise(&mut self.max_open, instance, open);
    }

    pub(crate) fn saw_running(&mut self, instance: &str, running: u32) {
        raise(&mut self.max_running, instance, running);
    }
}

fn raise(most: &mut BTreeMap<String, u32>, instance: &str, now: u32) {
    let most = most.entry(instance.to_owned()).or_default();
    *most = now.max(*most);
}

/// Keeps the counts, the request log and, if asked to, the bodies.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) counts: Counts,
    pub(crate) log: VecDeque<Entry>,
    pub(crate) exchanges: Vec<Exchange>,
    sequence: u64,
    barred: BTreeMap<Operation, DateTime<Utc>>,
    /// Where each (instance, workflow, start, end) stands in `counts.submits`.
    places: HashMap<[String; 4], usize>,
}

impl Witness {
    /// Goes on counting where an earlier run stopped.
    pub(crate) fn resume(counts: Counts) -> Self {
        let key = |one: &Submits| {
            [&one.instance, &one.workflow_id, &one.window_start, &one.window_end].map(Clone::clone)
        };
        let places = counts.submits.iter().enumerate().map(|(place, one)| (key(one), place));
        Self { places: places.collect(), counts, ..Self::default() }
    }

    /// A call has arrived.
    pub(crate) fn arrived(&mut self, operation: Operation, felt: DateTime<Utc>) {
        *self.counts.calls.entry(operation).or_default() += 1;
        let minute = felt.duration_trunc(TimeDelta::minutes(1)).unwrap_or(felt);
        *self.counts.calls_per_minute.entry(minute).or_default() += 1;
        if self.barred.get(&operation).is_some_and(|until| felt < *until) {
            *self.counts.early_calls.entry(operation).or_default() += 1;
        }
    }

    /// An execution has been created for the window, as sent.
    pub(crate) fn submitted(&mut self, instance: &str, workflow_id: &str, window: [&str; 2]) {
        let key = [instance, workflow_id, window[0], window[1]].map(str::to_owned);
        let submits = &mut self.counts.submits;
        let place = *self.places.entry(key.clone()).or_insert_with(|| {
            let [instance, workflow_id, window_start, window_end] = key;
            submits.push(Submits { instance, workflow_id, window_start, window_end, accepted: 0 });
            submits.len() - 1
        });
        submits[place].accepted += 1;
    }

    /// A 429 has told the client to leave this operation alone until then.
    pub(crate) fn bar(&mut self, operation: Operation, until: DateTime<Utc>) {
        self.barred.insert(operation, until);
    }

    /// A call has been answered: gives the entry its number and keeps it.
    pub(crate) fn answered(&mut self, mut entry: Entry, limit: usize) -> u64 {
        self.sequence += 1;
        entry.sequence = self.sequence;
        self.log.push_back(entry);
        while self.log.len() > limit {
            self.log.pop_front();
        }
        self.sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_two_workflows_submitted_counts_as_repeated() {
        let mut witness = Witness::default();
        witness.submitted("amcx", "a", ["2025-01-06T00:00:00", "2025-01-13T00:00:00"]);
        assert!(witness.counts.repeated().is_empty());
        witness.submitted("amcx", "b", ["2025-01-06T00:00:00", "2025-01-13T00:00:00"]);
        let counts = witness.counts;
        assert_eq!(counts.repeated().values().copied().collect::<Vec<_>>(), [2]);
        assert_eq!(counts.submits_of("amcx", "2025-01-06T00:00:00"), 2);
        assert_eq!(counts.submits.len(), 2);
    }

    #[test]
    fn a_call_before_retry_after_has_passed_is_early_and_one_after_it_is_not() {
        let mut witness = Witness::default();
        let start = DateTime::UNIX_EPOCH;
        witness.bar(Operation::GetExecution, start + TimeDelta::seconds(5));
        witness.arrived(Operation::GetExecution, start + TimeDelta::seconds(4));
        witness.arrived(Operation::CreateExecution, start + TimeDelta::seconds(4));
        witness.arrived(Operation::GetExecution, start + TimeDelta::seconds(5));
        assert_eq!(
            witness.counts.early_calls.into_iter().collect::<Vec<_>>(),
            [(Operation::GetExecution, 1)]
        );
    }

    #[test]
    fn counts_survive_json() {
        let mut witness = Witness::default();
        witness.arrived(Operation::Token, DateTime::UNIX_EPOCH);
        witness.counts.refreshed("Atzr|x", true);
        let text = serde_json::to_string(&witness.counts).expect("counts are plain data");
        let back: Counts = serde_json::from_str(&text).expect("what was written can be read");
        assert_eq!(back, witness.counts);
    }
}
