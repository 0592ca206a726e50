//! A job enters, in the caller's transaction.

use super::groups;
use crate::queue::error::Error;
use crate::queue::job::{Enqueued, NewJob, Use};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeSet, HashMap};

#[derive(FromRow)]
struct Named {
    id: i64,
    unique_key: Option<String>,
}

/// Enqueues jobs; the answers are in their order. `is_due` tells whether a queue's listeners are to
/// be woken by this transaction.
pub(super) async fn enqueue(
    connection: &mut PgConnection,
    jobs: &[NewJob],
    parent_id: Option<i64>,
    is_due: impl Fn(&str) -> bool,
) -> Result<Vec<Enqueued>, Error> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let queues: BTreeSet<&str> = jobs.iter().map(|job| job.queue.as_str()).collect();
    let wake: Vec<&str> = queues.into_iter().filter(|queue| is_due(queue)).collect();
    let mut answers: Vec<Option<Enqueued>> = vec![None; jobs.len()];

    // A job with the same key may finish between our insert and our look: then insert again.
    for _ in 0..3 {
        let missing: Vec<usize> =
            (0..jobs.len()).filter(|index| answers[*index].is_none()).collect();
        if missing.is_empty() {
            break;
        }
        let inserted = insert(connection, jobs, &missing, parent_id, &wake).await?;
        note_inserted(&mut answers, jobs, &missing, inserted);
        note_existing(connection, &mut answers, jobs).await?;
    }
    join_groups(connection, jobs, &answers).await?;
    answers
        .into_iter()
        .map(|answer| answer.ok_or(Error::Database(sqlx::Error::RowNotFound)))
        .collect()
}

/// A job that is new becomes a member of its group.
async fn join_groups(
    connection: &mut PgConnection,
    jobs: &[NewJob],
    answers: &[Option<Enqueued>],
) -> Result<(), Error> {
    let new: Vec<(i64, &NewJob)> = jobs
        .iter()
        .zip(answers)
        .filter_map(|(job, answer)| match answer {
            Some(Enqueued::Inserted(id)) if job.group.is_some() => Some((*id, job)),
            _ => None,
        })
        .collect();
    if new.is_empty() { Ok(()) } else { groups::joined(connection, &new).await }
}

