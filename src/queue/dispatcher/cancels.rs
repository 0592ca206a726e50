//! Stops the handlers of jobs that somebody has cancelled: at once when a hint says so, and after every
//! renewal anyhow.

use super::{Dispatcher, Running, in_time, lock};
use crate::queue::session::SessionId;
use crate::queue::store::Store;
use std::sync::Arc;

impl Running {
    /// Stops the attempt. It ends as cancelled, not as interrupted.
    pub(super) fn cancel(&self, said: &str) {
        // A second request changes nothing.
        let _ = self.cancelled_by.set(said.to_owned());
        self.cancelled.cancel();
    }
}

impl<S: Store> Dispatcher<S> {
    /// A hint said that jobs of this session are to be cancelled.
    pub(super) fn hear_of_cancel(&self, session: SessionId) {
        if self.session() == Some(session) {
            self.look_for_cancels.notify_one();
        }
    }

    pub(super) async fn cancel_loop(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.look_for_cancels.notified() => self.stop_cancelled().await,
                () = self.finished.cancelled() => return,
            }
        }
    }

    async fn stop_cancelled(&self) {
        let Some(session) = self.session() else { return };
        let asked = match in_time(self.store.to_cancel(session)).await {
            Ok(asked) => asked,
            Err(error) => {
                tracing::warn!(%error, "could not look for cancelled jobs; will try again");
                return;
            }
        };
        let running = lock(&self.running);
        let mut to_cancel = lock(&self.to_cancel);
        to_cancel.clear();
        for job in asked {
            let key = (job.job_id, job.fence);
            if let Some(attempt) = running.get(&key) {
                attempt.cancel(&job.said);
            }
            to_cancel.insert(key, job.said);
        }
    }
}
