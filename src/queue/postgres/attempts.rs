//! The log of attempts that did not simply go well.

use crate::queue::error::Error;
use crate::queue::store::{Ack, Failed};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};

/// Writes down the failed ones of a batch, before their jobs forget who ran them. One whose fence is
/// stale has no row of its own: the rescue that made it stale has written one.
pub(super) async fn log(connection: &mut PgConnection, acks: &[Ack]) -> Result<(), Error> {
    let mut failed: Vec<(&Ack, &Failed)> =
        acks.iter().filter_map(|ack| Some((ack, ack.failed.as_ref()?))).collect();
    if failed.is_empty() {
        return Ok(());
    }
    // Whoever locks several jobs does so in the order of their ids.
    failed.sort_unstable_by_key(|(ack, _)| ack.job_id);
    let causes: Vec<_> =
        failed.iter().map(|(_, failed)| serde_json::json!(failed.causes)).collect();
    sqlx::query(
        "-- log_attempts
        insert into engine.attempts (
            job_id, began_at, ended_at, session, fence, attempt, queue, kind, outcome, causes
        )
        select
            job.id, coalesce(job.claimed_at, clock.now), clock.now, job.session, job.fence,
            job.attempt, job.queue, job.kind, acked.outcome,
            array(select jsonb_array_elements_text(acked.causes))
        from unnest($1::bigint[], $2::int[], $3::text[], $4::jsonb[])
            as acked (id, fence, outcome, causes)
        cross join lateral (
            select id, claimed_at, session, fence, attempt, queue, kind from engine.jobs
            where id = acked.id and fence = acked.fence and session is not null
            for update
        ) as job
        cross join (select engine.now() as now) as clock",
    )
    .bind(failed.iter().map(|(ack, _)| ack.job_id).collect::<Vec<_>>())
    .bind(failed.iter().map(|(ack, _)| ack.fence).collect::<Vec<_>>())
    .bind(failed.iter().map(|(_, failed)| failed.outcome).collect::<Vec<_>>())
    .bind(causes)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes down the attempts that processes left behind when they died. The caller has locked the jobs.
pub(super) async fn log_lost(connection: &mut PgConnection, jobs: &[i64]) -> Result<(), Error> {
    sqlx::query(
        "-- log_lost_attempts
        insert into engine.attempts (
            job_id, began_at, ended_at, session, fence, attempt, queue, kind, outcome, causes
        )
        select
            job.id, coalesce(job.claimed_at, clock.now), clock.now, job.session, job.fence,
            job.attempt, job.queue, job.kind, 'rescued',
            array['the process that ran it died: ' || session.host || ', pid ' || session.pid]
        from engine.jobs as job
        join engine.sessions as session on session.id = job.session
        cross join (select engine.now() as now) as clock
        where job.id = any($1)",
    )
    .bind(jobs)
    .execute(connection)
    .await?;
    Ok(())
}

/// An attempt that did not simply go well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct AttemptRow {
    /// Of all claims of the job, the number of this one.
    pub fence: i32,
    /// Attempts spent then, this one included.
    pub attempt: i16,
    /// The kind.
    pub kind: String,
    /// The queue.
    pub queue: String,
    /// The class of its failure; `rescued` when its process died under it; `snoozed` when that was one
    /// snooze too many.
    pub outcome: String,
    /// What went wrong and why, the outermost first.
    pub causes: Vec<String>,
    /// When it was claimed.
    pub began_at: DateTime<Utc>,
    /// When how it went was written down.
    pub ended_at: DateTime<Utc>,
    /// The process start that made it.
    pub session: i64,
    /// The machine it ran on.
    pub host: Option<String>,
    /// The process there.
    pub pid: Option<i32>,
    /// The build.
    pub version: Option<String>,
}

/// The attempts at a job that did not simply go well, the first one first.
pub async fn attempts(
    connection: &mut PgConnection,
    job_id: i64,
) -> Result<Vec<AttemptRow>, sqlx::Error> {
    sqlx::query_as(
        "-- list_attempts
        select
            made.fence, made.attempt, made.kind, made.queue, made.outcome, made.causes,
            made.began_at, made.ended_at, made.session, by.host, by.pid, by.version
        from engine.attempts as made
        left join engine.sessions as by on by.id = made.session
        where made.job_id = $1
        order by made.fence",
    )
    .bind(job_id)
    .fetch_all(connection)
    .await
}
