//! Claims jobs for free slots: when told by a hint, when the next one is due, and now and then anyhow.

use super::{Dispatcher, LocalQueue, Running, STORE_PATIENCE, in_time, lock};
use crate::metrics;
use crate::queue::error::Error;
use crate::queue::job::Attempt;
use crate::queue::notes::Notes;
use crate::queue::session::SessionId;
use crate::queue::share::Slots;
use crate::queue::store::{Ask, Claimed, Hint, Hints, Store};
use backon::BackoffBuilder;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// After a hint, look again after each of these pauses: a job whose own hint was saved because another
/// had just been sent (see `postgres::wake::WINDOW`) is found by the first, or, if its transaction
/// took longer to commit, by a later one.
const LOOKS_AFTER: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(90), Duration::from_millis(900)];
/// A network delivers nothing that is older: TCP gives up after some 15 minutes.
const NETWORKS_MEMORY: Duration = Duration::from_secs(20 * 60);
/// A busy local gathers free slots for this long, so that one claim serves many.
const GATHER: Duration = Duration::from_millis(1);

impl<S: Store> Dispatcher<S> {
    pub(super) async fn claim_loop(
        self: Arc<Self>,
        local: Arc<LocalQueue>,
        deliver: mpsc::UnboundedSender<Attempt>,
    ) {
        metrics::slots(&local.name, local.slots, 0);
        let mut pauses = super::store_is_away().build();
        let mut in_doubt = false;
        while !self.soft.is_cancelled() {
            self.gather_slots(&local).await;
            let slots = local.slots();
            if slots.free() == 0 {
                continue;
            }
            match self.claim(&local, slots, in_doubt).await {
                Ok((session, claimed)) => {
                    in_doubt = false;
                    pauses = super::store_is_away().build();
                    let rest = self.deliver(&local, session, claimed, &deliver);
                    self.wait_for_work(&local, rest).await;
                }
                Err(error) => {
                    in_doubt = true;
                    *lock(&local.in_doubt_since) = Some(Instant::now());
                    let pause = pauses.next().unwrap_or_default();
                    tracing::warn!(%error, ?pause, queue = local.name, "could not claim; will try again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.soft.cancelled() => {}
                    }
                }
            }
        }
    }

    /// One claim, and before it, when the answer to the one before was lost, back with what that may
    /// have taken.
    async fn claim(
        &self,
        local: &LocalQueue,
        slots: Slots,
        in_doubt: bool,
    ) -> Result<(Option<SessionId>, Claimed), Error> {
        // A new session wakes every local.
        let Some(session) = self.session() else { return Ok((None, Claimed::default())) };
        if in_doubt {
            self.give_back(local, session, Duration::ZERO).await?;
        }
        let began = Instant::now();
        let ask = Ask { queue: &local.name, slots, kinds: Some(&self.kinds) };
        let claimed = in_time(self.store.claim(session, &ask)).await?;
        metrics::claimed(&local.name, began.elapsed());
        Ok((Some(session), claimed))
    }

    /// Waits until a slot is free, and in a wide local a moment longer, for several.
    async fn gather_slots(&self, local: &LocalQueue) {
        let enough = (local.slots / 4).max(1);
        loop {
            let free = local.slots().free();
            if free >= enough || self.soft.is_cancelled() {
                return;
            }
            let freed = local.freed.notified();
            if free == 0 {
                tokio::select! { () = freed => {}, () = self.soft.cancelled() => return }
            } else if local.slots < 64 || tokio::time::timeout(GATHER, freed).await.is_err() {
                return;
            }
        }
    }

    /// Hands the attempts to the local's worker. Whether more may be due, and how long until one is.
    fn deliver(
        &self,
        local: &Arc<LocalQueue>,
        session: Option<SessionId>,
        claimed: Claimed,
        deliver: &mpsc::UnboundedSender<Attempt>,
    ) -> (bool, Option<Duration>) {
        for lease in &claimed.leases {
            local.take(lease.share);
        }
        metrics::slots(&local.name, local.slots, local.slots - local.slots().free());
        let mut running = lock(&self.running);
        let to_cancel = lock(&self.to_cancel);
        let lost = session != self.session();
        for lease in claimed.leases {
            let key = (lease.job_id, lease.fence);
            let attempt = Running {
                cancelled: self.hard.child_token(),
                cancelled_by: Arc::default(),
                local: local.clone(),
                share: lease.share,
                kind: lease.kind.clone(),
                notes: Notes::kept_by(self.cursors.clone()),
            };
            if let Some(said) = to_cancel.get(&key) {
                attempt.cancel(said);
            }
            if lost {
                // The session was given up for lost while its claim was on the way.
                attempt.cancelled.cancel();
            }
            let (cancelled, cancelled_by) =
                (attempt.cancelled.clone(), attempt.cancelled_by.clone());
            let notes = attempt.notes.clone();
            running.insert(key, attempt);
            // The receiver lives in the worker, which outlasts this loop.
            let _ = deliver.send(Attempt { lease, cancelled, notes, cancelled_by });
        }
        (claimed.more, claimed.next_due_in)
    }

