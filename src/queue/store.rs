//! The promises that a store keeps, whatever it is made of.
//!
//! Everything above this trait is the same for every store; everything below it is one store's
//! business. The methods are the verbs of a job's life.

use super::error::Error;
use super::gate::breaker::Observation;
use super::gate::trips::Cause;
use super::job::NewJob;
use super::notes::Progress;
use super::retry::Limits;
use super::session::{SessionId, ThisProcess};
use super::share::{Share, Slots};
use super::state::State;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// The right to run one job, and to write down how that went, while its session is renewed.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The job.
    pub job_id: i64,
    /// Of all claims of this job, this is the number of this one.
    pub fence: i32,
    /// Names the code that runs it.
    pub kind: String,
    /// The queue it was claimed from.
    pub queue: String,
    /// The typed arguments.
    pub args: serde_json::Value,
    /// Which attempt this is; the first is 1.
    pub attempt: i16,
    /// Attempts it may spend.
    pub max_attempts: i16,
    /// How long this attempt may take.
    pub timeout: Duration,
    /// The part of the process's slots it runs in.
    pub share: Share,
    /// How often it was snoozed before.
    pub snoozes: i32,
    /// How often the outside asked it to slow down before.
    pub throttles: i16,
    /// How often its credential was refused before.
    pub denials: i16,
    /// How often a stopping process handed it back before.
    pub interruptions: i16,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
    /// How long it had been due when it was claimed.
    pub waited: Duration,
    /// How often it may be put back, for each reason. The store knows only the usual limits; the worker
    /// puts in those of the kind.
    pub limits: Limits,
}

/// What a process asks for in one claim.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The queue.
    pub queue: &'a str,
    /// How many it can run, and what it runs already.
    pub slots: Slots,
    /// The kinds it knows, each with the newest version of its arguments that it can read; `None` for
    /// any, whatever it is.
    pub kinds: Option<&'a [(&'static str, i16)]>,
}

/// Jobs just claimed.
#[derive(Debug, Default)]
pub struct Claimed {
    /// One lease a job.
    pub leases: Vec<Lease>,
    /// Whether more jobs may be due right now.
    pub more: bool,
    /// How long until the next job of the queue is due, if one is waiting.
    pub next_due_in: Option<Duration>,
}

/// Which of a job's counters a wait is written to. Only [`Spends::Attempt`] brings it nearer to
/// being discarded; each of the others has a cap of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spends {
    /// It failed, and it was its own fault.
    Attempt,
    /// It asked to run again later.
    Snooze,
    /// The outside asked for fewer calls.
    Throttle,
    /// Its credential was refused.
    Denial,
    /// Its process is stopping.
    Interruption,
}

/// Where a job goes after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It has ended: done, discarded or cancelled.
    Finish(State),
    /// It waits to run again.
    Wait {
        /// At least this long.
        delay: Duration,
        /// What the wait is charged to.
        spends: Spends,
        /// Until this resource is opened, or `delay` has passed, whichever comes first.
        blocked_by: Option<String>,
    },
}

/// How one attempt went.
#[derive(Debug)]
pub struct Ack {
    /// The attempt.
    pub job_id: i64,
    /// Refused unless it is still the job's current one.
    pub fence: i32,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
    /// Where the job goes.
    pub step: Step,
    /// What went wrong, if something did.
    pub error: Option<String>,
    /// What it says about the resources that it used.
    pub evidence: Evidence,
    /// A resource that everybody is to leave alone, for how long, and why.
    pub leave_alone: Option<(String, Duration)>,
    /// Jobs to enqueue in the same transaction.
    pub follow_ups: Vec<NewJob>,
    /// What the log of attempts is to say; nothing, if it went well.
    pub failed: Option<Failed>,
    /// How far it came, if nobody has written that yet.
    pub progress: Option<Progress>,
}

/// What an attempt says about the resources that it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// They work.
    Good,
    /// One of them failed, in this way.
    Failed(Cause),
    /// Nothing: none was asked, or what went wrong was not theirs.
    Nothing,
}

/// An attempt that did not simply go well, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The class of the failure, or `snoozed` for one snooze too many.
    pub outcome: &'static str,
    /// What went wrong and why, the outermost first.
    pub causes: Vec<String>,
}

/// How far a running attempt has come.
#[derive(Debug, Clone)]
pub struct Note {
    /// The attempt.
    pub job_id: i64,
    /// Not written unless it is still the job's current one.
    pub fence: i32,
    /// How far.
    pub progress: Progress,
}

impl Ack {
    /// The attempt: its job, and the fence of its claim.
    pub fn key(&self) -> (i64, i32) {
        (self.job_id, self.fence)
    }

