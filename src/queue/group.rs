//! Groups: many members, one rule, and what follows exactly once. This file decides; a store counts.
//!
//! A **member** is one of two things:
//!
//! - A job ([`NewJob::in_group`]). It ends when the job does. What the job asks for next is not a
//!   member unless it says so: then it is one of its own, and counted before the job's end is.
//! - A name ([`NewJob::in_group_as`], [`Queue::add_members`](super::Queue::add_members)). It outlives
//!   its jobs: it ends with the last job that works in its name, as that one did; so a chain of jobs
//!   hands it on, and a job that is to be enqueued if another is discarded takes it over. Or it has no
//!   jobs, and ends when somebody says so ([`Queue::end_member`](super::Queue::end_member)).
//!
//! A member that is done stays done. One that was discarded or cancelled may still be done later: a
//! job of its name is replayed, or somebody says so. However it ended, it may be taken up again
//! ([`Queue::reopen_members`](super::Queue::reopen_members)): then it is open as before.
//!
//! A group is **decided** in the transaction of the end that decides it, and what follows is enqueued
//! there. The rule decides nothing before the group is sealed, and from then on it ends in any case:
//! it is *failed* as soon as the rule cannot be met any more, or the deadline has passed. The others
//! may still run then; who wants to wait for all of them takes [`Rule::AllFinished`]. Members that are
//! added later are counted, and keep a group open that has not been decided.
//!
//! A **late success** is a member that is done after that. It is counted and noted; the follow-up is
//! enqueued once more if the group is one that reopens and its rule holds. When a member of such a group
//! is taken up again, and the rule does not hold without it, the group is undecided again until it does;
//! one whose deadline has passed stays as it was decided.

use super::NewJob;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::time::Duration;

/// When a group is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Every member is done. One that is not fails the group at once.
    AllDone,
    /// Every member has ended, well or not.
    AllFinished,
    /// So many members are done.
    AtLeast(u32),
}

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Standing {
    /// Not decided.
    Open,
    /// Its rule was met.
    Met,
    /// Its rule cannot be met any more, or was not met by the deadline.
    Failed,
}

/// A group about to be made.
#[derive(Debug, Clone)]
pub struct NewGroup {
    pub(super) name: String,
    pub(super) rule: Rule,
    pub(super) reopens: bool,
    pub(super) deadline_ms: Option<i64>,
    pub(super) follow_up: Vec<NewJob>,
    pub(super) if_failed: Vec<NewJob>,
}

impl NewGroup {
    /// A group of this name. No two have the same.
    pub fn new(name: impl Into<String>, rule: Rule) -> Self {
        Self {
            name: name.into(),
            rule,
            reopens: false,
            deadline_ms: None,
            follow_up: Vec::new(),
            if_failed: Vec::new(),
        }
    }

    /// Enqueue this job too when the group is met. One with the unique key of an unfinished job is
    /// that job, as always.
    #[must_use]
    pub fn then(mut self, job: NewJob) -> Self {
        self.follow_up.push(job);
        self
    }

    /// Enqueue this job too when the group fails.
    #[must_use]
    pub fn if_failed(mut self, job: NewJob) -> Self {
        self.if_failed.push(job);
        self
    }

    /// It fails when it has not been decided this long from now.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.deadline_ms = Some(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        self
    }

    /// A late success enqueues the follow-up once more, and can turn a failed group into one that is met.
    /// So does the end of a member that was taken up again.
    #[must_use]
    pub fn reopening(mut self) -> Self {
        self.reopens = true;
        self
    }

    /// The groups that what follows belongs to.
    pub(super) fn feeds(&self) -> Vec<i64> {
        let mut groups: Vec<i64> =
            self.follow_up.iter().chain(&self.if_failed).filter_map(|job| job.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

/// What became of a group that was to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It is new, and this is its id.
    New(i64),
    /// There is one of this name; nothing was changed.
    Existing(i64),
}

impl Made {
    /// The group's id, new or not.
    pub fn id(self) -> i64 {
        match self {
            Self::New(id) | Self::Existing(id) => id,
        }
    }
}

/// How far a group is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Names the group for ever.
    pub id: i64,
    /// Names it for those who made it.
    pub name: String,
    /// When it is met.
    pub rule: Rule,
    /// Whether a late success enqueues the follow-up once more.
    pub reopens: bool,
    /// Whether its rule decides yet.
    pub sealed: bool,
    /// It fails if it is not decided by then.
    pub deadline: Option<DateTime<Utc>>,
    /// Where it stands.
    pub state: Standing,
    /// Why, once it is decided.
    pub why: Option<String>,
    /// When it was decided, or last decided again.
    pub decided_at: Option<DateTime<Utc>>,
    /// Members.
    pub total: i64,
    /// Members that have not ended.
    pub open: i64,
    /// Members that ended well.
    pub done: i64,
    /// Members that were given up.
    pub discarded: i64,
    /// Members that were stopped by a person.
    pub cancelled: i64,
    /// How often the follow-up was enqueued.
    pub fired: i32,
    /// Of those done, how many were when it was last decided.
    pub(super) seen_done: i64,
    /// Whether a success came after the decision, and nothing followed from it.
    pub superseded: bool,
}

