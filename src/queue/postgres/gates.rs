//! Gates: who has a place on a resource, who waits for one, and which resources are to be left alone.

use crate::queue::error::Error;
use crate::queue::gate::{Candidate, Decision, Gates, Resource};
use chrono::{DateTime, Utc};
use rand::Rng;
use sqlx::{FromRow, PgConnection};
use std::time::Duration;

#[derive(FromRow)]
struct ResourceRow {
    name: String,
    free: Option<i32>,
    closed_until: Option<DateTime<Utc>>,
}

/// Reads the gates that these candidates meet. Locks the resources on which one of them may take a
/// place, always in the order of their names, so that two claims cannot wait for each other.
pub(super) async fn lock(
    connection: &mut PgConnection,
    candidates: &[Candidate],
) -> Result<Gates, Error> {
    let mut names: Vec<&str> =
        candidates.iter().flat_map(|job| &job.resources).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let holders: Vec<&str> = candidates.iter().filter_map(|job| job.hold_as.as_deref()).collect();
    if !holders.is_empty() {
        sqlx::query(
            "-- lock_resources
            select name from engine.resources
            where name = any($1) and max_holds is not null
            order by name
            for update",
        )
        .bind(&names)
        .execute(&mut *connection)
        .await?;
    }
    let rows: Vec<ResourceRow> = sqlx::query_as(
        "-- read_resources
        select
            name,
            max_holds - held as free,
            case when not_before > (select engine.now()) then not_before end as closed_until
        from engine.resources
        where name = any($1)",
    )
    .bind(&names)
    .fetch_all(&mut *connection)
    .await?;
    let held: Vec<(String, String)> = if holders.is_empty() {
        Vec::new()
    } else {
        sqlx::query_as(
            "-- read_holds
            select holder, resource from engine.holds where holder = any($1)",
        )
        .bind(holders)
        .fetch_all(&mut *connection)
        .await?
    };
    Ok(Gates {
        resources: rows
            .into_iter()
            .map(|row| (row.name, Resource { free: row.free, closed_until: row.closed_until }))
            .collect(),
        held: held.into_iter().collect(),
    })
}

