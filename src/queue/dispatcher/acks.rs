//! Writes down how attempts went, many in one transaction, however long the store is away.

use super::{Dispatcher, STORE_PAUSE_MAX, lock};
use crate::metrics;
use crate::queue::store::{Ack, Store};
use std::sync::Arc;
use std::time::Duration;
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
}
