//! One process's link to the store: claims jobs for its free slots, keeps its leases, writes down how
//! attempts went, takes back the jobs of the dead. All I/O of a worker is here, in tasks of their
//! own, so that a full process, a long job or a shutdown never stops a renewal or an ack.

use super::job::Attempt;
use super::session::{SessionId, ThisProcess};
use super::store::{Ack, Claimed, Hints, Store};
use crate::metrics;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
        }
    }
}

/// The longest pause after the store did not answer.
const STORE_PAUSE_MAX: Duration = Duration::from_secs(2);
/// After a hint, look a second time this much later: see `postgres::wake::WINDOW`.
const SECOND_LOOK: Duration = Duration::from_millis(10);
/// A busy queue gathers free slots for this long, so that one claim serves many.
const GATHER: Duration = Duration::from_millis(1);
/// How long acks may still be written when the process has been told to let go.
const LAST_ACKS: Duration = Duration::from_secs(10);
/// No session.
const NONE: i64 = 0;

/// A queue as this process sees it.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) slots: usize,
    used: AtomicUsize,
    hint: Notify,
    freed: Notify,
}

/// A job and the fence of one claim of it.
type AttemptKey = (i64, i32);

/// An attempt that this process has claimed and not yet written down.
struct Running {
    cancelled: CancellationToken,
    lane: Arc<Lane>,
    kind: String,
}

/// The shared part of the dispatcher's tasks.
pub(super) struct Dispatcher<S> {
    store: S,
    settings: Settings,
    process: ThisProcess,
    session: AtomicI64,
    lanes: Vec<Arc<Lane>>,
    running: Mutex<HashMap<AttemptKey, Running>>,
    acks: mpsc::UnboundedSender<Ack>,
    tasks: TaskTracker,
    /// Claim no more.
    soft: CancellationToken,
    /// Let go of what is still running.
    hard: CancellationToken,
    /// All acks are written: the renewals may stop.
    finished: CancellationToken,
}

impl<S: Store> Dispatcher<S> {
    /// Begins a session and starts the tasks. The receivers give the attempts of each lane.
    pub(super) async fn start(
        store: S,
        settings: Settings,
        soft: CancellationToken,
        hard: CancellationToken,
    ) -> Result<(Arc<Self>, Vec<mpsc::UnboundedReceiver<Attempt>>), super::Error> {
        let process = ThisProcess::new();
        let session = store.begin_session(&process).await?;
        let (acks, written) = mpsc::unbounded_channel();
        let lane = |(name, slots): &(String, usize)| {
            Arc::new(Lane {
                name: name.clone(),
                slots: *slots,
                used: AtomicUsize::new(0),
                hint: Notify::new(),
                freed: Notify::new(),
            })
        };
        let this = Arc::new(Self {
            lanes: settings.queues.iter().map(lane).collect(),
            store,
            settings,
            process,
            session: AtomicI64::new(session.0),
            running: Mutex::default(),
            acks,
            tasks: TaskTracker::new(),
            soft,
            hard,
            finished: CancellationToken::new(),
        });
        let mut receivers = Vec::new();
        for lane in &this.lanes {
            let (deliver, receiver) = mpsc::unbounded_channel();
            receivers.push(receiver);
            this.tasks.spawn(this.clone().claim_loop(lane.clone(), deliver));
        }
        tokio::spawn(this.clone().ack_loop(written));
        tokio::spawn(this.clone().renew_loop());
        tokio::spawn(this.clone().hint_loop());
        this.tasks.spawn(this.clone().let_go());
        this.tasks.close();
        tracing::info!(session = session.0, queues = ?this.settings.queues, "working");
        Ok((this, receivers))
    }

    pub(super) fn lanes(&self) -> &[Arc<Lane>] {
        &self.lanes
    }

    /// Hands over how an attempt went. Never waits.
    pub(super) fn ack(&self, ack: Ack) {
        // The receiver lives until every sender, this one included, is gone.
        let _ = self.acks.send(ack);
    }

