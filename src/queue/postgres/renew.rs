//! A process keeps the leases of all its jobs with one small write.

use crate::queue::error::Error;
use crate::queue::session::{SessionId, ThisProcess};
use sqlx::PgPool;
use sqlx::types::Json;

pub(super) async fn begin_session(db: &PgPool, process: &ThisProcess) -> Result<SessionId, Error> {
    let id = sqlx::query_scalar(
        "-- begin_session
        insert into engine.sessions (host, pid, version, started_at, seen_at, queues, kinds)
        select $1, $2, $3, clock.now, clock.now, $4, $5
        from (select engine.now() as now) as clock
        returning id",
    )
    .bind(&process.host)
    .bind(i32::try_from(process.pid).unwrap_or(i32::MAX))
    .bind(process.version)
    .bind(process.queues.as_ref().map(Json))
    .bind(process.kinds.as_ref().map(Json))
    .fetch_one(db)
    .await?;
    Ok(SessionId(id))
}

/// False when the session has been given up for lost.
pub(super) async fn renew(db: &PgPool, session: SessionId) -> Result<bool, Error> {
    let renewed = sqlx::query(
        "-- renew
        update engine.sessions set seen_at = (select engine.now())
        where id = $1 and ended_at is null",
    )
    .bind(session.0)
    .execute(db)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

pub(super) async fn end_session(db: &PgPool, session: SessionId) -> Result<(), Error> {
    sqlx::query(
        "-- end_session
        update engine.sessions set ended_at = (select engine.now()), end_reason = 'stopped'
        where id = $1 and ended_at is null",
    )
    .bind(session.0)
    .execute(db)
    .await?;
    Ok(())
}
