//! Faults: which calls they meet, and when they are over.

use super::call::{Call, Operation};
use super::dice;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Something that goes wrong, and where.
///
/// A call meets the first fault, in the order of setting, whose matcher fits and that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// Operations it meets; empty for all that its kind makes sense for.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// Only calls on this instance.
    #[serde(default)]
    pub instance: Option<String>,
    /// Only submits, status calls and downloads for windows with this `timeWindowStart`, as sent.
    #[serde(default)]
    pub window_start: Option<String>,
    /// Matching calls that it lets through before the first.
    #[serde(default)]
    pub skip: u32,
    /// Calls it meets before it is over; `None` for no end.
    #[serde(default)]
    pub count: Option<u32>,
    /// Of a thousand matching calls, how many it meets. Which ones is decided by the seed.
    #[serde(default = "always")]
    pub per_mille: u32,
    /// Felt seconds from the first call it met until it is over; `None` for no end.
    #[serde(default)]
    pub seconds: Option<u32>,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 429 and nothing happens.
    Throttle {
        /// Felt seconds in `Retry-After`; the header is absent for `None`.
        #[serde(default)]
        retry_after: Option<u32>,
        /// An HTML page instead of JSON.
        #[serde(default)]
        html: bool,
    },
    /// 500, 502, 503 or 504.
    ServerError {
        /// The status.
        status: u16,
        /// Whether the call took effect.
        effect: Effect,
    },
    /// The connection is reset instead of an answer.
    Reset {
        /// Whether the call took effect.
        effect: Effect,
    },
    /// The call is kept waiting until the fault is lifted.
    Hold {
        /// Whether the call takes effect before the wait or after it.
        effect: Effect,
    },
    /// A page of a gateway in front of AMC, of this status, and nothing happens.
    Page {
        /// The status, such as 302 or 404.
        status: u16,
    },
    /// 200 with half of the body.
    Truncated,
    /// 200 with an HTML page; the call took effect.
    Html,
    /// 200 with nothing; the call took effect.
    Empty,
    /// 200 with a body of this many megabytes; the call took effect.
    Huge {
        /// Megabytes.
        megabytes: u32,
    },
    /// 401 for this call alone.
    Unauthorized,
    /// 401, and no access token given so far is good any more.
    ForgetTokens,
    /// As `ForgetTokens`, and the refresh tokens are good for nothing either.
    Revoke {
        /// Felt seconds until they are good again; `None` until they are restored by hand.
        #[serde(default)]
        seconds: Option<u32>,
    },
    /// 403, terms and conditions not accepted.
    TermsNotAccepted,
    /// 403 that does not say why.
    Forbidden,
    /// Login with Amazon answers `invalid_grant`.
    InvalidGrant,
    /// Login with Amazon answers `invalid_client`.
    InvalidClient,
    /// Executions are shown with this status, whatever it is in truth.
    Status {
        /// The word.
        word: String,
    },
    /// Instances are listed with this `creationStatus`.
    CreationStatus {
        /// The word.
        word: String,
    },
    /// The result is not ready to be downloaded.
    NotReady,
    /// The list of download addresses is empty.
    NoUrls,
    /// The storage says that the address has expired.
    UrlExpired,
    /// The connection is reset in the middle of the body.
    CutBody,
    /// The body ends before `Content-Length` says so.
    ShortBody,
    /// The execution that is created will end this way.
    EndAs {
        /// The last status.
        status: Ending,
        /// `statusReason`.
        reason: String,
    },
    /// The execution that is created will run this long.
    RunFor {
        /// AMC seconds.
        seconds: u32,
    },
    /// The execution that is created will give a result without rows.
    EmptyResult,
}

/// On which side of its effect a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing has happened.
    Before,
    /// It has happened, and the client does not know.
    After,
}

/// How an execution can be made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Ending {
    /// After it has run.
    Failed,
    /// At the end of validation.
    Rejected,
    /// After it has run, by somebody else.
    Cancelled,
}

impl Fault {
    /// This kind, for every call, without end.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            operations: Vec::new(),
            instance: None,
            window_start: None,
            skip: 0,
            count: None,
            per_mille: always(),
            seconds: None,
        }
    }

    /// Only for these operations.
    #[must_use]
    pub fn on(mut self, operations: impl IntoIterator<Item = Operation>) -> Self {
        self.operations = operations.into_iter().collect();
        self
    }

    /// Only for calls on this instance.
    #[must_use]
    pub fn in_instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Only for windows that start then, as sent (`2025-01-06T00:00:00`).
    #[must_use]
    pub fn for_window(mut self, start: impl Into<String>) -> Self {
        self.window_start = Some(start.into());
        self
    }

    /// Lets this many matching calls through first.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Is over once it has met this many calls.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// Meets this many of a thousand matching calls.
    #[must_use]
    pub fn per_mille(mut self, per_mille: u32) -> Self {
        self.per_mille = per_mille;
        self
    }

    /// Is over this many felt seconds after the first call it met.
    #[must_use]
    pub fn lasting(mut self, seconds: u32) -> Self {
        self.seconds = Some(seconds);
        self
    }

    fn matches(&self, call: &Call, window_start: &str) -> bool {
        self.kind.fits(call.operation)
            && (self.operations.is_empty() || self.operations.contains(&call.operation))
            && self.instance.as_ref().is_none_or(|instance| *instance == call.instance)
            && self.window_start.as_ref().is_none_or(|start| *start == window_start)
    }
}

fn always() -> u32 {
    1_000
}

/// A fault that is set, with what it has done so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetFault {
    /// To lift it by.
    pub id: u64,
    /// Calls it has met.
    pub met: u32,
    /// What was set.
    pub fault: Fault,
    /// Calls its matcher has seen.
    seen: u32,
    /// When it met the first call, in felt time.
    since: Option<DateTime<Utc>>,
}

