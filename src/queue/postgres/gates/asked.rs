//! The lanes that a claim asks for: what their jobs use, and which of them could start.

use crate::queue::error::Error;
use crate::queue::gate::Lane;
use crate::queue::job::Use;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet};

/// The lanes of one claim, by number.
pub(super) struct Asked {
    pub(super) lanes: BTreeMap<i64, AskedLane>,
    /// In line: who is asked first.
    pub(super) line: Vec<i64>,
    /// The jobs that could start, locked.
    pub(super) candidates: Vec<Candidate>,
    /// Others have taken some of the jobs that were asked for.
    pub(super) had_fewer: bool,
}

/// A lane that was asked for.
pub(super) struct AskedLane {
    pub(super) lane: Lane,
    /// At most so many of its jobs.
    wanted: i32,
    /// Those of its resources that have a gate.
    pub(super) gated: Vec<String>,
    /// Since when none of its jobs could start.
    pub(super) waits_since: Option<DateTime<Utc>>,
}

impl Asked {
    /// Reads these lanes, and locks so many of the first jobs of each, but those that others have. A lane
    /// of which nothing is left is not among them: nobody has to wait for it at the gates.
    pub(super) async fn of(
        connection: &mut PgConnection,
        wanted: &[(i64, i32)],
    ) -> Result<Self, Error> {
        let mut lanes = lanes_with_uses(connection, wanted).await?;
        // A lane that was forgotten meanwhile is made again before anything starts from it.
        lanes.retain(|_, lane| !lane.lane.uses.is_empty());
        let candidates = candidates(connection, &lanes).await?;
        for candidate in &candidates {
            if let Some(asked) = lanes.get_mut(&candidate.lane) {
                asked.lane.ready.push((candidate.id, candidate.fence + 1));
            }
        }
        let short =
            |asked: &AskedLane| asked.lane.ready.len() < usize::try_from(asked.wanted).unwrap_or(0);
        let had_fewer = lanes.values().any(short);
        lanes.retain(|_, asked| !asked.lane.ready.is_empty());
        Ok(Self { line: in_line(wanted, &lanes), lanes, candidates, had_fewer })
    }

    /// The resources with a gate that these lanes use.
    pub(super) fn gated(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.lanes.values().flat_map(|lane| &lane.gated).collect();
        names.into_iter().cloned().collect()
    }
}

/// Those that wait come first, and whoever has waited longest before the others: a lane that is served
/// again and again takes no place from one that was opened for it. The rest in the order of the turns.
fn in_line(wanted: &[(i64, i32)], lanes: &BTreeMap<i64, AskedLane>) -> Vec<i64> {
    let mut line: Vec<i64> = wanted.iter().map(|(id, _)| *id).collect();
    line.sort_by_key(|id| {
        let waits_since = lanes.get(id).and_then(|asked| asked.waits_since);
        (waits_since.is_none(), waits_since)
    });
    line
}

#[derive(FromRow)]
struct UseRow {
    lane: i64,
    resource: String,
    cost: i32,
    hold: bool,
    is_gated: bool,
    is_its_turn: bool,
    waits_since: Option<DateTime<Utc>>,
}

async fn lanes_with_uses(
    connection: &mut PgConnection,
    wanted: &[(i64, i32)],
) -> Result<BTreeMap<i64, AskedLane>, Error> {
    let rows: Vec<UseRow> = sqlx::query_as(
        "-- claim_lane_uses
        select
            used.lane, used.resource, used.cost, used.hold,
            engine.is_gated(resources) as is_gated,
            coalesce(lanes.opens_at <= (select engine.now()), false) as is_its_turn,
            lanes.waits_since
        from engine.lane_uses as used
        join engine.resources on resources.name = used.resource
        join engine.lanes on lanes.id = used.lane
        where used.lane = any($1) and lanes.id = any($1)",
    )
    .bind(wanted.iter().map(|(lane, _)| *lane).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut lanes: BTreeMap<i64, AskedLane> = wanted
        .iter()
        .map(|(id, count)| {
            let lane = Lane { id: *id, ..Lane::default() };
            (*id, AskedLane { lane, wanted: *count, gated: Vec::new(), waits_since: None })
        })
        .collect();
    for row in rows {
        let Some(asked) = lanes.get_mut(&row.lane) else { continue };
        if row.is_gated {
            asked.gated.push(row.resource.clone());
        }
        asked.lane.is_its_turn |= row.is_its_turn;
        asked.waits_since = row.waits_since;
        let cost = u32::try_from(row.cost).unwrap_or(1);
        asked.lane.uses.push(Use { resource: row.resource, cost, hold: row.hold });
    }
    Ok(lanes)
}

/// A job that could start.
#[derive(FromRow)]
pub(super) struct Candidate {
    pub(super) lane: i64,
    pub(super) id: i64,
    fence: i32,
    pub(super) hold_as: Option<String>,
}

/// Locks the first jobs of these lanes, in order.
async fn candidates(
    connection: &mut PgConnection,
    lanes: &BTreeMap<i64, AskedLane>,
) -> Result<Vec<Candidate>, Error> {
    let candidates = sqlx::query_as(
        "-- claim_candidates
        select job.lane, job.id, job.fence, job.hold_as
        from unnest($1::bigint[], $2::int[]) as asked (lane, wanted)
        join engine.lanes on lanes.id = asked.lane
        cross join lateral (
            select lane, id, fence, hold_as
            from engine.jobs
            where queue = lanes.queue
              and share = lanes.share
              and lane = asked.lane
              and state = 'waiting'
              and due
              and blocked_by is null
            order by priority, run_at, id
            limit asked.wanted
            for update skip locked
        ) as job
        where lanes.id = any($1)",
    )
    .bind(lanes.keys().copied().collect::<Vec<_>>())
    .bind(lanes.values().map(|asked| asked.wanted).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(candidates)
}