/// A group is decided, or decided again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    /// Where it stands from now on.
    pub(super) state: Standing,
    /// What follows.
    pub(super) fires: Fires,
    /// Why, in a sentence.
    pub(super) why: String,
    /// The word for it among the events.
    pub(super) what: &'static str,
}

/// Which jobs a decision enqueues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fires {
    FollowUp,
    IfFailed,
    Nothing,
}

/// What a rule says to the counts.
enum Verdict {
    Undecided,
    Holds(String),
    /// Whatever happens to the members that are open.
    Hopeless(String),
}

impl Progress {
    /// Members that were done after the group had been decided, since it was last decided.
    pub fn late(&self) -> i64 {
        match self.state {
            Standing::Open => 0,
            Standing::Met | Standing::Failed => self.done - self.seen_done,
        }
    }

    /// What is to happen now, if anything. It happens once, because it changes what it was decided by.
    /// `overdue` says that the deadline has passed: a rule that is met by then is met all the same.
    pub(super) fn decide(&self, overdue: bool) -> Option<Decision> {
        if self.state == Standing::Open { self.first(overdue) } else { self.again() }
    }

    /// Whether the group, now that members of it are open again, is undecided again.
    pub(super) fn is_undecided_again(&self) -> bool {
        self.reopens && self.state != Standing::Open && matches!(self.judge(), Verdict::Undecided)
    }

    fn first(&self, overdue: bool) -> Option<Decision> {
        let failed = |why| Decision {
            state: Standing::Failed,
            fires: Fires::IfFailed,
            why,
            what: "group_failed",
        };
        match self.judge() {
            Verdict::Holds(why) => Some(Decision {
                state: Standing::Met,
                fires: Fires::FollowUp,
                why,
                what: "group_met",
            }),
            Verdict::Hopeless(why) => Some(failed(why)),
            Verdict::Undecided if overdue => {
                let sealed = if self.sealed { "" } else { ", and it was never sealed" };
                let (open, total) = (self.open, self.total);
                Some(failed(format!(
                    "its deadline passed while {open} of {total} members were open{sealed}"
                )))
            }
            Verdict::Undecided => None,
        }
    }

    fn again(&self) -> Option<Decision> {
        let late = self.late();
        if late <= 0 {
            return None;
        }
        let came = format!("{} done after it was {}", members(late), self.state.as_str());
        match self.judge() {
            Verdict::Holds(why) if self.reopens => Some(Decision {
                state: Standing::Met,
                fires: Fires::FollowUp,
                why: format!("{why}; {came}"),
                what: "group_reopened",
            }),
            _ if self.superseded => None,
            _ => Some(Decision {
                state: self.state,
                fires: Fires::Nothing,
                why: came,
                what: "group_superseded",
            }),
        }
    }

    fn judge(&self) -> Verdict {
        if !self.sealed {
            return Verdict::Undecided;
        }
        let Self { total, open, done, discarded, cancelled, .. } = *self;
        match self.rule {
            Rule::AllDone if done == total => Verdict::Holds(format!("{} done", members(total))),
            Rule::AllDone if discarded + cancelled > 0 => Verdict::Hopeless(format!(
                "all are to be done, and of {total} members {discarded} were discarded and {cancelled} cancelled"
            )),
            Rule::AllFinished if open == 0 => Verdict::Holds(format!(
                "{} finished: {done} done, {discarded} discarded, {cancelled} cancelled",
                members(total)
            )),
            Rule::AtLeast(wanted) if done >= i64::from(wanted) => {
                Verdict::Holds(format!("{done} of {total} members done, of {wanted} wanted"))
            }
            Rule::AtLeast(wanted) if done + open < i64::from(wanted) => Verdict::Hopeless(format!(
                "{wanted} are to be done, and of {total} members {done} are and {open} may be"
            )),
            Rule::AllDone | Rule::AllFinished | Rule::AtLeast(_) => Verdict::Undecided,
        }
    }
}

