//! Resources and their gates as people look at them, with who waits and what happened.

use crate::queue::error::Error;
use crate::queue::explain::{Holders, Standing};
use crate::queue::gate::breaker::Breaker;
use crate::queue::gate::look::ShutGate;
use crate::queue::gate::quota::Quota;
use crate::queue::gate::rate::Rate;
use crate::queue::job::Use;
use crate::queue::postgres::gates::Standings;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};

/// A resource with its gates, as it stands in the store.
#[derive(Debug, Clone, Serialize, FromRow)]
pub struct GatesRow {
    /// The resource.
    pub name: String,
    /// How many attempts may run at once.
    pub max_running: Option<i32>,
    /// How many run now, of those that began under the limit.
    pub running: i32,
    /// How many holders may have a place.
    pub max_holds: Option<i32>,
    /// How many have one.
    pub held: i32,
    /// How many jobs may start in any window, and how far that is used up.
    pub rate: Option<Json<Rate>>,
    /// How many jobs may start a day, and how many have.
    pub quota: Option<Json<Quota>>,
    /// When it is left alone because it fails, and how that stands.
    pub breaker: Option<Json<Breaker>>,
    /// Not to be used before this time, if that is still to come.
    pub not_before: Option<DateTime<Utc>>,
    /// Why not.
    pub reason: Option<String>,
    /// When it was paused, if it is.
    pub paused_at: Option<DateTime<Utc>>,
    /// When the pause ends by itself.
    pub paused_until: Option<DateTime<Utc>>,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// Why, in a sentence.
    pub pause_reason: Option<String>,
    /// How many jobs of its lanes start in one turn, beside one of others.
    pub weight: i16,
    /// How many lanes it has shut.
    pub lanes_shut: i64,
}

