//! A breaker: leaves a resource alone that keeps failing, and asks carefully whether it is back.
//! Decided without I/O; the store keeps one for the whole fleet.
//!
//! ```text
//!            a rule trips                    the cool-down is over,
//!            (or a person)                   or a person resumes
//!   closed ────────────────►     open     ─────────────────────────►  half-open: h probes
//!     ▲                            ▲                                     │        │
//!     │                            └──────── one of them fails ──────────┘        │
//!     └───────────────────────────────────── h of them succeed ───────────────────┘
//! ```
//!
//! Only attempts that began in the present state change it: those that began before a breaker
//! opened neither close nor re-open it, and those that began before it closed do not open it again.
//! A probe that says nothing (interrupted, throttled, its process died) gives its place back.
//!
//! Cool-downs grow from opening to opening. They start anew once the breaker has stayed closed for
//! the length of the last one, so that a resource that flaps is asked ever more rarely.

use super::invalid::Invalid;
use super::trips::{Memory, spell};
use crate::queue::error::Failure;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use super::trips::{Cause, Rule, Trip};

/// Of an error's text this much is told on, in characters.
const ERROR_TEXT_MAX: usize = 200;

/// How a breaker stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum State {
    /// Attempts start freely.
    Closed {
        /// `None` if it never was open.
        since: Option<DateTime<Utc>>,
    },
    /// Nothing starts.
    Open {
        /// Attempts that began before do not matter any more.
        since: DateTime<Utc>,
        /// The end of the cool-down; `None` until a person resumes.
        until: Option<DateTime<Utc>>,
        /// One sentence.
        why: String,
        /// The person who opened it, if one did.
        by: Option<String>,
    },
    /// A few attempts ask whether the resource is back.
    HalfOpen {
        /// When the first probe might start.
        since: DateTime<Utc>,
        /// How many more may start.
        left: u32,
        /// How many have succeeded.
        good: u32,
        /// Those under way: (job, fence).
        probes: Vec<(i64, i64)>,
    },
}

/// The three states, without their facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Attempts start freely.
    Closed,
    /// Nothing starts.
    Open,
    /// A few attempts ask whether the resource is back.
    HalfOpen,
}

/// What happened, for the event that people read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// How it stood.
    pub from: Phase,
    /// How it stands.
    pub to: Phase,
    /// One sentence in English.
    pub why: String,
}

/// What may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allows {
    /// Everything.
    All,
    /// So many probes. With 0, those under way are waited for.
    Probes(u32),
    /// Nothing.
    Shut {
        /// `None` until a person resumes.
        until: Option<DateTime<Utc>>,
    },
}

/// What an attempt that ended says about the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation<'a> {
    /// It works.
    Good,
    /// It failed.
    Failed {
        /// In which way.
        cause: Cause,
        /// The error's text.
        error: &'a str,
    },
    /// Nothing: the attempt was throttled, interrupted, cancelled, rescued.
    Neither,
}

/// A breaker: rule and state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    rule: Rule,
    state: State,
    /// What was seen since it closed.
    #[serde(default)]
    memory: Memory,
    /// Openings in a row: which cool-down was the last.
    #[serde(default)]
    openings: u32,
    /// What has kept it from closing; none while it is closed, and none when only a person has opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outage: Option<Outage>,
}

/// Since when a resource has failed, however often it was asked meanwhile whether it is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// When its breaker, which was closed, opened.
    pub since: DateTime<Utc>,
    /// What the failure said that opened it last.
    pub last: String,
}

impl<'a> Observation<'a> {
    /// What a failure says. `error` is its text.
    pub fn of(failure: &Failure, error: &'a str) -> Self {
        failure.cause().map_or(Self::Neither, |cause| Self::Failed { cause, error })
    }
}

impl Breaker {
    /// Closed, under this rule. Refused: numbers that make no sense.
    pub fn new(rule: Rule) -> Result<Self, Invalid> {
        rule.check()?;
        let memory = Memory::of(&rule.trips);
        Ok(Self { rule, state: State::Closed { since: None }, memory, openings: 0, outage: None })
    }

    /// This rule takes the place of another, in the other's state: an open one stays open as long
    /// as was said. What was seen since it closed is forgotten.
    #[must_use]
    pub fn in_place_of(self, old: &Self) -> Self {
        let mut state = old.state.clone();
        if let State::HalfOpen { left, good, probes, .. } = &mut state {
            let under_way = u32::try_from(probes.len()).unwrap_or(u32::MAX);
            *left = self.rule.probes.saturating_sub(under_way.saturating_add(*good));
            if *left == 0 && under_way == 0 {
                // Somebody has to succeed last.
                *left = 1;
            }
        }
        Self { state, openings: old.openings, outage: old.outage.clone(), ..self }
    }

