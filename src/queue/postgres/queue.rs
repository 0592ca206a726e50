//! What code outside the engine asks of the queue, always inside the caller's own transaction.

use super::wake::Coalescer;
use super::{enqueue, gates, groups, prune};
use crate::queue::error::Error;
use crate::queue::gate::{Rule, breaker};
use crate::queue::group::{Made, NewGroup, Progress};
use crate::queue::job::{Enqueued, NewJob, unique_key};
use crate::queue::state::State;
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

    /// Gives those of these resources a breaker with this rule that have none; what somebody has set
    /// stays. How many got one.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the rule makes no sense.
    pub async fn give_breaker(
        &self,
        connection: &mut PgConnection,
        resources: &[String],
        rule: &breaker::Rule,
    ) -> Result<usize, Error> {
        gates::give_breaker(connection, resources, rule).await
    }

    /// Gives those of these resources so many places that have no limit of them; what somebody has set
    /// stays. How many got one.
    pub async fn give_holds(
        &self,
        connection: &mut PgConnection,
        resources: &[String],
        max: i32,
    ) -> Result<usize, Error> {
        gates::give_holds(connection, resources, max).await
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

    /// Makes a group, unless there is one of its name. It has no members yet, and decides nothing
    /// before it is sealed.
    pub async fn make_group(
        &self,
        connection: &mut PgConnection,
        group: &NewGroup,
    ) -> Result<Made, Error> {
        groups::make(connection, group).await
    }

    /// Adds members that are names, by the thousand if need be, in one statement. Those that are there
    /// already stay as they are. How many were new: none when there is no such group.
    pub async fn add_members(
        &self,
        connection: &mut PgConnection,
        group: i64,
        names: &[String],
    ) -> Result<u64, Error> {
        groups::add(connection, group, names).await
    }

    /// All members of the group are known, besides those that its members may add: from now on its rule
    /// decides, and perhaps at once. False when there is no such group.
    pub async fn seal(&self, connection: &mut PgConnection, group: i64) -> Result<bool, Error> {
        groups::seal(connection, group).await
    }

    /// Ends a member in this final state. False when nothing changed: it is in that state already, or
    /// it is done, which is for ever, or there is no such member.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the state is not a final one.
    pub async fn end_member(
        &self,
        connection: &mut PgConnection,
        group: i64,
        member: &str,
        state: State,
    ) -> Result<bool, Error> {
        let ended = self.end_members(connection, group, &[(member.to_owned(), state)]).await?;
        Ok(ended > 0)
    }

    /// Ends many members at once. How many changed.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a state is not a final one.
    pub async fn end_members(
        &self,
        connection: &mut PgConnection,
        group: i64,
        members: &[(String, State)],
    ) -> Result<u64, Error> {
        groups::end(connection, group, members).await
    }

    /// Takes members up again that have ended, however they did. A group that reopens is undecided again
    /// if its rule does not hold without them, and what follows comes once more when it does; it does not
    /// once its deadline has passed. How many changed.
    pub async fn reopen_members(
        &self,
        connection: &mut PgConnection,
        group: i64,
        names: &[String],
    ) -> Result<u64, Error> {
        groups::reopen(connection, group, names).await
    }

    /// How far a group is, in one query that costs the same however many members it has.
    pub async fn group(
        &self,
        connection: &mut PgConnection,
        group: i64,
    ) -> Result<Option<Progress>, Error> {
        groups::read(connection, group).await
    }

    /// How far the group of this name is.
    pub async fn find_group(
        &self,
        connection: &mut PgConnection,
        name: &str,
    ) -> Result<Option<Progress>, Error> {
        groups::find(connection, name).await
    }

    /// Fails the groups whose deadline has passed: some of them, if there are many. How many.
    pub async fn end_overdue_groups(&self, connection: &mut PgConnection) -> Result<u64, Error> {
        groups::end_overdue(connection).await
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
