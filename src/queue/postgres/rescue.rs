//! running → waiting, when the process that ran the job is dead; or cancelled, if somebody had asked for
//! that; or discarded, if it was not the first process to die under it.

use super::{attempts, gates, groups};
use crate::queue::error::Error;
use crate::queue::job::NewJob;
use crate::queue::retry::MAX_RESCUES;
use crate::queue::state::State;
use crate::queue::store::Rescued;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Gives up the sessions that have not renewed for `patience`, and takes back their jobs.
pub async fn rescue(db: &PgPool, patience: Duration) -> Result<Rescued, Error> {
    let patience_ms = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
    if !is_needed(db, patience_ms).await? {
        return Ok(Rescued::default());
    }
    let mut transaction = crate::transaction::begin(db).await?;
    // Renewals wait for this one, which therefore waits for nobody long.
    sqlx::query("-- rescue_patience\nset local lock_timeout = '1s'")
        .execute(&mut *transaction)
        .await?;
    let lost_sessions = give_up(&mut transaction, patience_ms).await?;
    let jobs = lock(&mut transaction).await?;
    attempts::log_lost(&mut transaction, &jobs).await?;
    let cancelled = cancel(&mut transaction, &jobs).await?;
    let requeued = requeue(&mut transaction, &jobs).await?;
    let poisoned = discard_poison(&mut transaction, &jobs).await?;
    let gated = cancelled.iter().chain(&requeued).chain(&poisoned).filter(|job| job.gated);
    let gated: Vec<_> = gated.map(|job| (&job.attempt, None)).collect();
    gates::settle(&mut transaction, &gated, &BTreeMap::new(), &BTreeSet::new()).await?;
    follow(&mut transaction, &cancelled, &poisoned).await?;
    transaction.commit().await?;
    let count = |jobs: &[Taken]| u64::try_from(jobs.len()).unwrap_or(u64::MAX);
    Ok(Rescued {
        lost_sessions,
        requeued: count(&requeued),
        poisoned: count(&poisoned),
        cancelled: count(&cancelled),
    })
}

/// A job taken from a dead process.
#[derive(FromRow)]
struct Taken {
    #[sqlx(flatten)]
    attempt: gates::Ended,
    gated: bool,
    #[sqlx(default)]
    if_discarded: Option<Json<NewJob>>,
    #[sqlx(flatten)]
    membership: groups::Membership,
}

/// Everybody asks every few seconds, and hardly ever is there anything to do.
async fn is_needed(db: &PgPool, patience_ms: i64) -> Result<bool, Error> {
    let needed = sqlx::query_scalar(
        // From one session that has running jobs to the next, not from job to job.
        "-- rescue_needed
        with recursive at_work as (
            select min(session) as id from engine.jobs where state = 'running'
            union all
            select (
                select min(session) from engine.jobs
                where state = 'running' and session > at_work.id
            )
            from at_work
            where at_work.id is not null
        )
        select
            exists (
                select from engine.sessions
                where ended_at is null
                  and seen_at < (select engine.now()) - $1 * interval '1 millisecond'
            )
            or exists (
                select from at_work
                join engine.sessions as session on session.id = at_work.id
                where session.ended_at is not null
            )",
    )
    .bind(patience_ms)
    .fetch_one(db)
    .await?;
    Ok(needed)
}

/// Ends the sessions that have not renewed for so long.
async fn give_up(connection: &mut PgConnection, patience_ms: i64) -> Result<u64, Error> {
    let lost = sqlx::query(
        "-- rescue_sessions
        update engine.sessions set ended_at = (select engine.now()), end_reason = 'lost'
        where ended_at is null
          and seen_at < (select engine.now()) - $1 * interval '1 millisecond'",
    )
    .bind(patience_ms)
    .execute(connection)
    .await?;
    Ok(lost.rows_affected())
}

