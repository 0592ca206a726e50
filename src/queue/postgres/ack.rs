//! running → done, discarded, cancelled, or waiting again: how attempts went, and what they ask for
//! next, in one transaction. An attempt whose fence is not the job's current one changes nothing.
//!
//! A job that somebody asked to cancel while it ran does not wait again: it ends as cancelled. One that
//! finished in spite of it has finished.
//!
//! Here a running job is one that has a session, which a check of the table makes the same thing:
//! `state = 'running'` would tempt the planner to read the index of running jobs from end to end.

use super::gates::Quiet;
use super::{attempts, gates, groups, notes};
use crate::queue::error::Error;
use crate::queue::gate::trips::Cause;
use crate::queue::job::NewJob;
use crate::queue::notes::Progress;
use crate::queue::outcome::{Committed, Outcome};
use crate::queue::retry;
use crate::queue::state::State;
use crate::queue::store::{Ack, Acked, Evidence, Failed, Lease, Spends, Step};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Writes down a batch. A batch that Postgres refuses is written down one by one, so that one ack
/// that cannot be stored delays no other; that one's job is discarded with the reason.
pub(super) async fn ack(db: &PgPool, acks: &[Ack]) -> Result<Acked, Error> {
    match ack_together(db, acks).await {
        Err(error) if is_refused(&error) => ack_one_by_one(db, acks).await,
        other => other,
    }
}