/// Writes down what was decided about those that may not start, and the places of those that may.
pub(super) async fn write(
    connection: &mut PgConnection,
    decided: &[(Decision, Candidate)],
) -> Result<(), Error> {
    let mut takes: (Vec<&str>, Vec<&str>, Vec<i64>) = Default::default();
    let mut blocks: (Vec<i64>, Vec<&str>) = Default::default();
    let mut waits: (Vec<i64>, Vec<DateTime<Utc>>) = Default::default();
    for (decision, job) in decided {
        match decision {
            Decision::Start { takes: places } => {
                for resource in places {
                    takes.0.push(resource);
                    takes.1.push(job.hold_as.as_deref().unwrap_or_default());
                    takes.2.push(job.job_id);
                }
            }
            Decision::Block(resource) => {
                blocks.0.push(job.job_id);
                blocks.1.push(resource);
            }
            Decision::Wait(until) => {
                waits.0.push(job.job_id);
                // Jitter only adds: not everybody at the same moment, nobody too early.
                waits.1.push(*until + Duration::from_millis(rand::rng().random_range(0..500)));
            }
        }
    }
    if !takes.0.is_empty() {
        take_holds(connection, &takes.0, &takes.1, &takes.2).await?;
    }
    if !blocks.0.is_empty() {
        sqlx::query(
            "-- block_jobs
            update engine.jobs set blocked_by = gate.resource
            from unnest($1::bigint[], $2::text[]) as gate (job_id, resource)
            where id = gate.job_id and id = any($1)",
        )
        .bind(blocks.0)
        .bind(blocks.1)
        .execute(&mut *connection)
        .await?;
    }
    if !waits.0.is_empty() {
        sqlx::query(
            "-- postpone_jobs
            update engine.jobs set run_at = gate.until
            from unnest($1::bigint[], $2::timestamptz[]) as gate (job_id, until)
            where id = gate.job_id and id = any($1)",
        )
        .bind(waits.0)
        .bind(waits.1)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn take_holds(
    connection: &mut PgConnection,
    resources: &[&str],
    holders: &[&str],
    job_ids: &[i64],
) -> Result<(), Error> {
    sqlx::query(
        "-- take_holds
        with taken as (
            insert into engine.holds (resource, holder, job_id, taken_at)
            select place.resource, place.holder, place.job_id, (select engine.now())
            from unnest($1::text[], $2::text[], $3::bigint[]) as place (resource, holder, job_id)
            returning resource
        )
        update engine.resources set held = held + counted.places
        from (select resource, count(*)::int as places from taken group by resource) as counted
        where name = counted.resource",
    )
    .bind(resources)
    .bind(holders)
    .bind(job_ids)
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets go of every place that the holder has, and wakes those who waited for one.
pub(super) async fn release(connection: &mut PgConnection, holder: &str) -> Result<bool, Error> {
    let mut freed: Vec<String> = sqlx::query_scalar(
        "-- release_holds
        delete from engine.holds where holder = $1 returning resource",
    )
    .bind(holder)
    .fetch_all(&mut *connection)
    .await?;
    freed.sort_unstable();
    for resource in &freed {
        sqlx::query(
            "-- free_place
            update engine.resources set held = held - 1 where name = $1",
        )
        .bind(resource)
        .execute(&mut *connection)
        .await?;
        wake_blocked(connection, resource).await?;
    }
    Ok(!freed.is_empty())
}

/// Lets as many blocked jobs of the resource try again as it has free places. The resource's row is
/// locked by the caller, so a claim that is blocking a job right now is seen here, or sees the place.
async fn wake_blocked(connection: &mut PgConnection, resource: &str) -> Result<i64, Error> {
    let woken = sqlx::query_scalar(
        "-- wake_blocked
        with woken as (
            update engine.jobs set blocked_by = null
            where id = any(array(
                select id from engine.jobs
                where blocked_by = $1
                order by priority, run_at, id
                limit (select greatest(max_holds - held, 0) from engine.resources where name = $1)
                for update skip locked
            ))
            returning queue
        ),
        notified as (select pg_notify('engine_wake', queue) from woken group by queue)
        select (select count(*) from woken) + 0 * (select count(*) from notified)",
    )
    .bind(resource)
    .fetch_one(connection)
    .await?;
    Ok(woken)
}

pub(super) async fn limit(
    connection: &mut PgConnection,
    resource: &str,
    max_holds: Option<i32>,
) -> Result<(), Error> {
    sqlx::query(
        "-- limit_resource
        insert into engine.resources (name, max_holds) values ($1, $2)
        on conflict (name) do update set max_holds = excluded.max_holds",
    )
    .bind(resource)
    .bind(max_holds)
    .execute(&mut *connection)
    .await?;
    wake_blocked(connection, resource).await?;
    Ok(())
}

pub(super) async fn open(connection: &mut PgConnection, resource: &str) -> Result<u64, Error> {
    sqlx::query(
        "-- open_resource
        insert into engine.resources (name, opened_at) values ($1, engine.now())
        on conflict (name) do update set opened_at = excluded.opened_at",
    )
    .bind(resource)
    .execute(&mut *connection)
    .await?;
    let woken: i64 = sqlx::query_scalar(
        "-- open_jobs
        with woken as (
            update engine.jobs
            set blocked_by = null, run_at = least(run_at, (select engine.now()))
            where blocked_by = $1
            returning queue
        ),
        notified as (select pg_notify('engine_wake', queue) from woken group by queue)
        select (select count(*) from woken) + 0 * (select count(*) from notified)",
    )
    .bind(resource)
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(woken).unwrap_or(0))
}

/// Which of these credentials have been opened since: `(name, opened_at)`. Their rows are made if
/// need be and locked, so that an opening that happens now is either seen, or sees the blocked jobs.
pub(super) async fn openings(
    connection: &mut PgConnection,
    names: &[&str],
) -> Result<Vec<(String, Option<DateTime<Utc>>)>, Error> {
    sqlx::query(
        "-- make_resources
        insert into engine.resources (name)
        select name from unnest($1::text[]) as name order by name
        on conflict (name) do nothing",
    )
    .bind(names)
    .execute(&mut *connection)
    .await?;
    let openings = sqlx::query_as(
        "-- read_openings
        select name, opened_at from engine.resources where name = any($1) order by name for share",
    )
    .bind(names)
    .fetch_all(connection)
    .await?;
    Ok(openings)
}

/// Nobody is to use the resource for this long. A longer pause that is already set stays.
pub(super) async fn leave_alone(
    connection: &mut PgConnection,
    resource: &str,
    pause: Duration,
    reason: Option<&str>,
) -> Result<(), Error> {
    sqlx::query(
        "-- leave_alone
        insert into engine.resources (name, not_before, reason)
        values ($1, engine.now() + $2 * interval '1 millisecond', $3)
        on conflict (name) do update
        set not_before = excluded.not_before, reason = excluded.reason
        where resources.not_before is null or resources.not_before < excluded.not_before",
    )
    .bind(resource)
    .bind(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX))
    .bind(reason)
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts right counts that do not agree with the places, and wakes those who wait at an open gate.
pub(super) async fn sweep(connection: &mut PgConnection) -> Result<u64, Error> {
    // Locked first: a claim that takes a place meanwhile would be counted wrongly.
    sqlx::query(
        "-- sweep_lock
        select name from engine.resources where max_holds is not null order by name for update",
    )
    .execute(&mut *connection)
    .await?;
    let mended = sqlx::query(
        "-- sweep_counts
        update engine.resources set held = counted.places
        from (
            select resources.name, count(holds.holder)::int as places
            from engine.resources
            left join engine.holds on holds.resource = resources.name
            where resources.max_holds is not null
            group by resources.name
        ) as counted
        where resources.name = counted.name and resources.held <> counted.places",
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let overdue: i64 = sqlx::query_scalar(
        "-- sweep_overdue
        with woken as (
            -- A credential has no places to wait for: whoever has waited long enough looks by itself.
            update engine.jobs set blocked_by = null
            where blocked_by is not null
              and run_at <= (select engine.now())
              and blocked_by in (select name from engine.resources where max_holds is null)
            returning queue
        ),
        notified as (select pg_notify('engine_wake', queue) from woken group by queue)
        select (select count(*) from woken) + 0 * (select count(*) from notified)",
    )
    .fetch_one(&mut *connection)
    .await?;
    tracing::debug!(overdue, "jobs that had waited long enough for a credential");
    let open: Vec<String> = sqlx::query_scalar(
        "-- sweep_open
        select name from engine.resources
        where max_holds > held
          and exists (select 1 from engine.jobs where blocked_by = resources.name)
        order by name
        for update",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut woken = 0;
    for resource in open {
        woken += u64::try_from(wake_blocked(connection, &resource).await?).unwrap_or(0);
    }
    Ok(mended + woken)
}
