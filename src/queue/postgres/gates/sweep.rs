//! Puts right what should never be wrong with gates, and counts it.

use super::resources::Locked;
use super::{lanes, resources};
use crate::queue::error::Error;
use crate::queue::gate::breaker::{Phase, State};
use crate::queue::gate::{Gate, Gates, Resource};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::HashSet;

/// Counts again who holds a place and who runs, forgets probes that no longer run, and opens lanes
/// that are shut by a gate that is not. How much there was to mend: anything but zero is worth a look.
///
/// Besides, jobs that have waited long enough for a credential look by themselves.
pub(in crate::queue::postgres) async fn sweep(connection: &mut PgConnection) -> Result<u64, Error> {
    wake_overdue(connection).await?;
    let mut mended = note_missing_lanes(connection).await?;
    let names: Vec<String> = sqlx::query_scalar(
        "-- sweep_gated
        select name from engine.resources
        where max_holds is not null or max_running is not null or breaker is not null
           or name in (select shut_by from engine.lanes where shut_by is not null)",
    )
    .fetch_all(&mut *connection)
    .await?;
    // Locked first: a claim that takes a place meanwhile would be counted wrongly.
    let locked = resources::lock(connection, &names).await?;
    let Some(Locked { resources, now }) = locked else { return Ok(mended) };
    let mut gates = Gates { resources, changes: Vec::new() };
    mended += count_again(connection, &mut gates).await?;
    mended += forget_probes(connection, &mut gates).await?;
    resources::write(connection, &gates, "engine").await?;
    for (name, gate) in shut_by(connection).await? {
        let Some(resource) = gates.resources.get_mut(&name) else { continue };
        for (open, free) in open_gates(resource, now) {
            if open.as_str() == gate {
                let opened = lanes::open_stuck(connection, &name, open, free).await?;
                mended += u64::try_from(opened).unwrap_or(0);
            }
        }
    }
    Ok(mended)
}

/// The resources that keep lanes shut, each with the gate that does.
async fn shut_by(connection: &mut PgConnection) -> Result<Vec<(String, String)>, Error> {
    let shut = sqlx::query_as(
        "-- sweep_shut
        select distinct shut_by, shut_gate from engine.lanes where shut_by is not null",
    )
    .fetch_all(connection)
    .await?;
    Ok(shut)
}

/// A lane may be forgotten in the moment in which a job comes into it: claim makes it again.
async fn note_missing_lanes(connection: &mut PgConnection) -> Result<u64, Error> {
    let missing: i64 = sqlx::query_scalar(
        "-- sweep_missing_lanes
        select engine.note_missing_lanes()",
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(missing).unwrap_or(0))
}

/// A credential has no places to wait for: whoever has waited long enough looks by itself.
async fn wake_overdue(connection: &mut PgConnection) -> Result<(), Error> {
    let overdue: i64 = sqlx::query_scalar(
        "-- sweep_overdue
        with woken as (
            update engine.jobs set blocked_by = null, due = true
            where id = any(array(
                select id from engine.jobs
                where blocked_by is not null and run_at <= (select engine.now())
                order by id
                for update
            ))
            returning queue
        ),
        notified as (select pg_notify('engine_wake', queue) from woken group by queue)
        select (select count(*) from woken) + 0 * (select count(*) from notified)",
    )
    .fetch_one(connection)
    .await?;
    if overdue > 0 {
        tracing::debug!(overdue, "jobs that had waited long enough for a credential");
    }
    Ok(())
}

/// Compares the counts with what they count.
async fn count_again(connection: &mut PgConnection, gates: &mut Gates) -> Result<u64, Error> {
    let counted: Vec<(String, i64, i64)> = sqlx::query_as(
        "-- sweep_counts
        with running as (
            select name, count(*) as attempts
            from engine.jobs, unnest(slots) as name
            where state = 'running' and slots is not null
            group by name
        )
        select
            name,
            (select count(*) from engine.holds where resource = name),
            coalesce((select attempts from running where running.name = wanted.name), 0)
        from unnest($1::text[]) as wanted (name)",
    )
    .bind(gates.resources.keys().map(String::as_str).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut mended = 0;
    for (name, held, running) in counted {
        let Some(resource) = gates.resources.get_mut(&name) else { continue };
        for (counter, count) in [(&mut resource.held, held), (&mut resource.running, running)] {
            let count = i32::try_from(count).unwrap_or(i32::MAX);
            if *counter != count {
                tracing::warn!(resource = name, counter = *counter, count, "a count was wrong");
                *counter = count;
                mended += 1;
            }
        }
    }
    Ok(mended)
}

/// A probe whose attempt no longer runs says nothing any more.
async fn forget_probes(connection: &mut PgConnection, gates: &mut Gates) -> Result<u64, Error> {
    let mut probes = Vec::new();
    for (name, resource) in &gates.resources {
        if let Some(State::HalfOpen { probes: under_way, .. }) =
            resource.breaker.as_ref().map(crate::queue::gate::breaker::Breaker::state)
        {
            probes.extend(under_way.iter().map(|probe| (name.clone(), *probe)));
        }
    }
    if probes.is_empty() {
        return Ok(0);
    }
    let running: HashSet<(i64, i64)> = sqlx::query_as(
        "-- sweep_probes
        select id, fence::bigint from engine.jobs where id = any($1) and state = 'running'",
    )
    .bind(probes.iter().map(|(_, (job_id, _))| *job_id).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?
    .into_iter()
    .collect();
    let mut mended = 0;
    for (name, (job_id, fence)) in probes.into_iter().filter(|(_, probe)| !running.contains(probe))
    {
        let breaker = gates.resources.get_mut(&name).and_then(|found| found.breaker.as_mut());
        mended += u64::from(breaker.is_some_and(|breaker| breaker.lost(job_id, fence)));
    }
    Ok(mended)
}

/// The gates of the resource that would let somebody through, and how many.
fn open_gates(resource: &mut Resource, now: DateTime<Utc>) -> Vec<(Gate, i64)> {
    let free =
        |max: Option<i32>, used: i32| max.map_or(i64::MAX, |max| i64::from(max - used).max(0));
    let breaker = resource.breaker.as_ref().is_none_or(|breaker| match breaker.state() {
        State::HalfOpen { left, .. } => *left > 0,
        _ => breaker.phase() == Phase::Closed,
    });
    let paused = resource.is_paused(now);
    [
        (Gate::Hold, free(resource.max_holds, resource.held)),
        (Gate::Limit, free(resource.max_running, resource.running)),
        (Gate::Breaker, if breaker { i64::MAX } else { 0 }),
        (Gate::Paused, if paused { 0 } else { i64::MAX }),
    ]
    .into_iter()
    .filter(|(_, free)| *free > 0)
    .collect()
}
