//! The gates that hold a job, and its lane where that is shut for another reason.

use super::words;
use super::{Facts, LaneStanding, Reason, Setter, Standing, What};
use crate::queue::gate::Gate;
use crate::queue::gate::breaker::{Breaker, State};
use crate::queue::gate::look::ShutGate;
use chrono::{DateTime, Utc};

/// Every shut gate, in the order in which a claim asks them.
pub(super) fn shut(facts: &Facts) -> Vec<Reason> {
    let lane = facts.lane.as_ref();
    let is_its_turn = lane.and_then(|lane| lane.opens_at).is_some_and(|at| at <= facts.now);
    let mut found: Vec<(Gate, Reason)> = Vec::new();
    for standing in &facts.needs {
        let shut = standing.resource.shut_gates(&standing.needed, is_its_turn, facts.now);
        found.extend(shut.into_iter().map(|shut| (shut.gate, reason(facts, standing, shut))));
    }
    found.sort_by(|(a, one), (b, other)| (a, &one.resource).cmp(&(b, &other.resource)));
    let mut reasons: Vec<Reason> = found.into_iter().map(|(_, reason)| reason).collect();
    reasons.extend(lane.and_then(|lane| left_shut(lane, &reasons, facts.now)));
    reasons
}

/// A lane that is shut by a gate that is open.
fn left_shut(lane: &LaneStanding, reasons: &[Reason], now: DateTime<Utc>) -> Option<Reason> {
    let (resource, gate, since) = lane.shut.as_ref()?;
    let is_told = reasons
        .iter()
        .any(|r| r.resource.as_ref() == Some(resource) && r.what.as_str() == gate.as_str());
    // A claim looks into a lane whose time has come, and asks the gates again.
    if is_told || lane.opens_at.is_some_and(|at| at <= now) {
        return None;
    }
    let text = words::left_shut(lane, resource, gate, now);
    let mut reason = Reason::new(What::Lane, text);
    reason.since = Some(*since);
    reason.until = lane.opens_at;
    if lane.opens_at.is_none() {
        reason.waits_for = Some("those who waited longer are let in, or the next sweep".to_owned());
    }
    reason.resource = Some(resource.clone());
    Some(reason)
}

fn reason(facts: &Facts, standing: &Standing, shut: ShutGate) -> Reason {
    let name = &standing.needed.resource;
    let mut reason = Reason::new(What::from(shut.gate), String::new());
    reason.resource = Some(name.clone());
    reason.until = shut.opens_at;
    let setter = standing.set_by.get(&shut.gate);
    reason.by = setter.map(|setter| setter.by.clone());
    reason.why = setter.map(|setter| setter.why.clone());
    match shut.gate {
        Gate::Paused => {
            reason.since = standing.paused_at;
            reason.by.clone_from(&standing.paused_by);
            reason.why.clone_from(&standing.pause_reason);
            if shut.opens_at.is_none() {
                reason.waits_for = Some("somebody resumes it".to_owned());
            }
        }
        Gate::Breaker => tell_breaker(&mut reason, standing.resource.breaker.as_ref()),
        Gate::NotBefore => reason.why.clone_from(&standing.resource.reason),
        Gate::Limit => {
            reason.holders = Some(standing.running.clone());
            reason.waits_for = Some(match standing.resource.max_running {
                Some(0) => "somebody raises the limit".to_owned(),
                _ => "one of the running jobs ends".to_owned(),
            });
        }
        Gate::Hold => {
            reason.holders = Some(standing.places.clone());
            reason.waits_for = Some(match standing.resource.max_holds {
                Some(0) => "somebody raises the limit".to_owned(),
                _ => "a place is released".to_owned(),
            });
        }
        Gate::Rate | Gate::Quota => {}
    }
    wait_for_lane(&mut reason, facts.lane.as_ref(), shut.gate);
    reason.text = words::shut(facts, standing, shut.gate, &reason);
    reason
}

fn tell_breaker(reason: &mut Reason, breaker: Option<&Breaker>) {
    match breaker.map(Breaker::state) {
        Some(State::Open { since, until, why, by }) => {
            reason.since = Some(*since);
            reason.by = Some(by.clone().unwrap_or_else(|| "engine".to_owned()));
            reason.why = Some(why.clone());
            if until.is_none() {
                reason.waits_for = Some("somebody resumes it".to_owned());
            }
        }
        Some(State::HalfOpen { since, .. }) => {
            reason.since = Some(*since);
            reason.waits_for = Some("the probes under way end".to_owned());
        }
        Some(State::Closed { .. }) | None => {}
    }
}

/// A lane that the gate has shut says since when, and may be told to come a little later.
fn wait_for_lane(reason: &mut Reason, lane: Option<&LaneStanding>, gate: Gate) {
    let Some(lane) = lane else { return };
    let Some((resource, by, since)) = &lane.shut else { return };
    if reason.resource.as_ref() != Some(resource) || by != gate.as_str() {
        return;
    }
    reason.since = reason.since.or(Some(*since));
    if let (Some(until), Some(opens_at)) = (reason.until, lane.opens_at) {
        reason.until = Some(until.max(opens_at));
    }
}

/// The name of the event that tells who set this gate.
pub fn event_of(gate: Gate) -> String {
    format!("{}_set", gate.as_str())
}

/// Who set it, as a phrase that goes behind a comma; empty when that is not known.
pub(super) fn set_by(setter: Option<&Setter>) -> String {
    setter.map_or_else(String::new, |setter| format!(", set by {}: {}", setter.by, setter.why))
}