    /// The rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// How it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What keeps it from closing, if anything but a person does.
    pub fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref()
    }

    /// How it stands, in a word.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Closed { .. } => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    /// What may start now. A cool-down that is over makes it half-open.
    pub fn allows(&mut self, now: DateTime<Utc>) -> (Allows, Option<Change>) {
        match self.state {
            State::Closed { .. } => (Allows::All, None),
            State::HalfOpen { left, .. } => (Allows::Probes(left), None),
            State::Open { until: Some(until), since, .. } if until <= now => {
                let why = format!(
                    "half-open: the cool-down of {} is over, {} may ask whether it is back",
                    spell(until - since),
                    attempts(self.rule.probes)
                );
                (Allows::Probes(self.rule.probes), Some(self.half_open(now, why)))
            }
            State::Open { until, .. } => (Allows::Shut { until }, None),
        }
    }

    /// Notes an attempt that starts in the same transaction. False if it must not:
    /// [`allows`](Self::allows) was not asked, or not heeded.
    #[must_use]
    pub fn started(&mut self, job_id: i64, fence: i64) -> bool {
        match &mut self.state {
            State::Closed { .. } => true,
            State::Open { .. } | State::HalfOpen { left: 0, .. } => false,
            State::HalfOpen { left, probes, .. } => {
                *left -= 1;
                probes.push((job_id, fence));
                true
            }
        }
    }

    /// Takes in how an attempt ended that was claimed at `claimed_at`. `jitter`, between 0 and 1,
    /// shortens or lengthens a cool-down that begins.
    ///
    /// A probe that says nothing gives its place back without a [`Change`]: ask
    /// [`allows`](Self::allows) afterwards.
    pub fn observe(
        &mut self,
        now: DateTime<Utc>,
        job_id: i64,
        fence: i64,
        claimed_at: DateTime<Utc>,
        seen: Observation<'_>,
        jitter: f64,
    ) -> Option<Change> {
        match self.state {
            State::Open { .. } => None,
            State::Closed { since } if since.is_some_and(|since| claimed_at < since) => None,
            State::Closed { .. } => self.observe_closed(now, seen, jitter),
            State::HalfOpen { .. } => self.observe_probe(now, (job_id, fence), seen, jitter),
        }
    }

    /// A probe was rescued, or is gone in another way: its place is free again. True if it was one.
    pub fn lost(&mut self, job_id: i64, fence: i64) -> bool {
        let was_probe = self.end_probe((job_id, fence));
        if let (true, State::HalfOpen { left, .. }) = (was_probe, &mut self.state) {
            *left += 1;
        }
        was_probe
    }

    /// A person opens it until a person resumes.
    pub fn trip(&mut self, now: DateTime<Utc>, by: &str, why: &str) -> Change {
        let from = self.phase();
        let why = format!("opened by {by}: {}", shorten(why));
        let by = Some(by.to_owned());
        self.state = State::Open { since: now, until: None, why: why.clone(), by };
        self.memory = Memory::of(&self.rule.trips);
        Change { from, to: Phase::Open, why }
    }

    /// A person has mended what was wrong. An open breaker lets its probes start at once; one that
    /// is half-open already is closed without waiting for them.
    pub fn resume(&mut self, now: DateTime<Utc>, by: &str) -> Option<Change> {
        let probes = attempts(self.rule.probes);
        match self.phase() {
            Phase::Closed => None,
            Phase::Open => {
                let why =
                    format!("half-open: resumed by {by}, {probes} may ask whether it is back");
                Some(self.half_open(now, why))
            }
            Phase::HalfOpen => {
                Some(self.close(now, format!("closed by {by}, without waiting for the probes")))
            }
        }
    }

    fn observe_closed(
        &mut self,
        now: DateTime<Utc>,
        seen: Observation<'_>,
        jitter: f64,
    ) -> Option<Change> {
        match seen {
            Observation::Neither => None,
            Observation::Good => {
                self.memory.good(&self.rule.trips, now);
                None
            }
            Observation::Failed { cause, error } => {
                let counts = self.rule.counts.contains(&cause);
                let tripped = self.memory.failed(&self.rule.trips, now, cause, counts)?;
                Some(self.open(now, &tripped, error, jitter))
            }
        }
    }

    fn observe_probe(
        &mut self,
        now: DateTime<Utc>,
        probe: (i64, i64),
        seen: Observation<'_>,
        jitter: f64,
    ) -> Option<Change> {
        match seen {
            Observation::Failed { cause, error } if self.rule.heeds(cause) => {
                self.end_probe(probe).then(|| self.open(now, "a probe failed", error, jitter))
            }
            Observation::Good if self.end_probe(probe) => self.good_probe(now),
            Observation::Good => None,
            Observation::Failed { .. } | Observation::Neither => {
                self.lost(probe.0, probe.1);
                None
            }
        }
    }

    fn good_probe(&mut self, now: DateTime<Utc>) -> Option<Change> {
        let State::HalfOpen { good, left, probes, .. } = &mut self.state else { return None };
        *good += 1;
        // A rule with fewer probes may have come since; those that run are waited for all the same.
        let all = *left == 0 && probes.is_empty();
        let said = if *good == 1 { "the probe".to_owned() } else { format!("all {good} probes") };
        all.then(|| self.close(now, format!("closed: {said} succeeded")))
    }

    /// Takes this probe off the list of those under way. True if it was on it.
    fn end_probe(&mut self, probe: (i64, i64)) -> bool {
        let State::HalfOpen { probes, .. } = &mut self.state else { return false };
        let found = probes.iter().position(|other| *other == probe);
        found.map(|at| probes.swap_remove(at)).is_some()
    }

    fn open(&mut self, now: DateTime<Utc>, tripped: &str, error: &str, jitter: f64) -> Change {
        let from = self.phase();
        self.openings = match self.state {
            State::Closed { since } if self.has_rested(now, since) => 1,
            _ => self.openings.saturating_add(1),
        };
        let until = (!self.rule.manual).then(|| {
            let cool_down = self.rule.cool_down(self.openings).as_seconds_f64();
            now + milliseconds(cool_down * (0.8 + 0.4 * jitter.clamp(0.0, 1.0)))
        });
        let wait = until.map_or("until a person resumes".to_owned(), |until| {
            format!("for {}", spell(until - now))
        });
        let last = shorten(error);
        let why = format!("opened {wait}: {tripped}, last: {last}");
        let since = self.outage.take().map_or(now, |outage| outage.since);
        self.outage = Some(Outage { since, last });
        self.state = State::Open { since: now, until, why: why.clone(), by: None };
        self.memory = Memory::of(&self.rule.trips);
        Change { from, to: Phase::Open, why }
    }

    /// Whether it has been closed for so long that the cool-downs start anew.
    fn has_rested(&self, now: DateTime<Utc>, closed_since: Option<DateTime<Utc>>) -> bool {
        closed_since.is_none_or(|since| now - since >= self.rule.cool_down(self.openings))
    }

    fn half_open(&mut self, now: DateTime<Utc>, why: String) -> Change {
        let (from, left) = (self.phase(), self.rule.probes);
        self.state = State::HalfOpen { since: now, left, good: 0, probes: Vec::new() };
        Change { from, to: Phase::HalfOpen, why }
    }

    fn close(&mut self, now: DateTime<Utc>, why: String) -> Change {
        let from = self.phase();
        self.state = State::Closed { since: Some(now) };
        self.outage = None;
        self.memory = Memory::of(&self.rule.trips);
        Change { from, to: Phase::Closed, why }
    }
}

