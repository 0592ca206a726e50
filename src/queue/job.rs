//! What a job is: the trait that its code fulfils, how it is asked for, and one attempt at it.

use super::error::{Error, Failure};
use super::notes::Notes;
use super::outcome::Outcome;
use super::retry::Limits;
use super::share::Share;
use super::store::Lease;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Work that outlives the process that asked for it.
///
/// The value itself is the arguments: it is stored as JSON and read back by whichever worker claims
/// it, perhaps a newer build than the one that wrote it.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What the job may hold in its hands while it runs.
    type Tools: Send + Sync + 'static;

    /// Names this kind in the store. Rows outlive releases, so never change it.
    const KIND: &'static str;

    /// The version of the arguments. Raise it when an older build could not run what this one writes:
    /// a worker claims only jobs of its own version or an older one, and leaves the others alone.
    const VERSION: i16 = 1;

    /// Jobs of one queue share a process's slots.
    const QUEUE: &'static str = "default";

    /// Attempts it may spend before it is discarded.
    const MAX_ATTEMPTS: i16 = 20;

    /// How long one attempt may take. When the time is over the attempt has failed: its
    /// [`cancelled`](Attempt::cancelled) token trips, its future is dropped, and its slot and its lease
    /// are free. What then still runs, because it never awaits or sits in a blocking thread, keeps a
    /// thread of the process but can write nothing under the attempt's fence.
    const TIMEOUT: Duration = Duration::from_secs(600);

    /// How often it may be put back for reasons that spend no attempt.
    const LIMITS: Limits = Limits::DEFAULT;

    /// Which part of a process's slots it comes out of.
    const SHARE: Share = Share::Live;

    /// What goes first among jobs of this kind that use the same resources.
    const PRIORITY: Priority = Priority::Normal;

    /// At most one unfinished job of this kind has this key.
    fn unique_key(&self) -> Option<String> {
        None
    }

    /// Does the work. Must be safe to run twice.
    fn run(
        &self,
        tools: &Self::Tools,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send;
}

/// What is claimed first among jobs of one kind and share that use the same resources. Between others,
/// turns are taken: no priority lets one tenant stand in another's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum Priority {
    /// Keeps others from waiting, such as a token's refresh.
    Urgent = 0,
    /// Somebody waits for it.
    Live = 1,
    /// The usual.
    Normal = 2,
    /// When there is nothing else to do.
    Low = 3,
}

/// What a job takes of a resource when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The outside thing, such as `host:api.example.com`.
    pub resource: String,
    /// How much of the resource's rate and quota it takes; usually 1.
    pub cost: u32,
    /// Whether it takes a place that outlives the job, if the resource has places.
    pub hold: bool,
}

/// A job about to be enqueued.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewJob {
    pub(super) kind: String,
    pub(super) queue: String,
    pub(super) args: serde_json::Value,
    pub(super) priority: i16,
    pub(super) max_attempts: i16,
    pub(super) timeout_ms: i32,
    pub(super) unique_key: Option<String>,
    pub(super) delay_ms: i64,
    // Jobs to enqueue if another is discarded are kept as JSON, some by builds that had no such fields.
    #[serde(default)]
    pub(super) share: Share,
    #[serde(default = "first_version")]
    pub(super) version: i16,
    #[serde(default)]
    pub(super) uses: Vec<Use>,
    pub(super) hold_as: Option<String>,
    pub(super) if_discarded: Option<Box<NewJob>>,
    pub(super) group: Option<i64>,
    pub(super) member: Option<String>,
}

fn first_version() -> i16 {
    1
}

impl NewJob {
    /// This job, due at once.
    pub fn of<J: Job>(job: &J) -> Result<Self, Error> {
        Ok(Self {
            kind: J::KIND.to_owned(),
            queue: J::QUEUE.to_owned(),
            args: serde_json::to_value(job)
                .map_err(|source| Error::Encode { kind: J::KIND, source })?,
            priority: J::PRIORITY as i16,
            max_attempts: J::MAX_ATTEMPTS,
            timeout_ms: i32::try_from(J::TIMEOUT.as_millis()).unwrap_or(i32::MAX),
            unique_key: job.unique_key().map(|key| unique_key(J::KIND, &key)),
            delay_ms: 0,
            share: J::SHARE,
            version: J::VERSION,
            uses: Vec::new(),
            hold_as: None,
            if_discarded: None,
            group: None,
            member: None,
        })
    }

