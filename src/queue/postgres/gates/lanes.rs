//! Lanes as rows: shut, opened, and told that they have a gate.

use crate::queue::error::Error;
use crate::queue::gate::{Gate, Shut};
use sqlx::PgConnection;

/// Shuts lanes, each by the gate that keeps its jobs back: (lane, gate, whether some of them started).
/// One that was opened and comes too late keeps its place among those who wait.
pub(super) async fn shut(
    connection: &mut PgConnection,
    shut: &[(i64, Shut, bool)],
) -> Result<(), Error> {
    if shut.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "-- shut_lanes
        update engine.lanes as lane
        set shut_by = gate.resource,
            shut_gate = gate.gate,
            shut_since = clock.now,
            waits_since = case
                when gate.some_started then clock.now
                else coalesce(lane.waits_since, clock.now)
            end,
            opens_at = gate.opens_at
        from unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[])
            as gate (lane, resource, gate, opens_at, some_started)
        cross join (select engine.now() as now) as clock
        where lane.id = gate.lane and lane.id = any($1)",
    )
    .bind(shut.iter().map(|(lane, ..)| *lane).collect::<Vec<_>>())
    .bind(shut.iter().map(|(_, gate, _)| gate.resource.as_str()).collect::<Vec<_>>())
    .bind(shut.iter().map(|(_, gate, _)| gate.gate.as_str()).collect::<Vec<_>>())
    .bind(shut.iter().map(|(_, gate, _)| gate.opens_at).collect::<Vec<_>>())
    .bind(shut.iter().map(|(.., some_started)| *some_started).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// All that was asked of these lanes has started: they wait for nothing.
pub(super) async fn served(connection: &mut PgConnection, lanes: &[i64]) -> Result<(), Error> {
    if lanes.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "-- served_lanes
        update engine.lanes
        set shut_by = null, shut_gate = null, shut_since = null, opens_at = null,
            waits_since = null
        where id = any($1)",
    )
    .bind(lanes)
    .execute(connection)
    .await?;
    Ok(())
}

/// Opens at most so many of the lanes that these gates of the resource have shut, those that have
/// waited longest first. The caller holds the resource's lock: a claim that is shutting a lane right
/// now is seen here, or sees what the caller has changed.
pub(super) async fn open(
    connection: &mut PgConnection,
    resource: &str,
    gates: &[Gate],
    at_most: i64,
) -> Result<i64, Error> {
    let opened = sqlx::query_scalar(
        "-- open_lanes
        with opened as (
            update engine.lanes
            set shut_by = null, shut_gate = null, shut_since = null, opens_at = null
            where id = any(array(
                select id from engine.lanes
                where shut_by = $1 and shut_gate = any($2)
                order by waits_since, id
                limit $3
            ))
            returning queue
        ),
        notified as (select pg_notify('engine_wake', queue) from opened group by queue)
        select (select count(*) from opened) + 0 * (select count(*) from notified)",
    )
    .bind(resource)
    .bind(gates.iter().map(|gate| gate.as_str()).collect::<Vec<_>>())
    .bind(at_most)
    .fetch_one(connection)
    .await?;
    Ok(opened)
}

/// Opens lanes that this gate of the resource has shut although it would let so many through, if a
/// job waits in them. What the open lanes of the resource may still take is left to them. The caller
/// holds the resource's lock.
pub(super) async fn open_stuck(
    connection: &mut PgConnection,
    resource: &str,
    gate: Gate,
    at_most: i64,
) -> Result<i64, Error> {
    let opened = sqlx::query_scalar(
        "-- open_stuck_lanes
        with opened as (
            update engine.lanes
            set shut_by = null, shut_gate = null, shut_since = null, opens_at = null
            where id = any(array(
                select id from engine.lanes
                where shut_by = $1
                  and shut_gate = $2
                  and (opens_at is null or opens_at > (select engine.now()))
                  and exists (
                      select from engine.jobs
                      where queue = lanes.queue and share = lanes.share and lane = lanes.id
                        and state = 'waiting' and due and blocked_by is null
                  )
                order by waits_since, id
                limit greatest($3 - (
                    select count(*) from engine.lanes as open
                    where $2 in ('limit', 'hold')
                      and open.shut_by is null
                      and open.id in (select lane from engine.lane_uses where resource = $1)
                      and exists (
                          select from engine.jobs
                          where queue = open.queue and share = open.share and lane = open.id
                            and state = 'waiting' and due and blocked_by is null
                      )
                ), 0)
            ))
            returning queue
        ),
        notified as (select pg_notify('engine_wake', queue) from opened group by queue)
        select (select count(*) from opened) + 0 * (select count(*) from notified)",
    )
    .bind(resource)
    .bind(gate.as_str())
    .bind(at_most)
    .fetch_one(connection)
    .await?;
    Ok(opened)
}

/// From now on the jobs of the resource's lanes start under its lock. The caller holds it.
pub(super) async fn gate(connection: &mut PgConnection, resource: &str) -> Result<(), Error> {
    sqlx::query(
        "-- gate_lanes
        update engine.lanes set gated = true
        where not gated
          and id in (select lane from engine.lane_uses where resource = $1)",
    )
    .bind(resource)
    .execute(connection)
    .await?;
    Ok(())
}
