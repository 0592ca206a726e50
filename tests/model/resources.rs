//! The model of resources: their gates, who holds and runs on them, and what breakers have heard.

use super::steps::Set;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeSet;

/// How a breaker stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    Closed,
    /// Until then; `None` until a person resumes.
    Open(Option<DateTime<Utc>>),
    HalfOpen {
        left: u32,
        good: u32,
        probes: BTreeSet<(i64, i64)>,
    },
}

/// A breaker that opens after so many failures in a row.
#[derive(Debug, Clone)]
pub struct Breaker {
    pub k: u32,
    pub probes: u32,
    pub manual: bool,
    pub failures: u32,
    pub closed_since: Option<DateTime<Utc>>,
    pub phase: Phase,
}

/// What an attempt that ended says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Good,
    /// In a way that counts.
    Failed,
    Nothing,
}

impl Breaker {
    /// It has no way to tell more of an opening than that it happened: the cool-down has jitter.
    pub fn heard(&mut self, probe: (i64, i64), claimed_at: DateTime<Utc>, said: Said) {
        match &mut self.phase {
            Phase::Open(_) => {}
            Phase::Closed => {
                if self.closed_since.is_some_and(|since| claimed_at < since) {
                    return;
                }
                match said {
                    Said::Good => self.failures = 0,
                    Said::Failed => self.failures += 1,
                    Said::Nothing => {}
                }
                if self.failures >= self.k {
                    self.open();
                }
            }
            Phase::HalfOpen { left, good, probes } => {
                if !probes.remove(&probe) {
                    return;
                }
                match said {
                    Said::Failed => self.open(),
                    Said::Nothing => *left += 1,
                    Said::Good => {
                        *good += 1;
                        if *left == 0 && probes.is_empty() {
                            self.close();
                        }
                    }
                }
            }
        }
    }

    fn open(&mut self) {
        self.failures = 0;
        self.phase = Phase::Open(None);
    }

    /// When is read back.
    pub fn close(&mut self) {
        self.failures = 0;
        self.phase = Phase::Closed;
    }

    /// A person has mended what was wrong.
    pub fn resume(&mut self) {
        match self.phase {
            Phase::Closed => {}
            Phase::Open(_) => self.half_open(),
            Phase::HalfOpen { .. } => self.close(),
        }
    }

    pub fn half_open(&mut self) {
        self.phase = Phase::HalfOpen { left: self.probes, good: 0, probes: BTreeSet::new() };
    }

    pub fn change_rule(&mut self, k: u32, probes: u32, manual: bool) {
        (self.k, self.probes, self.manual, self.failures) = (k, probes, manual, 0);
        if let Phase::HalfOpen { left, good, probes: under_way } = &mut self.phase {
            let under_way = u32::try_from(under_way.len()).expect("few");
            *left = probes.saturating_sub(under_way + *good);
            if *left == 0 && under_way == 0 {
                *left = 1;
            }
        }
    }
}

/// A resource with its gates.
#[derive(Debug, Clone, Default)]
pub struct Resource {
    pub max_holds: Option<i32>,
    pub holders: BTreeSet<String>,
    pub max_running: Option<i32>,
    /// Until then; `Some(None)` until it is resumed.
    #[expect(clippy::option_option, reason = "paused or not, with an end or without")]
    pub paused: Option<Option<DateTime<Utc>>>,
    pub not_before: Option<DateTime<Utc>>,
    /// (tokens, seconds), and what has started since it was set.
    pub rate: Option<(u32, u64)>,
    pub started: Vec<(DateTime<Utc>, u32)>,
    pub quota: Option<u32>,
    pub started_under_quota: Vec<(DateTime<Utc>, u32)>,
    pub breaker: Option<Breaker>,
    pub opened_at: Option<DateTime<Utc>>,
    /// The step has told it so; until when is read back.
    pub asked_for_quiet: Option<TimeDelta>,
    /// Its rate may be lower than the rule.
    pub was_slowed: bool,
}

impl Resource {
    pub fn set(&mut self, set: &Set) {
        match set {
            Set::Holds(max) => self.max_holds = *max,
            Set::Running(max) => self.max_running = *max,
            Set::Rate(rate) => (self.rate, self.started) = (*rate, Vec::new()),
            Set::Quota(limit) => {
                if self.quota.is_none() {
                    self.started_under_quota.clear();
                }
                self.quota = *limit;
            }
            Set::Breaker(None) => self.breaker = None,
            Set::Breaker(Some((k, probes, _, manual))) => {
                let new = || Breaker {
                    k: *k,
                    probes: *probes,
                    manual: *manual,
                    failures: 0,
                    closed_since: None,
                    phase: Phase::Closed,
                };
                self.breaker.get_or_insert_with(new).change_rule(*k, *probes, *manual);
            }
            Set::Weight(_) => {}
        }
    }

    pub fn is_gated(&self, now: DateTime<Utc>) -> bool {
        self.max_holds.is_some()
            || self.max_running.is_some()
            || self.rate.is_some()
            || self.quota.is_some()
            || self.breaker.is_some()
            || self.is_paused(now)
            || self.not_before.is_some_and(|until| until > now)
    }

    pub fn is_paused(&self, now: DateTime<Utc>) -> bool {
        self.paused.is_some_and(|until| until.is_none_or(|until| until > now))
    }

    pub fn used_of_quota(&self, now: DateTime<Utc>) -> u32 {
        let today = now.date_naive();
        let of_today = |(at, _): &&(DateTime<Utc>, u32)| at.date_naive() == today;
        self.started_under_quota.iter().filter(of_today).map(|(_, cost)| cost).sum()
    }
}