    /// Not before this long from now.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        self
    }

    /// One attempt may take this long, instead of as long as its kind's.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX).max(1);
        self
    }

    /// Before or after the others of its queue.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority as i16;
        self
    }

    /// Out of this share of a process's slots, instead of its kind's.
    #[must_use]
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    /// In this version of the arguments, instead of its kind's: for those who write for another build.
    #[must_use]
    pub fn of_version(mut self, version: i16) -> Self {
        self.version = version;
        self
    }

    /// It uses these outside things, and takes one of each: it waits while a gate of one of them is
    /// shut. A resource named twice is used once.
    #[must_use]
    pub fn using(mut self, resources: impl IntoIterator<Item = String>) -> Self {
        for resource in resources {
            self = self.taking(1, resource);
        }
        self
    }

    /// It uses this outside thing, and takes this much of its rate and quota; at least 1.
    #[must_use]
    pub fn taking(mut self, cost: u32, resource: String) -> Self {
        let cost = cost.max(1);
        if let Some(used) = self.uses.iter_mut().find(|used| used.resource == resource) {
            used.cost = used.cost.max(cost);
        } else {
            let hold = self.hold_as.is_some();
            self.uses.push(Use { resource, cost, hold });
            // The same needs in another order are the same lane.
            self.uses.sort_by(|a, b| a.resource.cmp(&b.resource));
        }
        self
    }

    /// It takes a place, in this holder's name, on each resource with places that it uses. The place
    /// is kept when the job has finished, until [`Queue::release`](super::Queue::release) is called.
    #[must_use]
    pub fn holding_as(mut self, holder: String) -> Self {
        self.hold_as = Some(holder);
        for used in &mut self.uses {
            used.hold = true;
        }
        self
    }

    /// Enqueue that job in the transaction that discards this one, whoever discards it and why.
    #[must_use]
    pub fn if_discarded(mut self, job: NewJob) -> Self {
        self.if_discarded = Some(Box::new(job));
        self
    }

    /// It is a member of this group: see [`group`](super::group). One that is not new, because an
    /// unfinished job has its unique key, does not become one.
    #[must_use]
    pub fn in_group(mut self, group: i64) -> Self {
        (self.group, self.member) = (Some(group), None);
        self
    }

    /// It works in the name of this member of the group, which ends with the last job that does.
    #[must_use]
    pub fn in_group_as(mut self, group: i64, member: impl Into<String>) -> Self {
        (self.group, self.member) = (Some(group), Some(member.into()));
        self
    }

    /// Names the code that will run it.
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

/// The key as it stands in the store: no two kinds share one.
pub(super) fn unique_key(kind: &str, key: &str) -> String {
    format!("{kind}:{key}")
}

/// What became of a job that was to be enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It is new, and this is its id.
    Inserted(i64),
    /// An unfinished job has the same unique key; nothing was changed.
    Existing(i64),
}

impl Enqueued {
    /// The job's id, new or not.
    pub fn id(self) -> i64 {
        match self {
            Self::Inserted(id) | Self::Existing(id) => id,
        }
    }
}

/// One run of a job under a lease: what the handler knows about itself.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub(super) lease: Lease,
    pub(super) cancelled: CancellationToken,
    pub(super) notes: Notes,
    /// Who asked to cancel the job, and why; set before the token trips for that reason.
    pub(super) cancelled_by: Arc<OnceLock<String>>,
}

impl Attempt {
    /// An attempt under this lease that no worker watches over, for code that drives a job itself.
    pub fn under(lease: Lease) -> Self {
        let cancelled = CancellationToken::new();
        Self { lease, cancelled, cancelled_by: Arc::default(), notes: Notes::default() }
    }

    /// The job's id.
    pub fn job_id(&self) -> i64 {
        self.lease.job_id
    }

    /// How often the job has been claimed, this time included. Unlike [`number`](Self::number) it never
    /// stands still: it tells each run from every other.
    pub fn claim_number(&self) -> i32 {
        self.lease.fence
    }

    /// Which attempt this is; the first is 1.
    pub fn number(&self) -> i16 {
        self.lease.attempt
    }

    /// How often the job has been snoozed.
    pub fn snoozes(&self) -> i32 {
        self.lease.snoozes
    }

    /// How often the job's credential has been refused.
    pub fn denials(&self) -> i16 {
        self.lease.denials
    }

    /// When this attempt was claimed, by the store's clock.
    pub fn claimed_at(&self) -> DateTime<Utc> {
        self.lease.claimed_at
    }

    /// When the job was enqueued.
    pub fn enqueued_at(&self) -> DateTime<Utc> {
        self.lease.created_at
    }

    /// Trips when the process stops or has lost the lease, when somebody cancels the job, or when the
    /// attempt's time is over. The handler is dropped soon after; one
    /// that must not be dropped in the middle of something can watch for it.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Ends the job inside the handler's own transaction: what the handler wrote, the end of the
    /// job and the jobs that follow become visible together or not at all. The handler commits the
    /// transaction and returns the outcome that this gives.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when the attempt is not the job's current one any more: roll back.
    pub async fn complete_in(
        &self,
        transaction: &mut PgConnection,
        outcome: Outcome,
    ) -> Result<Outcome, Error> {
        let progress = self.notes.unwritten();
        super::postgres::complete_in(transaction, &self.lease, outcome, progress).await
    }
}