fn members(count: i64) -> String {
    crate::plural::counted(count, "member", "members")
}

impl Rule {
    /// The word in the store.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AllDone => "all_done",
            Self::AllFinished => "all_finished",
            Self::AtLeast(_) => "at_least",
        }
    }
}

impl Standing {
    /// The word used in the store and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Met => "met",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Failed, Met, Open};

    /// A sealed group with so many members open, done, discarded and cancelled.
    fn group(rule: Rule, [open, done, discarded, cancelled]: [i64; 4]) -> Progress {
        Progress {
            id: 1,
            name: "g".into(),
            rule,
            reopens: false,
            sealed: true,
            deadline: None,
            state: Open,
            why: None,
            decided_at: None,
            total: open + done + discarded + cancelled,
            open,
            done,
            discarded,
            cancelled,
            fired: 0,
            seen_done: 0,
            superseded: false,
        }
    }

    fn decided(rule: Rule, counts: [i64; 4]) -> Option<Standing> {
        group(rule, counts).decide(false).map(|decision| decision.state)
    }

    #[test]
    fn each_rule_is_decided_as_soon_as_it_can_be_and_ends_in_any_case() {
        for (rule, counts, expected) in [
            (Rule::AllDone, [0, 0, 0, 0], Some(Met)),
            (Rule::AllDone, [1, 5, 0, 0], None),
            (Rule::AllDone, [0, 5, 0, 0], Some(Met)),
            (Rule::AllDone, [4, 1, 1, 0], Some(Failed)),
            (Rule::AllDone, [4, 1, 0, 1], Some(Failed)),
            (Rule::AllFinished, [0, 0, 0, 0], Some(Met)),
            (Rule::AllFinished, [1, 1, 1, 1], None),
            (Rule::AllFinished, [0, 1, 1, 1], Some(Met)),
            (Rule::AllFinished, [0, 0, 3, 0], Some(Met)),
            (Rule::AtLeast(2), [3, 1, 0, 0], None),
            (Rule::AtLeast(2), [2, 2, 0, 0], Some(Met)),
            (Rule::AtLeast(2), [1, 1, 9, 9], None),
            (Rule::AtLeast(2), [0, 1, 1, 0], Some(Failed)),
            (Rule::AtLeast(2), [0, 0, 0, 0], Some(Failed)),
            (Rule::AtLeast(0), [0, 0, 0, 0], Some(Met)),
        ] {
            assert_eq!(decided(rule, counts), expected, "{rule:?} {counts:?}");
        }
    }

    #[test]
    fn a_group_that_is_not_sealed_waits_for_more_members_but_not_beyond_its_deadline() {
        let open = Progress { sealed: false, ..group(Rule::AllDone, [0, 3, 1, 0]) };
        assert_eq!(open.decide(false), None);
        let decision = open.decide(true).expect("decided");
        assert_eq!((decision.state, decision.fires), (Failed, Fires::IfFailed));
        assert!(decision.why.ends_with("never sealed"), "{}", decision.why);
        let met = group(Rule::AllDone, [0, 3, 0, 0]).decide(true).expect("decided");
        assert_eq!(met.state, Met);
    }

    #[test]
    fn a_late_success_is_noted_once_or_reopens_the_group_if_its_rule_holds() {
        let seen = Progress { state: Failed, seen_done: 3, ..group(Rule::AllDone, [0, 3, 2, 0]) };
        assert_eq!(seen.decide(false), None);

        let one = Progress { done: 4, discarded: 1, reopens: true, ..seen };
        let noted = one.decide(false).expect("noted");
        assert_eq!((noted.state, noted.fires), (Failed, Fires::Nothing));
        assert_eq!(noted.what, "group_superseded");
        assert_eq!(Progress { superseded: true, ..one.clone() }.decide(false), None);

        let all = Progress { done: 5, discarded: 0, superseded: true, ..one };
        let again = all.decide(false).expect("reopened");
        assert_eq!((again.state, again.fires), (Met, Fires::FollowUp));
        assert_eq!(again.why, "5 members done; 2 members done after it was failed");
        assert_eq!(Progress { reopens: false, ..all }.decide(false), None);
    }
}
