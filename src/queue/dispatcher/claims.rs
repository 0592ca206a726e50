//! Claims jobs for free slots: when told by a hint, when the next one is due, and now and then anyhow.

use super::{Dispatcher, Lane, Running, in_time, lock};
use crate::metrics;
use crate::queue::error::Error;
use crate::queue::job::Attempt;
use crate::queue::session::SessionId;
use crate::queue::store::{Claimed, Hints, Store};
use backon::BackoffBuilder;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// After a hint, look a second time this much later: see `postgres::wake::WINDOW`.
const SECOND_LOOK: Duration = Duration::from_millis(10);
/// A busy lane gathers free slots for this long, so that one claim serves many.
const GATHER: Duration = Duration::from_millis(1);

impl<S: Store> Dispatcher<S> {
    pub(super) async fn claim_loop(
        self: Arc<Self>,
        lane: Arc<Lane>,
        deliver: mpsc::UnboundedSender<Attempt>,
    ) {
        metrics::slots(&lane.name, lane.slots, 0);
        let mut pauses = super::store_is_away().build();
        let mut in_doubt = false;
        while !self.soft.is_cancelled() {
            self.gather_slots(&lane).await;
            let free = lane.slots - lane.used.load(Ordering::Acquire);
            if free == 0 {
                continue;
            }
            match self.claim(&lane, free, in_doubt).await {
                Ok((session, claimed)) => {
                    in_doubt = false;
                    pauses = super::store_is_away().build();
                    let rest = self.deliver(&lane, session, claimed, &deliver);
                    self.wait_for_work(&lane, rest).await;
                }
                Err(error) => {
                    in_doubt = true;
                    let pause = pauses.next().unwrap_or_default();
                    tracing::warn!(%error, ?pause, queue = lane.name, "could not claim; will try again");
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
        lane: &Lane,
        free: usize,
        in_doubt: bool,
    ) -> Result<(Option<SessionId>, Claimed), Error> {
        // A new session wakes every lane.
        let Some(session) = self.session() else { return Ok((None, Claimed::default())) };
        if in_doubt {
            let known: Vec<i64> = lock(&self.running).keys().map(|(job_id, _)| *job_id).collect();
            let given = in_time(self.store.give_back(session, &lane.name, &known)).await?;
            if given > 0 {
                tracing::warn!(
                    jobs = given,
                    queue = lane.name,
                    "put back what a lost claim had taken"
                );
            }
        }
        let began = Instant::now();
        let claimed = in_time(self.store.claim(session, &lane.name, free)).await?;
        metrics::claimed(&lane.name, began.elapsed());
        Ok((Some(session), claimed))
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
        session: Option<SessionId>,
        claimed: Claimed,
        deliver: &mpsc::UnboundedSender<Attempt>,
    ) -> (bool, Option<Duration>) {
        let used =
            lane.used.fetch_add(claimed.leases.len(), Ordering::AcqRel) + claimed.leases.len();
        metrics::slots(&lane.name, lane.slots, used);
        let mut running = lock(&self.running);
        let lost = session != self.session();
        for lease in claimed.leases {
            let cancelled = self.hard.child_token();
            if lost {
                // The session was given up for lost while its claim was on the way.
                cancelled.cancel();
            }
            let key = (lease.job_id, lease.fence);
            let (lane, kind) = (lane.clone(), lease.kind.clone());
            running.insert(key, Running { cancelled: cancelled.clone(), lane, kind });
            // The receiver lives in the worker, which outlasts this loop.
            let _ = deliver.send(Attempt { lease, cancelled });
        }
        (claimed.more, claimed.next_due_in)
    }

    /// A lane sleeps until its next job is due, or somebody says that it should look.
    async fn wait_for_work(&self, lane: &Lane, (more, next_due_in): (bool, Option<Duration>)) {
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
            () = lane.hint.notified() => {}
            () = next_is_due => {}
            () = self.soft.cancelled() => {}
        }
    }

    /// The safety net under hints and timers: asks for all lanes at once whether something is due.
    pub(super) async fn poll_loop(self: Arc<Self>) {
        let queues: Vec<String> = self.lanes.iter().map(|lane| lane.name.clone()).collect();
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
        }
    }

    /// Lets the claim loop of this queue look, or that of every queue.
    pub(super) fn wake(&self, queue: Option<&str>) {
        for lane in self.lanes.iter().filter(|lane| queue.is_none_or(|name| name == lane.name)) {
            lane.hint.notify_one();
        }
    }

    /// Jobs whose own hint was saved are found by a second look, of which one at a time is enough.
    fn look_again(self: &Arc<Self>, queue: String) {
        let lane = self.lanes.iter().find(|lane| lane.name == queue);
        if lane.is_some_and(|lane| !lane.second_look.swap(true, Ordering::AcqRel)) {
            let this = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(SECOND_LOOK).await;
                for lane in this.lanes.iter().filter(|lane| lane.name == queue) {
                    lane.second_look.store(false, Ordering::Release);
                    lane.hint.notify_one();
                }
            });
        }
    }

    pub(super) async fn hint_loop(self: Arc<Self>) {
        while !self.soft.is_cancelled() {
            let listen = async {
                let mut hints = self.store.hints().await?;
                self.wake(None);
                loop {
                    let queue = hints.next().await?;
                    self.wake(Some(&queue));
                    self.look_again(queue);
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