    /// What the attempt says about the resources it used.
    pub fn observation(&self) -> Observation<'_> {
        match self.evidence {
            Evidence::Good => Observation::Good,
            Evidence::Nothing => Observation::Neither,
            Evidence::Failed(cause) => {
                let error = self.error.as_deref().unwrap_or_default();
                Observation::Failed { cause, error }
            }
        }
    }
}

/// What became of a batch of acks.
#[derive(Debug, Default)]
pub struct Acked {
    /// Attempts, as (job, fence), whose write was refused, because the job had been taken over.
    pub stale: Vec<(i64, i32)>,
    /// Queues that got new jobs, so that their claim loops can look.
    pub woken: Vec<String>,
    /// Jobs that do not wait again, because somebody had asked to cancel them.
    pub cancelled: Vec<i64>,
}

/// A running job that somebody asked to cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToCancel {
    /// The attempt that is to end.
    pub job_id: i64,
    /// The fence of its claim.
    pub fence: i32,
    /// Who asked, and why, in a sentence.
    pub said: String,
}

/// What a rescue found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rescued {
    /// Sessions that had not renewed in time.
    pub lost_sessions: u64,
    /// Jobs that wait to run again.
    pub requeued: u64,
    /// Jobs that were discarded, because their process died under them too often.
    pub poisoned: u64,
    /// Jobs that were cancelled, because somebody had asked for it before their process died.
    pub cancelled: u64,
}

/// A store of jobs.
///
/// The future of each method may be dropped: what it had begun is then undone, or comes about later. So
/// a claim that was given up may still take jobs: see [`give_back`](Self::give_back).
pub trait Store: Clone + Send + Sync + 'static {
    /// A stream of hints about queues and cancels.
    type Hints: Hints;

    /// Begins a session.
    fn begin_session(
        &self,
        process: &ThisProcess,
    ) -> impl Future<Output = Result<SessionId, Error>> + Send;

    /// Keeps the leases of all the session's jobs, on a connection that nothing else waits for.
    /// False when the session has been given up for lost.
    fn renew(&self, session: SessionId) -> impl Future<Output = Result<bool, Error>> + Send;

    /// The jobs of the session that somebody asked to cancel, and that have not ended. Asked after each
    /// renewal, and when a hint says so.
    fn to_cancel(
        &self,
        session: SessionId,
    ) -> impl Future<Output = Result<Vec<ToCancel>, Error>> + Send;

    /// Ends a session whose jobs have all been acked.
    fn end_session(&self, session: SessionId) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes leases on as many jobs of the queue as there are free slots, of those that are due and
    /// that no gate keeps back: lane by lane in turn, and no share beyond its part while another one
    /// below its part has something to do. Takes none for a session that has been given up for lost.
    fn claim(
        &self,
        session: SessionId,
        ask: &Ask<'_>,
    ) -> impl Future<Output = Result<Claimed, Error>> + Send;

    /// Puts back the jobs that the session has had on the queue for at least so long, besides these
    /// attempts, (job, fence). A claim whose answer was lost may have taken some that nobody here knows
    /// of. Those that are to be cancelled end.
    fn give_back(
        &self,
        session: SessionId,
        queue: &str,
        known: &[(i64, i32)],
        for_at_least: Duration,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Which of these queues have a job that is due and not blocked. One cheap question for all of
    /// them, so that an idle process can ask it often.
    fn due(&self, queues: &[String]) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// Writes down how attempts went, with what they ask for next, in one transaction.
    fn ack(&self, acks: &[Ack]) -> impl Future<Output = Result<Acked, Error>> + Send;

    /// The cursor that the job's attempts have left, this one or an earlier one.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when the attempt is not the job's current one any more.
    fn cursor(
        &self,
        lease: &Lease,
    ) -> impl Future<Output = Result<Option<serde_json::Value>, Error>> + Send;

    /// Keeps the cursor for the attempts to come; null takes it away. It stays, however the attempt ends.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when the attempt is not the job's current one any more.
    fn save_cursor(
        &self,
        lease: &Lease,
        cursor: &serde_json::Value,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Writes down how far running attempts have come, and gives the jobs for which it did. A stale
    /// attempt's word is not written.
    fn note_progress(&self, notes: &[Note])
    -> impl Future<Output = Result<Vec<i64>, Error>> + Send;

    /// Takes back the jobs of sessions that have not renewed for `patience`.
    fn rescue(&self, patience: Duration) -> impl Future<Output = Result<Rescued, Error>> + Send;

    /// Opens a stream of hints. Losing one costs a moment, never a job.
    fn hints(&self) -> impl Future<Output = Result<Self::Hints, Error>> + Send;
}

/// What a process should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// This queue may have something to claim.
    Work(String),
    /// Somebody asked to cancel a job of this session.
    Cancel(SessionId),
}

/// A stream of hints.
pub trait Hints: Send + 'static {
    /// The next one.
    fn next(&mut self) -> impl Future<Output = Result<Hint, Error>> + Send;
}