/// Locks the jobs of the dead, in the order in which everybody locks several. One that somebody else
/// has is left for the next time.
async fn lock(connection: &mut PgConnection) -> Result<Vec<i64>, Error> {
    let jobs = sqlx::query_scalar(
        "-- rescue_lock
        select job.id from engine.jobs as job
        join engine.sessions as session on session.id = job.session
        where job.state = 'running' and session.ended_at is not null
        order by job.id
        for update of job skip locked",
    )
    .fetch_all(connection)
    .await?;
    Ok(jobs)
}

/// A job that was to be cancelled anyhow does not run again.
async fn cancel(connection: &mut PgConnection, jobs: &[i64]) -> Result<Vec<Taken>, Error> {
    let cancelled = sqlx::query_as(
        "-- rescue_cancelled
        with asked as (
            select array_agg(id) as ids
            from engine.jobs
            where id = any($1) and cancel_asked_at is not null
        )
        select id, fence, queue, kind, uses, slots, claimed_at, gated, group_id, member
        from asked, engine.finish(asked.ids, 'cancelled', null, 1)
        where asked.ids is not null",
    )
    .bind(jobs)
    .fetch_all(connection)
    .await?;
    Ok(cancelled)
}

/// Any running job whose session has ended is nobody's, whatever the reason. The first time it is
/// due at once; after that at a random moment, so that a job which kills its process is more and
/// more often alone with it, and its innocent neighbours are not counted out together with it.
async fn requeue(connection: &mut PgConnection, jobs: &[i64]) -> Result<Vec<Taken>, Error> {
    let requeued = sqlx::query_as(
        "-- rescue_jobs
        with requeued as (
            update engine.jobs as job
            set state = 'waiting',
                session = null,
                attempt = job.attempt - 1,
                rescues = job.rescues + 1,
                due = job.rescues = 0,
                run_at = (select engine.now())
                    + job.rescues * random() * interval '10 seconds',
                last_error = 'the process that ran it died: ' || session.host || ', pid '
                    || session.pid
            from engine.sessions as session
            where job.session = session.id
              and job.id = any($2)
              and job.rescues + 1 < $1
            returning
                job.id, job.fence, job.queue, job.kind, job.uses, job.slots, job.claimed_at,
                job.gated
        ),
        notified as (select pg_notify('engine_wake', queue) from requeued group by queue)
        select requeued.*, (select count(*) from notified) as notified from requeued",
    )
    .bind(MAX_RESCUES)
    .bind(jobs)
    .fetch_all(connection)
    .await?;
    Ok(requeued)
}

async fn discard_poison(connection: &mut PgConnection, jobs: &[i64]) -> Result<Vec<Taken>, Error> {
    let poisoned = sqlx::query_as(
        "-- rescue_poison
        with poison as (
            select
                array_agg(job.id) as ids,
                array_agg(
                    'poison: its process died ' || (job.rescues + 1)
                        || ' times while it ran, last on ' || session.host
                ) as said
            from engine.jobs as job
            join engine.sessions as session on session.id = job.session
            where job.id = any($2)
              and job.rescues + 1 >= $1
        )
        select
            id, fence, queue, kind, uses, slots, claimed_at, gated, if_discarded, group_id, member
        from poison, engine.finish(poison.ids, 'discarded', poison.said, 1)
        where poison.ids is not null",
    )
    .bind(MAX_RESCUES)
    .bind(jobs)
    .fetch_all(connection)
    .await?;
    Ok(poisoned)
}

/// Enqueues what was asked for should these jobs be discarded, and tells the groups of both.
async fn follow(
    connection: &mut PgConnection,
    cancelled: &[Taken],
    poisoned: &[Taken],
) -> Result<(), Error> {
    let next: Vec<(i64, &[NewJob])> = poisoned
        .iter()
        .filter_map(|job| {
            let Json(next) = job.if_discarded.as_ref()?;
            Some((job.attempt.job_id(), std::slice::from_ref(next)))
        })
        .collect();
    let ended_as =
        |state| move |job: &'_ Taken| (job.attempt.job_id(), job.membership.clone(), state);
    let ended: Vec<_> = cancelled
        .iter()
        .map(ended_as(State::Cancelled))
        .chain(poisoned.iter().map(ended_as(State::Discarded)))
        .collect();
    groups::follow(connection, ended, &next).await?;
    Ok(())
}
