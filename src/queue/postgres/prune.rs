//! The history's partitions come and go; old sessions and groups are forgotten.

use super::groups;
use crate::queue::error::Error;
use sqlx::PgConnection;
use std::time::Duration;

/// Partitions are made this many days ahead.
const DAYS_AHEAD: i32 = 7;

/// What was made and dropped.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// New partitions of the history and of the log of attempts.
    pub made: i32,
    /// Partitions dropped, because all in them is older than the retention.
    pub dropped: i32,
    /// Ended sessions forgotten.
    pub sessions: u64,
    /// Groups that were decided, forgotten with their members.
    pub groups: u64,
}

pub(super) async fn prune(
    connection: &mut PgConnection,
    retention: Duration,
) -> Result<Pruned, Error> {
    let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let made = sqlx::query_scalar(
        "-- make_partitions
        select engine.make_history_partitions($1) + engine.make_attempts_partitions($1)",
    )
    .bind(DAYS_AHEAD)
    .fetch_one(&mut *connection)
    .await?;
    let dropped = sqlx::query_scalar(
        "-- drop_partitions
        select engine.drop_history_partitions(patience) + engine.drop_attempts_partitions(patience)
        from (select $1 * interval '1 millisecond' as patience) as retention",
    )
    .bind(retention_ms)
    .fetch_one(&mut *connection)
    .await?;
    let sessions = sqlx::query(
        "-- forget_sessions
        delete from engine.sessions
        -- A day of the log is dropped when all of it is old enough: until then it names sessions.
        where ended_at < (select engine.now()) - $1 * interval '1 millisecond' - interval '1 day'
          and not exists (select from engine.jobs where session = sessions.id and state = 'running')",
    )
    .bind(retention_ms)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let groups = groups::forget(connection, retention).await?;
    Ok(Pruned { made, dropped, sessions, groups })
}
