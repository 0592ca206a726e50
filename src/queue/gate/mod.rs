//! Gates: what keeps a job that is due from starting. The decision, without I/O.
//!
//! A gate hangs on a resource: an outside thing, a queue (`queue:default`) or a kind (`kind:ping`).
//! Jobs that need the same things wait in one lane; a shut gate shuts lanes. The store locks the
//! resources of the lanes whose turn it is, asks here how many jobs of each may start, and writes
//! the answer down in the same transaction, so that every gate holds exactly for the whole fleet.
//!
//! | gate       | shuts when                                  | opens when                        |
//! |------------|---------------------------------------------|-----------------------------------|
//! | paused     | a person or the engine pauses the resource  | resumed, or at a time             |
//! | breaker    | its jobs fail too often                     | probes went well, or a person says |
//! | `not_before` | the outside asks to be left alone         | that time has passed              |
//! | limit      | as many attempts run as may                 | one of them ends                  |
//! | rate       | as many have started as may in a window     | the window has moved on           |
//! | quota      | as many have started today as may           | the next day begins               |
//! | hold       | all places are taken                        | one is released                   |
//!
//! Where a resource has places, its quota counts those that are taken, and not every attempt that uses it: an
//! API that allows 30 reports a day does not count how often somebody asks whether one is ready.

pub mod breaker;
pub mod invalid;
pub mod look;
pub mod quota;
pub mod rate;
pub mod trips;

use super::job::Use;
use breaker::{Allows, Breaker, Change};
use chrono::{DateTime, Utc};
use quota::Quota;
use rand::Rng;
use rate::Rate;
use std::collections::BTreeMap;
use std::time::Duration;

/// The gates, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// A person or the engine has paused the resource.
    Paused,
    /// It fails too often.
    Breaker,
    /// The outside has asked to be left alone for a while.
    NotBefore,
    /// As many attempts run as may.
    Limit,
    /// As many have started lately as may.
    Rate,
    /// As many have started today as may.
    Quota,
    /// All places on it are taken.
    Hold,
}

impl Gate {
    /// The word used in the store, on pages and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Breaker => "breaker",
            Self::NotBefore => "not_before",
            Self::Limit => "limit",
            Self::Rate => "rate",
            Self::Quota => "quota",
            Self::Hold => "hold",
        }
    }
}

/// What a person or a program sets on a resource; `None` takes the gate away.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// How many holders may have a place at once. A place outlives the job that took it.
    Holds(Option<i32>),
    /// How many attempts may run at once.
    Running(Option<i32>),
    /// How many jobs may start in any window.
    Rate(Option<Rate>),
    /// How many jobs may start a day.
    Quota(Option<Quota>),
    /// When it is left alone because it fails.
    Breaker(Option<breaker::Rule>),
    /// How many jobs of its lanes start in one turn, beside one of others; 1 to 1000.
    Weight(i16),
}

/// A resource with its gates, as it stands under its lock.
#[derive(Debug, Clone, Default)]
pub struct Resource {
    /// How many holders may have a place.
    pub max_holds: Option<i32>,
    /// How many have one.
    pub held: i32,
    /// How many attempts may run.
    pub max_running: Option<i32>,
    /// How many do.
    pub running: i32,
    /// To be left alone until then.
    pub not_before: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<String>,
    /// Paused, and until when; `Some(None)` until somebody resumes it.
    pub paused: Option<Option<DateTime<Utc>>>,
    /// How often jobs may start.
    pub rate: Option<Rate>,
    /// How many may a day.
    pub quota: Option<Quota>,
    /// Whether it fails too often.
    pub breaker: Option<Breaker>,
}

/// A lane whose turn it is.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    /// Its number.
    pub id: i64,
    /// What each of its jobs takes of which resources, its queue and kind included.
    pub uses: Vec<Use>,
    /// The jobs that could start, in order: id, and the fence the claim will give.
    pub ready: Vec<(i64, i32)>,
    /// It was told to come at a time, and the time has come: nobody goes before it.
    pub is_its_turn: bool,
}

/// Why a lane is shut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shut {
    /// The resource whose gate it is.
    pub resource: String,
    /// The gate.
    pub gate: Gate,
    /// When it opens by itself; `None` when something has to happen first.
    pub opens_at: Option<DateTime<Utc>>,
}

/// What was decided about a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// So many of its ready jobs start, the first ones.
    pub starts: usize,
    /// Why not all; `None` when all do.
    pub shut: Option<Shut>,
}

/// The locked resources of one claim, by name. One that is missing has no gate.
#[derive(Debug, Default)]
pub struct Gates {
    /// The resources.
    pub resources: BTreeMap<String, Resource>,
    /// What became of breakers meanwhile: (resource, change).
    pub changes: Vec<(String, Change)>,
}

/// Not everybody at the same moment, and nobody too early: added to the time at which an outside
/// thing may be used again.
const SPREAD: Duration = Duration::from_millis(500);

