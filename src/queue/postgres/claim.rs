//! waiting → running: a process takes leases on jobs that are due and that no gate keeps back.

use super::gates;
use crate::queue::error::Error;
use crate::queue::gate::{Candidate, Decision};
use crate::queue::session::SessionId;
use crate::queue::store::{Claimed, Lease};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};
use std::time::Duration;

/// A claim looks at this many times its limit before it leaves the rest to the next claim: jobs that
/// meet a shut gate are passed over, but not without end.
const PASSES: usize = 8;

#[derive(FromRow)]
struct Due {
    id: i64,
    resources: Option<Vec<String>>,
    hold_as: Option<String>,
}

#[derive(FromRow)]
struct Taken {
    id: i64,
    fence: i32,
    kind: String,
    args: serde_json::Value,
    attempt: i16,
    max_attempts: i16,
    timeout_ms: i32,
    snoozes: i32,
    throttles: i16,
    denials: i16,
    interruptions: i16,
    created_at: DateTime<Utc>,
    waited_seconds: f64,
}

pub(super) async fn claim(
    db: &PgPool,
    session: SessionId,
    queue: &str,
    limit: usize,
) -> Result<Claimed, Error> {
    let mut transaction = db.begin().await?;
    let mut starting = Vec::new();
    let mut more = true;
    for _ in 0..PASSES {
        let wanted = limit - starting.len();
        let due = due(&mut transaction, queue, wanted).await?;
        more = due.len() == wanted;
        pass_gates(&mut transaction, due, &mut starting).await?;
        if !more || starting.len() == limit {
            break;
        }
    }
    let leases = take(&mut transaction, session, queue, &starting).await?;
    // A session that has been given up for lost gets nothing; its next renewal says so.
    more &= leases.len() == starting.len();
    let next_due_in = if more { None } else { next_due(&mut transaction, queue).await? };
    transaction.commit().await?;
    Ok(Claimed { leases, more, next_due_in })
}

/// Locks jobs that are due and not blocked, in order. Each priority is a range of its own in the
/// index, so that jobs that are not due yet are never read, however many there are.
async fn due(connection: &mut PgConnection, queue: &str, limit: usize) -> Result<Vec<Due>, Error> {
    let due = sqlx::query_as(
        "-- claim_due
        select job.id, job.resources, job.hold_as
        from (values (0::smallint), (1), (2), (3)) as rank (priority)
        cross join lateral (
            select id, resources, hold_as
            from engine.jobs
            where queue = $1
              and state = 'waiting'
              and blocked_by is null
              and priority = rank.priority
              and run_at <= (select engine.now())
            order by run_at, id
            limit $2
            -- Another process may be claiming the same rows: take the next ones instead.
            for update skip locked
        ) as job
        limit $2",
    )
    .bind(queue)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    Ok(due)
}

/// Adds the jobs that may start to `starting`, and moves the others out of the way.
async fn pass_gates(
    connection: &mut PgConnection,
    due: Vec<Due>,
    starting: &mut Vec<i64>,
) -> Result<(), Error> {
    let (plain, gated): (Vec<Due>, Vec<Due>) =
        due.into_iter().partition(|job| job.resources.is_none());
    starting.extend(plain.iter().map(|job| job.id));
    if gated.is_empty() {
        return Ok(());
    }
    let candidates: Vec<Candidate> = gated
        .into_iter()
        .map(|job| Candidate {
            job_id: job.id,
            resources: job.resources.unwrap_or_default(),
            hold_as: job.hold_as,
        })
        .collect();
    let mut gates = gates::lock(connection, &candidates).await?;
    let decided: Vec<_> = candidates.into_iter().map(|job| (gates.decide(&job), job)).collect();
    starting.extend(
        decided
            .iter()
            .filter(|(decision, _)| matches!(decision, Decision::Start { .. }))
            .map(|(_, job)| job.job_id),
    );
    gates::write(connection, &decided).await
}