    /// The attempt needs no ack: it has written down its own end.
    pub(super) fn forget(&self, job_id: i64, fence: i32) {
        let gone = lock(&self.running).remove(&(job_id, fence));
        if let Some(Running { lane, .. }) = gone {
            let used = lane.used.fetch_sub(1, Ordering::AcqRel) - 1;
            metrics::slots(&lane.name, lane.slots, used);
            lane.freed.notify_one();
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

    // ---- claim ----

    async fn claim_loop(self: Arc<Self>, lane: Arc<Lane>, deliver: mpsc::UnboundedSender<Attempt>) {
        let mut failures = 0;
        metrics::slots(&lane.name, lane.slots, 0);
        while !self.soft.is_cancelled() {
            self.gather_slots(&lane).await;
            let Some(session) = self.session() else {
                self.pause_claims(failures).await;
                continue;
            };
            let free = lane.slots - lane.used.load(Ordering::Acquire);
            if free == 0 {
                continue;
            }
            let began = Instant::now();
            match self.store.claim(session, &lane.name, free).await {
                Ok(claimed) => {
                    failures = 0;
                    metrics::claimed(&lane.name, began.elapsed());
                    let rest = self.deliver(&lane, claimed, &deliver);
                    self.wait_for_work(&lane, rest).await;
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, queue = lane.name, "could not claim; will try again");
                    self.pause_claims(failures).await;
                }
            }
        }
    }

    /// Waits until a slot is free, and in a wide lane a moment longer, for several.
    async fn gather_slots(&self, lane: &Lane) {
        let enough = (lane.slots / 4).max(1);
        loop {
            let free = lane.slots - lane.used.load(Ordering::Acquire);
            if free >= enough || self.soft.is_cancelled() {
                return;
            }
            let freed = lane.freed.notified();
            if free == 0 {
                tokio::select! { () = freed => {}, () = self.soft.cancelled() => return }
            } else if lane.slots < 64 || tokio::time::timeout(GATHER, freed).await.is_err() {
                return;
            }
        }
    }

    /// Hands the attempts to the lane's worker. Whether more may be due, and how long until one is.
    fn deliver(
        &self,
        lane: &Arc<Lane>,
        claimed: Claimed,
        deliver: &mpsc::UnboundedSender<Attempt>,
    ) -> (bool, Option<Duration>) {
        let used =
            lane.used.fetch_add(claimed.leases.len(), Ordering::AcqRel) + claimed.leases.len();
        metrics::slots(&lane.name, lane.slots, used);
        let mut running = lock(&self.running);
        for lease in claimed.leases {
            let cancelled = self.hard.child_token();
            let key = (lease.job_id, lease.fence);
            let (lane, kind) = (lane.clone(), lease.kind.clone());
            running.insert(key, Running { cancelled: cancelled.clone(), lane, kind });
            // The receiver lives in the worker, which outlasts this loop.
            let _ = deliver.send(Attempt { lease, cancelled });
        }
        (claimed.more, claimed.next_due_in)
    }

    async fn wait_for_work(&self, lane: &Lane, (more, next_due_in): (bool, Option<Duration>)) {
        if more {
            return;
        }
        let longest = self.settings.poll_every.mul_f64(rand::random_range(0.9..1.1));
        let nap = next_due_in.unwrap_or(longest).min(longest);
        tokio::select! {
            () = lane.hint.notified() => {}
            () = tokio::time::sleep(nap) => {}
            () = self.soft.cancelled() => {}
        }
    }

    async fn pause_claims(&self, failures: u32) {
        let pause = Duration::from_millis(50).saturating_mul(1 << failures.min(6));
        tokio::select! {
            () = tokio::time::sleep(pause.min(STORE_PAUSE_MAX)) => {}
            () = self.soft.cancelled() => {}
        }
    }

    async fn hint_loop(self: Arc<Self>) {
        let wake = |name: Option<&str>| {
            for lane in &self.lanes {
                if name.is_none_or(|name| name == lane.name) {
                    lane.hint.notify_one();
                }
            }
        };
        while !self.soft.is_cancelled() {
            let listen = async {
                let mut hints = self.store.hints().await?;
                wake(None);
                loop {
                    let queue = hints.next().await?;
                    wake(Some(&queue));
                    // Jobs whose own hint was saved are found by a second look.
                    tokio::time::sleep(SECOND_LOOK).await;
                    wake(Some(&queue));
                }
            };
            let ended: Result<(), super::Error> = tokio::select! {
                ended = listen => ended,
                () = self.soft.cancelled() => return,
            };
            if let Err(error) = ended {
                tracing::warn!(%error, "hints were lost; polling goes on");
            }
            wake(None);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    // ---- ack ----

    async fn ack_loop(self: Arc<Self>, mut written: mpsc::UnboundedReceiver<Ack>) {
        let mut batch = Vec::new();
        loop {
            let count = tokio::select! {
                count = written.recv_many(&mut batch, self.settings.ack_batch) => count,
                () = self.finished.cancelled() => return,
            };
            if count == 0 {
                return;
            }
            tokio::select! {
                () = self.write(&batch) => {}
                () = self.finished.cancelled() => return,
            }
            for ack in batch.drain(..) {
                self.forget(ack.job_id, ack.fence);
            }
        }
    }

    /// Writes a batch, however long the store is away.
    async fn write(&self, batch: &[Ack]) {
        for failures in 0_u32.. {
            match self.store.ack(batch).await {
                Ok(acked) => {
                    self.note_stale(batch, &acked.stale);
                    for lane in self.lanes.iter().filter(|lane| acked.woken.contains(&lane.name)) {
                        lane.hint.notify_one();
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, acks = batch.len(), "could not ack; will try again");
                    let pause = Duration::from_millis(50).saturating_mul(1 << failures.min(6));
                    tokio::time::sleep(pause.min(STORE_PAUSE_MAX)).await;
                }
            }
        }
    }

    fn note_stale(&self, batch: &[Ack], stale: &[i64]) {
        let running = lock(&self.running);
        for ack in batch.iter().filter(|ack| stale.contains(&ack.job_id)) {
            let kind = running.get(&(ack.job_id, ack.fence)).map_or("", |attempt| &attempt.kind);
            metrics::stale_write(kind);
            tracing::warn!(
                job_id = ack.job_id,
                fence = ack.fence,
                kind,
                "this attempt had lost its lease: what it wrote was refused"
            );
        }
    }

    // ---- renew and rescue ----

    async fn renew_loop(self: Arc<Self>) {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.settings.renew_every) => {}
                () = self.finished.cancelled() => return,
            }
            let began = Instant::now();
            match self.renew().await {
                Ok(()) => {
                    renewed = began;
                    metrics::renewed();
                    self.rescue().await;
                }
                Err(error) => tracing::warn!(%error, "could not renew the leases; will try again"),
            }
            // Stop our own handlers before somebody else may start the same jobs.
            if renewed.elapsed() + self.settings.renew_every > self.settings.patience {
                self.lose_leases("the store has been away for too long");
            }
        }
    }

