//! A breaker's rule as data, and the little that is remembered to decide when it trips.

use super::invalid::Invalid;
use crate::queue::error::Class;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A window is counted in this many parts; it moves on by one part at a time.
const PARTS: i64 = 10;
const MAX_N: u16 = 1_000;
const MAX_TRIPS: usize = 10;
const MAX_PROBES: u32 = 1_000;
/// Of windows and cool-downs: a week, in seconds.
const LONGEST_S: u32 = 7 * 86_400;

/// When a breaker opens, for how long, and how it asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Any of these opens it; with none, only a person does. At most ten.
    pub trips: Vec<Trip>,
    /// The classes of failures that count.
    pub counts: Vec<Cause>,
    /// How many attempts may ask whether the resource is back; all have to succeed. 1 to 1,000.
    pub probes: u32,
    /// How long it stays open the first time, the second …, in seconds; the last one repeats.
    /// Each is made up to 20 % longer or shorter.
    pub cool_downs_s: Vec<u32>,
    /// Stays open until a person resumes, with no cool-down.
    pub manual: bool,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            trips: vec![Trip::KOfLast { k: 5, n: 20 }],
            counts: vec![Cause::Transient],
            probes: 1,
            cool_downs_s: vec![60, 300, 900, 3600],
            manual: false,
        }
    }
}

impl Rule {
    /// Refuses numbers that make no sense.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        if self.trips.len() > MAX_TRIPS {
            return Err(Invalid::new(
                "breaker.trips",
                "more than 10 are more than anybody understands",
            ));
        }
        self.trips.iter().try_for_each(Trip::check)?;
        if !(1..=MAX_PROBES).contains(&self.probes) {
            let remedy = format!("{} is not between 1 and 1000", self.probes);
            return Err(Invalid::new("breaker.probes", remedy));
        }
        let length = 1..=LONGEST_S;
        if self.cool_downs_s.is_empty() || !self.cool_downs_s.iter().all(|s| length.contains(s)) {
            let remedy = "give at least one, each between 1 and 604800 seconds (a week)";
            return Err(Invalid::new("breaker.cool_downs_s", remedy));
        }
        Ok(())
    }

    /// The cool-down of the n-th opening in a row, from 1.
    pub(super) fn cool_down(&self, opening: u32) -> TimeDelta {
        let index = usize::try_from(opening.max(1) - 1).unwrap_or(usize::MAX);
        let last = self.cool_downs_s.last();
        let seconds = self.cool_downs_s.get(index).or(last).copied().unwrap_or(3600);
        TimeDelta::seconds(i64::from(seconds))
    }

    /// Whether a failure of this cause says that the resource is not back.
    pub(super) fn heeds(&self, cause: Cause) -> bool {
        let named = |trip: &Trip| matches!(trip, Trip::Any { classes } if classes.contains(&cause));
        self.counts.contains(&cause) || self.trips.iter().any(named)
    }
}

/// A class of failures that may say something about a resource. The others never do: a throttled
/// attempt found the resource alive, and an interrupted or cancelled one was stopped from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Dropped connections, 5xx, time-outs, panics.
    Transient,
    /// A credential was refused.
    Unauthorized,
    /// It will never pass.
    Permanent,
}

impl Cause {
    /// The word of its [`Class`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => Class::Transient.as_str(),
            Self::Unauthorized => "unauthorized",
            Self::Permanent => Class::Permanent.as_str(),
        }
    }

    /// What a failure of this class says about the resource, if anything.
    pub fn of(class: &Class) -> Option<Self> {
        match class {
            Class::Transient => Some(Self::Transient),
            Class::Unauthorized { .. } => Some(Self::Unauthorized),
            Class::Permanent => Some(Self::Permanent),
            Class::Throttled { .. } | Class::Cancelled | Class::Interrupted => None,
        }
    }
}

/// What opens a breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Trip {
    /// k of the last n attempts failed. It does not wait for n: k failures are enough.
    KOfLast {
        /// Failures: 1 to n.
        k: u16,
        /// Attempts that are looked back on: at most 1,000.
        n: u16,
    },
    /// At least this share of the attempts that ended in the last `window_s` seconds failed.
    Share {
        /// Of a hundred: 1 to 100.
        percent: u8,
        /// Seconds: 10 to a week. Counted in ten parts, so that up to a tenth more is looked at.
        window_s: u32,
        /// With fewer attempts than this the share says nothing.
        at_least: u32,
    },
    /// So many attempts in a row failed.
    Consecutive {
        /// Failures.
        k: u32,
    },
    /// One failure of any of these classes, also of such that do not count otherwise.
    Any {
        /// The classes.
        classes: Vec<Cause>,
    },
}

impl Trip {
    /// Refuses numbers that make no sense.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        let refuse = |field, remedy: &str| Err(Invalid::new(field, remedy));
        match self {
            Self::KOfLast { k, n } if *k == 0 || k > n || *n > MAX_N => {
                refuse("breaker.trips.k_of_last", "k is 1 to n, and n at most 1000")
            }
            Self::Share { percent, window_s, at_least }
                if !(1..=100).contains(percent)
                    || !(10..=LONGEST_S).contains(window_s)
                    || *at_least == 0 =>
            {
                let remedy =
                    "percent is 1 to 100, window_s 10 to 604800 (a week), at_least 1 or more";
                refuse("breaker.trips.share", remedy)
            }
            Self::Consecutive { k: 0 } => {
                refuse("breaker.trips.consecutive.k", "0 would always be open; take at least 1")
            }
            Self::Any { classes } if classes.is_empty() => {
                refuse("breaker.trips.any.classes", "name at least one class of failures")
            }
            _ => Ok(()),
        }
    }

    /// What is remembered for it, before anything was seen.
    fn tally(&self) -> Tally {
        match self {
            Self::KOfLast { .. } => Tally::Last(String::new()),
            Self::Share { .. } => Tally::Parts(VecDeque::new()),
            Self::Consecutive { .. } => Tally::Row(0),
            Self::Any { .. } => Tally::Nothing,
        }
    }
}