impl Gates {
    /// Decides about one lane, and takes what its jobs need, so that the next lane in line does not
    /// get it. A job takes all that it needs or nothing.
    pub fn admit(&mut self, lane: &Lane, now: DateTime<Utc>) -> Admitted {
        let mut starts = lane.ready.len();
        let mut narrowest = None;
        for needed in &lane.uses {
            let Some(resource) = self.resources.get_mut(&needed.resource) else { continue };
            let changes = &mut self.changes;
            let mut note = |change| changes.push((needed.resource.clone(), change));
            for (gate, room) in resource.rooms(needed, lane.is_its_turn, now, &mut note) {
                if room < starts {
                    starts = room;
                    narrowest = Some((needed, gate));
                }
            }
        }
        for needed in &lane.uses {
            if let Some(resource) = self.resources.get_mut(&needed.resource) {
                resource.take(needed, &lane.ready[..starts], now);
            }
        }
        let shut = narrowest.map(|(needed, gate)| {
            let resource = self.resources.get_mut(&needed.resource);
            let opens_at = resource.and_then(|resource| resource.opens_at(gate, needed, now));
            Shut { resource: needed.resource.clone(), gate, opens_at }
        });
        Admitted { starts, shut }
    }
}

impl Resource {
    /// How many jobs each of its gates lets through now.
    fn rooms(
        &mut self,
        needed: &Use,
        is_its_turn: bool,
        now: DateTime<Utc>,
        note: &mut impl FnMut(Change),
    ) -> Vec<(Gate, usize)> {
        let mut rooms = Vec::new();
        if self.is_paused(now) {
            rooms.push((Gate::Paused, 0));
        }
        if let Some(breaker) = &mut self.breaker {
            let (allows, change) = breaker.allows(now);
            change.into_iter().for_each(note);
            match allows {
                Allows::All => {}
                Allows::Probes(left) => rooms.push((Gate::Breaker, to_usize(left))),
                Allows::Shut { .. } => rooms.push((Gate::Breaker, 0)),
            }
        }
        if self.not_before.is_some_and(|until| until > now) {
            rooms.push((Gate::NotBefore, 0));
        }
        if let Some(max) = self.max_running {
            rooms.push((Gate::Limit, places(max, self.running)));
        }
        if let Some(rate) = &self.rate {
            let room = to_usize(rate.available(now, needed.cost));
            let room = match (rate.is_queued(now), is_its_turn) {
                (false, _) => room,
                (true, true) => room.min(1),
                (true, false) => 0,
            };
            rooms.push((Gate::Rate, room));
        }
        if let Some(quota) = self.quota.as_ref().filter(|_| self.counts(needed)) {
            rooms.push((Gate::Quota, to_usize(quota.available(now, needed.cost))));
        }
        if let Some(max) = self.max_holds.filter(|_| needed.hold) {
            rooms.push((Gate::Hold, places(max, self.held)));
        }
        rooms
    }

    /// Whether its quota counts who has this need.
    fn counts(&self, needed: &Use) -> bool {
        self.max_holds.is_none() || needed.hold
    }

    /// Whether it is paused now.
    pub fn is_paused(&self, now: DateTime<Utc>) -> bool {
        self.paused.is_some_and(|until| until.is_none_or(|until| until > now))
    }

    fn take(&mut self, needed: &Use, jobs: &[(i64, i32)], now: DateTime<Utc>) {
        if jobs.is_empty() {
            return;
        }
        let count = i32::try_from(jobs.len()).unwrap_or(i32::MAX);
        let cost = needed.cost.saturating_mul(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        if self.max_running.is_some() {
            self.running += count;
        }
        if self.max_holds.is_some() && needed.hold {
            self.held += count;
        }
        if let Some(rate) = &mut self.rate {
            rate.take(now, cost);
        }
        let counts = self.counts(needed);
        if let Some(quota) = self.quota.as_mut().filter(|_| counts) {
            quota.take(now, cost);
        }
        if let Some(breaker) = &mut self.breaker {
            for (job_id, fence) in jobs {
                // `rooms` has asked it how many may.
                let may = breaker.started(*job_id, i64::from(*fence));
                debug_assert!(may, "a breaker lets through only what it allowed");
            }
        }
    }

    /// When this gate opens by itself to a job that was not let through.
    fn opens_at(&mut self, gate: Gate, needed: &Use, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match gate {
            Gate::Paused => self.paused.flatten(),
            Gate::Breaker => match self.breaker.as_mut()?.allows(now).0 {
                Allows::Shut { until } => until,
                Allows::All | Allows::Probes(_) => None,
            },
            Gate::NotBefore => {
                Some(self.not_before? + rand::rng().random_range(Duration::ZERO..SPREAD))
            }
            Gate::Rate => Some(self.rate.as_mut()?.queue_up(now, needed.cost)),
            Gate::Quota => Some(self.quota.as_ref()?.opens_at(now, needed.cost)),
            Gate::Limit | Gate::Hold => None,
        }
    }
}

fn places(max: i32, used: i32) -> usize {
    usize::try_from(max - used).unwrap_or(0)
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