async fn insert(
    connection: &mut PgConnection,
    jobs: &[NewJob],
    which: &[usize],
    parent_id: Option<i64>,
    wake: &[&str],
) -> Result<Vec<Named>, Error> {
    let chosen = || which.iter().map(|index| &jobs[*index]);
    let discarded: Vec<Option<serde_json::Value>> = chosen()
        .map(|job| job.if_discarded.as_ref().and_then(|next| serde_json::to_value(next).ok()))
        .collect();
    let rows = sqlx::query_as(
        "-- enqueue
        with numbered as materialized (
            -- Ids in the order of the jobs.
            select nextval('engine.jobs_id_seq') as id, job.* from unnest(
                $1::text[], $2::text[], $3::text[], $4::smallint[], $5::smallint[], $6::int[],
                $7::text[], $8::bigint[], $9::jsonb[], $10::text[], $11::jsonb[], $14::smallint[],
                $15::smallint[], $16::bigint[], $17::text[]
            ) as job (
                kind, queue, args, priority, max_attempts, timeout_ms,
                unique_key, delay_ms, uses, hold_as, if_discarded, share, version, group_id, member
            )
        ),
        new as (
            insert into engine.jobs (
                id, run_at, created_at, parent_id, timeout_ms, priority, max_attempts, queue, kind,
                args, unique_key, uses, hold_as, if_discarded, share, version, due, group_id, member
            )
            overriding system value
            select
                job.id, clock.now + job.delay_ms * interval '1 millisecond', clock.now, $13, job.timeout_ms,
                job.priority, job.max_attempts, job.queue, job.kind, job.args::jsonb,
                job.unique_key, job.uses, job.hold_as, job.if_discarded, job.share, job.version,
                job.delay_ms <= 0, job.group_id, job.member
            from numbered as job
            cross join (select engine.now() as now) as clock
            -- Whoever waits for another's key does so in one order, so that nobody waits in a ring.
            order by job.unique_key, job.id
            on conflict (unique_key) where unique_key is not null do nothing
            returning id, unique_key
        )
        select
            id, unique_key,
            (select count(pg_notify('engine_wake', name)) from unnest($12::text[]) as name) as woken
        from new",
    )
    .bind(chosen().map(|job| job.kind.as_str()).collect::<Vec<_>>())
    .bind(chosen().map(|job| job.queue.as_str()).collect::<Vec<_>>())
    .bind(chosen().map(|job| job.args.to_string()).collect::<Vec<_>>())
    .bind(chosen().map(|job| job.priority).collect::<Vec<_>>())
    .bind(chosen().map(|job| job.max_attempts).collect::<Vec<_>>())
    .bind(chosen().map(|job| job.timeout_ms).collect::<Vec<_>>())
    .bind(chosen().map(|job| job.unique_key.as_deref()).collect::<Vec<_>>())
    .bind(chosen().map(|job| job.delay_ms).collect::<Vec<_>>())
    .bind(chosen().map(uses).collect::<Vec<_>>())
    .bind(chosen().map(holder).collect::<Vec<_>>())
    .bind(discarded)
    .bind(wake)
    .bind(parent_id)
    .bind(chosen().map(|job| job.share as i16).collect::<Vec<_>>())
    .bind(chosen().map(|job| job.version).collect::<Vec<_>>())
    .bind(chosen().map(|job| job.group).collect::<Vec<_>>())
    .bind(chosen().map(|job| job.member.as_deref()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

fn uses(job: &NewJob) -> Option<Json<&[Use]>> {
    (!job.uses.is_empty()).then_some(Json(&job.uses))
}

/// Who uses nothing needs no place.
fn holder(job: &NewJob) -> Option<&str> {
    job.hold_as.as_deref().filter(|_| !job.uses.is_empty())
}

/// Rows with a key are known by it; the others got their ids in the order of the jobs.
fn note_inserted(
    answers: &mut [Option<Enqueued>],
    jobs: &[NewJob],
    which: &[usize],
    inserted: Vec<Named>,
) {
    let mut plain = Vec::new();
    let mut keyed = HashMap::new();
    for row in inserted {
        match row.unique_key {
            Some(key) => drop(keyed.insert(key, row.id)),
            None => plain.push(row.id),
        }
    }
    plain.sort_unstable();
    let mut plain = plain.into_iter();
    for index in which {
        let id = match &jobs[*index].unique_key {
            // Removed, so that a second job with the key in this batch counts as existing.
            Some(key) => keyed.remove(key),
            None => plain.next(),
        };
        answers[*index] = id.map(Enqueued::Inserted);
    }
}

async fn note_existing(
    connection: &mut PgConnection,
    answers: &mut [Option<Enqueued>],
    jobs: &[NewJob],
) -> Result<(), Error> {
    let missing = || jobs.iter().zip(&*answers).filter(|(_, answer)| answer.is_none());
    let keys: Vec<&str> = missing().filter_map(|(job, _)| job.unique_key.as_deref()).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let found: Vec<Named> = sqlx::query_as(
        "-- enqueue_existing
        select id, unique_key from engine.jobs where unique_key = any($1)",
    )
    .bind(keys)
    .fetch_all(connection)
    .await?;
    let by_key: HashMap<_, _> =
        found.into_iter().filter_map(|row| Some((row.unique_key?, row.id))).collect();
    for (answer, job) in answers.iter_mut().zip(jobs).filter(|(answer, _)| answer.is_none()) {
        let id = job.unique_key.as_ref().and_then(|key| by_key.get(key));
        *answer = id.copied().map(Enqueued::Existing);
    }
    Ok(())
}

/// Makes the waiting job with this key due at once.
pub(super) async fn hasten(connection: &mut PgConnection, key: &str) -> Result<bool, Error> {
    let woken: Option<i64> = sqlx::query_scalar(
        "-- hasten
        with sooner as (
            update engine.jobs set run_at = (select engine.now()), due = true
            where unique_key = $1 and state = 'waiting' and run_at > (select engine.now())
            returning queue
        )
        select count(pg_notify('engine_wake', queue)) from sooner",
    )
    .bind(key)
    .fetch_one(connection)
    .await?;
    Ok(woken.unwrap_or(0) > 0)
}
