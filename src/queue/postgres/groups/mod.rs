//! Groups on Postgres: the one row of a group is one lock, and whoever writes its members or counters
//! holds it.
//!
//! The order of locks, for all who end jobs: the jobs, then the resources in order of name, then the
//! groups in order of id. A group is locked together with the groups that its follow-up belongs to, so
//! that nobody who decides an inner group takes the lock on an outer one out of turn. Handlers who end
//! members of several groups in a transaction of their own do so in one call, or in order of id.

mod decide;
mod make;
mod members;
mod reopen;

pub(super) use decide::{end_overdue, seal};
pub(super) use make::{find, forget, make, read};
pub(super) use members::{add, end};
pub(super) use reopen::reopen;

use super::enqueue;
use crate::queue::error::Error;
use crate::queue::job::NewJob;
use crate::queue::state::State;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet};

/// The columns of a job that tell which member it is, or works for.
#[derive(Debug, Clone, Default, FromRow)]
pub(super) struct Membership {
    #[sqlx(default)]
    group_id: Option<i64>,
    #[sqlx(default)]
    member: Option<String>,
}

/// Enqueues what follows jobs that have ended, each with the job it follows, and tells the groups how
/// these jobs ended. Gives the queues that got new jobs.
///
/// Every verb that ends jobs calls this, last in its transaction: when the jobs have left
/// `engine.jobs`, and their gates have heard of it.
pub(super) async fn follow(
    connection: &mut PgConnection,
    ended: impl IntoIterator<Item = (i64, Membership, State)>,
    next: &[(i64, &[NewJob])],
) -> Result<BTreeSet<String>, Error> {
    let ends: Vec<(i64, String, State)> = ended
        .into_iter()
        .filter_map(|(job_id, Membership { group_id, member }, state)| {
            Some((group_id?, member.unwrap_or_else(|| members::of_job(job_id)), state))
        })
        .collect();
    let jobs = || next.iter().flat_map(|(_, jobs)| *jobs);
    let mut woken: BTreeSet<String> = jobs().map(|job| job.queue.clone()).collect();
    let joined = jobs().filter_map(|job| job.group);
    lock(connection, &ends.iter().map(|(group, _, _)| *group).chain(joined).collect()).await?;
    // First, so that a job that goes on in the name of a member keeps it open.
    for (parent, jobs) in next {
        enqueue::enqueue(connection, jobs, Some(*parent), |_| true).await?;
    }
    woken.extend(members::jobs_ended(connection, ends).await?);
    Ok(woken)
}

/// Enters jobs that were just inserted among the members of their groups.
pub(super) async fn joined(
    connection: &mut PgConnection,
    jobs: &[(i64, &NewJob)],
) -> Result<(), Error> {
    let mut names: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (job_id, job) in jobs {
        let Some(group) = job.group else { continue };
        let name = job.member.clone().unwrap_or_else(|| members::of_job(*job_id));
        names.entry(group).or_default().push(name);
    }
    lock(connection, &names.keys().copied().collect()).await?;
    for (group, names) in names {
        members::insert(connection, group, &names).await?;
    }
    Ok(())
}

/// Locks groups, and those that what follows them belongs to, and theirs.
async fn lock(connection: &mut PgConnection, groups: &BTreeSet<i64>) -> Result<(), Error> {
    if groups.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "-- group_lock
        with recursive reached (id) as (
            select unnest($1::bigint[])
            union
            select unnest(feeds) from reached join engine.groups using (id)
        )
        select from engine.groups
        where id = any(array(select id from reached))
        order by id
        for no key update",
    )
    .bind(groups.iter().copied().collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