/// The resources that have a gate, in the order of their names, at most so many from a name on.
pub async fn list(
    connection: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<GatesRow>, sqlx::Error> {
    sqlx::query_as(
        "-- list_gates
        select
            name, max_running, running, max_holds, held, rate, quota, breaker,
            case when not_before > clock.now then not_before end as not_before,
            case when not_before > clock.now then reason end as reason,
            case when coalesce(paused_until > clock.now, true) then paused_at end as paused_at,
            case when paused_until > clock.now then paused_until end as paused_until,
            case when coalesce(paused_until > clock.now, true) then paused_by end as paused_by,
            case when coalesce(paused_until > clock.now, true) then pause_reason end
                as pause_reason,
            weight,
            (select count(*) from engine.lanes where shut_by = name) as lanes_shut
        from engine.resources as resource
        cross join (select engine.now() as now) as clock
        where engine.is_gated(resource) and ($1::text is null or name > $1)
        order by name
        limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// The resource of this name, gated or not.
pub async fn row(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<GatesRow>, sqlx::Error> {
    sqlx::query_as(
        "-- show_gates
        select
            name, max_running, running, max_holds, held, rate, quota, breaker,
            case when not_before > clock.now then not_before end as not_before,
            case when not_before > clock.now then reason end as reason,
            case when coalesce(paused_until > clock.now, true) then paused_at end as paused_at,
            case when paused_until > clock.now then paused_until end as paused_until,
            case when coalesce(paused_until > clock.now, true) then paused_by end as paused_by,
            case when coalesce(paused_until > clock.now, true) then pause_reason end
                as pause_reason,
            weight,
            (select count(*) from engine.lanes where shut_by = name) as lanes_shut
        from engine.resources
        cross join (select engine.now() as now) as clock
        where name = $1",
    )
    .bind(name)
    .fetch_optional(connection)
    .await
}

/// The breakers that are not closed, each with its resource, in the order of their names.
pub async fn unclosed(
    connection: &mut PgConnection,
) -> Result<Vec<(String, Breaker)>, sqlx::Error> {
    let rows: Vec<(String, Json<Breaker>)> = sqlx::query_as(
        "-- list_unclosed_breakers
        select name, breaker
        from engine.resources
        where breaker -> 'state' ->> 'is' <> 'closed'
        order by name",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(name, Json(breaker))| (name, breaker)).collect())
}

/// The resources that a person has paused, and those whose breaker is open, in the order of their names, at
/// most so many.
pub async fn stopped(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<GatesRow>, sqlx::Error> {
    sqlx::query_as(
        "-- list_stopped_gates
        select
            name, max_running, running, max_holds, held, rate, quota, breaker,
            null::timestamptz as not_before,
            null::text as reason,
            case when coalesce(paused_until > clock.now, true) then paused_at end as paused_at,
            case when paused_until > clock.now then paused_until end as paused_until,
            case when coalesce(paused_until > clock.now, true) then paused_by end as paused_by,
            case when coalesce(paused_until > clock.now, true) then pause_reason end
                as pause_reason,
            weight,
            (select count(*) from engine.lanes where shut_by = name) as lanes_shut
        from engine.resources
        cross join (select engine.now() as now) as clock
        where paused_at is not null and coalesce(paused_until > clock.now, true)
           or breaker -> 'state' ->> 'is' = 'open'
              and coalesce((breaker -> 'state' ->> 'until')::timestamptz > clock.now, true)
        order by name
        limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// A lane of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct LaneRow {
    /// The lane.
    pub id: i64,
    /// The queue of its jobs.
    pub queue: String,
    /// Their kind.
    pub kind: String,
    /// The resource that has shut it.
    pub shut_by: Option<String>,
    /// Which of its gates has.
    pub shut_gate: Option<String>,
    /// Since when.
    pub shut_since: Option<DateTime<Utc>>,
    /// When it opens by itself.
    pub opens_at: Option<DateTime<Utc>>,
}

/// Something that happened to a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct EventRow {
    /// In the order they were written.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The resource.
    pub resource: String,
    /// Such as `paused`, `resumed`, `breaker_opened`.
    pub what: String,
    /// A person, or the engine.
    pub by: String,
    /// The reason, in a sentence.
    pub why: String,
}

/// A resource with everything that hangs on it.
#[derive(Debug, Clone, Serialize)]
pub struct WholeGates {
    /// The resource.
    #[serde(flatten)]
    pub row: GatesRow,
    /// The gates that let nobody through now.
    pub shut: Vec<ShutGate>,
    /// The attempts that are counted against its limit.
    pub running_jobs: Holders,
    /// Who has a place on it.
    pub holders: Holders,
    /// Some of its lanes, those that have been shut longest first.
    pub lanes: Vec<LaneRow>,
    /// The last events, the newest first.
    pub events: Vec<EventRow>,
}

/// Lanes and events are shown up to so many.
const SHOWN: i64 = 10;

/// The resource of this name, with everything; `None` when nobody has ever used it.
pub async fn whole(connection: &mut PgConnection, name: &str) -> Result<Option<WholeGates>, Error> {
    let Some(row) = row(connection, name).await? else { return Ok(None) };
    let now = crate::clock::now(&mut *connection).await?;
    let mut found = Standings::look(connection, &[name.to_owned()]).await?;
    let needed = Use { resource: name.to_owned(), cost: 1, hold: true };
    let Standing { needed, resource, running, places, .. } = found.of(needed);
    Ok(Some(WholeGates {
        row,
        shut: resource.shut_gates(&needed, false, now),
        running_jobs: running,
        holders: places,
        lanes: lanes(connection, name).await?,
        events: events(connection, Some(name), None, SHOWN).await?,
    }))
}

async fn lanes(connection: &mut PgConnection, name: &str) -> Result<Vec<LaneRow>, sqlx::Error> {
    sqlx::query_as(
        "-- list_lanes
        select id, queue, kind, shut_by, shut_gate, shut_since, opens_at
        from engine.lanes
        where shut_by = $1
        order by shut_since, id
        limit $2",
    )
    .bind(name)
    .bind(SHOWN)
    .fetch_all(connection)
    .await
}

/// What happened, the newest first; before this event, if one is given.
pub async fn events(
    connection: &mut PgConnection,
    resource: Option<&str>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<EventRow>, sqlx::Error> {
    sqlx::query_as(
        "-- list_events
        select id, at, resource, what, by, why
        from engine.events
        where ($1::text is null or resource = $1) and ($2::bigint is null or id < $2)
        order by id desc
        limit $3",
    )
    .bind(resource)
    .bind(before)
    .bind(limit)
    .fetch_all(connection)
    .await
}
