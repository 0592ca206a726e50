//! Limits as they are set: how many may run, and how many already do.

use crate::queue::error::Error;
use sqlx::PgConnection;

/// Locks what runs now and uses the resource, before the resource itself: that is the order in which
/// everybody locks.
pub(super) async fn lock_running(connection: &mut PgConnection, name: &str) -> Result<(), Error> {
    sqlx::query(
        "-- limit_lock
        select from engine.jobs
        where state = 'running' and engine.uses_resource(jobs, $1)
        order by id
        for update",
    )
    .bind(name)
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts what runs now against the limit, also what began without it. The caller holds those jobs
/// and the resource's lock.
pub(super) async fn count_running(connection: &mut PgConnection, name: &str) -> Result<i32, Error> {
    sqlx::query(
        "-- limit_running
        update engine.jobs
        set slots = array_append(slots, $1), gated = true
        where state = 'running'
          and engine.uses_resource(jobs, $1)
          and $1 <> all(coalesce(slots, '{}'))",
    )
    .bind(name)
    .execute(&mut *connection)
    .await?;
    let running: i64 = sqlx::query_scalar(
        "-- limit_count
        select count(*) from engine.jobs where state = 'running' and slots @> array[$1]",
    )
    .bind(name)
    .fetch_one(connection)
    .await?;
    Ok(i32::try_from(running).unwrap_or(i32::MAX))
}

/// Writes the limits of a resource whose lock the caller holds; `None` for none.
pub(super) async fn write(
    connection: &mut PgConnection,
    name: &str,
    max_holds: Option<i32>,
    max_running: Option<i32>,
) -> Result<(), Error> {
    sqlx::query(
        "-- limit_resource
        update engine.resources set max_holds = $2, max_running = $3 where name = $1",
    )
    .bind(name)
    .bind(max_holds)
    .bind(max_running)
    .execute(connection)
    .await?;
    Ok(())
}