/// The faults that are set.
#[derive(Debug)]
pub(crate) struct Faults {
    seed: u64,
    set: Vec<SetFault>,
    last_id: u64,
}

impl Faults {
    pub(crate) fn new(seed: u64, faults: Vec<Fault>) -> Self {
        let mut all = Self { seed, set: Vec::new(), last_id: 0 };
        for fault in faults {
            all.add(fault);
        }
        all
    }

    pub(crate) fn add(&mut self, fault: Fault) -> u64 {
        self.last_id += 1;
        self.set.push(SetFault { id: self.last_id, met: 0, fault, seen: 0, since: None });
        self.last_id
    }

    /// Lifts one fault, or all; says how many there were.
    pub(crate) fn lift(&mut self, id: Option<u64>) -> usize {
        let before = self.set.len();
        self.set.retain(|set| id.is_some_and(|id| id != set.id));
        before - self.set.len()
    }

    pub(crate) fn all(&self) -> &[SetFault] {
        &self.set
    }

    /// The fault that this call meets, if any.
    pub(crate) fn meet(
        &mut self,
        call: &Call,
        window_start: &str,
        felt: DateTime<Utc>,
    ) -> Option<(u64, Kind)> {
        let seed = self.seed;
        let matching = self.set.iter_mut().filter(|set| set.fault.matches(call, window_start));
        for set in matching {
            if set.meets(seed, felt) {
                return Some((set.id, set.fault.kind.clone()));
            }
        }
        None
    }
}

impl SetFault {
    fn meets(&mut self, seed: u64, felt: DateTime<Utc>) -> bool {
        self.seen += 1;
        let length = self.fault.seconds.map(|seconds| TimeDelta::seconds(seconds.into()));
        let over = self.fault.count.is_some_and(|count| self.met >= count)
            || self.since.zip(length).is_some_and(|(since, length)| felt >= since + length);
        let chance = dice::below(1_000, &[seed, self.id, u64::from(self.seen)]);
        if over || self.seen <= self.fault.skip || chance >= self.fault.per_mille {
            return false;
        }
        self.met += 1;
        self.since.get_or_insert(felt);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use axum::http::{HeaderMap, Method, Uri};

    fn call(path: &'static str) -> Call {
        Call::read(Method::GET, Uri::from_static(path), HeaderMap::new(), Bytes::new())
            .expect("a known path")
    }

    fn met(faults: &mut Faults, second: i64) -> bool {
        let felt = DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
        faults.meet(&call("/amc/reporting/amcx/workflowExecutions/1"), "", felt).is_some()
    }

    #[test]
    fn a_fault_skips_then_counts_then_is_over() {
        let mut faults = Faults::new(1, vec![Fault::new(Kind::Empty).after(2).times(2)]);
        let met: Vec<bool> = (0..6).map(|_| met(&mut faults, 0)).collect();
        assert_eq!(met, [false, false, true, true, false, false]);
    }

    #[test]
    fn a_fault_that_lasts_begins_with_the_first_call_it_meets() {
        let mut faults = Faults::new(1, vec![Fault::new(Kind::Empty).lasting(10)]);
        assert!(met(&mut faults, 100));
        assert!(met(&mut faults, 109));
        assert!(!met(&mut faults, 110));
    }

    #[test]
    fn chance_is_decided_by_the_seed() {
        let pattern = |seed| {
            let mut faults = Faults::new(seed, vec![Fault::new(Kind::Empty).per_mille(300)]);
            (0..200).map(|_| met(&mut faults, 0)).collect::<Vec<bool>>()
        };
        assert_eq!(pattern(5), pattern(5));
        assert_ne!(pattern(5), pattern(6));
        let met = pattern(5).into_iter().filter(|met| *met).count();
        assert!((30..90).contains(&met), "{met} of 200");
    }

    #[test]
    fn a_fault_meets_only_what_it_names() {
        let on = |operation| Fault::new(Kind::Empty).on([operation]);
        let fits = |fault: Fault, start: &str| {
            fault.matches(&call("/amc/reporting/amcx/workflowExecutions/1"), start)
        };
        assert!(fits(on(Operation::GetExecution), ""));
        assert!(!fits(on(Operation::Token), ""));
        assert!(!fits(Fault::new(Kind::InvalidGrant), ""));
        assert!(fits(Fault::new(Kind::Empty).in_instance("amcx").for_window("w"), "w"));
        assert!(!fits(Fault::new(Kind::Empty).in_instance("amcy"), ""));
        assert!(!fits(Fault::new(Kind::Empty).for_window("w"), "v"));
    }

    #[test]
    fn a_fault_reads_as_it_would_be_typed() {
        let text = r#"{"kind":{"throttle":{"retry_after":5}},"operations":["create_execution"],"count":3}"#;
        let fault: Fault = serde_json::from_str(text).expect("a valid fault");
        let built = Fault::new(Kind::Throttle { retry_after: Some(5), html: false });
        assert_eq!(fault, built.on([Operation::CreateExecution]).times(3));
        let bare: Fault = serde_json::from_str(r#"{"kind":"html"}"#).expect("a valid fault");
        assert_eq!(bare, Fault::new(Kind::Html));
    }

    #[test]
    fn lifting_one_fault_leaves_the_others() {
        let mut faults = Faults::new(1, vec![Fault::new(Kind::Empty), Fault::new(Kind::Html)]);
        assert_eq!(faults.lift(Some(1)), 1);
        assert_eq!(faults.all()[0].id, 2);
        assert_eq!(faults.lift(None), 1);
        assert_eq!(faults.lift(None), 0);
    }
}
