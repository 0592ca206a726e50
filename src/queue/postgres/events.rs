//! What was asked of jobs is written down: by whom, and why.

use crate::queue::error::Error;
use crate::queue::steer::Because;
use sqlx::PgConnection;

/// One event for each of these jobs.
pub(super) async fn of_jobs(
    connection: &mut PgConnection,
    ids: &[i64],
    what: &str,
    because: &Because<'_>,
) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "-- note_jobs
        insert into engine.events (at, resource, what, by, why, jobs)
        select engine.now(), 'job:' || id, $2, $3, $4, 1 from unnest($1::bigint[]) as id",
    )
    .bind(ids)
    .bind(what)
    .bind(because.by)
    .bind(because.why)
    .execute(connection)
    .await?;
    Ok(())
}

/// One event for all jobs of a choice; none for nothing.
pub(super) async fn of_choice(
    connection: &mut PgConnection,
    choice: &str,
    what: &str,
    jobs: usize,
    because: &Because<'_>,
) -> Result<(), Error> {
    if jobs == 0 {
        return Ok(());
    }
    sqlx::query(
        "-- note_choice
        insert into engine.events (at, resource, what, by, why, jobs)
        values (engine.now(), $1, $2, $3, $4, $5)",
    )
    .bind(choice)
    .bind(what)
    .bind(because.by)
    .bind(because.why)
    .bind(i64::try_from(jobs).unwrap_or(i64::MAX))
    .execute(connection)
    .await?;
    Ok(())
}
