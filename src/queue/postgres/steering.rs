//! What people and programs ask of jobs that are there already, inside the caller's own transaction.
//!
//! A transaction that also lets go of places, or steers gates, does that after steering jobs: jobs are
//! locked before resources, everywhere. On a connection without a transaction each request is one.

use super::{Queue, cancel, chosen, discard, edit, replay};
use crate::queue::error::Error;
use crate::queue::job::unique_key;
use crate::queue::state::State;
use crate::queue::steer::{
    Because, Cancelled, Chosen, Discarded, Edit, Edited, Finished, Replay, Replayable, Replayed,
    Replays, Unfinished,
};
use sqlx::{Connection, PgConnection};

impl Queue {
    /// Cancels these jobs: those that wait are cancelled now, those that run are stopped as soon as
    /// the transaction is committed. The answers are in the order of the ids.
    ///
    /// A job that ends well before it is stopped is done. One whose process dies, or that fails, or
    /// asks to run again, ends as cancelled. Nothing follows a cancelled job, and the places that it
    /// holds are still to be released.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the reason says nothing.
    pub async fn cancel(
        &self,
        connection: &mut PgConnection,
        ids: &[i64],
        because: &Because<'_>,
    ) -> Result<Vec<Cancelled>, Error> {
        let mut tx = connection.begin().await?;
        let answer = cancel::cancel(&mut tx, ids, because).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Cancels the unfinished job of this kind and unique key.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the reason says nothing.
    pub async fn cancel_by_key(
        &self,
        connection: &mut PgConnection,
        kind: &str,
        key: &str,
        because: &Because<'_>,
    ) -> Result<Cancelled, Error> {
        let Some(id) = chosen::with_key(connection, &unique_key(kind, key)).await? else {
            return Ok(Cancelled::Unknown);
        };
        let answers = self.cancel(connection, &[id], because).await?;
        Ok(answers.into_iter().next().unwrap_or(Cancelled::Unknown))
    }

    /// Cancels the jobs of this choice that there are now. How many were cancelled, and how many are
    /// being stopped.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the choice is of everything, or the reason says nothing.
    pub async fn cancel_all(
        &self,
        connection: &mut PgConnection,
        filter: &Unfinished,
        because: &Because<'_>,
    ) -> Result<Chosen, Error> {
        let mut tx = connection.begin().await?;
        let answer = cancel::cancel_all(&mut tx, filter, because).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// How many jobs of this choice there are now.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the choice is of everything.
    pub async fn count(
        &self,
        connection: &mut PgConnection,
        filter: &Unfinished,
    ) -> Result<Chosen, Error> {
        let found = chosen::unfinished(connection, filter).await?;
        let count = |state| {
            let jobs = found.iter().filter(|job| job.state == state).count();
            u64::try_from(jobs).unwrap_or(u64::MAX)
        };
        Ok(Chosen { waiting: count(State::Waiting), running: count(State::Running) })
    }

    /// Gives up these jobs if they wait, as if they had failed for good: what they named for that case
    /// is enqueued. The answers are in the order of the ids.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the reason says nothing.
    pub async fn discard(
        &self,
        connection: &mut PgConnection,
        ids: &[i64],
        because: &Because<'_>,
    ) -> Result<Vec<Discarded>, Error> {
        let mut tx = connection.begin().await?;
        let answer = discard::discard(&mut tx, ids, because).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Gives up the waiting jobs of this choice that there are now. How many.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the choice is of everything, or the reason says nothing.
    pub async fn discard_all(
        &self,
        connection: &mut PgConnection,
        filter: &Unfinished,
        because: &Because<'_>,
    ) -> Result<u64, Error> {
        let mut tx = connection.begin().await?;
        let answer = discard::discard_all(&mut tx, filter, because).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Changes these jobs if they wait. The answers are in the order of the ids.
    ///
    /// # Errors
    /// [`Error::Invalid`] when nothing is to change, or the reason says nothing.
    pub async fn edit(
        &self,
        connection: &mut PgConnection,
        ids: &[i64],
        change: &Edit,
        because: &Because<'_>,
    ) -> Result<Vec<Edited>, Error> {
        let mut tx = connection.begin().await?;
        let answer = edit::edit(&mut tx, ids, change, because).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Changes the waiting jobs of this choice that there are now. How many.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the choice is of everything, nothing is to change, or the reason says
    /// nothing.
    pub async fn edit_all(
        &self,
        connection: &mut PgConnection,
        filter: &Unfinished,
        change: &Edit,
        because: &Because<'_>,
    ) -> Result<u64, Error> {
        let mut tx = connection.begin().await?;
        let answer = edit::edit_all(&mut tx, filter, change, because).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Does a finished job again, as a new job that begins anew.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the patch is no object, the rate no rate, or the reason says nothing.
    pub async fn replay(
        &self,
        connection: &mut PgConnection,
        id: i64,
        how: &Replay,
        because: &Because<'_>,
    ) -> Result<Replayed, Error> {
        let mut tx = connection.begin().await?;
        let answer = replay::replay(&mut tx, id, how, because).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Does the finished jobs of this choice again, those that finished first in the first place.
    ///
    /// # Errors
    /// As [`replay`](Self::replay), and when the choice is of everything.
    pub async fn replay_all(
        &self,
        connection: &mut PgConnection,
        filter: &Finished,
        how: &Replay,
        because: &Because<'_>,
    ) -> Result<Replays, Error> {
        let mut tx = connection.begin().await?;
        let answer = replay::replay_all(&mut tx, filter, how, because).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// What [`replay_all`](Self::replay_all) would do, without doing it.
    ///
    /// # Errors
    /// As [`replay_all`](Self::replay_all).
    pub async fn replayable(
        &self,
        connection: &mut PgConnection,
        filter: &Finished,
        how: &Replay,
    ) -> Result<Replayable, Error> {
        replay::replayable(connection, filter, how).await
    }
}
