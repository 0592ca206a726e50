//! What gates hear of attempts that have ended: a place on a limit is free again, a breaker learns how
//! it went, a resource that asked for quiet gets it.

use super::resources::Locked;
use super::{lanes, resources};
use crate::queue::error::Error;
use crate::queue::gate::breaker::{Observation, Phase};
use crate::queue::gate::{Gate, Gates, Resource};
use crate::queue::job::Use;
use chrono::{DateTime, Utc};
use rand::Rng;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An attempt that passed gates, and has ended: what the statement that ended it gives back.
#[derive(Debug, Clone, FromRow)]
pub(in crate::queue::postgres) struct Ended {
    id: i64,
    fence: i32,
    queue: String,
    kind: String,
    uses: Option<Json<Vec<Use>>>,
    slots: Option<Vec<String>>,
    claimed_at: Option<DateTime<Utc>>,
}

impl Ended {
    /// The job.
    pub(in crate::queue::postgres) fn job_id(&self) -> i64 {
        self.id
    }

    /// The queue it was claimed from.
    pub(in crate::queue::postgres) fn queue(&self) -> String {
        self.queue.clone()
    }

    /// The job, and the fence of the claim.
    pub(in crate::queue::postgres) fn key(&self) -> (i64, i32) {
        (self.id, self.fence)
    }

    /// What it used, its queue and kind included.
    fn resources(&self) -> impl Iterator<Item = String> {
        let named = self.uses.iter().flat_map(|Json(uses)| uses).map(|used| used.resource.clone());
        named.chain([format!("queue:{}", self.queue), format!("kind:{}", self.kind)])
    }
}

/// A resource that asked to be left alone.
#[derive(Debug, Clone)]
pub(in crate::queue::postgres) struct Quiet<'a> {
    pub(in crate::queue::postgres) pause: Duration,
    pub(in crate::queue::postgres) reason: Option<&'a str>,
    /// When the attempt that was told so began; of several, the last.
    pub(in crate::queue::postgres) began_at: DateTime<Utc>,
}

impl<'a> Quiet<'a> {
    /// Of two wishes the longer one counts.
    pub(in crate::queue::postgres) fn join(&mut self, other: &Quiet<'a>) {
        self.began_at = self.began_at.max(other.began_at);
        if other.pause >= self.pause {
            (self.pause, self.reason) = (other.pause, other.reason);
        }
    }
}

/// Tells the gates. What was observed of an attempt is `None` when its process died under it.
///
/// The credentials that jobs are about to wait for are locked together with the rest, in the order of
/// the names: two who lock them apart from it, and the gates afterwards, wait for each other.
pub(in crate::queue::postgres) async fn settle(
    connection: &mut PgConnection,
    ended: &[(&Ended, Option<Observation<'_>>)],
    quiet: &BTreeMap<&str, Quiet<'_>>,
    credentials: &BTreeSet<&str>,
) -> Result<(), Error> {
    if ended.is_empty() && quiet.is_empty() && credentials.is_empty() {
        return Ok(());
    }
    let named: BTreeSet<String> =
        quiet.keys().chain(credentials).map(|name| (*name).to_owned()).collect();
    if !named.is_empty() {
        resources::make(connection, &named.iter().cloned().collect::<Vec<_>>()).await?;
    }
    let used: BTreeSet<String> = ended.iter().flat_map(|(one, _)| one.resources()).collect();
    let slots = ended.iter().filter_map(|(one, _)| one.slots.as_ref()).flatten().cloned();
    let concerned: BTreeSet<String> = slots.chain(named).collect();
    let locked = resources::lock_to_tell(connection, &used, &concerned).await?;
    let Some(Locked { resources, now }) = locked else { return Ok(()) };
    let mut gates = Gates { resources, changes: Vec::new() };
    for (attempt, went) in ended {
        free_slots(&mut gates, attempt);
        tell_breakers(&mut gates, attempt, *went, now);
    }
    let mut lowered = Vec::new();
    for (name, wish) in quiet {
        if let Some(resource) = gates.resources.get_mut(*name) {
            lowered.extend(leave_alone(resource, wish, now).map(|why| (*name, why)));
        }
    }
    let shutting = resources::write(connection, &gates, "engine").await?;
    for (name, why) in lowered {
        resources::note(connection, name, "rate_lowered", "engine", &why).await?;
    }
    for name in quiet.keys() {
        lanes::gate(connection, name).await?;
    }
    open_lanes(connection, &gates, &concerned, &shutting).await
}

fn free_slots(gates: &mut Gates, attempt: &Ended) {
    for name in attempt.slots.iter().flatten() {
        if let Some(resource) = gates.resources.get_mut(name) {
            resource.running = (resource.running - 1).max(0);
        }
    }
}

fn tell_breakers(
    gates: &mut Gates,
    attempt: &Ended,
    went: Option<Observation<'_>>,
    now: DateTime<Utc>,
) {
    let fence = i64::from(attempt.fence);
    for name in attempt.resources() {
        let breaker = gates.resources.get_mut(&name).and_then(|found| found.breaker.as_mut());
        let Some(breaker) = breaker else { continue };
        let change = if let Some(went) = went {
            let began_at = attempt.claimed_at.unwrap_or(now);
            let jitter = rand::rng().random_range(0.0..1.0);
            breaker.observe(now, attempt.id, fence, began_at, went, jitter)
        } else {
            breaker.lost(attempt.id, fence);
            None
        };
        gates.changes.extend(change.map(|change| (name, change)));
    }
}

/// A longer wish that was made before stays. Its rate, if it has one, is lowered: then it says why.
fn leave_alone(resource: &mut Resource, wish: &Quiet<'_>, now: DateTime<Utc>) -> Option<String> {
    let until = now + wish.pause;
    if resource.not_before.is_none_or(|already| already < until) {
        resource.not_before = Some(until);
        resource.reason = wish.reason.map(str::to_owned);
    }
    let rate = resource.rate.as_mut()?;
    rate.slow_down(now, wish.began_at).then(|| {
        let said = wish.reason.unwrap_or("asked to be left alone");
        format!("lowered to {:.0} % of the rule: {said}", rate.scale(now) * 100.0)
    })
}

/// Lets those in for whom there is room now.
async fn open_lanes(
    connection: &mut PgConnection,
    gates: &Gates,
    concerned: &BTreeSet<String>,
    shutting: &BTreeSet<String>,
) -> Result<(), Error> {
    let mut wanted = Vec::new();
    for name in concerned.intersection(shutting) {
        let Some(resource) = gates.resources.get(name) else { continue };
        let free = resource.max_running.map_or(i64::MAX, |max| i64::from(max - resource.running));
        if free > 0 {
            wanted.push((name.as_str(), Gate::Limit, free));
        }
    }
    let changed: BTreeSet<&String> = gates.changes.iter().map(|(name, _)| name).collect();
    for (name, resource) in gates.resources.iter().filter(|(name, _)| shutting.contains(*name)) {
        // A probe that gave its place back, too, makes room for another.
        let breaker = resource.breaker.as_ref();
        let asks = breaker.is_some_and(|breaker| breaker.phase() == Phase::HalfOpen);
        if changed.contains(name) || asks {
            wanted.push((name.as_str(), Gate::Breaker, i64::MAX));
        }
    }
    lanes::open_each(connection, &wanted).await?;
    Ok(())
}
