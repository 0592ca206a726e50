//! One process's link to the store: claims jobs for its free slots, keeps its leases, writes down how
//! attempts went, takes back the jobs of the dead. All I/O of a worker is here, in tasks of their
//! own, so that a full process, a long job or a shutdown never stops a renewal or an ack.

mod acks;
mod cancels;
mod claims;
mod leases;
mod notes;

use super::error::Error;
use super::job::Attempt;
use super::notes::{Cursors, Notes};
use super::session::{SessionId, ThisProcess};
use super::share::{Share, Slots};
use super::store::{Ack, Store};
use crate::metrics;
use backon::ExponentialBuilder;
use futures::FutureExt;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How a process works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The queues it works on, and how many attempts of each it runs at once.
    pub queues: Vec<(String, usize)>,
    /// How often it renews its leases, and looks for jobs of the dead.
    pub renew_every: Duration,
    /// A session that has not renewed for this long is given up for lost.
    pub patience: Duration,
    /// How often it looks for jobs without being told, as a safety net.
    pub poll_every: Duration,
    /// At most this many acks are written in one transaction.
    pub ack_batch: usize,
    /// How often the progress of what runs is written, if there is any.
    pub note_every: Duration,
}

impl Settings {
    /// The defaults for these queues: jobs of a dead process run again within 15 seconds.
    pub fn new(queues: impl IntoIterator<Item = (String, usize)>) -> Self {
        Self {
            queues: queues.into_iter().collect(),
            renew_every: Duration::from_secs(3),
            patience: Duration::from_secs(9),
            poll_every: Duration::from_secs(5),
            ack_batch: 1000,
            note_every: Duration::from_secs(1),
        }
    }
}

/// How long one call to the store may take.
const STORE_PATIENCE: Duration = Duration::from_secs(15);
/// How long acks may still be written when the process has been told to let go.
const LAST_ACKS: Duration = Duration::from_secs(10);
/// The session's number while there is none.
const NONE: i64 = 0;

/// A queue as this process sees it.
pub(super) struct LocalQueue {
    pub(super) name: String,
    pub(super) slots: usize,
    /// Who uses them.
    shares: Mutex<Slots>,
    /// When the answer to a claim was lost, which may still take jobs.
    in_doubt_since: Mutex<Option<Instant>>,
    hint: Notify,
    freed: Notify,
    hinted: Notify,
}

impl LocalQueue {
    pub(super) fn slots(&self) -> Slots {
        *lock(&self.shares)
    }

    /// One slot of this share is taken, or given back.
    fn take(&self, share: Share) {
        lock(&self.shares).take(share);
    }

    fn give(&self, share: Share) {
        lock(&self.shares).give(share);
        metrics::slots(&self.name, self.slots, self.slots - self.slots().free());
        self.freed.notify_one();
    }
}

/// A job and the fence of one claim of it.
type AttemptKey = (i64, i32);

/// An attempt that this process has claimed and not yet written down.
struct Running {
    cancelled: CancellationToken,
    cancelled_by: Arc<OnceLock<String>>,
    local: Arc<LocalQueue>,
    share: Share,
    kind: String,
    notes: Notes,
}