    async fn renew(&self) -> Result<(), super::Error> {
        let away = || super::Error::Database(sqlx::Error::PoolTimedOut);
        let patience = self.settings.renew_every;
        if let Some(session) = self.session() {
            let renewal = tokio::time::timeout(patience, self.store.renew(session)).await;
            if renewal.map_err(|_| away())?? {
                return Ok(());
            }
            self.lose_leases("this session was given up for lost");
            self.session.store(NONE, Ordering::Release);
        }
        let begin = self.store.begin_session(&self.process);
        let session = tokio::time::timeout(patience, begin).await.map_err(|_| away())??;
        tracing::info!(session = session.0, "working under a new session");
        self.session.store(session.0, Ordering::Release);
        Ok(())
    }

    /// Stops every handler of this process; the jobs are run by somebody else, or again by us.
    fn lose_leases(&self, why: &str) {
        let running = lock(&self.running);
        let tokens = running.values().map(|attempt| &attempt.cancelled);
        let live: Vec<_> = tokens.filter(|token| !token.is_cancelled()).collect();
        if !live.is_empty() {
            tracing::error!(jobs = live.len(), "{why}: stopping the jobs that run here");
        }
        for token in live {
            token.cancel();
        }
    }

    async fn rescue(&self) {
        match self.store.rescue(self.settings.patience).await {
            Ok(rescued) if rescued.requeued + rescued.poisoned > 0 => {
                metrics::jobs_rescued(rescued.requeued, rescued.poisoned);
                tracing::warn!(
                    sessions = rescued.lost_sessions,
                    requeued = rescued.requeued,
                    discarded = rescued.poisoned,
                    "took back the jobs of dead processes"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "could not look for jobs of dead processes"),
        }
    }

    // ---- shutdown ----

    async fn let_go(self: Arc<Self>) {
        self.soft.cancelled().await;
        metrics::draining();
        let jobs = lock(&self.running).len();
        tracing::info!(jobs, "stopping: nothing more is claimed, running jobs may finish");
    }
}

/// A poisoned lock only means that a thread died while holding a map that is always consistent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
