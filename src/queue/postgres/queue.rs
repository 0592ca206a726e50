//! What code outside the engine asks of the queue, always inside the caller's own transaction.

use super::wake::Coalescer;
use super::{enqueue, gates, prune};
use crate::queue::error::Error;
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

    /// Sets how many holders may have a place on the resource at once; `None` for any number.
    pub async fn limit(
        &self,
        connection: &mut PgConnection,
        resource: &str,
        max_holds: Option<i32>,
    ) -> Result<(), Error> {
        gates::limit(connection, resource, max_holds).await
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