fn attempts(n: u32) -> String {
    if n == 1 { "one attempt".to_owned() } else { format!("{n} attempts") }
}

/// The beginning of a text, on one line.
fn shorten(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(ERROR_TEXT_MAX) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most a week and a fifth")]
fn milliseconds(seconds: f64) -> TimeDelta {
    TimeDelta::milliseconds((seconds * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FAILED: Observation<'_> =
        Observation::Failed { cause: Cause::Transient, error: "connection refused" };

    fn start() -> DateTime<Utc> {
        "2024-01-01T00:00:00Z".parse().expect("a time")
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        start() + TimeDelta::seconds(seconds)
    }

    fn breaker(rule: Rule) -> Breaker {
        Breaker::new(rule).expect("a rule")
    }

    fn in_a_row(k: u32, probes: u32) -> Rule {
        Rule { trips: vec![Trip::Consecutive { k }], probes, ..Rule::default() }
    }

    /// An attempt that starts and ends now. Jitter of a half changes no cool-down.
    fn attempt(breaker: &mut Breaker, second: i64, seen: Observation<'_>) -> Option<Change> {
        let job_id = second;
        let _ = breaker.allows(at(second));
        assert!(breaker.started(job_id, 1), "it may start at {second}");
        breaker.observe(at(second), job_id, 1, at(second), seen, 0.5)
    }

    /// How long it is shut, when it is.
    fn shut_for(breaker: &mut Breaker, second: i64) -> i64 {
        match breaker.allows(at(second)).0 {
            Allows::Shut { until: Some(until) } => (until - at(second)).num_seconds(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_refused_with_its_remedy() {
        let message = |rule| Breaker::new(rule).expect_err("refused").to_string();
        let rule = Rule::default;
        assert!(message(Rule { probes: 0, ..rule() }).starts_with("breaker.probes: 0 is not"));
        assert!(message(Rule { cool_downs_s: vec![], ..rule() }).contains("at least one"));
        let trips = [
            Trip::KOfLast { k: 21, n: 20 },
            Trip::KOfLast { k: 1, n: 1_001 },
            Trip::Share { percent: 101, window_s: 60, at_least: 1 },
            Trip::Share { percent: 50, window_s: 1, at_least: 1 },
            Trip::Consecutive { k: 0 },
            Trip::Any { classes: vec![] },
        ];
        for trip in trips {
            let text = message(Rule { trips: vec![trip], ..rule() });
            assert!(text.starts_with("breaker.trips."), "{text}");
        }
        assert!(
            message(Rule { trips: vec![Trip::Consecutive { k: 1 }; 11], ..rule() }).contains("10")
        );
    }

    #[test]
    fn a_rule_is_written_as_people_read_it() {
        let text = r#"{"trips": [{"k_of_last": {"k": 5, "n": 20}},
                                 {"share": {"percent": 50, "window_s": 600, "at_least": 10}},
                                 {"any": {"classes": ["unauthorized"]}}],
                       "counts": ["transient", "permanent"], "manual": true}"#;
        let rule: Rule = serde_json::from_str(text).expect("a rule");
        assert_eq!(rule.trips.len(), 3);
        assert_eq!((rule.probes, rule.cool_downs_s), (1, vec![60, 300, 900, 3600]));
        let typo = serde_json::from_str::<Rule>(r#"{"probe": 3}"#);
        assert!(typo.expect_err("refused").to_string().contains("unknown field `probe`"));
    }

    #[test]
    fn five_failures_of_the_last_twenty_open_it_and_it_says_so_in_one_sentence() {
        let mut breaker = breaker(Rule::default());
        for second in 0..16 {
            let seen = if second % 4 == 0 { FAILED } else { Observation::Good };
            assert_eq!(attempt(&mut breaker, second, seen), None);
        }
        let change = attempt(&mut breaker, 16, FAILED).expect("it opens");
        let why = "opened for 60 s: 5 of the last 17 attempts failed, last: connection refused";
        assert_eq!(
            (change.from, change.to, change.why.as_str()),
            (Phase::Closed, Phase::Open, why)
        );
        assert!(!breaker.started(99, 1), "nothing starts");
        let (allows, change) = breaker.allows(at(16 + 60));
        assert_eq!(allows, Allows::Probes(1));
        let why =
            "half-open: the cool-down of 60 s is over, one attempt may ask whether it is back";
        assert_eq!(change.expect("a change").why, why);
        let change = attempt(&mut breaker, 16 + 61, Observation::Good).expect("it closes");
        assert_eq!(change.why, "closed: the probe succeeded");
        assert_eq!(breaker.allows(at(100)).0, Allows::All);
    }

    #[test]
    fn failures_that_are_looked_back_on_no_more_do_not_count() {
        let trips = vec![Trip::KOfLast { k: 2, n: 3 }];
        let mut breaker = breaker(Rule { trips, ..Rule::default() });
        for second in 0..30 {
            let seen = if second % 3 == 0 { FAILED } else { Observation::Good };
            assert_eq!(attempt(&mut breaker, second, seen), None, "at {second}");
        }
    }

    #[test]
    fn a_share_of_failures_opens_it_once_there_are_enough_and_old_ones_are_forgotten() {
        let trips = vec![Trip::Share { percent: 50, window_s: 600, at_least: 10 }];
        let mut breaker = breaker(Rule { trips, ..Rule::default() });
        for second in 0..9 {
            assert_eq!(attempt(&mut breaker, second, FAILED), None, "too few to say");
        }
        for second in 0..9 {
            assert_eq!(attempt(&mut breaker, 700 + second, FAILED), None, "the others are old");
        }
        let change = attempt(&mut breaker, 800, FAILED).expect("it opens");
        assert!(
            change.why.contains("10 of 10 attempts of the last 10 min failed"),
            "{}",
            change.why
        );
    }

    #[test]
    fn one_failure_of_a_named_class_opens_it_though_the_class_does_not_count_otherwise() {
        let trips =
            vec![Trip::Consecutive { k: 2 }, Trip::Any { classes: vec![Cause::Unauthorized] }];
        let mut breaker = breaker(Rule { trips, ..Rule::default() });
        let permanent = Observation::Failed { cause: Cause::Permanent, error: "no such column" };
        for second in 0..50 {
            assert_eq!(attempt(&mut breaker, second, permanent), None, "it does not count");
        }
        let denied = Observation::Failed { cause: Cause::Unauthorized, error: "403\n  Forbidden" };
        let change = attempt(&mut breaker, 60, denied).expect("it opens");
        let why = "opened for 60 s: a failure of the class unauthorized, last: 403 Forbidden";
        assert_eq!(change.why, why);
    }

    #[test]
    fn a_throttled_interrupted_or_cancelled_attempt_says_nothing() {
        let mut breaker = breaker(in_a_row(1, 1));
        let failures = [
            Failure::interrupted(),
            Failure::throttled(anyhow::anyhow!("429"), None, "host"),
            Failure::new(crate::queue::error::Class::Cancelled, anyhow::anyhow!("stop")),
        ];
        for (second, failure) in (0..).zip(&failures) {
            let seen = Observation::of(failure, "text");
            assert_eq!(seen, Observation::Neither);
            assert_eq!(attempt(&mut breaker, second, seen), None);
        }
        let timeout = Failure::transient(anyhow::anyhow!("timed out"));
        assert!(attempt(&mut breaker, 9, Observation::of(&timeout, "timed out")).is_some());
        for (cause, failure) in [
            (Cause::Transient, timeout),
            (Cause::Permanent, Failure::permanent(anyhow::anyhow!("x"))),
            (Cause::Unauthorized, Failure::unauthorized(anyhow::anyhow!("x"), "c")),
        ] {
            assert_eq!(cause.as_str(), failure.class.as_str(), "one word per thing");
            assert_eq!(Cause::of(&failure.class), Some(cause));
        }
    }

    #[test]
    fn cool_downs_grow_until_it_has_stayed_closed_for_as_long_as_the_last_one() {
        let mut breaker = breaker(in_a_row(1, 1));
        let mut second = 0;
        for cool_down in [60, 300, 900, 3600, 3600] {
            attempt(&mut breaker, second, FAILED).expect("it opens");
            assert_eq!(shut_for(&mut breaker, second), cool_down);
            second += cool_down;
        }
        attempt(&mut breaker, second, Observation::Good).expect("it closes");
        attempt(&mut breaker, second + 3599, FAILED).expect("it flaps");
        assert_eq!(shut_for(&mut breaker, second + 3599), 3600);
        second += 3599 + 3600;
        attempt(&mut breaker, second, Observation::Good).expect("it closes");
        attempt(&mut breaker, second + 3600, FAILED).expect("something new");
        assert_eq!(shut_for(&mut breaker, second + 3600), 60);
    }

    #[test]
    fn an_attempt_that_began_before_it_opened_neither_closes_nor_reopens_it() {
        let mut breaker = breaker(in_a_row(1, 1));
        assert!(breaker.started(1, 1) && breaker.started(2, 1) && breaker.started(3, 1));
        breaker.observe(at(10), 1, 1, at(0), FAILED, 0.5).expect("it opens");
        assert_eq!(breaker.observe(at(11), 2, 1, at(0), FAILED, 0.5), None);
        let _ = breaker.allows(at(70));
        assert!(breaker.started(9, 4));
        assert_eq!(breaker.observe(at(71), 3, 1, at(0), Observation::Good, 0.5), None);
        assert_eq!(breaker.phase(), Phase::HalfOpen);
        breaker.observe(at(72), 9, 4, at(70), Observation::Good, 0.5).expect("the probe closes it");
        assert_eq!(breaker.observe(at(73), 3, 1, at(0), FAILED, 0.5), None, "old evidence");
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[test]
    fn a_probe_that_says_nothing_or_dies_gives_its_place_back_once() {
        let mut breaker = breaker(in_a_row(1, 2));
        attempt(&mut breaker, 0, FAILED).expect("it opens");
        assert_eq!(breaker.allows(at(60)).0, Allows::Probes(2));
        assert!(breaker.started(1, 1) && breaker.started(2, 1));
        assert!(!breaker.started(3, 1), "no third one");
        assert_eq!(breaker.observe(at(61), 1, 1, at(60), Observation::Neither, 0.5), None);
        assert!(breaker.lost(2, 1));
        assert!(!breaker.lost(2, 1) && !breaker.lost(1, 1), "once each");
        assert_eq!(breaker.allows(at(62)).0, Allows::Probes(2));
        assert!(breaker.started(1, 2) && breaker.started(2, 2));
        assert_eq!(breaker.observe(at(63), 1, 2, at(62), Observation::Good, 0.5), None);
        assert_eq!(breaker.allows(at(63)).0, Allows::Probes(0), "one is waited for");
        let change = breaker.observe(at(64), 2, 2, at(62), Observation::Good, 0.5);
        assert_eq!(change.expect("it closes").why, "closed: all 2 probes succeeded");
    }

    #[test]
    fn a_manual_one_stays_open_until_a_person_resumes_and_then_asks_first() {
        let mut breaker = breaker(Rule { manual: true, ..in_a_row(1, 1) });
        let change = attempt(&mut breaker, 0, FAILED).expect("it opens");
        assert!(change.why.starts_with("opened until a person resumes: an attempt failed, last"));
        assert_eq!(breaker.allows(at(1_000_000)).0, Allows::Shut { until: None });
        let change = breaker.resume(at(1_000_000), "ada").expect("a change");
        let why = "half-open: resumed by ada, one attempt may ask whether it is back";
        assert_eq!((change.to, change.why.as_str()), (Phase::HalfOpen, why));
        let change = breaker.resume(at(1_000_001), "ada").expect("a change");
        assert_eq!(change.why, "closed by ada, without waiting for the probes");
        assert_eq!(breaker.resume(at(1_000_002), "ada"), None);
    }

    #[test]
    fn a_person_opens_it_and_no_cool_down_closes_it() {
        let mut breaker = breaker(in_a_row(1, 1));
        let change = breaker.trip(at(0), "ada", "the vendor\nis down");
        assert_eq!(change.why, "opened by ada: the vendor is down");
        assert_eq!(breaker.allows(at(1_000_000)).0, Allows::Shut { until: None });
        assert!(matches!(breaker.state(), State::Open { by: Some(by), .. } if by == "ada"));
    }

    #[test]
    fn an_outage_lasts_from_the_first_opening_until_it_closes_whoever_asks_meanwhile() {
        let mut breaker = breaker(in_a_row(1, 1));
        assert_eq!(breaker.outage(), None);
        attempt(&mut breaker, 0, FAILED).expect("it opens");
        let error = "gateway timeout";
        let failed = Observation::Failed { cause: Cause::Transient, error };
        attempt(&mut breaker, 60, failed).expect("it opens again");
        let outage = Outage { since: at(0), last: error.to_owned() };
        assert_eq!(breaker.outage(), Some(&outage));
        let _ = breaker.allows(at(1_000_000));
        assert_eq!((breaker.phase(), breaker.outage()), (Phase::HalfOpen, Some(&outage)));
        let mut breaker = Breaker::new(in_a_row(9, 1)).expect("a rule").in_place_of(&breaker);
        assert_eq!(breaker.outage(), Some(&outage), "another rule does not end it");
        attempt(&mut breaker, 1_000_001, Observation::Good).expect("it closes");
        assert_eq!(breaker.outage(), None);
        breaker.trip(at(1_000_002), "ada", "no calls today");
        assert_eq!(breaker.outage(), None, "what a person does is no outage");
    }

    #[test]
    fn another_rule_keeps_the_state_and_never_leaves_it_stuck() {
        let mut old = breaker(in_a_row(1, 3));
        attempt(&mut old, 0, FAILED).expect("it opens");
        attempt(&mut old, 60, Observation::Good);
        attempt(&mut old, 61, Observation::Good);
        let mut new = breaker(in_a_row(9, 1)).in_place_of(&old);
        assert_eq!(new.allows(at(62)).0, Allows::Probes(1));
        attempt(&mut new, 63, Observation::Good).expect("it closes");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Start,
        /// Which of those under way ends, and how: good, failed, neither.
        End(prop::sample::Index, u8),
        Lose(prop::sample::Index),
        Wait(i64),
        Trip,
        Resume,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            40 => Just(Step::Start),
            30 => (any::<prop::sample::Index>(), 0..5_u8).prop_map(|(i, how)| Step::End(i, how)),
            5 => any::<prop::sample::Index>().prop_map(Step::Lose),
            15 => (0..200_i64).prop_map(Step::Wait),
            1 => Just(Step::Trip),
            3 => Just(Step::Resume),
        ]
    }

    fn trips() -> impl Strategy<Value = Vec<Trip>> {
        let trip = prop_oneof![
            (1..5_u16, 0..20_u16).prop_map(|(k, more)| Trip::KOfLast { k, n: k + more }),
            (1..5_u32).prop_map(|k| Trip::Consecutive { k }),
            (1..100_u8, 10..500_u32, 1..10_u32).prop_map(|(percent, window_s, at_least)| {
                Trip::Share { percent, window_s, at_least }
            }),
            Just(Trip::Any { classes: vec![Cause::Transient] }),
        ];
        prop::collection::vec(trip, 1..3)
    }

    /// What a fleet sees of a breaker, kept apart from it.
    struct Fleet {
        breaker: Breaker,
        now: DateTime<Utc>,
        next_id: i64,
        /// (job, when it began, of which half-open period it is a probe)
        under_way: Vec<(i64, DateTime<Utc>, Option<u32>)>,
        period: u32,
        /// Of this period: places taken and not given back, and successes.
        taken: u32,
        good: u32,
    }

    impl Fleet {
        fn note(&mut self, change: Option<&Change>) {
            if change.is_some_and(|change| change.to == Phase::HalfOpen) {
                self.period += 1;
                (self.taken, self.good) = (0, 0);
            }
        }

        fn start(&mut self) -> Result<(), TestCaseError> {
            let (allows, change) = self.breaker.allows(self.now);
            self.note(change.as_ref());
            let may = match allows {
                Allows::All => true,
                Allows::Probes(left) => left > 0,
                Allows::Shut { .. } => false,
            };
            let probe = (self.breaker.phase() == Phase::HalfOpen).then_some(self.period);
            prop_assert_eq!(self.breaker.started(self.next_id, 1), may);
            if may {
                self.taken += u32::from(probe.is_some());
                self.under_way.push((self.next_id, self.now, probe));
            }
            self.next_id += 1;
            Ok(())
        }

        fn end(&mut self, which: prop::sample::Index, how: u8) -> Result<(), TestCaseError> {
            if self.under_way.is_empty() {
                return Ok(());
            }
            let (job_id, began, probe) =
                self.under_way.swap_remove(which.index(self.under_way.len()));
            let seen = match how {
                0 | 1 => Observation::Good,
                2 | 3 => FAILED,
                _ => Observation::Neither,
            };
            let before = self.breaker.clone();
            let change = self.breaker.observe(self.now, job_id, 1, began, seen, 0.3);
            let is_probe = before.phase() == Phase::HalfOpen && probe == Some(self.period);
            if is_probe {
                match seen {
                    Observation::Good => self.good += 1,
                    Observation::Neither => self.taken -= 1,
                    Observation::Failed { .. } => {}
                }
            }
            match change.map(|change| change.to) {
                Some(Phase::Closed) => {
                    prop_assert!(is_probe && self.good == before.rule().probes);
                }
                Some(Phase::Open) => {
                    prop_assert!(seen == FAILED);
                    prop_assert!(is_probe || before.phase() == Phase::Closed);
                }
                Some(Phase::HalfOpen) => prop_assert!(false, "an end never does that"),
                None if before.phase() == Phase::HalfOpen && !is_probe => {
                    prop_assert_eq!(&self.breaker, &before, "an old attempt says nothing");
                }
                None => {}
            }
            Ok(())
        }

        fn lose(&mut self, which: prop::sample::Index) {
            if self.under_way.is_empty() {
                return;
            }
            let (job_id, ..) = self.under_way.swap_remove(which.index(self.under_way.len()));
            if self.breaker.lost(job_id, 1) {
                self.taken -= 1;
            }
        }

        fn check(&self) -> Result<(), TestCaseError> {
            let h = self.breaker.rule().probes;
            if let State::HalfOpen { left, good, probes, .. } = self.breaker.state() {
                let under_way = u32::try_from(probes.len()).expect("few");
                prop_assert_eq!(left + good + under_way, h);
                prop_assert_eq!((self.taken, self.good), (h - left, *good));
            }
            let text = serde_json::to_string(&self.breaker).expect("JSON");
            prop_assert!(text.len() < 4_000, "{}", text);
            let back: Breaker = serde_json::from_str(&text).expect("read back");
            prop_assert_eq!(&back, &self.breaker);
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn whatever_the_interleaving_no_more_than_h_probes_take_a_place_and_only_they_decide(
            trips in trips(),
            probes in 1..5_u32,
            steps in prop::collection::vec(step(), 1..400),
        ) {
            let breaker = breaker(Rule { trips, probes, cool_downs_s: vec![60, 300], ..Rule::default() });
            let mut fleet = Fleet {
                breaker, now: start(), next_id: 1, under_way: vec![], period: 0, taken: 0, good: 0,
            };
            for step in steps {
                match step {
                    Step::Start => fleet.start()?,
                    Step::End(which, how) => fleet.end(which, how)?,
                    Step::Lose(which) => fleet.lose(which),
                    Step::Wait(seconds) => fleet.now += TimeDelta::seconds(seconds),
                    Step::Trip => { fleet.breaker.trip(fleet.now, "ada", "because"); }
                    Step::Resume => {
                        let change = fleet.breaker.resume(fleet.now, "ada");
                        fleet.note(change.as_ref());
                    }
                }
                fleet.check()?;
            }
        }

        #[test]
        fn a_cool_down_is_never_a_fifth_longer_or_shorter_than_the_rule(jitter in 0.0..1.0_f64) {
            let mut breaker = breaker(in_a_row(1, 1));
            assert!(breaker.started(1, 1));
            breaker.observe(at(0), 1, 1, at(0), FAILED, jitter);
            let Allows::Shut { until: Some(until) } = breaker.allows(at(1)).0 else { panic!("open") };
            let length = (until - at(0)).num_milliseconds();
            prop_assert!((48_000..=72_000).contains(&length), "{} ms", length);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_dead_resource_gets_the_threshold_and_the_workers_and_then_h_probes_each_cool_down(
            k in 1..8_u16,
            workers in 5..20_usize,
            probes in 1..5_u32,
            lengths in prop::collection::vec(1..40_i64, 20..21),
            jitter in 0.0..1.0_f64,
        ) {
            let trips = vec![Trip::KOfLast { k, n: 20 }];
            let rule = Rule { trips, probes, cool_downs_s: vec![60], ..Rule::default() };
            let mut breaker = breaker(rule);
            // (when it ends, job, when it began)
            let mut under_way: Vec<Option<(i64, i64, i64)>> = vec![None; workers];
            let (mut failures, mut opened, mut asked) = (0_usize, None, Vec::<u32>::new());
            for second in 0..1_500_i64 {
                for (worker, mine) in under_way.iter_mut().enumerate() {
                    if let Some((_, job_id, began)) = mine.take_if(|(ends, ..)| *ends == second) {
                        failures += usize::from(opened.is_none_or(|opened| began <= opened));
                        let change =
                            breaker.observe(at(second), job_id, 1, at(began), FAILED, jitter);
                        opened = opened.or(change.map(|_| second));
                    } else if mine.is_none() {
                        let (allows, change) = breaker.allows(at(second));
                        asked.extend(change.map(|_| 0));
                        if matches!(allows, Allows::Shut { .. } | Allows::Probes(0)) {
                            continue;
                        }
                        let job_id = second * 100 + i64::try_from(worker).expect("few");
                        prop_assert!(breaker.started(job_id, 1));
                        *mine = Some((second + lengths[worker], job_id, second));
                        if let Some(asked) = asked.last_mut() {
                            *asked += 1;
                        }
                    }
                }
            }
            prop_assert!(failures <= usize::from(k) + workers, "{}", failures);
            prop_assert!(failures >= usize::from(k).min(20));
            prop_assert!(asked.len() > 4, "it asked again and again: {:?}", asked);
            prop_assert!(asked.iter().all(|asked| *asked == probes), "{:?}", asked);
        }

        #[test]
        fn what_it_remembers_has_a_bound(
            text in ".{0,3000}",
            seconds in prop::collection::vec(0..10_i64, 3_000),
        ) {
            let trips = vec![
                Trip::KOfLast { k: 1_000, n: 1_000 },
                Trip::Share { percent: 100, window_s: 100, at_least: u32::MAX },
                Trip::Consecutive { k: u32::MAX },
                Trip::Any { classes: vec![Cause::Permanent] },
            ];
            let mut breaker = breaker(Rule { trips, ..Rule::default() });
            let mut now = 0;
            for (n, wait) in seconds.into_iter().enumerate() {
                now += wait;
                let seen = if n % 2 == 0 { FAILED } else { Observation::Good };
                breaker.observe(at(now), 1, 1, at(now), seen, 0.5);
            }
            let permanent = Observation::Failed { cause: Cause::Permanent, error: &text };
            let size = serde_json::to_string(&breaker).expect("JSON").len();
            prop_assert!(size < 3_000, "{} bytes", size);
            let change = breaker.observe(at(now), 1, 1, at(now), permanent, 0.5).expect("it opens");
            prop_assert!(change.why.chars().count() < 300);
            let size = serde_json::to_string(&breaker).expect("JSON").len();
            prop_assert!(size < 3_000, "{} bytes", size);
        }
    }
}
