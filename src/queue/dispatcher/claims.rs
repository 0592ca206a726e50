//! Claims jobs for free slots: when told by a hint, when the next one is due, and now and then anyhow.

use super::{Dispatcher, Lane, Running, lock};
use crate::metrics;
use crate::queue::error::Error;
use crate::queue::job::Attempt;
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
        while !self.soft.is_cancelled() {
            self.gather_slots(&lane).await;
            let free = lane.slots - lane.used.load(Ordering::Acquire);
            let began = Instant::now();
            let claimed = match self.session() {
                _ if free == 0 => continue,
                Some(session) => self.store.claim(session, &lane.name, free).await,
                // A new session wakes every lane.
                None => Ok(Claimed::default()),
            };
            metrics::claimed(&lane.name, began.elapsed());
            match claimed {
                Ok(claimed) => {
                    pauses = super::store_is_away().build();
                    let rest = self.deliver(&lane, claimed, &deliver);
                    self.wait_for_work(&lane, rest).await;
                }
                Err(error) => {
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
            match self.store.due(&queues).await {
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

    pub(super) async fn hint_loop(self: Arc<Self>) {
        while !self.soft.is_cancelled() {
            let listen = async {
                let mut hints = self.store.hints().await?;
                self.wake(None);
                loop {
                    let queue = hints.next().await?;
                    self.wake(Some(&queue));
                    // Jobs whose own hint was saved are found by a second look.
                    tokio::time::sleep(SECOND_LOOK).await;
                    self.wake(Some(&queue));
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