/// The shared part of the dispatcher's tasks.
pub(super) struct Dispatcher<S> {
    store: S,
    /// The same store, as the attempts hold it.
    cursors: Arc<dyn Cursors>,
    settings: Settings,
    process: ThisProcess,
    /// The kinds it can run, with the newest version of each.
    kinds: Vec<(&'static str, i16)>,
    session: AtomicI64,
    local_queues: Vec<Arc<LocalQueue>>,
    running: Mutex<HashMap<AttemptKey, Running>>,
    /// The attempts that are to be cancelled, as they were last heard of: one of them may be on its way
    /// here with the answer to a claim. Locked after `running`.
    to_cancel: Mutex<HashMap<AttemptKey, String>>,
    /// Somebody may have asked to cancel a job that runs here.
    look_for_cancels: Notify,
    /// Our own leases are kept: time to see to those of others.
    look_for_the_dead: Notify,
    acks: mpsc::UnboundedSender<Ack>,
    tasks: TaskTracker,
    /// Claim no more.
    soft: CancellationToken,
    /// Let go of what is still running.
    hard: CancellationToken,
    /// All acks are written: the renewals may stop.
    finished: CancellationToken,
    panicked: OnceLock<&'static str>,
}

impl<S: Store> Dispatcher<S> {
    /// Begins a session and starts the tasks. The receivers give the attempts of each local.
    pub(super) async fn start(
        store: S,
        settings: Settings,
        kinds: Vec<(&'static str, i16)>,
        soft: CancellationToken,
        hard: CancellationToken,
    ) -> Result<(Arc<Self>, Vec<mpsc::UnboundedReceiver<Attempt>>), Error> {
        let process = ThisProcess::new().working(&settings.queues, &kinds);
        let session = store.begin_session(&process).await?;
        let (acks, written) = mpsc::unbounded_channel();
        let local = |(name, slots): &(String, usize)| {
            Arc::new(LocalQueue {
                name: name.clone(),
                slots: *slots,
                shares: Mutex::new(Slots::free_of_all(*slots)),
                in_doubt_since: Mutex::default(),
                hint: Notify::new(),
                freed: Notify::new(),
                hinted: Notify::new(),
            })
        };
        let this = Arc::new(Self {
            local_queues: settings.queues.iter().map(local).collect(),
            cursors: Arc::new(store.clone()),
            store,
            settings,
            process,
            kinds,
            session: AtomicI64::new(session.0),
            running: Mutex::default(),
            to_cancel: Mutex::default(),
            look_for_cancels: Notify::new(),
            look_for_the_dead: Notify::new(),
            acks,
            tasks: TaskTracker::new(),
            soft,
            hard,
            finished: CancellationToken::new(),
            panicked: OnceLock::new(),
        });
        let mut receivers = Vec::new();
        for local in &this.local_queues {
            let (deliver, receiver) = mpsc::unbounded_channel();
            receivers.push(receiver);
            let claims = this.clone().claim_loop(local.clone(), deliver);
            this.tasks.spawn(this.guarded("claims", claims));
            let looks = this.clone().look_again_loop(local.clone());
            tokio::spawn(this.guarded("looks again", looks));
        }
        tokio::spawn(this.guarded("writes acks", this.clone().ack_loop(written)));
        tokio::spawn(this.guarded("renews leases", this.clone().renew_loop()));
        tokio::spawn(this.guarded("rescues", this.clone().rescue_loop()));
        tokio::spawn(this.guarded("writes notes", this.clone().note_loop()));
        tokio::spawn(this.guarded("cancels", this.clone().cancel_loop()));
        tokio::spawn(this.guarded("listens", this.clone().hint_loop()));
        tokio::spawn(this.guarded("polls", this.clone().poll_loop()));
        this.tasks.spawn(this.clone().let_go());
        this.tasks.close();
        tracing::info!(session = session.0, queues = ?this.settings.queues, "working");
        Ok((this, receivers))
    }

    /// A process that has lost a part of itself looks alive and works no more: it stops, and others take
    /// its jobs.
    fn guarded(
        self: &Arc<Self>,
        part: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(part, "panicked, which is a bug: this process stops");
                // The first one is the reason.
                let _ = this.panicked.set(part);
                this.soft.cancel();
                this.hard.cancel();
            }
        }
    }

    /// The part that panicked, if one did.
    pub(super) fn panicked(&self) -> Option<&'static str> {
        self.panicked.get().copied()
    }

    pub(super) fn local_queues(&self) -> &[Arc<LocalQueue>] {
        &self.local_queues
    }

    /// Hands over how an attempt went. Never waits.
    pub(super) fn ack(&self, ack: Ack) {
        // The receiver lives until every sender, this one included, is gone.
        let _ = self.acks.send(ack);
    }

    /// The attempt needs no ack: it has written down its own end.
    pub(super) fn forget(&self, job_id: i64, fence: i32) {
        let gone = lock(&self.running).remove(&(job_id, fence));
        if let Some(Running { local, share, .. }) = gone {
            local.give(share);
        }
    }

    /// Waits until nothing is claimed any more.
    pub(super) async fn claims_ended(&self) {
        self.soft.cancelled().await;
        self.tasks.wait().await;
    }

    /// Waits until every attempt has been written down, or the store has been away for too long;
    /// then ends the session.
    pub(super) async fn finish(&self) {
        let all_written = async {
            while !lock(&self.running).is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let too_late = async {
            self.hard.cancelled().await;
            tokio::time::sleep(LAST_ACKS).await;
        };
        tokio::select! {
            () = all_written => {}
            () = too_late => tracing::error!(
                jobs = lock(&self.running).len(),
                "the store is away: these jobs run again when this session is given up for lost"
            ),
        }
        self.finished.cancel();
        if lock(&self.running).is_empty()
            && let Some(session) = self.session()
        {
            let end = self.store.end_session(session);
            if let Ok(Err(error)) = tokio::time::timeout(LAST_ACKS, end).await {
                tracing::warn!(%error, "the session could not be ended; it will be given up for lost");
            }
        }
    }

    fn session(&self) -> Option<SessionId> {
        Some(self.session.load(Ordering::Acquire)).filter(|id| *id != NONE).map(SessionId)
    }

    async fn let_go(self: Arc<Self>) {
        self.soft.cancelled().await;
        metrics::draining();
        let jobs = lock(&self.running).len();
        tracing::info!(jobs, "stopping: nothing more is claimed, running jobs may finish");
    }
}

/// A call to the store, which a network that lost it would otherwise keep waiting for a quarter of
/// an hour. One that is given up may have been done: every caller can bear that.
async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Error::Database(sqlx::Error::PoolTimedOut);
    tokio::time::timeout(STORE_PATIENCE, call).await.map_err(late)?
}

/// How a process waits for a store that does not answer: 50 ms, doubled up to 2 s, without end.
fn store_is_away() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
}

/// A poisoned lock only means that a thread died while holding a map that is always consistent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
