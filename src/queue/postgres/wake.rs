//! Hints that a queue may have something to claim. Losing one costs a moment, never a job.

use crate::queue::error::Error;
use crate::queue::session::SessionId;
use crate::queue::store::{Hint, Hints};
use sqlx::postgres::PgListener;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The channel of Postgres on which hints travel; the payload is the name of the queue.
pub(super) const CHANNEL: &str = "engine_wake";

/// The channel on which a session hears that jobs of its own are to be cancelled; the payload is the
/// session's number.
pub(super) const CANCEL_CHANNEL: &str = "engine_cancel";

/// One process sends at most one hint per queue in this time. A dispatcher looks again this long
/// after a hint, so the jobs whose hint was saved are found by the one before it.
///
/// The reason: a commit that notifies takes a lock that all notifying commits of the server share.
pub const WINDOW: Duration = Duration::from_millis(5);

/// Decides which transactions carry a hint.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    last: Mutex<HashMap<String, Instant>>,
}

impl Coalescer {
    /// Whether a hint for this queue is due; if so, the next one is due a window later.
    pub(super) fn is_due(&self, queue: &str) -> bool {
        let now = Instant::now();
        // A poisoned lock only means that a thread died while noting a time.
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match last.get_mut(queue) {
            Some(then) if now.duration_since(*then) < WINDOW => false,
            Some(then) => {
                *then = now;
                true
            }
            None => {
                last.insert(queue.to_owned(), now);
                true
            }
        }
    }
}

/// Hints from LISTEN.
pub struct PgHints(pub(super) PgListener);

impl Hints for PgHints {
    /// An error means that the connection was lost, and hints with it: look at every queue, and open
    /// a new stream.
    async fn next(&mut self) -> Result<Hint, Error> {
        let lost = || sqlx::Error::Protocol("the connection that listens was lost".to_owned());
        loop {
            let hint = self.0.try_recv().await?.ok_or_else(lost)?;
            if hint.channel() == CHANNEL {
                return Ok(Hint::Work(hint.payload().to_owned()));
            }
            // Whatever is not a session's number is for nobody.
            if let Ok(session) = hint.payload().parse() {
                return Ok(Hint::Cancel(SessionId(session)));
            }
        }
    }
}
