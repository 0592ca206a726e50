//! The Postgres store as the dispatcher sees it.

use super::wake::{CANCEL_CHANNEL, CHANNEL, PgHints};
use super::{ack, cancel, claim, counts, notes, renew, rescue};
use crate::queue::error::Error;
use crate::queue::session::{SessionId, ThisProcess};
use crate::queue::store::{Ack, Acked, Ask, Claimed, Hint, Lease, Note, Rescued, Store, ToCancel};
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::time::Duration;

/// How a process hears of new jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// LISTEN on a connection of its own, and polling as the safety net.
    #[default]
    Listen,
    /// Polling alone: for a pooler that gives a transaction, not a session.
    Poll,
}

/// A store on Postgres 14 or newer.
#[derive(Clone)]
pub struct PgStore {
    db: PgPool,
    /// One connection that nothing but renewals and rescues waits for.
    lifeline: PgPool,
    mode: Mode,
    turns: claim::Turns,
}

impl PgStore {
    /// A store on this pool's database. It opens one connection beside the pool for renewals, and
    /// one to listen on if the mode says so.
    pub fn new(db: PgPool, mode: Mode) -> Self {
        let lifeline = one_connection(&db);
        Self { db, lifeline, mode, turns: claim::Turns::default() }
    }
}

fn one_connection(db: &PgPool) -> PgPool {
    PgPoolOptions::new()
        // The second is for the moment when the first hangs on a network that lost it.
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(db.connect_options().as_ref().clone())
}

impl Store for PgStore {
    type Hints = PgHintsOrNone;

    async fn begin_session(&self, process: &ThisProcess) -> Result<SessionId, Error> {
        renew::begin_session(&self.lifeline, process).await
    }

    async fn renew(&self, session: SessionId) -> Result<bool, Error> {
        renew::renew(&self.lifeline, session).await
    }

    async fn to_cancel(&self, session: SessionId) -> Result<Vec<ToCancel>, Error> {
        cancel::to_cancel(&self.lifeline, session).await
    }

    async fn end_session(&self, session: SessionId) -> Result<(), Error> {
        renew::end_session(&self.lifeline, session).await
    }

    async fn claim(&self, session: SessionId, ask: &Ask<'_>) -> Result<Claimed, Error> {
        claim::claim(&self.db, &self.turns, session, ask).await
    }

    async fn give_back(
        &self,
        session: SessionId,
        queue: &str,
        known: &[(i64, i32)],
        for_at_least: Duration,
    ) -> Result<u64, Error> {
        claim::give_back(&self.db, session, queue, known, for_at_least).await
    }

    async fn due(&self, queues: &[String]) -> Result<Vec<String>, Error> {
        claim::due_queues(&self.db, queues).await
    }

    async fn ack(&self, acks: &[Ack]) -> Result<Acked, Error> {
        ack::ack(&self.db, acks).await
    }

    async fn cursor(&self, lease: &Lease) -> Result<Option<serde_json::Value>, Error> {
        notes::cursor_in(&mut *self.db.acquire().await?, lease).await
    }

    async fn save_cursor(&self, lease: &Lease, cursor: &serde_json::Value) -> Result<(), Error> {
        notes::save_cursor_in(&mut *self.db.acquire().await?, lease, cursor).await
    }

    async fn note_progress(&self, notes: &[Note]) -> Result<Vec<i64>, Error> {
        notes::note_progress(&self.db, notes).await
    }

    async fn rescue(&self, patience: Duration) -> Result<Rescued, Error> {
        // Nothing to do with rescue but the rhythm: every process, every few seconds.
        if let Err(error) = counts::fold(&self.lifeline).await {
            tracing::warn!(%error, "could not fold the counts; will try again");
        }
        rescue::rescue(&self.lifeline, patience).await
    }

    async fn hints(&self) -> Result<Self::Hints, Error> {
        if self.mode == Mode::Poll {
            return Ok(PgHintsOrNone::None);
        }
        let mut listener = PgListener::connect_with(&one_connection(&self.db)).await?;
        listener.listen_all([CHANNEL, CANCEL_CHANNEL]).await?;
        Ok(PgHintsOrNone::Listening(PgHints(listener)))
    }
}

/// Hints, or silence in polling-only mode.
pub enum PgHintsOrNone {
    /// Hints from LISTEN.
    Listening(PgHints),
    /// There are none.
    None,
}

impl crate::queue::store::Hints for PgHintsOrNone {
    async fn next(&mut self) -> Result<Hint, Error> {
        match self {
            Self::Listening(hints) => hints.next().await,
            Self::None => std::future::pending().await,
        }
    }
}
