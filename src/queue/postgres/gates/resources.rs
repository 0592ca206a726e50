//! Resources as rows: locked, read and written back.

use crate::queue::error::Error;
use crate::queue::gate::breaker::{Breaker, Change, Phase};
use crate::queue::gate::quota::Quota;
use crate::queue::gate::rate::Rate;
use crate::queue::gate::{Gates, Resource};
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet};

#[derive(FromRow)]
pub(super) struct Row {
    name: String,
    max_holds: Option<i32>,
    held: i32,
    max_running: Option<i32>,
    running: i32,
    not_before: Option<DateTime<Utc>>,
    reason: Option<String>,
    is_paused: bool,
    paused_until: Option<DateTime<Utc>>,
    rate: Option<Json<Rate>>,
    quota: Option<Json<Quota>>,
    breaker: Option<Json<Breaker>>,
    /// When it was locked.
    #[sqlx(default)]
    now: Option<DateTime<Utc>>,
}

impl Row {
    pub(super) fn split(self) -> (String, Resource) {
        let resource = Resource {
            max_holds: self.max_holds,
            held: self.held,
            max_running: self.max_running,
            running: self.running,
            not_before: self.not_before,
            reason: self.reason,
            paused: self.is_paused.then_some(self.paused_until),
            rate: self.rate.map(|Json(rate)| rate),
            quota: self.quota.map(|Json(quota)| quota),
            breaker: self.breaker.map(|Json(breaker)| breaker),
        };
        (self.name, resource)
    }
}

/// What Postgres says when a lock's time is up.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Resources under their locks, by name, and the time: not before that of whoever had them last.
pub(super) struct Locked {
    pub(super) resources: BTreeMap<String, Resource>,
    pub(super) now: DateTime<Utc>,
}

impl Locked {
    /// `None` when there are none: then nobody has asked for the time.
    fn of(rows: Vec<Row>) -> Option<Self> {
        let now = rows.iter().filter_map(|row| row.now).max()?;
        Some(Self { resources: rows.into_iter().map(Row::split).collect(), now })
    }

    /// None of them, now.
    async fn none(connection: &mut PgConnection) -> Result<Self, Error> {
        let now = crate::clock::now(connection).await?;
        Ok(Self { resources: BTreeMap::new(), now })
    }
}

/// Reads these resources without locking them. From now on this transaction waits for nobody long.
pub(super) async fn look(connection: &mut PgConnection, names: &[String]) -> Result<Locked, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "-- see_resources
        select
            name, max_holds, held, max_running, running, not_before, reason,
            paused_at is not null as is_paused, paused_until, rate, quota, breaker,
            engine.now() as now, set_config('lock_timeout', '100ms', true)
        from engine.resources
        where name = any($1)",
    )
    .bind(names)
    .fetch_all(&mut *connection)
    .await?;
    match Locked::of(rows) {
        Some(seen) => Ok(seen),
        None => Locked::none(connection).await,
    }
}