async fn take(
    connection: &mut PgConnection,
    session: SessionId,
    queue: &str,
    job_ids: &[i64],
) -> Result<Vec<Lease>, Error> {
    if job_ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut taken: Vec<Taken> = sqlx::query_as(
        "-- claim_take
        update engine.jobs
        set state = 'running',
            attempt = attempt + 1,
            fence = fence + 1,
            session = $2,
            claimed_at = (select engine.now())
        where id = any($1)
          and exists (select 1 from engine.sessions where id = $2 and ended_at is null)
        returning
            id, fence, kind, args, attempt, max_attempts, timeout_ms, snoozes, throttles, denials,
            interruptions, created_at,
            extract(epoch from (select engine.now()) - run_at)::float8 as waited_seconds",
    )
    .bind(job_ids)
    .bind(session.0)
    .fetch_all(connection)
    .await?;
    let place: std::collections::HashMap<i64, usize> =
        job_ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    taken.sort_by_key(|job| place.get(&job.id).copied());
    Ok(taken.into_iter().map(|job| job.into_lease(queue)).collect())
}

impl Taken {
    fn into_lease(self, queue: &str) -> Lease {
        Lease {
            job_id: self.id,
            fence: self.fence,
            kind: self.kind,
            queue: queue.to_owned(),
            args: self.args,
            attempt: self.attempt,
            max_attempts: self.max_attempts,
            timeout: Duration::from_millis(u64::try_from(self.timeout_ms).unwrap_or(0)),
            snoozes: self.snoozes,
            throttles: self.throttles,
            denials: self.denials,
            interruptions: self.interruptions,
            created_at: self.created_at,
            waited: Duration::try_from_secs_f64(self.waited_seconds).unwrap_or_default(),
        }
    }
}

/// How long until the queue's next job that nothing blocks is due.
async fn next_due(connection: &mut PgConnection, queue: &str) -> Result<Option<Duration>, Error> {
    let seconds: Option<f64> = sqlx::query_scalar(
        "-- next_due
        select extract(epoch from min(job.run_at) - engine.now())::float8
        from (values (0::smallint), (1), (2), (3)) as rank (priority)
        cross join lateral (
            select run_at
            from engine.jobs
            where queue = $1
              and state = 'waiting'
              and blocked_by is null
              and priority = rank.priority
            order by run_at
            limit 1
        ) as job",
    )
    .bind(queue)
    .fetch_one(connection)
    .await?;
    Ok(seconds.map(|s| Duration::try_from_secs_f64(s).unwrap_or(Duration::ZERO)))
}

/// Puts back the session's jobs of a queue that are not among the known ones.
pub(super) async fn give_back(
    db: &PgPool,
    session: SessionId,
    queue: &str,
    known: &[i64],
) -> Result<u64, Error> {
    let given = sqlx::query(
        "-- give_back
        update engine.jobs
        set state = 'waiting', session = null, attempt = attempt - 1
        where session = $1
          and state = 'running'
          and queue = $2
          and id <> all($3)",
    )
    .bind(session.0)
    .bind(queue)
    .bind(known)
    .execute(db)
    .await?;
    Ok(given.rows_affected())
}

/// Which of these queues have a job that is due and not blocked.
pub(super) async fn due_queues(db: &PgPool, queues: &[String]) -> Result<Vec<String>, Error> {
    let due = sqlx::query_scalar(
        "-- due_queues
        select name
        from unnest($1::text[]) as name
        where exists (
            select from (values (0::smallint), (1), (2), (3)) as rank (priority)
            cross join lateral (
                select from engine.jobs
                where queue = name
                  and state = 'waiting'
                  and blocked_by is null
                  and priority = rank.priority
                  and run_at <= (select engine.now())
                limit 1
            ) as job
        )",
    )
    .bind(queues)
    .fetch_all(db)
    .await?;
    Ok(due)
}
