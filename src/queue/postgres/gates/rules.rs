//! What people and programs do to gates: set them, pause and resume a resource, open a credential.

use super::resources::Locked;
use super::{lanes, limits, resources};
use crate::queue::error::Error;
use crate::queue::gate::breaker::{self, Breaker};
use crate::queue::gate::invalid::Invalid;
use crate::queue::gate::{Gate, Gates, Resource, Rule};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use std::time::Duration;

/// Ten years, as nobody means more.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 366 * 86_400);
/// In characters.
const LONGEST_NAME: usize = 200;

/// Refuses a name that no resource can have, so that nobody believes to have paused what was misspelt.
fn check(name: &str) -> Result<(), Invalid> {
    let (before, after) = name.split_once(':').unwrap_or((name, name));
    let is_name = !before.is_empty() && !after.is_empty();
    let is_short = name.chars().count() <= LONGEST_NAME;
    if is_name && is_short && name.trim() == name && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let remedy = format!(
        "a resource is called host:api.example.com, queue:amc or kind:poll_status: up to \
        {LONGEST_NAME} characters on one line"
    );
    Err(Invalid::new("resource", remedy))
}

/// Makes the resource's row if need be, and locks it. Gives the time, too.
pub(super) async fn locked(
    connection: &mut PgConnection,
    name: &str,
) -> Result<(Resource, DateTime<Utc>), Error> {
    check(name)?;
    let names = [name.to_owned()];
    resources::make(connection, &names).await?;
    let locked = resources::lock(connection, &names).await?;
    // It has just been made, and nobody forgets it meanwhile.
    let Locked { mut resources, now } = locked.ok_or(sqlx::Error::RowNotFound)?;
    Ok((resources.remove(name).unwrap_or_default(), now))
}

/// Sets a gate of the resource, or takes it away. What a rate, a quota or a breaker has seen stays.
/// It holds for every job that starts from now on.
pub(in crate::queue::postgres) async fn set(
    connection: &mut PgConnection,
    name: &str,
    rule: Rule,
) -> Result<(), Error> {
    if matches!(rule, Rule::Running(Some(_))) {
        limits::lock_running(connection, name).await?;
    }
    let (mut resource, now) = locked(connection, name).await?;
    let gate = match rule {
        Rule::Holds(max) => {
            resource.max_holds = max;
            Gate::Hold
        }
        Rule::Running(max) => {
            resource.max_running = max;
            if max.is_some() {
                resource.running = limits::count_running(connection, name).await?;
            }
            Gate::Limit
        }
        Rule::Rate(rate) => {
            resource.rate = join(resource.rate, rate, |new, old| new.in_place_of(&old, now));
            Gate::Rate
        }
        Rule::Quota(quota) => {
            resource.quota = join(resource.quota, quota, |new, old| new.in_place_of(&old));
            Gate::Quota
        }
        Rule::Breaker(rule) => {
            let breaker = rule.map(Breaker::new).transpose()?;
            resource.breaker = join(resource.breaker, breaker, |new, old| new.in_place_of(&old));
            Gate::Breaker
        }
        Rule::Weight(weight) => return weigh(connection, name, weight).await,
    };
    let max_running = resource.max_running;
    limits::write(connection, name, resource.max_holds, max_running).await?;
    let resources = BTreeMap::from([(name.to_owned(), resource)]);
    resources::write(connection, &Gates { resources, changes: Vec::new() }, "engine").await?;
    lanes::gate(connection, name).await?;
    // Whoever waits for it looks at the new rule.
    lanes::open(connection, name, &[gate], i64::MAX).await?;
    Ok(())
}

/// Gives those of these resources a breaker that have none. How many.
pub(in crate::queue::postgres) async fn give_breaker(
    connection: &mut PgConnection,
    names: &[String],
    rule: &breaker::Rule,
) -> Result<usize, Error> {
    let without: Vec<String> = sqlx::query_scalar(
        "-- resources_without_breaker
        select distinct name from unnest($1::text[]) as name
        where not exists (
            select from engine.resources as known
            where known.name = name.name and known.breaker is not null
        )
        order by name",
    )
    .bind(names)
    .fetch_all(&mut *connection)
    .await?;
    for name in &without {
        set(&mut *connection, name, Rule::Breaker(Some(rule.clone()))).await?;
    }
    Ok(without.len())
}

