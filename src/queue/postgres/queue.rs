//! What code outside the engine asks of the queue, always inside the caller's own transaction.

use super::wake::Coalescer;
use super::{enqueue, gates, prune};
use crate::queue::error::Error;
use crate::queue::gate::Rule;
use crate::queue::job::{Enqueued, NewJob, unique_key};
use sqlx::PgConnection;
use std::sync::Arc;
use std::time::Duration;

/// The queue of one database. Cheap to clone; one a process is best, because it coalesces wake-ups.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    wake: Arc<Coalescer>,
}

impl Queue {
    /// A handle on the queue of the database whose connections it will be given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enqueues jobs, by the thousand if need be, in one statement. The answers are in the order of
    /// the jobs. A duplicate is an answer, not an error: the transaction goes on.
    pub async fn enqueue(
        &self,
        connection: &mut PgConnection,
        jobs: &[NewJob],
    ) -> Result<Vec<Enqueued>, Error> {
        enqueue::enqueue(connection, jobs, None, |queue| self.wake.is_due(queue)).await
    }

    /// Lets go of every place that the holder has, and wakes as many jobs that waited for one.
    /// Does nothing when it has none. True when there was something to let go of.
    pub async fn release(
        &self,
        connection: &mut PgConnection,
        holder: &str,
    ) -> Result<bool, Error> {
        gates::release(connection, holder).await
    }

    /// Sets a gate of the resource, or takes it away. It holds for every job that starts from now on.
    /// Queues and kinds are resources too: `queue:default`, `kind:ping`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the rule makes no sense.
    pub async fn set_gate(
        &self,
        connection: &mut PgConnection,
        resource: &str,
        rule: Rule,
    ) -> Result<(), Error> {
        gates::set(connection, resource, rule).await
    }

    /// No job that uses the resource starts until it is resumed, or the pause has lasted so long.
    /// `why` is a sentence for the person who finds it paused.
    pub async fn pause(
        &self,
        connection: &mut PgConnection,
        resource: &str,
        by: &str,
        why: &str,
        lasts: Option<Duration>,
    ) -> Result<(), Error> {
        gates::pause(connection, resource, by, why, lasts).await
    }

    /// Ends a pause, and lets an open breaker ask at once whether the resource is back. False when
    /// there was nothing to resume.
    pub async fn resume(
        &self,
        connection: &mut PgConnection,
        resource: &str,
        by: &str,
    ) -> Result<bool, Error> {
        gates::resume(connection, resource, by, "resumed").await
    }

    /// Opens the resource to the jobs that were blocked by it, such as a credential that has been
    /// renewed. How many there were.
    pub async fn open(&self, connection: &mut PgConnection, resource: &str) -> Result<u64, Error> {
        gates::open(connection, resource).await
    }

    /// Makes a waiting job of this kind and unique key due at once. False when there is none.
    pub async fn hasten(
        &self,
        connection: &mut PgConnection,
        kind: &str,
        key: &str,
    ) -> Result<bool, Error> {
        enqueue::hasten(connection, &unique_key(kind, key)).await
    }

    /// Wakes jobs whose gate is open although they wait for it, and puts right counts of places that
    /// do not agree with the places. How many of both; anything but zero is worth a look.
    pub async fn sweep(&self, connection: &mut PgConnection) -> Result<u64, Error> {
        gates::sweep(connection).await
    }

    /// Makes the history's next partitions, and drops what is older than the retention.
    pub async fn prune(
        &self,
        connection: &mut PgConnection,
        retention: Duration,
    ) -> Result<prune::Pruned, Error> {
        prune::prune(connection, retention).await
    }
}
