//! Lets jobs of gated lanes start, as far as the gates of what they use let them.

use super::asked::{Asked, AskedLane};
use super::resources::Locked;
use super::{holds, lanes, resources};
use crate::queue::error::Error;
use crate::queue::gate::{Gate, Gates, Resource, Shut};
use crate::queue::postgres::claim::{Pass, Taken};
use crate::queue::session::SessionId;
use crate::transaction;
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// How soon to look again at a lane whose resource somebody else had locked.
const LOCKED_ELSEWHERE: Duration = Duration::from_millis(3);
/// How soon to look for more when others have taken what was asked for.
const TAKEN_BY_OTHERS: Duration = Duration::from_millis(20);

/// Starts jobs of these lanes, at most so many of each.
///
/// To lease a job takes longer than to ask its gates. So when all gates seem wide open, the jobs are leased
/// first and the gates are locked and asked at the end, for a moment: whoever else counts on them waits
/// no longer than that. When the answer is not the expected one, nothing of it happened, and the gates are
/// locked first.
pub(in crate::queue::postgres) async fn admit(
    db: &PgPool,
    session: SessionId,
    wanted: &[(i64, i32)],
) -> Result<Pass, Error> {
    let mut transaction = transaction::begin(db).await?;
    let mut asked = Asked::of(&mut transaction, wanted).await?;
    if asked.candidates.is_empty() {
        let next_due_in = asked.had_fewer.then_some(TAKEN_BY_OTHERS);
        return Ok(Pass { next_due_in, ..Pass::default() });
    }
    let seen = resources::look(&mut transaction, &asked.gated()).await?;
    if seem_open(&seen, &asked) {
        if let Some(pass) = lease_first(transaction, session, &asked, seen).await? {
            return Ok(pass);
        }
        transaction = transaction::begin(db).await?;
        asked = Asked::of(&mut transaction, wanted).await?;
    }
    lock_first(transaction, session, asked).await
}

/// Whether all that was asked for may start. Places are taken under the locks.
fn seem_open(seen: &Locked, asked: &Asked) -> bool {
    let takes_places = asked.candidates.iter().any(|job| job.hold_as.is_some());
    !takes_places && {
        let mut gates = Gates { resources: seen.resources.clone(), changes: Vec::new() };
        decide(&mut gates, asked, seen.now).shut.is_empty()
    }
}

/// Leases everything, and then asks the gates, as of the moment at which they were seen. `None` when
/// they do not let everything through after all.
async fn lease_first(
    mut transaction: Transaction<'static, Postgres>,
    session: SessionId,
    asked: &Asked,
    seen: Locked,
) -> Result<Option<Pass>, Error> {
    let all: Vec<i64> = asked.candidates.iter().map(|job| job.id).collect();
    let limited = limited(&seen.resources);
    let now = seen.now;
    let leases = take(&mut transaction, session, now, &all, &limited, asked).await?;
    if leases.len() < all.len() {
        return Ok(Some(Pass::default()));
    }
    let locked = resources::lock_soon(&mut transaction, &asked.gated()).await?;
    if let Some(resources) = locked.filter(|found| self::limited(found) == limited) {
        let mut gates = Gates { resources, changes: Vec::new() };
        let decision = decide(&mut gates, asked, now);
        if decision.shut.is_empty() {
            return write(transaction, asked, gates, decision, leases, now).await.map(Some);
        }
    }
    // Not left to the drop, which does it later: the jobs are to be locked again at once.
    transaction.rollback().await?;
    Ok(None)
}

/// Locks the gates, as far as nobody else has them, asks them, and leases what they let through.
async fn lock_first(
    mut transaction: Transaction<'static, Postgres>,
    session: SessionId,
    mut asked: Asked,
) -> Result<Pass, Error> {
    let Locked { resources, now } = resources::lock_free(&mut transaction, &asked.gated()).await?;
    let all = asked.lanes.len();
    let is_ours = |lane: &AskedLane| lane.gated.iter().all(|name| resources.contains_key(name));
    asked.lanes.retain(|_, lane| is_ours(lane));
    let was_locked_elsewhere = asked.lanes.len() < all;
    let mut gates = Gates { resources, changes: Vec::new() };
    let decision = decide(&mut gates, &asked, now);
    take_places(&mut transaction, &mut gates, &asked, &decision.starting).await?;
    let limited = limited(&gates.resources);
    let starting = &decision.starting;
    let leases = take(&mut transaction, session, now, starting, &limited, &asked).await?;
    if leases.len() < decision.starting.len() {
        // The session has been given up for lost: nothing of this happened.
        return Ok(Pass::default());
    }
    let mut pass = write(transaction, &asked, gates, decision, leases, now).await?;
    let again = was_locked_elsewhere.then_some(LOCKED_ELSEWHERE);
    pass.next_due_in = pass.next_due_in.into_iter().chain(again).min();
    Ok(pass)
}