/// What is remembered for one [`Trip`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tally {
    /// One sign for each of the last n attempts.
    Last(String),
    /// The window's parts, oldest first.
    Parts(VecDeque<Part>),
    /// Failures since the last success.
    Row(u32),
    Nothing,
}

const GOOD: char = '.';
const FAILED: char = 'x';

/// What was seen in one part of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    /// Its number since 1970.
    number: i64,
    good: u32,
    failed: u32,
}

/// What is remembered for all the trips of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Memory(Vec<Tally>);

impl Memory {
    /// Nothing seen yet.
    pub(super) fn of(trips: &[Trip]) -> Self {
        Self(trips.iter().map(Trip::tally).collect())
    }

    /// Remembers a success.
    pub(super) fn good(&mut self, trips: &[Trip], now: DateTime<Utc>) {
        self.fit(trips);
        for (trip, tally) in trips.iter().zip(&mut self.0) {
            tally.note(trip, now, false);
        }
    }

    /// Remembers a failure, and says in English what it trips, if anything. One that does not
    /// count only matters where its class is named.
    pub(super) fn failed(
        &mut self,
        trips: &[Trip],
        now: DateTime<Utc>,
        cause: Cause,
        counts: bool,
    ) -> Option<String> {
        self.fit(trips);
        let mut why = None;
        for (trip, tally) in trips.iter().zip(&mut self.0) {
            if counts {
                tally.note(trip, now, true);
            }
            let tripped = match trip {
                Trip::Any { classes } if classes.contains(&cause) => {
                    Some(format!("a failure of the class {}", cause.as_str()))
                }
                _ if counts => tally.verdict(trip),
                _ => None,
            };
            why = why.or(tripped);
        }
        why
    }

    /// A document that somebody wrote by hand may lack it.
    fn fit(&mut self, trips: &[Trip]) {
        if self.0.len() != trips.len() {
            *self = Self::of(trips);
        }
    }
}

impl Tally {
    fn note(&mut self, trip: &Trip, now: DateTime<Utc>, failed: bool) {
        match (self, trip) {
            (Self::Last(signs), Trip::KOfLast { n, .. }) => {
                signs.push(if failed { FAILED } else { GOOD });
                let excess = signs.len().saturating_sub(usize::from(*n));
                signs.drain(..excess);
            }
            (Self::Row(failures), Trip::Consecutive { .. }) => {
                *failures = if failed { failures.saturating_add(1) } else { 0 };
            }
            (Self::Parts(parts), Trip::Share { window_s, .. }) => {
                let length = i64::from(*window_s) * 1_000 / PARTS;
                note_part(parts, now.timestamp_millis().div_euclid(length), failed);
            }
            _ => {}
        }
    }

    /// Called after a failure was noted.
    fn verdict(&self, trip: &Trip) -> Option<String> {
        match (self, trip) {
            (Self::Last(signs), Trip::KOfLast { k, .. }) => {
                let failed = signs.chars().filter(|sign| *sign == FAILED).count();
                (failed >= usize::from(*k))
                    .then(|| format!("{failed} of the last {} attempts failed", signs.len()))
            }
            (Self::Row(failures), Trip::Consecutive { k }) if failures >= k => {
                Some(match failures {
                    1 => "an attempt failed".to_owned(),
                    _ => format!("{failures} attempts in a row failed"),
                })
            }
            (Self::Parts(parts), Trip::Share { percent, window_s, at_least }) => {
                let sum =
                    |of: fn(&Part) -> u32| parts.iter().map(|p| u64::from(of(p))).sum::<u64>();
                let (failed, all) = (sum(|p| p.failed), sum(|p| p.failed) + sum(|p| p.good));
                let trips =
                    all >= u64::from(*at_least) && failed * 100 >= u64::from(*percent) * all;
                trips.then(|| {
                    let window = TimeDelta::seconds(i64::from(*window_s));
                    format!("{failed} of {all} attempts of the last {} failed", spell(window))
                })
            }
            _ => None,
        }
    }
}

fn note_part(parts: &mut VecDeque<Part>, number: i64, failed: bool) {
    // The clock may be a little behind what was seen before; time does not go back for that.
    let number = parts.back().map_or(number, |last| last.number.max(number));
    if parts.back().is_none_or(|last| last.number < number) {
        parts.push_back(Part { number, good: 0, failed: 0 });
    }
    while parts.front().is_some_and(|first| first.number < number - PARTS) {
        parts.pop_front();
    }
    if let Some(part) = parts.back_mut() {
        let count = if failed { &mut part.failed } else { &mut part.good };
        *count = count.saturating_add(1);
    }
}

/// A length of time as a person says it: "90 s", "15 min", "2 h".
pub(super) fn spell(length: TimeDelta) -> String {
    match length.num_seconds() {
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} min", (s + 30) / 60),
        s => format!("{} h", (s + 1800) / 3600),
    }
}