/// Gives those of these resources so many places that have no limit of them. How many.
pub(in crate::queue::postgres) async fn give_holds(
    connection: &mut PgConnection,
    names: &[String],
    max: i32,
) -> Result<usize, Error> {
    let without: Vec<String> = sqlx::query_scalar(
        "-- resources_without_holds
        select distinct name from unnest($1::text[]) as name
        where not exists (
            select from engine.resources as known
            where known.name = name.name and known.max_holds is not null
        )
        order by name",
    )
    .bind(names)
    .fetch_all(&mut *connection)
    .await?;
    for name in &without {
        set(&mut *connection, name, Rule::Holds(Some(max))).await?;
    }
    Ok(without.len())
}

/// What was seen under the old rule is kept under the new one.
fn join<T>(old: Option<T>, new: Option<T>, in_place_of: impl FnOnce(T, T) -> T) -> Option<T> {
    match (old, new) {
        (Some(old), Some(new)) => Some(in_place_of(new, old)),
        (_, new) => new,
    }
}

async fn weigh(connection: &mut PgConnection, name: &str, weight: i16) -> Result<(), Error> {
    sqlx::query(
        "-- weigh_resource
        update engine.resources set weight = $2 where name = $1",
    )
    .bind(name)
    .bind(weight)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "-- weigh_lanes
        update engine.lanes
        set weight = (
            select max(resources.weight) from engine.lane_uses
            join engine.resources on resources.name = lane_uses.resource
            where lane_uses.lane = lanes.id
        )
        where id = any(array(
            select id from engine.lanes
            where id in (select lane from engine.lane_uses where resource = $1)
            order by id
            for no key update
        ))",
    )
    .bind(name)
    .execute(connection)
    .await?;
    Ok(())
}

/// No job that uses the resource starts until it is resumed, or so much time has passed.
pub(in crate::queue::postgres) async fn pause(
    connection: &mut PgConnection,
    name: &str,
    by: &str,
    why: &str,
    lasts: Option<Duration>,
) -> Result<(), Error> {
    if lasts.is_some_and(|lasts| lasts > LONGEST_PAUSE) {
        let remedy = "a pause with an end lasts ten years at most; \
            without one it lasts until somebody resumes";
        return Err(Invalid::new("for", remedy).into());
    }
    locked(connection, name).await?;
    sqlx::query(
        "-- pause_resource
        update engine.resources
        set paused_at = clock.now,
            paused_until = clock.now + $4 * interval '1 millisecond',
            paused_by = $2,
            pause_reason = $3
        from (select engine.now() as now) as clock
        where name = $1",
    )
    .bind(name)
    .bind(by)
    .bind(why)
    .bind(lasts.map(|lasts| i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX)))
    .execute(&mut *connection)
    .await?;
    lanes::gate(connection, name).await?;
    // A pause with another end than the one before.
    lanes::open(connection, name, &[Gate::Paused], i64::MAX).await?;
    resources::note(connection, name, "paused", by, why).await
}

/// Ends a pause; lets an open breaker ask whether the resource is back; closes a half-open one.
/// False when there was nothing to resume.
pub(in crate::queue::postgres) async fn resume(
    connection: &mut PgConnection,
    name: &str,
    by: &str,
    why: &str,
) -> Result<bool, Error> {
    let (mut resource, now) = locked(connection, name).await?;
    let was_paused = resource.paused.take().is_some();
    let change = resource.breaker.as_mut().and_then(|breaker| breaker.resume(now, by));
    let resumed = was_paused || change.is_some();
    let changes = change.into_iter().map(|change| (name.to_owned(), change)).collect();
    let resources = BTreeMap::from([(name.to_owned(), resource)]);
    resources::write(connection, &Gates { resources, changes }, by).await?;
    if was_paused {
        sqlx::query(
            "-- resume_resource
            update engine.resources
            set paused_at = null, paused_until = null, paused_by = null, pause_reason = null
            where name = $1",
        )
        .bind(name)
        .execute(&mut *connection)
        .await?;
        resources::note(connection, name, "resumed", by, why).await?;
    }
    lanes::open(connection, name, &[Gate::Paused, Gate::Breaker], i64::MAX).await?;
    Ok(resumed)
}

/// Opens the resource to the jobs that were blocked by it: a credential that has been renewed.
pub(in crate::queue::postgres) async fn open(
    connection: &mut PgConnection,
    resource: &str,
) -> Result<u64, Error> {
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
            set blocked_by = null, run_at = least(run_at, (select engine.now())), due = true
            where id = any(array(
                select id from engine.jobs where blocked_by = $1 order by id for update
            ))
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