/// Writes down what the gates have come to, and lets those in who wait for what is left.
async fn write(
    mut transaction: Transaction<'static, Postgres>,
    asked: &Asked,
    mut gates: Gates,
    decision: Decision,
    leases: Vec<Taken>,
    now: DateTime<Utc>,
) -> Result<Pass, Error> {
    let Decision { shut, served, .. } = decision;
    let mut shutting = resources::write(&mut transaction, &gates, "engine").await?;
    lanes::shut(&mut transaction, &shut).await?;
    lanes::served(&mut transaction, &served).await?;
    shutting.extend(shut.iter().map(|(_, shut, _)| shut.resource.clone()));
    gates.resources.retain(|name, _| shutting.contains(name));
    let opened = pass_on(&mut transaction, &gates).await?;
    transaction.commit().await?;

    let opens_in = |at: DateTime<Utc>| (at - now).to_std().unwrap_or_default();
    let soonest = shut.iter().filter_map(|(_, shut, _)| shut.opens_at).min().map(opens_in);
    let again = asked.had_fewer.then_some(TAKEN_BY_OTHERS);
    Ok(Pass {
        // The lanes that were shut have made room for others.
        more: opened > 0 || !shut.is_empty(),
        next_due_in: soonest.into_iter().chain(again).min(),
        leases,
        ..Pass::default()
    })
}

/// Those of these resources that limit how many may run.
fn limited(resources: &BTreeMap<String, Resource>) -> BTreeSet<String> {
    let limited = resources.iter().filter(|(_, resource)| resource.max_running.is_some());
    limited.map(|(name, _)| name.clone()).collect()
}

/// What becomes of the lanes.
#[derive(Default)]
struct Decision {
    /// These jobs start.
    starting: Vec<i64>,
    /// These lanes are shut, by which gate, and whether some of their jobs start all the same.
    shut: Vec<(i64, Shut, bool)>,
    /// These lanes waited, and wait no longer.
    served: Vec<i64>,
}

fn decide(gates: &mut Gates, asked: &Asked, now: DateTime<Utc>) -> Decision {
    let mut decision = Decision::default();
    for id in asked.line.iter().copied() {
        let Some(AskedLane { lane, waits_since, .. }) = asked.lanes.get(&id) else { continue };
        let admitted = gates.admit(lane, now);
        decision.starting.extend(lane.ready[..admitted.starts].iter().map(|(job_id, _)| *job_id));
        match admitted.shut {
            Some(gate) => decision.shut.push((id, gate, admitted.starts > 0)),
            // It may be shut: by a limit that has room all the same, or until a time that has passed.
            None if waits_since.is_some() => decision.served.push(id),
            None => {}
        }
    }
    decision
}

/// Takes the places that the starting jobs hold. The decision counted one for each job; a holder that
/// had its place already needed none.
async fn take_places(
    connection: &mut PgConnection,
    gates: &mut Gates,
    Asked { lanes, candidates, .. }: &Asked,
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
    limited: &BTreeSet<String>,
    Asked { lanes, .. }: &Asked,
) -> Result<Vec<Taken>, Error> {
    if job_ids.is_empty() {
        return Ok(Vec::new());
    }
    let is_limited = |name: &&String| limited.contains(*name);
    let slots: Vec<Vec<&String>> =
        lanes.values().map(|asked| asked.gated.iter().filter(is_limited).collect()).collect();
    let taken = sqlx::query_as(
        "-- claim_admitted
        update engine.jobs as job
        set state = 'running',
            attempt = attempt + 1,
            fence = fence + 1,
            session = $2,
            claimed_at = $5,
            gated = true,
            slots = nullif(array(select jsonb_array_elements_text(limited.names)), '{}'),
            uses = case
                when hold_as is null then uses
                else (
                    select jsonb_agg(jsonb_set(needed, '{hold}', 'false') order by nth)
                    from jsonb_array_elements(uses) with ordinality as used (needed, nth)
                )
            end
        from unnest($3::bigint[], $4::jsonb[]) as limited (lane, names)
        where job.id = any($1)
          and limited.lane = job.lane
          and exists (select from engine.sessions where id = $2 and ended_at is null)
        returning
            id, fence, kind, args, attempt, max_attempts, timeout_ms, snoozes, throttles, denials,
            interruptions, created_at, claimed_at, priority, run_at, share",
    )
    .bind(job_ids)
    .bind(session.0)
    .bind(lanes.keys().copied().collect::<Vec<_>>())
    .bind(slots.iter().map(Json).collect::<Vec<_>>())
    .bind(now)
    .fetch_all(connection)
    .await?;
    Ok(taken)
}

/// Where there is still room, whoever waits for it comes next: a place that a lane could not use,
/// because another gate shut it, is not lost.
pub(super) async fn pass_on(connection: &mut PgConnection, gates: &Gates) -> Result<i64, Error> {
    let mut wanted = Vec::new();
    for (name, resource) in &gates.resources {
        for (gate, max, used) in [
            (Gate::Hold, resource.max_holds, resource.held),
            (Gate::Limit, resource.max_running, resource.running),
        ] {
            let free = max.map_or(0, |max| i64::from(max) - i64::from(used));
            if free > 0 {
                wanted.push((name.as_str(), gate, free));
            }
        }
    }
    lanes::open_each(connection, &wanted).await
}
