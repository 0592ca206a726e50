//! Writes down how far the running attempts have come: all of them at once, now and then.

use super::{Dispatcher, in_time, lock};
use crate::queue::notes::{Notes, Progress};
use crate::queue::store::{Note, Store};
use std::sync::Arc;

impl<S: Store> Dispatcher<S> {
    pub(super) async fn note_loop(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.settings.note_every) => self.note().await,
                () = self.finished.cancelled() => return,
            }
        }
    }

    async fn note(&self) {
        let untold: Vec<(Note, Notes)> = lock(&self.running)
            .iter()
            .filter_map(|((job_id, fence), running)| {
                let progress = running.notes.unwritten()?;
                let note = Note { job_id: *job_id, fence: *fence, progress };
                Some((note, running.notes.clone()))
            })
            .collect();
        if untold.is_empty() {
            return;
        }
        let (notes, tellers): (Vec<Note>, Vec<Notes>) = untold.into_iter().unzip();
        match in_time(self.store.note_progress(&notes)).await {
            Ok(written) => {
                for (note, teller) in notes.iter().zip(tellers) {
                    if written.contains(&note.job_id) {
                        teller.written(&note.progress);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "progress could not be written; will try again"),
        }
    }

    /// What the attempt has told and nobody has written yet.
    pub(in crate::queue) fn last_progress(&self, job_id: i64, fence: i32) -> Option<Progress> {
        lock(&self.running).get(&(job_id, fence))?.notes.unwritten()
    }
}
