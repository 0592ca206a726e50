//! Claims jobs for free slots: when told by a hint, when the next one is due, and now and then anyhow.

use super::{Dispatcher, Lane, Running, STORE_PAUSE_MAX, lock};
use crate::metrics;
use crate::queue::error::Error;
use crate::queue::job::Attempt;
use crate::queue::store::{Claimed, Hints, Store};
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

    pub(super) async fn hint_loop(self: Arc<Self>) {
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
            let ended: Result<(), Error> = tokio::select! {
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
}
