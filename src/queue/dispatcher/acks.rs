//! Writes down how attempts went, many in one transaction, however long the store is away.

use super::{Dispatcher, in_time, lock};
use crate::metrics;
use crate::queue::state::State;
use crate::queue::store::{Ack, Store};
use backon::Retryable;
use std::sync::Arc;
use tokio::sync::mpsc;

impl<S: Store> Dispatcher<S> {
    pub(super) async fn ack_loop(self: Arc<Self>, mut written: mpsc::UnboundedReceiver<Ack>) {
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
        let written = (|| in_time(self.store.ack(batch)))
            .retry(super::store_is_away())
            .notify(|error, pause| {
                tracing::warn!(%error, ?pause, acks = batch.len(), "could not ack; will try again");
            })
            .await;
        // The retry has no end, so there is always an answer.
        let Ok(acked) = written else { return };
        self.note_stale(batch, &acked.stale);
        self.note_cancelled(batch, &acked.cancelled);
        for queue in &acked.woken {
            self.wake(Some(queue));
        }
    }

    fn note_stale(&self, batch: &[Ack], stale: &[(i64, i32)]) {
        let running = lock(&self.running);
        for ack in batch.iter().filter(|ack| stale.contains(&ack.key())) {
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
    /// The worker thought that these would run again.
    fn note_cancelled(&self, batch: &[Ack], cancelled: &[i64]) {
        let running = lock(&self.running);
        for ack in batch.iter().filter(|ack| cancelled.contains(&ack.job_id)) {
            let kind = running.get(&(ack.job_id, ack.fence)).map_or("", |attempt| &attempt.kind);
            metrics::job_finished(kind, State::Cancelled.as_str());
            tracing::info!(job_id = ack.job_id, kind, "it was to be cancelled, and ends");
        }
    }
}
