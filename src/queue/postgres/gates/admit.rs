//! Lets jobs of gated lanes start, under the locks of the resources they use.

use super::{holds, lanes, resources};
use crate::queue::error::Error;
use crate::queue::gate::{Gate, Gates, Lane, Shut};
use crate::queue::job::Use;
use crate::queue::postgres::claim::{Pass, Taken};
use crate::queue::session::SessionId;
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// How soon to look again at a lane whose resource somebody else had locked.
const LOCKED_ELSEWHERE: Duration = Duration::from_millis(3);

/// Starts jobs of these lanes, at most so many of each, as far as their gates let them.
pub(in crate::queue::postgres) async fn admit(
    db: &PgPool,
    session: SessionId,
    wanted: &[(i64, i32)],
) -> Result<Pass, Error> {
    let mut transaction = db.begin().await?;
    let mut lanes = lanes_with_uses(&mut transaction, wanted).await?;
    let names: BTreeSet<String> = lanes.values().flat_map(|lane| &lane.gated).cloned().collect();
    let names: Vec<String> = names.into_iter().collect();
    let locked = resources::lock_free(&mut transaction, &names).await?;
    let all = lanes.len();
    lanes.retain(|_, lane| lane.gated.iter().all(|name| locked.contains_key(name)));
    let was_locked_elsewhere = lanes.len() < all;

    let candidates = candidates(&mut transaction, &lanes).await?;
    for candidate in &candidates {
        if let Some(lane) = lanes.get_mut(&candidate.lane) {
            lane.lane.ready.push((candidate.id, candidate.fence + 1));
        }
    }
    let now = crate::clock::now(&mut *transaction).await?;
    let mut gates = Gates { resources: locked, changes: Vec::new() };
    let mut starting = Vec::new();
    let mut shut: Vec<(i64, Shut, bool)> = Vec::new();
    let mut served = Vec::new();
    for id in in_line(wanted, &lanes) {
        let Some(Asked { lane, waits_since, .. }) = lanes.get(&id) else { continue };
        let admitted = gates.admit(lane, now);
        starting.extend(lane.ready[..admitted.starts].iter().map(|(job_id, _)| *job_id));
        match admitted.shut {
            Some(gate) => shut.push((id, gate, admitted.starts > 0)),
            // It may be shut: by a limit that has room all the same, or until a time that has passed.
            None if waits_since.is_some() => served.push(id),
            None => {}
        }
    }
    take_places(&mut transaction, &mut gates, &lanes, &candidates, &starting).await?;
    let leases = take(&mut transaction, session, now, &starting, &gates, &lanes).await?;
    if leases.len() < starting.len() {
        // The session has been given up for lost: nothing of this happened.
        return Ok(Pass::default());
    }
    resources::write(&mut transaction, &gates, "engine").await?;
    lanes::shut(&mut transaction, &shut).await?;
    lanes::served(&mut transaction, &served).await?;
    let opened = pass_on(&mut transaction, &gates).await?;
    transaction.commit().await?;

    let opens_in = |at: DateTime<Utc>| (at - now).to_std().unwrap_or_default();
    let soonest = shut.iter().filter_map(|(_, shut, _)| shut.opens_at).min().map(opens_in);
    let again = was_locked_elsewhere.then_some(LOCKED_ELSEWHERE);
    Ok(Pass {
        // The lanes that were shut have made room for others.
        more: opened > 0 || !shut.is_empty(),
        next_due_in: soonest.into_iter().chain(again).min(),
        leases,
        ..Pass::default()
    })
}

/// A lane that was asked for.
struct Asked {
    lane: Lane,
    /// At most so many of its jobs.
    wanted: i32,
    /// Those of its resources that have a gate.
    gated: Vec<String>,
    /// Since when none of its jobs could start.
    waits_since: Option<DateTime<Utc>>,
}