/// Locks these resources after a [`look`]. `None` when somebody holds one for too long.
pub(super) async fn lock_soon(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<Option<BTreeMap<String, Resource>>, Error> {
    match lock(connection, names).await {
        Ok(locked) => Ok(Some(locked.map(|locked| locked.resources).unwrap_or_default())),
        Err(Error::Database(sqlx::Error::Database(error)))
            if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Locks those of these resources that nobody else holds now. The others are missing in the answer.
pub(super) async fn lock_free(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<Locked, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "-- lock_free_resources
        select
            name, max_holds, held, max_running, running, not_before, reason,
            paused_at is not null as is_paused, paused_until, rate, quota, breaker,
            engine.now() as now
        from engine.resources
        where name = any($1)
        order by name
        for no key update skip locked",
    )
    .bind(names)
    .fetch_all(&mut *connection)
    .await?;
    match Locked::of(rows) {
        Some(locked) => Ok(locked),
        None => Locked::none(connection).await,
    }
}

/// Locks these resources, and waits for whoever holds one of them. `None` when there are none.
pub(super) async fn lock(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<Option<Locked>, Error> {
    lock_to_tell(connection, &BTreeSet::new(), names).await
}

/// Locks those of these resources that have something to hear of attempts that have ended: the used
/// ones with a breaker, and the concerned ones. `None` when none has.
pub(super) async fn lock_to_tell<'a>(
    connection: &mut PgConnection,
    used: &BTreeSet<String>,
    concerned: impl IntoIterator<Item = &'a String>,
) -> Result<Option<Locked>, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "-- lock_resources
        select
            name, max_holds, held, max_running, running, not_before, reason,
            paused_at is not null as is_paused, paused_until, rate, quota, breaker,
            engine.now() as now
        from engine.resources
        where (name = any($1) and breaker is not null) or name = any($2)
        order by name
        for no key update",
    )
    .bind(used.iter().map(String::as_str).collect::<Vec<_>>())
    .bind(concerned.into_iter().map(String::as_str).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(Locked::of(rows))
}

/// Makes the rows that are missing, so that they can be locked. From now on nobody forgets them.
pub(super) async fn make(connection: &mut PgConnection, names: &[String]) -> Result<(), Error> {
    let wanted: BTreeSet<&String> = names.iter().collect();
    let mut found = 0;
    // One that nobody needed may have been forgotten between the two statements: then again.
    while found < wanted.len() {
        sqlx::query(
            "-- make_resources
            insert into engine.resources (name)
            select name from unnest($1::text[]) as name order by name
            on conflict (name) do nothing",
        )
        .bind(names)
        .execute(&mut *connection)
        .await?;
        let kept = sqlx::query(
            "-- keep_resources
            select from engine.resources where name = any($1) order by name for key share",
        )
        .bind(names)
        .fetch_all(&mut *connection)
        .await?;
        found = kept.len();
    }
    Ok(())
}

/// Writes back what locked resources have come to, and what happened to their breakers. Gives the names of
/// those that keep a lane shut.
pub(super) async fn write(
    connection: &mut PgConnection,
    gates: &Gates,
    by: &str,
) -> Result<BTreeSet<String>, Error> {
    let rows: Vec<(&String, &Resource)> = gates.resources.iter().collect();
    if rows.is_empty() {
        return Ok(BTreeSet::new());
    }
    let written: Vec<(String, bool)> = sqlx::query_as(
        "-- write_resources
        update engine.resources as resource
        set held = now.held,
            running = now.running,
            not_before = now.not_before,
            reason = now.reason,
            rate = now.rate,
            quota = now.quota,
            breaker = now.breaker
        from unnest($1::text[], $2::int[], $3::int[], $4::jsonb[], $5::jsonb[], $6::jsonb[],
            $7::timestamptz[], $8::text[])
            as now (name, held, running, rate, quota, breaker, not_before, reason)
        where resource.name = now.name and resource.name = any($1)
        returning
            resource.name,
            -- The order says which index.
            (
                select id from engine.lanes
                where shut_by = resource.name
                order by shut_by, waits_since
                limit 1
            ) is not null as shuts",
    )
    .bind(rows.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.held).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.running).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.rate.as_ref().map(Json)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.quota.as_ref().map(Json)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.breaker.as_ref().map(Json)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.not_before).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.reason.as_deref()).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    note_changes(connection, &gates.changes, by).await?;
    Ok(written.into_iter().filter(|(_, shuts)| *shuts).map(|(name, _)| name).collect())
}

async fn note_changes(
    connection: &mut PgConnection,
    changes: &[(String, Change)],
    by: &str,
) -> Result<(), Error> {
    for (resource, change) in changes {
        let what = match change.to {
            Phase::Open => "breaker_opened",
            Phase::HalfOpen => "breaker_half_opened",
            Phase::Closed => "breaker_closed",
        };
        note(connection, resource, what, by, &change.why).await?;
    }
    Ok(())
}

/// Writes an event about a resource's gate, or something else that has a name.
pub(in crate::queue::postgres) async fn note(
    connection: &mut PgConnection,
    resource: &str,
    what: &str,
    by: &str,
    why: &str,
) -> Result<(), Error> {
    sqlx::query(
        "-- note_event
        insert into engine.events (at, resource, what, by, why)
        values (engine.now(), $1, $2, $3, $4)",
    )
    .bind(resource)
    .bind(what)
    .bind(by)
    .bind(why)
    .execute(connection)
    .await?;
    Ok(())
}