    /// A local sleeps until its next job is due, or somebody says that it should look.
    async fn wait_for_work(
        &self,
        local: &LocalQueue,
        (more, next_due_in): (bool, Option<Duration>),
    ) {
        if more {
            return;
        }
        let next_is_due = async {
            match next_due_in {
                Some(nap) => tokio::time::sleep(nap).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = local.hint.notified() => {}
            () = next_is_due => {}
            () = self.soft.cancelled() => {}
        }
    }

    /// The safety net under hints and timers: asks for all `local_queues` at once whether something is due.
    pub(super) async fn poll_loop(self: Arc<Self>) {
        let queues: Vec<String> =
            self.local_queues.iter().map(|local| local.name.clone()).collect();
        while !self.soft.is_cancelled() {
            let pause = self.settings.poll_every.mul_f64(rand::random_range(0.9..1.1));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.soft.cancelled() => return,
            }
            match in_time(self.store.due(&queues)).await {
                Ok(due) => due.iter().for_each(|queue| self.wake(Some(queue))),
                Err(error) => tracing::warn!(%error, "could not look for jobs; will try again"),
            }
            for local in &self.local_queues {
                if let Err(error) = self.give_back_late_claims(local).await {
                    tracing::warn!(%error, "could not look for lost claims; will try again");
                }
            }
        }
    }

    /// A claim that was given up may reach the store long afterwards. Those that are on their way now, or
    /// whose answer is, are younger than what is put back here.
    async fn give_back_late_claims(&self, local: &LocalQueue) -> Result<(), Error> {
        let in_doubt = lock(&local.in_doubt_since).is_some_and(|at| at.elapsed() < NETWORKS_MEMORY);
        match self.session().filter(|_| in_doubt) {
            Some(session) => self.give_back(local, session, 2 * STORE_PATIENCE).await,
            None => Ok(()),
        }
    }

    /// Puts back what claims took of which nobody here knows, and has had for so long.
    async fn give_back(
        &self,
        local: &LocalQueue,
        session: SessionId,
        for_at_least: Duration,
    ) -> Result<(), Error> {
        let known: Vec<_> = lock(&self.running).keys().copied().collect();
        let give_back = self.store.give_back(session, &local.name, &known, for_at_least);
        let jobs = in_time(give_back).await?;
        if jobs > 0 {
            tracing::warn!(jobs, queue = local.name, "put back what a lost claim had taken");
        }
        Ok(())
    }

    /// Lets the claim loop of this queue look, or that of every queue.
    pub(super) fn wake(&self, queue: Option<&str>) {
        for local in
            self.local_queues.iter().filter(|local| queue.is_none_or(|name| name == local.name))
        {
            local.hint.notify_one();
        }
    }

    /// Looks again after the last hint: see [`LOOKS_AFTER`].
    pub(super) async fn look_again_loop(self: Arc<Self>, local: Arc<LocalQueue>) {
        let looks_again = async {
            loop {
                local.hinted.notified().await;
                let mut pauses = LOOKS_AFTER.iter();
                while let Some(pause) = pauses.next() {
                    tokio::select! {
                        () = tokio::time::sleep(*pause) => local.hint.notify_one(),
                        () = local.hinted.notified() => pauses = LOOKS_AFTER.iter(),
                    }
                }
            }
        };
        tokio::select! {
            () = looks_again => {}
            () = self.soft.cancelled() => {}
        }
    }

    pub(super) async fn hint_loop(self: Arc<Self>) {
        while !self.soft.is_cancelled() {
            let listen = async {
                let mut hints = self.store.hints().await?;
                self.wake(None);
                loop {
                    let queue = match hints.next().await? {
                        Hint::Work(queue) => queue,
                        Hint::Cancel(session) => {
                            self.hear_of_cancel(session);
                            continue;
                        }
                    };
                    self.wake(Some(&queue));
                    let named = |local: &&Arc<LocalQueue>| local.name == queue;
                    self.local_queues.iter().filter(named).for_each(|l| l.hinted.notify_one());
                }
            };
            let ended: Result<(), Error> = tokio::select! {
                ended = listen => ended,
                () = self.soft.cancelled() => return,
            };
            if let Err(error) = ended {
                tracing::warn!(%error, "hints were lost; polling goes on");
            }
            self.wake(None);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
