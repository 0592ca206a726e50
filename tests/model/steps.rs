//! What may happen to a queue, and a generator of long sequences of it.

use rand::Rng;
use rand::rngs::StdRng;
use recomamp::queue::job::Priority;
use recomamp::queue::steer::Replay;
use recomamp::queue::{Share, State};

/// The outside things that jobs use.
pub const RESOURCES: [&str; 3] = ["host:a", "host:b", "host:c"];
/// Everything that gates hang on here.
pub const GATED: [&str; 6] =
    ["host:a", "host:b", "host:c", "queue:default", "kind:alpha", "cred:x"];
pub const CREDENTIALS: [&str; 2] = ["cred:x", "cred:y"];

/// A job to be enqueued.
#[derive(Debug, Clone)]
pub struct Plan {
    /// 0 and 1 share the default queue; 2 has one of its own.
    pub kind: usize,
    pub version: i16,
    pub key: Option<u8>,
    pub delay_ms: u64,
    /// (resource, cost)
    pub uses: Vec<(&'static str, u32)>,
    /// In this holder's name; `None` for no hold.
    pub holder: Option<u8>,
    pub priority: Priority,
    pub share: Share,
    pub if_discarded: bool,
}

impl Plan {
    /// The names of what it uses.
    pub fn used(&self) -> impl Iterator<Item = &'static str> {
        self.uses.iter().map(|(name, _)| *name)
    }
}