/// Whether the server has read the statement and will not do it, however often it is asked.
fn is_refused(error: &Error) -> bool {
    let Error::Database(sqlx::Error::Database(error)) = error else { return false };
    // 22: data exception, 23: integrity constraint violation, 54: program limit exceeded.
    error.code().is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

async fn ack_together(db: &PgPool, acks: &[Ack]) -> Result<Acked, Error> {
    let mut transaction = crate::transaction::begin(db).await?;
    let acked = write(&mut transaction, acks).await?;
    transaction.commit().await?;
    Ok(acked)
}

async fn ack_one_by_one(db: &PgPool, acks: &[Ack]) -> Result<Acked, Error> {
    let mut all = Acked::default();
    for ack in acks {
        let acked = match ack_together(db, std::slice::from_ref(ack)).await {
            Err(error) if is_refused(&error) => {
                let said = format!("what it asked for next cannot be stored: {error}");
                let failed = Failed { outcome: "permanent", causes: vec![said.clone()] };
                let discard = Ack {
                    job_id: ack.job_id,
                    fence: ack.fence,
                    claimed_at: ack.claimed_at,
                    step: Step::Finish(State::Discarded),
                    error: Some(said),
                    evidence: Evidence::Failed(Cause::Permanent),
                    leave_alone: None,
                    follow_ups: Vec::new(),
                    failed: Some(failed),
                    progress: None,
                };
                ack_together(db, &[discard]).await?
            }
            other => other?,
        };
        all.stale.extend(acked.stale);
        all.woken.extend(acked.woken);
        all.cancelled.extend(acked.cancelled);
    }
    Ok(all)
}

/// Ends the lease's job inside the caller's transaction.
pub(in crate::queue) async fn complete_in(
    connection: &mut PgConnection,
    lease: &Lease,
    outcome: Outcome,
    progress: Option<Progress>,
) -> Result<Outcome, Error> {
    if let Some(mut ack) = retry::verdict(lease, Ok(outcome)) {
        ack.progress = progress;
        let acked = write(connection, std::slice::from_ref(&ack)).await?;
        if !acked.stale.is_empty() {
            return Err(Error::LeaseLost { job_id: lease.job_id });
        }
    }
    Ok(Outcome::Committed(Committed(())))
}

async fn write(connection: &mut PgConnection, acks: &[Ack]) -> Result<Acked, Error> {
    // Whoever locks several jobs does so in the order of their ids.
    let mut sorted: Vec<&Ack> = acks.iter().collect();
    sorted.sort_unstable_by_key(|ack| ack.job_id);
    lock(connection, &sorted).await?;
    let (finishes, waits): (Vec<&Ack>, Vec<&Ack>) =
        sorted.into_iter().partition(|ack| matches!(ack.step, Step::Finish(_)));
    attempts::log(connection, acks).await?;
    notes::last_progress(connection, acks).await?;
    let mut ended = finish(connection, &finishes).await?;
    let waiting = wait(connection, &waits).await?;
    let mut woken: BTreeSet<String> = waiting.iter().map(|job| job.attempt.queue()).collect();
    let cancelled = cancel(connection, &waits, &waiting).await?;
    let ids_of_cancelled = cancelled.iter().map(|job| job.attempt.job_id()).collect();
    ended.extend(waiting.into_iter().chain(cancelled));
    let written: HashSet<(i64, i32)> = ended.iter().map(|job| job.attempt.key()).collect();
    let blocked: Vec<&Ack> =
        waits.iter().filter(|ack| credential(ack).is_some()).copied().collect();
    tell_gates(connection, acks, &ended, &blocked).await?;
    unblock(connection, &blocked).await?;

    let discarded = ended.iter().filter_map(|job| {
        let Json(next) = job.if_discarded.as_ref()?;
        Some((job.attempt.job_id(), std::slice::from_ref(next)))
    });
    let follow_ups = acks
        .iter()
        .filter(|ack| written.contains(&ack.key()) && !ack.follow_ups.is_empty())
        .map(|ack| (ack.job_id, ack.follow_ups.as_slice()));
    let next: Vec<(i64, &[NewJob])> = discarded.chain(follow_ups).collect();
    let finished = ended
        .iter()
        .filter_map(|job| Some((job.attempt.job_id(), job.membership.clone(), job.state?)));
    woken.extend(groups::follow(connection, finished, &next).await?);
    let stale = acks.iter().map(Ack::key).filter(|key| !written.contains(key)).collect();
    Ok(Acked { stale, woken: woken.into_iter().collect(), cancelled: ids_of_cancelled })
}

/// Locks the jobs in order, when not one statement alone is going to, which does so by itself.
async fn lock(connection: &mut PgConnection, acks: &[&Ack]) -> Result<(), Error> {
    let Some((first, others)) = acks.split_first() else { return Ok(()) };
    let alike = |ack: &&Ack| matches!(ack.step, Step::Finish(_)) && ack.step == first.step;
    if others.iter().all(alike) && acks.iter().all(|ack| ack.progress.is_none()) {
        return Ok(());
    }
    sqlx::query(
        "-- ack_lock
        select from engine.jobs where id = any($1) order by id for update",
    )
    .bind(acks.iter().map(|ack| ack.job_id).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// The gates that the attempts passed hear how it went; a resource that asked for quiet gets it,
/// even from an attempt whose fence is stale: it was told so all the same.
async fn tell_gates(
    connection: &mut PgConnection,
    acks: &[Ack],
    ended: &[Ended],
    blocked: &[&Ack],
) -> Result<(), Error> {
    let by_key: HashMap<(i64, i32), &Ack> = acks.iter().map(|ack| (ack.key(), ack)).collect();
    let gated: Vec<_> = ended
        .iter()
        .filter(|job| job.gated)
        .map(|job| (&job.attempt, by_key.get(&job.attempt.key()).map(|ack| ack.observation())))
        .collect();
    let mut quiet: BTreeMap<&str, Quiet<'_>> = BTreeMap::new();
    for ack in acks {
        let Some((resource, pause)) = &ack.leave_alone else { continue };
        let wish = Quiet { pause: *pause, reason: ack.error.as_deref(), began_at: ack.claimed_at };
        quiet.entry(resource).and_modify(|other| other.join(&wish)).or_insert(wish);
    }
    let credentials: BTreeSet<&str> = blocked.iter().filter_map(|ack| credential(ack)).collect();
    gates::settle(connection, &gated, &quiet, &credentials).await
}

/// The resource that the job is to wait for.
fn credential(ack: &Ack) -> Option<&str> {
    match &ack.step {
        Step::Wait { blocked_by, .. } => blocked_by.as_deref(),
        Step::Finish(_) => None,
    }
}

/// An attempt whose fence was right.
#[derive(FromRow)]
struct Ended {
    #[sqlx(flatten)]
    attempt: gates::Ended,
    gated: bool,
    if_discarded: Option<Json<NewJob>>,
    #[sqlx(flatten)]
    membership: groups::Membership,
    /// In which state it finished; none when it waits again.
    #[sqlx(default)]
    state: Option<State>,
}

/// Moves finished jobs to the history. Gives those whose fence was right, with what is to be enqueued
/// because they were discarded.
async fn finish(connection: &mut PgConnection, acks: &[&Ack]) -> Result<Vec<Ended>, Error> {
    let mut gone = Vec::new();
    for state in [State::Done, State::Discarded, State::Cancelled] {
        let ended: Vec<&Ack> =
            acks.iter().filter(|ack| ack.step == Step::Finish(state)).copied().collect();
        if !ended.is_empty() {
            gone.extend(finish_as(connection, state, &ended, false).await?);
        }
    }
    Ok(gone)
}

/// Ends those of the waits that were not written because somebody asked to cancel the job.
async fn cancel(
    connection: &mut PgConnection,
    waits: &[&Ack],
    written: &[Ended],
) -> Result<Vec<Ended>, Error> {
    if written.len() == waits.len() {
        return Ok(Vec::new());
    }
    let written: HashSet<(i64, i32)> = written.iter().map(|job| job.attempt.key()).collect();
    let refused: Vec<&Ack> =
        waits.iter().filter(|ack| !written.contains(&ack.key())).copied().collect();
    finish_as(connection, State::Cancelled, &refused, true).await
}

/// Each job is looked up by its id, in a loop that the planner cannot turn into a scan of the table
/// or a comparison of each with each: the batches are large, and so is the table.
async fn finish_as(
    connection: &mut PgConnection,
    state: State,
    acks: &[&Ack],
    only_if_asked: bool,
) -> Result<Vec<Ended>, Error> {
    let gone = sqlx::query_as(
        "-- ack_finish
        with mine as (
            select job.id, acked.error
            from unnest($1::bigint[], $2::int[], $3::text[]) as acked (id, fence, error)
            cross join lateral (
                select id from engine.jobs
                where id = acked.id and fence = acked.fence and session is not null
                  and (not $5 or cancel_asked_at is not null)
                for update
            ) as job
        ),
        ids as (select array_agg(id) as ids, array_agg(error) as errors from mine)
        select
            id, fence, queue, kind, claimed_at, gated, group_id, member, $4 as state,
            case when gated then uses end as uses,
            case when gated then slots end as slots,
            case when $4 = 'discarded' then if_discarded end as if_discarded
        from ids, engine.finish(ids.ids, $4, ids.errors)
        where ids.ids is not null",
    )
    .bind(acks.iter().map(|ack| ack.job_id).collect::<Vec<_>>())
    .bind(acks.iter().map(|ack| ack.fence).collect::<Vec<_>>())
    .bind(acks.iter().map(|ack| ack.error.as_deref()).collect::<Vec<_>>())
    .bind(state)
    .bind(only_if_asked)
    .fetch_all(connection)
    .await?;
    Ok(gone)
}

/// The columns of what `ack_wait` is given.
#[derive(Default)]
struct Waits<'a> {
    delay_ms: Vec<i64>,
    spends: Vec<i16>,
    blocked_by: Vec<Option<&'a str>>,
}

/// Puts jobs back to wait. Gives those whose fence was right.
async fn wait(connection: &mut PgConnection, acks: &[&Ack]) -> Result<Vec<Ended>, Error> {
    if acks.is_empty() {
        return Ok(Vec::new());
    }
    let mut waits = Waits::default();
    for ack in acks {
        let Step::Wait { delay, spends, blocked_by } = &ack.step else { continue };
        waits.delay_ms.push(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
        waits.spends.push(spends_code(*spends));
        waits.blocked_by.push(blocked_by.as_deref());
    }
    let waiting = sqlx::query_as(
        "-- ack_wait
        update engine.jobs as job
        set state = 'waiting',
            session = null,
            blocked_by = acked.blocked_by,
            run_at = clock.now + acked.delay_ms * interval '1 millisecond',
            due = acked.delay_ms <= 0,
            attempt = job.attempt - (acked.spends <> 0)::int,
            snoozes = job.snoozes + (acked.spends = 1)::int,
            -- An attempt that went well and asked to run again ends every row of mishaps.
            rescues = case when acked.spends = 1 then 0 else job.rescues end,
            throttles = case when acked.spends = 1 then 0
                             else job.throttles + (acked.spends = 2)::int end,
            denials = case when acked.spends = 1 then 0
                           else job.denials + (acked.spends = 3)::int end,
            interruptions = job.interruptions + (acked.spends = 4)::int,
            last_error = coalesce(acked.error, job.last_error)
        from unnest(
            $1::bigint[], $2::int[], $3::bigint[], $4::smallint[], $5::text[], $6::text[]
        ) as acked (id, fence, delay_ms, spends, blocked_by, error)
        cross join (select engine.now() as now) as clock
        where job.id = acked.id
          and job.id = any($1)
          and job.fence = acked.fence
          and job.session is not null
          and job.cancel_asked_at is null
        returning
            job.id, job.fence, job.queue, job.kind, job.claimed_at, job.gated, job.uses, job.slots,
            null::jsonb as if_discarded",
    )
    .bind(acks.iter().map(|ack| ack.job_id).collect::<Vec<_>>())
    .bind(acks.iter().map(|ack| ack.fence).collect::<Vec<_>>())
    .bind(waits.delay_ms)
    .bind(waits.spends)
    .bind(waits.blocked_by)
    .bind(acks.iter().map(|ack| ack.error.as_deref()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(waiting)
}

/// A credential that was opened after an attempt began keeps nobody back. The gates have locked it: an
/// opening that happens now is either seen here, or sees the jobs that are blocked.
async fn unblock(connection: &mut PgConnection, blocked: &[&Ack]) -> Result<(), Error> {
    if blocked.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "-- ack_unblock
        update engine.jobs as job
        set blocked_by = null, run_at = (select engine.now()), due = true
        from engine.resources as credential
        where job.id = any($1)
          and credential.name = job.blocked_by
          and credential.opened_at > job.claimed_at",
    )
    .bind(blocked.iter().map(|ack| ack.job_id).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// As `ack_wait` reads it.
fn spends_code(spends: Spends) -> i16 {
    match spends {
        Spends::Attempt => 0,
        Spends::Snooze => 1,
        Spends::Throttle => 2,
        Spends::Denial => 3,
        Spends::Interruption => 4,
    }
}
