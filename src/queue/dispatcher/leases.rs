//! Keeps this process's leases, gives them up in time, and takes back the jobs of the dead.

use super::{Dispatcher, NONE, in_time, lock};
use crate::queue::error::Error;
use crate::queue::store::Store;
use crate::{clock, metrics};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl<S: Store> Dispatcher<S> {
    pub(super) async fn renew_loop(self: Arc<Self>) {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.settings.renew_every) => {}
                () = self.finished.cancelled() => return,
            }
            let began = Instant::now();
            match self.renew().await {
                Ok(()) => {
                    // After an outage of the store the others look dead too, until they have renewed.
                    let steady = began.duration_since(renewed) < self.settings.patience;
                    renewed = began;
                    metrics::renewed(clock::machine());
                    if steady {
                        self.look_for_the_dead.notify_one();
                    }
                }
                Err(error) => tracing::warn!(%error, "could not renew the leases; will try again"),
            }
            // Stop our own handlers before somebody else may start the same jobs.
            if renewed.elapsed() + self.settings.renew_every > self.settings.patience {
                self.lose_leases("the store has been away for too long");
            }
        }
    }

    async fn renew(&self) -> Result<(), Error> {
        let away = || Error::Database(sqlx::Error::PoolTimedOut);
        let patience = self.settings.renew_every;
        if let Some(session) = self.session() {
            let renewal = tokio::time::timeout(patience, self.store.renew(session)).await;
            if renewal.map_err(|_| away())?? {
                self.look_for_cancels.notify_one();
                return Ok(());
            }
            self.lose_leases("this session was given up for lost");
            self.session.store(NONE, Ordering::Release);
        }
        let begin = self.store.begin_session(&self.process);
        let session = tokio::time::timeout(patience, begin).await.map_err(|_| away())??;
        tracing::info!(session = session.0, "working under a new session");
        self.session.store(session.0, Ordering::Release);
        self.wake(None);
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

    /// Beside the renewals, which wait for nothing.
    pub(super) async fn rescue_loop(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.look_for_the_dead.notified() => self.rescue().await,
                () = self.finished.cancelled() => return,
            }
        }
    }

    async fn rescue(&self) {
        match in_time(self.store.rescue(self.settings.patience)).await {
            Ok(rescued) if rescued.requeued + rescued.poisoned + rescued.cancelled > 0 => {
                metrics::jobs_rescued(rescued.requeued, rescued.poisoned);
                tracing::warn!(
                    sessions = rescued.lost_sessions,
                    requeued = rescued.requeued,
                    discarded = rescued.poisoned,
                    cancelled = rescued.cancelled,
                    "took back the jobs of dead processes"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "could not look for jobs of dead processes"),
        }
    }
}