/// Those that wait come first, and whoever has waited longest before the others: a lane that is served
/// again and again takes no place from one that was opened for it. The rest in the order of the turns.
fn in_line(wanted: &[(i64, i32)], lanes: &BTreeMap<i64, Asked>) -> Vec<i64> {
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
) -> Result<BTreeMap<i64, Asked>, Error> {
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
        where used.lane = any($1)",
    )
    .bind(wanted.iter().map(|(lane, _)| *lane).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut lanes: BTreeMap<i64, Asked> = wanted
        .iter()
        .map(|(id, count)| {
            let lane = Lane { id: *id, ..Lane::default() };
            (*id, Asked { lane, wanted: *count, gated: Vec::new(), waits_since: None })
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

#[derive(FromRow)]
struct Candidate {
    lane: i64,
    id: i64,
    fence: i32,
    hold_as: Option<String>,
}

/// Locks the first jobs of these lanes, in order.
async fn candidates(
    connection: &mut PgConnection,
    lanes: &BTreeMap<i64, Asked>,
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
        ) as job",
    )
    .bind(lanes.keys().copied().collect::<Vec<_>>())
    .bind(lanes.values().map(|asked| asked.wanted).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(candidates)
}

/// Takes the places that the starting jobs hold. The decision counted one for each job; a holder that
/// had its place already needed none.
async fn take_places(
    connection: &mut PgConnection,
    gates: &mut Gates,
    lanes: &BTreeMap<i64, Asked>,
    candidates: &[Candidate],
    starting: &[i64],
) -> Result<(), Error> {
    let starting: BTreeSet<i64> = starting.iter().copied().collect();
    let mut places: Vec<(&str, &str, i64)> = Vec::new();
    for job in candidates.iter().filter(|job| starting.contains(&job.id)) {
        let (Some(asked), Some(holder)) = (lanes.get(&job.lane), &job.hold_as) else { continue };
        let limited = |name: &str| gates.resources.get(name).is_some_and(|r| r.max_holds.is_some());
        let held = asked.lane.uses.iter().filter(|used| used.hold && limited(&used.resource));
        places.extend(held.map(|used| (used.resource.as_str(), holder.as_str(), job.id)));
    }
    if places.is_empty() {
        return Ok(());
    }
    let mut surplus: HashMap<String, i32> = HashMap::new();
    for (resource, _, _) in &places {
        *surplus.entry((*resource).to_owned()).or_default() += 1;
    }
    for resource in holds::take(connection, &places).await? {
        *surplus.entry(resource).or_default() -= 1;
    }
    for (name, count) in surplus {
        if let Some(resource) = gates.resources.get_mut(&name) {
            resource.held -= count;
        }
    }
    Ok(())
}

/// Leases these jobs, at the moment for which their gates were asked: a rate holds in any window of
/// these times. From now on the jobs need no place any more: they have it.
async fn take(
    connection: &mut PgConnection,
    session: SessionId,
    now: DateTime<Utc>,
    job_ids: &[i64],
    gates: &Gates,
    lanes: &BTreeMap<i64, Asked>,
) -> Result<Vec<Taken>, Error> {
    if job_ids.is_empty() {
        return Ok(Vec::new());
    }
    let limited: BTreeSet<&str> = lanes
        .values()
        .flat_map(|asked| &asked.gated)
        .filter(|name| gates.resources.get(*name).is_some_and(|r| r.max_running.is_some()))
        .map(String::as_str)
        .collect();
    let taken = sqlx::query_as(
        "-- claim_admitted
        update engine.jobs as job
        set state = 'running',
            attempt = attempt + 1,
            fence = fence + 1,
            session = $2,
            claimed_at = $4,
            gated = true,
            slots = (
                select array_agg(resource order by resource) from engine.lane_uses
                where lane = job.lane and resource = any($3)
            ),
            uses = case
                when hold_as is null then uses
                else (
                    select jsonb_agg(jsonb_set(needed, '{hold}', 'false') order by nth)
                    from jsonb_array_elements(uses) with ordinality as used (needed, nth)
                )
            end
        where id = any($1)
          and exists (select from engine.sessions where id = $2 and ended_at is null)
        returning
            id, fence, kind, args, attempt, max_attempts, timeout_ms, snoozes, throttles, denials,
            interruptions, created_at, claimed_at, priority, run_at, share",
    )
    .bind(job_ids)
    .bind(session.0)
    .bind(limited.into_iter().collect::<Vec<_>>())
    .bind(now)
    .fetch_all(connection)
    .await?;
    Ok(taken)
}

/// Where there is still room, whoever waits for it comes next: a place that a lane could not use,
/// because another gate shut it, is not lost.
pub(super) async fn pass_on(connection: &mut PgConnection, gates: &Gates) -> Result<i64, Error> {
    let mut opened = 0;
    for (name, resource) in &gates.resources {
        for (gate, max, used) in [
            (Gate::Hold, resource.max_holds, resource.held),
            (Gate::Limit, resource.max_running, resource.running),
        ] {
            let free = max.map_or(0, |max| i64::from(max) - i64::from(used));
            if free > 0 {
                opened += lanes::open(connection, name, &[gate], free).await?;
            }
        }
    }
    Ok(opened)
}