/// How an attempt ends.
#[derive(Debug, Clone)]
pub enum How {
    Done,
    Then(Vec<Plan>),
    Snooze(u64),
    Transient,
    Throttled(Option<u64>, &'static str),
    Unauthorized(&'static str),
    Permanent,
    Cancelled,
    Interrupted,
}

/// What is set on a resource.
#[derive(Debug, Clone)]
pub enum Set {
    Holds(Option<i32>),
    Running(Option<i32>),
    /// (tokens, seconds)
    Rate(Option<(u32, u64)>),
    Quota(Option<u32>),
    /// (failures in a row, probes, cool-down in seconds, until a person resumes)
    Breaker(Option<(u32, u32, u32, bool)>),
    Weight(i16),
}

/// Some of the unfinished jobs.
#[derive(Debug, Clone)]
pub struct Choice {
    pub kind: usize,
    pub share: Share,
    pub resource: Option<&'static str>,
    pub state: Option<State>,
}

/// Some of the jobs that have finished in the last so many seconds.
#[derive(Debug, Clone)]
pub struct Recent {
    pub kind: usize,
    pub state: Option<State>,
    pub seconds: i64,
}

/// One thing that happens. Numbers choose among what is there at that moment.
#[derive(Debug, Clone)]
pub enum Step {
    Enqueue(Vec<Plan>),
    /// `old` knows only version 1 of two kinds; `dry` asks until nothing comes any more.
    Claim {
        session: usize,
        slots: usize,
        queue: bool,
        old: bool,
        dry: bool,
    },
    Ack(Vec<(usize, How)>),
    AckStale(usize, How),
    Renew(usize),
    /// The process stops renewing; its attempts may go on.
    Freeze(usize),
    Stop(usize),
    Rescue,
    GiveBack(usize, u64),
    Pause(&'static str, Option<u64>),
    Resume(&'static str),
    Gate(&'static str, Set),
    Release(usize),
    Open(&'static str),
    Hasten(u8),
    Cancel(Vec<usize>),
    CancelAll(Choice),
    Discard(Vec<usize>),
    DiscardAll(Choice),
    Replay(usize, Replay),
    ReplayAll(Recent, Replay),
    Sweep,
    Wait(u64),
}

fn one<T: Copy>(rng: &mut StdRng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())]
}

fn maybe<T>(rng: &mut StdRng, chance: f64, value: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    rng.random_bool(chance).then(|| value(rng))
}

fn plan(rng: &mut StdRng) -> Plan {
    let mut uses: Vec<(&'static str, u32)> = Vec::new();
    for resource in RESOURCES {
        if rng.random_bool(0.35) {
            uses.push((resource, one(rng, &[1, 1, 1, 2])));
        }
    }
    Plan {
        kind: one(rng, &[0, 0, 0, 1, 1, 2]),
        version: one(rng, &[1, 1, 1, 1, 2]),
        key: maybe(rng, 0.2, |rng| rng.random_range(0..6)),
        delay_ms: maybe(rng, 0.25, |rng| one(rng, &[1, 500, 5_000, 60_000])).unwrap_or(0),
        holder: maybe(rng, 0.3, |rng| rng.random_range(0..12)).filter(|_| !uses.is_empty()),
        uses,
        priority: one(rng, &[Priority::Urgent, Priority::Live, Priority::Normal, Priority::Low]),
        share: one(rng, &[Share::Live, Share::Live, Share::Backfill, Share::Maintenance]),
        if_discarded: rng.random_bool(0.1),
    }
}

fn plans(rng: &mut StdRng, most: usize) -> Vec<Plan> {
    let count = rng.random_range(1..=most);
    if rng.random_bool(0.3) {
        // Many of the same lane.
        let same = Plan { key: None, ..plan(rng) };
        return vec![same; count];
    }
    (0..count).map(|_| plan(rng)).collect()
}

fn how(rng: &mut StdRng) -> How {
    match rng.random_range(0..100) {
        0..40 => How::Done,
        40..46 => How::Then(plans(rng, 2)),
        46..56 => How::Snooze(one(rng, &[0, 100, 3_000, 60_000])),
        56..74 => How::Transient,
        74..80 => {
            let told = maybe(rng, 0.6, |rng| one(rng, &[0, 2, 30]));
            How::Throttled(told, one(rng, &RESOURCES))
        }
        80..86 => How::Unauthorized(one(rng, &CREDENTIALS)),
        86..90 => How::Permanent,
        90..93 => How::Cancelled,
        _ => How::Interrupted,
    }
}

fn set(rng: &mut StdRng) -> Set {
    let on = rng.random_bool(0.65);
    match rng.random_range(0..16) {
        0..3 => Set::Holds(on.then(|| rng.random_range(0..5))),
        3..7 => Set::Running(on.then(|| rng.random_range(0..5))),
        7..10 => Set::Rate(on.then(|| (rng.random_range(1..6), one(rng, &[5, 30, 120])))),
        10..11 => Set::Quota(on.then(|| rng.random_range(2..12))),
        11..15 => Set::Breaker(on.then(|| {
            let (k, probes) = (rng.random_range(1..4), rng.random_range(1..4));
            (k, probes, one(rng, &[5, 30]), rng.random_bool(0.15))
        })),
        _ => Set::Weight(one(rng, &[1, 2, 10])),
    }
}

fn some(rng: &mut StdRng, most: usize) -> Vec<usize> {
    (0..rng.random_range(1..=most)).map(|_| rng.random_range(0..1000)).collect()
}

fn choice(rng: &mut StdRng) -> Choice {
    Choice {
        kind: rng.random_range(0..3),
        share: one(rng, &[Share::Live, Share::Backfill, Share::Maintenance]),
        resource: maybe(rng, 0.7, |rng| one(rng, &GATED)),
        state: maybe(rng, 0.5, |rng| one(rng, &[State::Waiting, State::Running])),
    }
}

fn recent(rng: &mut StdRng) -> Recent {
    let ended = [State::Done, State::Discarded, State::Cancelled];
    Recent {
        kind: rng.random_range(0..3),
        state: maybe(rng, 0.5, |rng| one(rng, &ended)),
        seconds: one(rng, &[5, 60, 600]),
    }
}

fn replay(rng: &mut StdRng) -> Replay {
    Replay {
        patch: None,
        per_second: maybe(rng, 0.5, |rng| one(rng, &[0.5, 8.0])),
        force: rng.random_bool(0.5),
        done: rng.random_bool(0.7),
    }
}

fn step(rng: &mut StdRng) -> Step {
    let session = rng.random_range(0..3);
    match rng.random_range(0..1000) {
        0..170 => Step::Enqueue(plans(rng, 5)),
        170..400 => Step::Claim {
            session,
            slots: one(rng, &[1, 2, 5, 10, 64, 64]),
            queue: rng.random_bool(0.2),
            old: rng.random_bool(0.2),
            dry: rng.random_bool(0.6),
        },
        400..640 => {
            let count = rng.random_range(1..4);
            Step::Ack((0..count).map(|_| (rng.random_range(0..1000), how(rng))).collect())
        }
        640..660 => Step::AckStale(rng.random_range(0..1000), how(rng)),
        660..670 => Step::Renew(session),
        670..682 => Step::Freeze(session),
        682..687 => Step::Stop(session),
        687..710 => Step::Rescue,
        710..720 => Step::GiveBack(session, rng.random()),
        720..735 => Step::Pause(one(rng, &GATED), maybe(rng, 0.5, |rng| one(rng, &[1, 20, 600]))),
        735..760 => Step::Resume(one(rng, &GATED)),
        760..798 => Step::Gate(one(rng, &GATED), set(rng)),
        798..826 => Step::Release(rng.random_range(0..1000)),
        826..840 => Step::Open(one(rng, &CREDENTIALS)),
        840..845 => Step::Hasten(rng.random_range(0..6)),
        845..868 => Step::Cancel(some(rng, 6)),
        868..871 => Step::CancelAll(choice(rng)),
        871..884 => Step::Discard(some(rng, 4)),
        884..886 => Step::DiscardAll(choice(rng)),
        886..906 => Step::Replay(rng.random_range(0..100_000), replay(rng)),
        906..910 => Step::ReplayAll(recent(rng), replay(rng)),
        910..930 => Step::Sweep,
        _ => Step::Wait(match rng.random_range(0..100) {
            0..60 => rng.random_range(1..3_000),
            60..85 => rng.random_range(3_000..40_000),
            85..97 => rng.random_range(60_000..1_000_000),
            _ => 86_400_000,
        }),
    }
}

/// The steps of a seed: always the same.
pub fn steps(rng: &mut StdRng, count: usize) -> Vec<Step> {
    (0..count).map(|_| step(rng)).collect()
}
