//! Every interleaving of attempts that start, end, come late and die, on the engine's own breaker. With
//! one thing left out around it, the same search finds the damage.

use chrono::{DateTime, TimeDelta, Utc};
use recomamp::queue::gate::breaker::{
    Allows, Breaker, Cause, Observation, Phase, Rule, State, Trip,
};
use stateright::{Checker, Model, Property};

const WORKERS: usize = 3;
const PROBES: u32 = 2;
/// How far the search goes.
const MOST_SECONDS: i64 = 4;
const MOST_STARTS: u8 = 2;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Attempt {
    fence: u8,
    began: i64,
    /// Ghost: the half-open period whose probe it is.
    probes: Option<u8>,
    /// Ghost: how many changes there were when it began.
    changes: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Fleet {
    second: i64,
    /// As the store keeps it; or one for each of two leaders who do not know of each other.
    breakers: Vec<String>,
    running: Vec<Option<Attempt>>,
    starts: Vec<u8>,
    // Ghosts.
    period: u8,
    /// Openings and closings.
    changes: u8,
    /// Of this period.
    taken: u32,
    good: u32,
    has_closed: bool,
    closed_too_early: bool,
    heeded_the_past: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Action {
    Tick,
    Start(usize),
    End(usize, bool),
    /// The process dies, and its job is rescued.
    Die(usize),
}

/// What surrounds the breaker, or one that lacks something.
#[derive(Debug, Clone, Default)]
struct Surroundings {
    two_leaders: bool,
    heeds_the_past: bool,
    forgets_the_dead: bool,
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(second)
}

fn read(text: &str) -> Breaker {
    serde_json::from_str(text).expect("it was written here")
}

fn write(breaker: &Breaker) -> String {
    serde_json::to_string(breaker).expect("it is JSON")
}

fn job(worker: usize) -> i64 {
    i64::try_from(worker).expect("few")
}

impl Surroundings {
    fn asks(&self, worker: usize) -> usize {
        if self.two_leaders { worker % 2 } else { 0 }
    }

    fn start(&self, fleet: &mut Fleet, worker: usize) -> Option<()> {
        let mut breaker = read(&fleet.breakers[self.asks(worker)]);
        let was_half_open = fleet.breakers.iter().any(|text| read(text).phase() == Phase::HalfOpen);
        let (allows, _) = breaker.allows(at(fleet.second));
        if matches!(allows, Allows::Shut { .. } | Allows::Probes(0)) {
            return None;
        }
        let is_probe = breaker.phase() == Phase::HalfOpen;
        if is_probe && !was_half_open {
            fleet.period += 1;
            (fleet.taken, fleet.good) = (0, 0);
        }
        fleet.starts[worker] += 1;
        let fence = fleet.starts[worker];
        assert!(breaker.started(job(worker), i64::from(fence)), "it was asked before");
        fleet.breakers[self.asks(worker)] = write(&breaker);
        fleet.taken += u32::from(is_probe);
        let probes = is_probe.then_some(fleet.period);
        let (began, changes) = (fleet.second, fleet.changes);
        fleet.running[worker] = Some(Attempt { fence, began, probes, changes });
        Some(())
    }

    fn end(&self, fleet: &mut Fleet, worker: usize, good: bool) -> Option<()> {
        let attempt = fleet.running[worker].take()?;
        let seen = if good {
            Observation::Good
        } else {
            Observation::Failed { cause: Cause::Transient, error: "refused" }
        };
        let mut breaker = read(&fleet.breakers[self.asks(worker)]);
        let before = breaker.phase();
        let is_probe = before == Phase::HalfOpen && attempt.probes == Some(fleet.period);
        fleet.good += u32::from(is_probe && good);
        let mut speaks = (job(worker), i64::from(attempt.fence));
        let mut began = at(attempt.began);
        if self.heeds_the_past {
            began = at(fleet.second);
            if let (false, State::HalfOpen { probes, .. }) = (is_probe, breaker.state()) {
                speaks = probes.first().copied().unwrap_or(speaks);
            }
        }
        let change = breaker.observe(at(fleet.second), speaks.0, speaks.1, began, seen, 0.5);
        match change.map(|change| change.to) {
            Some(Phase::Closed) => {
                fleet.has_closed = true;
                fleet.closed_too_early |= fleet.good < PROBES;
                fleet.changes += 1;
            }
            Some(_) => {
                // One that began in the same second as the change cannot be told from a new one.
                let is_old =
                    attempt.changes < fleet.changes && attempt.began < since(fleet, self, worker);
                fleet.heeded_the_past |= is_old && !is_probe;
                fleet.changes += 1;
            }
            None => {}
        }
        fleet.breakers[self.asks(worker)] = write(&breaker);
        Some(())
    }

    fn die(&self, fleet: &mut Fleet, worker: usize) -> Option<()> {
        let attempt = fleet.running[worker].take()?;
        if attempt.probes == Some(fleet.period) {
            fleet.taken -= 1;
        }
        if !self.forgets_the_dead {
            let mut breaker = read(&fleet.breakers[self.asks(worker)]);
            breaker.lost(job(worker), i64::from(attempt.fence));
            fleet.breakers[self.asks(worker)] = write(&breaker);
        }
        Some(())
    }
}

/// The second of the last change, as the breaker has it.
fn since(fleet: &Fleet, surroundings: &Surroundings, worker: usize) -> i64 {
    match read(&fleet.breakers[surroundings.asks(worker)]).state() {
        State::Closed { since } => since.map_or(0, |since| since.timestamp()),
        State::Open { since, .. } | State::HalfOpen { since, .. } => since.timestamp(),
    }
}

/// Nobody may start, nobody runs whose end would change that, and no cool-down will.
fn is_stuck(fleet: &Fleet) -> bool {
    fleet.breakers.iter().map(|text| read(text)).any(|breaker| match breaker.state() {
        State::HalfOpen { left: 0, probes, .. } => !probes.iter().any(|(job_id, fence)| {
            let worker = usize::try_from(*job_id).expect("few");
            matches!(&fleet.running[worker], Some(attempt) if i64::from(attempt.fence) == *fence)
        }),
        _ => false,
    })
}

impl Model for Surroundings {
    type State = Fleet;
    type Action = Action;

    fn init_states(&self) -> Vec<Fleet> {
        let rule = Rule {
            trips: vec![Trip::Consecutive { k: 1 }],
            probes: PROBES,
            cool_downs_s: vec![1],
            ..Rule::default()
        };
        let mut breaker = Breaker::new(rule).expect("a rule");
        // Those that two leaders have read before they lost sight of each other.
        if self.two_leaders {
            breaker.trip(at(0), "ada", "because");
            breaker.resume(at(0), "ada");
        }
        vec![Fleet {
            second: 0,
            breakers: vec![write(&breaker); if self.two_leaders { 2 } else { 1 }],
            running: vec![None; WORKERS],
            starts: vec![0; WORKERS],
            period: 0,
            changes: 0,
            taken: 0,
            good: 0,
            has_closed: false,
            closed_too_early: false,
            heeded_the_past: false,
        }]
    }

    fn actions(&self, fleet: &Fleet, actions: &mut Vec<Action>) {
        if fleet.second < MOST_SECONDS {
            actions.push(Action::Tick);
        }
        for worker in 0..WORKERS {
            if fleet.running[worker].is_some() {
                actions.extend([
                    Action::End(worker, true),
                    Action::End(worker, false),
                    Action::Die(worker),
                ]);
            } else if fleet.starts[worker] < MOST_STARTS {
                actions.push(Action::Start(worker));
            }
        }
    }

    fn next_state(&self, last: &Fleet, action: Action) -> Option<Fleet> {
        let mut fleet = last.clone();
        match action {
            Action::Tick => fleet.second += 1,
            Action::Start(worker) => self.start(&mut fleet, worker)?,
            Action::End(worker, good) => self.end(&mut fleet, worker, good)?,
            Action::Die(worker) => self.die(&mut fleet, worker)?,
        }
        Some(fleet)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no more probes than may", |_, f: &Fleet| f.taken <= PROBES),
            Property::always("it closes when all have succeeded", |_, f: &Fleet| {
                !f.closed_too_early
            }),
            Property::always("the past opens nothing", |_, f: &Fleet| !f.heeded_the_past),
            Property::always("it is never stuck", |_, f: &Fleet| !is_stuck(f)),
            Property::sometimes("it closes again", |_, f: &Fleet| f.has_closed),
        ]
    }
}

fn finds(surroundings: Surroundings, property: &'static str) -> bool {
    surroundings.checker().spawn_bfs().join().discovery(property).is_some()
}

#[test]
fn a_breaker_asks_as_often_as_it_may_heeds_only_the_present_and_is_never_stuck() {
    let checked = Surroundings::default().checker().spawn_bfs().join();
    checked.assert_properties();
    assert!(checked.unique_state_count() > 1_000, "the search went nowhere");
}

#[test]
fn two_leaders_who_count_apart_let_too_many_probes_start() {
    let bad = Surroundings { two_leaders: true, ..Surroundings::default() };
    assert!(finds(bad, "no more probes than may"));
}

#[test]
fn results_of_the_past_that_are_heeded_open_and_close_what_they_do_not_know() {
    let bad = || Surroundings { heeds_the_past: true, ..Surroundings::default() };
    assert!(finds(bad(), "the past opens nothing"));
    assert!(finds(bad(), "it closes when all have succeeded"));
}

#[test]
fn a_dead_probe_whose_place_is_not_given_back_leaves_the_breaker_stuck() {
    let bad = Surroundings { forgets_the_dead: true, ..Surroundings::default() };
    assert!(finds(bad, "it is never stuck"));
}
