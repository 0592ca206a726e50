//! Every interleaving of claim, ack, crash, long sleep and rescue for a few workers, on two jobs under a
//! limit of one: what fences and checks are for. Without them the same search finds the damage.

use chrono::{DateTime, Utc};
use recomamp::queue::Use;
use recomamp::queue::gate::{Gates, Lane, Resource};
use stateright::{Checker, Model, Property};
use std::collections::{BTreeMap, BTreeSet};

const JOBS: usize = 2;
const WORKERS: usize = 2;
const LIMIT: i32 = 1;
/// How far the search goes.
const MOST_CLAIMS: u8 = 3;
const MOST_SESSIONS: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Waiting,
    /// Of this session.
    Running(u8),
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    place: Place,
    fence: u8,
    /// Ghost: how often it was finished.
    finishes: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Worker {
    session: u8,
    /// What it believes it runs: (job, fence).
    attempts: BTreeSet<(usize, u8)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    jobs: Vec<Job>,
    workers: Vec<Worker>,
    sessions: u8,
    ended: BTreeSet<u8>,
    /// The limit's count, as the store keeps it.
    running: i32,
    /// What each of two rescuers has read and not yet written.
    rescues: [Option<Vec<usize>>; 2],
    /// Ghost: an attempt that was not the current one changed its job.
    old_one_wrote: bool,
    /// Ghost: one was refused.
    was_refused: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Action {
    Claim(usize, usize),
    Finish(usize, (usize, u8)),
    Retry(usize, (usize, u8)),
    /// The process dies, and another takes its place.
    Crash(usize),
    /// It sleeps for longer than its lease; awake again it has a new session and its old attempts.
    Sleep(usize),
    Read(usize),
    Write(usize),
}

/// The queue, or one that lacks something.
#[derive(Debug, Clone, Default)]
struct Queue {
    no_fence: bool,
    releases_twice: bool,
    rescues_blindly: bool,
}

/// Whether the limit lets one more start: the engine's own decision.
fn admits(running: i32) -> bool {
    let limited = Resource { max_running: Some(LIMIT), running, ..Resource::default() };
    let mut gates =
        Gates { resources: BTreeMap::from([("r".to_owned(), limited)]), changes: Vec::new() };
    let uses = vec![Use { resource: "r".to_owned(), cost: 1, hold: false }];
    let lane = Lane { id: 1, uses, ready: vec![(1, 1)], is_its_turn: false };
    gates.admit(&lane, DateTime::<Utc>::UNIX_EPOCH).starts == 1
}

impl Queue {
    fn ack(&self, state: &mut State, worker: usize, (job_id, fence): (usize, u8), to: Place) {
        state.workers[worker].attempts.remove(&(job_id, fence));
        let job = &mut state.jobs[job_id];
        let is_running = matches!(job.place, Place::Running(_));
        if is_running && (self.no_fence || job.fence == fence) {
            state.old_one_wrote |= job.fence != fence;
            job.finishes += u8::from(to == Place::Done);
            job.place = to;
            state.running -= 1;
        } else {
            state.was_refused = true;
            if self.releases_twice {
                state.running -= 1;
            }
        }
    }

    fn requeue(&self, state: &mut State, job_id: usize) {
        let orphaned = is_orphan(state, job_id);
        let job = &mut state.jobs[job_id];
        if self.rescues_blindly || orphaned {
            state.old_one_wrote |= !orphaned;
            job.place = Place::Waiting;
            state.running -= 1;
        }
    }

    /// What is left when everybody is gone, and one good process does what there is to do.
    fn drained(&self, mut state: State) -> State {
        state.ended.extend(0..=state.sessions);
        for job_id in 0..JOBS {
            if is_orphan(&state, job_id) {
                self.requeue(&mut state, job_id);
            }
        }
        for job in &mut state.jobs {
            if job.place == Place::Waiting && admits(state.running) {
                job.place = Place::Done;
            }
        }
        state
    }
}

fn is_orphan(state: &State, job_id: usize) -> bool {
    matches!(state.jobs[job_id].place, Place::Running(session) if state.ended.contains(&session))
}

fn new_session(state: &mut State, worker: usize) {
    state.ended.insert(state.workers[worker].session);
    state.sessions += 1;
    state.workers[worker].session = state.sessions;
}

impl Model for Queue {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let job = Job { place: Place::Waiting, fence: 0, finishes: 0 };
        let worker =
            |n: usize| Worker { session: u8::try_from(n).expect("few"), attempts: BTreeSet::new() };
        vec![State {
            jobs: vec![job; JOBS],
            workers: (0..WORKERS).map(worker).collect(),
            sessions: u8::try_from(WORKERS).expect("few") - 1,
            ended: BTreeSet::new(),
            running: 0,
            rescues: [None, None],
            old_one_wrote: false,
            was_refused: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, worker) in state.workers.iter().enumerate() {
            for job_id in 0..JOBS {
                let job = &state.jobs[job_id];
                if job.place == Place::Waiting && job.fence < MOST_CLAIMS && admits(state.running) {
                    actions.push(Action::Claim(at, job_id));
                }
            }
            for attempt in &worker.attempts {
                actions.push(Action::Finish(at, *attempt));
                actions.push(Action::Retry(at, *attempt));
            }
            if state.sessions < MOST_SESSIONS {
                actions.push(Action::Crash(at));
                actions.push(Action::Sleep(at));
            }
        }
        for (at, read) in state.rescues.iter().enumerate() {
            match read {
                Some(_) => actions.push(Action::Write(at)),
                None if (0..JOBS).any(|job_id| is_orphan(state, job_id)) => {
                    actions.push(Action::Read(at));
                }
                None => {}
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Claim(at, job_id) => {
                let job = &mut state.jobs[job_id];
                job.fence += 1;
                job.place = Place::Running(state.workers[at].session);
                state.running += 1;
                state.workers[at].attempts.insert((job_id, job.fence));
            }
            Action::Finish(at, attempt) => self.ack(&mut state, at, attempt, Place::Done),
            Action::Retry(at, attempt) => self.ack(&mut state, at, attempt, Place::Waiting),
            Action::Crash(at) => {
                state.workers[at].attempts.clear();
                new_session(&mut state, at);
            }
            Action::Sleep(at) => new_session(&mut state, at),
            Action::Read(at) => {
                let orphans = (0..JOBS).filter(|job_id| is_orphan(&state, *job_id)).collect();
                state.rescues[at] = Some(orphans);
            }
            Action::Write(at) => {
                for job_id in state.rescues[at].take()? {
                    self.requeue(&mut state, job_id);
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("only the current attempt writes", |_, s: &State| !s.old_one_wrote),
            Property::always("a finished job stays finished", |_, s: &State| {
                s.jobs.iter().all(|job| (job.finishes == 1) == (job.place == Place::Done))
                    && s.jobs.iter().all(|job| job.finishes <= 1)
            }),
            Property::always("no more run than may", |_, s: &State| running(s) <= LIMIT),
            Property::always("the count is what it counts", |_, s: &State| s.running == running(s)),
            Property::always("nothing is lost, and no place", |queue: &Self, s: &State| {
                let end = queue.drained(s.clone());
                end.running == 0 && end.jobs.iter().all(|job| job.place == Place::Done)
            }),
            Property::sometimes("a late one is refused", |_, s: &State| s.was_refused),
            Property::sometimes("all is done", |_, s: &State| {
                s.jobs.iter().all(|job| job.place == Place::Done)
            }),
        ]
    }
}

fn running(state: &State) -> i32 {
    let running = state.jobs.iter().filter(|job| matches!(job.place, Place::Running(_)));
    i32::try_from(running.count()).expect("few")
}

fn finds(queue: Queue, property: &'static str) -> bool {
    queue.checker().spawn_bfs().join().discovery(property).is_some()
}

#[test]
fn crashes_and_sleepers_never_write_what_is_not_theirs_and_leak_no_place() {
    let checked = Queue::default().checker().spawn_bfs().join();
    checked.assert_properties();
    assert!(checked.unique_state_count() > 1_000, "the search went nowhere");
}

#[test]
fn without_a_fence_a_sleeper_finishes_the_attempt_of_another() {
    let bad = || Queue { no_fence: true, ..Queue::default() };
    assert!(finds(bad(), "only the current attempt writes"));
}

#[test]
fn a_place_that_is_released_twice_lets_too_many_run() {
    let bad = || Queue { releases_twice: true, ..Queue::default() };
    assert!(finds(bad(), "the count is what it counts"));
    assert!(finds(bad(), "no more run than may"));
}

#[test]
fn two_rescuers_who_do_not_look_again_take_a_job_from_the_living() {
    let bad = || Queue { rescues_blindly: true, ..Queue::default() };
    assert!(finds(bad(), "only the current attempt writes"));
    assert!(finds(bad(), "a finished job stays finished"));
}
