//! A group is decided, and what follows is enqueued: in the transaction of whatever decided it, under
//! the lock on its row, and so exactly once.

use super::lock;
use super::make::Row;
use crate::queue::error::Error;
use crate::queue::group::{Decision, Fires, Progress};
use crate::queue::job::NewJob;
use crate::queue::postgres::{enqueue, gates};
use sqlx::PgConnection;
use sqlx::types::Json;
use std::collections::BTreeSet;

/// All its members are known: from now on its rule decides. False when there is no such group.
pub(in crate::queue::postgres) async fn seal(
    connection: &mut PgConnection,
    group: i64,
) -> Result<bool, Error> {
    lock(connection, &BTreeSet::from([group])).await?;
    let sealed: Option<Row> = sqlx::query_as(
        "-- group_seal
        update engine.groups set sealed_at = coalesce(sealed_at, (select engine.now()))
        where id = $1
        returning *",
    )
    .bind(group)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(sealed) = sealed else { return Ok(false) };
    decide(connection, [sealed.into()], false).await?;
    Ok(true)
}

/// Fails the groups whose deadline has passed. Whoever comes second finds them decided. How many.
pub(in crate::queue::postgres) async fn end_overdue(
    connection: &mut PgConnection,
) -> Result<u64, Error> {
    let overdue: Vec<i64> = sqlx::query_scalar(
        "-- group_overdue
        select id from engine.groups
        where state = 'open' and deadline <= (select engine.now())
        order by deadline
        limit 1000",
    )
    .fetch_all(&mut *connection)
    .await?;
    if overdue.is_empty() {
        return Ok(0);
    }
    lock(connection, &overdue.iter().copied().collect()).await?;
    // A statement of its own, so that it sees what was committed while the locks were waited for.
    let still: Vec<Row> = sqlx::query_as(
        "-- group_still_overdue
        select * from engine.groups
        where id = any($1) and state = 'open' and deadline <= (select engine.now())
        order by id",
    )
    .bind(overdue)
    .fetch_all(&mut *connection)
    .await?;
    let count = still.len();
    decide(connection, still.into_iter().map(Progress::from), true).await?;
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Decides the groups that are ripe for it. They are locked, and so are those that what follows belongs
/// to. `overdue` says that their deadlines have passed. Gives the queues that got new jobs.
pub(super) async fn decide(
    connection: &mut PgConnection,
    groups: impl IntoIterator<Item = Progress>,
    overdue: bool,
) -> Result<BTreeSet<String>, Error> {
    let mut woken = BTreeSet::new();
    for group in groups {
        let Some(decision) = group.decide(overdue) else { continue };
        let jobs = write(connection, &group, &decision).await?;
        let (name, what) = (format!("group:{}", group.name), decision.what);
        tracing::debug!(group = group.name, what, why = decision.why, "a group was decided");
        gates::note(connection, &name, what, "engine", &decision.why).await?;
        woken.extend(jobs.iter().map(|job| job.queue.clone()));
        enqueue::enqueue(connection, &jobs, None, |_| true).await?;
    }
    Ok(woken)
}

/// Gives the jobs that follow. A group that is only superseded stays as it was decided.
async fn write(
    connection: &mut PgConnection,
    group: &Progress,
    decision: &Decision,
) -> Result<Vec<NewJob>, Error> {
    if decision.fires == Fires::Nothing {
        sqlx::query(
            "-- group_supersede
            update engine.groups set superseded = true where id = $1",
        )
        .bind(group.id)
        .execute(connection)
        .await?;
        return Ok(Vec::new());
    }
    let Json(jobs) = sqlx::query_scalar(
        "-- group_decide
        update engine.groups
        set state = $2, why = $3, decided_at = (select engine.now()), fired = fired + $4::int,
            seen_done = done, superseded = false
        where id = $1
        returning case when $4 then follow_up else if_failed end",
    )
    .bind(group.id)
    .bind(decision.state)
    .bind(&decision.why)
    .bind(decision.fires == Fires::FollowUp)
    .fetch_one(connection)
    .await?;
    Ok(jobs)
}
