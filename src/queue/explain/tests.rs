//! What explain concludes from facts, without a store.

use super::*;
use crate::queue::gate::Resource;
use crate::queue::gate::quota::Quota;
use crate::queue::gate::rate::Rate;
use crate::queue::job::Use;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000 + second, 0).expect("a time")
}

/// A job that nothing holds.
fn facts() -> Facts {
    Facts {
        now: at(0),
        job: Subject {
            id: 7,
            kind: "ping".to_owned(),
            queue: "default".to_owned(),
            version: 1,
            state: State::Waiting,
            run_at: Some(at(-10)),
            due: true,
            blocked_by: None,
            attempt: 0,
            max_attempts: 20,
            snoozes: 0,
            throttles: 0,
            rescues: 0,
            created_at: at(-20),
            claimed_at: None,
            finished_at: None,
            last_error: None,
        },
        runner: None,
        lane: None,
        needs: vec![needs("r", Resource::default())],
        processes: vec![process(&[("default", 4)], &[("ping", 1)])],
        rank: Some(Rank { ahead: 2, lanes: 1, slots: Some(4), running: 4 }),
    }
}

fn needs(name: &str, resource: Resource) -> Standing {
    Standing {
        needed: Use { resource: name.to_owned(), cost: 1, hold: true },
        resource,
        paused_at: None,
        paused_by: None,
        pause_reason: None,
        running: Holders::default(),
        places: Holders::default(),
        set_by: BTreeMap::new(),
    }
}

fn process(queues: &[(&str, i64)], kinds: &[(&str, i16)]) -> Process {
    Process {
        name: "h, pid 1".to_owned(),
        queues: Some(queues.iter().map(|(name, slots)| ((*name).to_owned(), *slots)).collect()),
        kinds: Some(kinds.iter().map(|(name, v)| ((*name).to_owned(), *v)).collect()),
    }
}

fn only(facts: &Facts) -> Reason {
    let mut reasons = explain(facts).reasons;
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    reasons.remove(0)
}

#[test]
fn a_job_that_nothing_holds_waits_for_its_turn() {
    let turn = only(&facts());
    assert_eq!(turn.what, What::Turn);
    assert_eq!(
        turn.text,
        "No gate is shut. 2 jobs of its lane go first, 1 other lane of its queue take turns with \
         it; all 4 slots of the queue are taken: it starts when its turn comes"
    );
}

#[test]
fn a_time_to_come_says_what_brought_it_about() {
    let mut facts = facts();
    (facts.job.run_at, facts.job.due) = (Some(at(90)), false);
    assert_eq!(
        only(&facts).text,
        "Not due before 1970-01-12 13:48:10Z (in 90 s): it was asked for at this time"
    );
    facts.job.claimed_at = Some(at(-1));
    facts.job.attempt = 3;
    facts.job.last_error = Some("boom".to_owned());
    assert!(only(&facts).text.ends_with("it tries again after failed attempt 3 of 20: boom"));
    (facts.job.attempt, facts.job.snoozes) = (0, 2);
    assert!(only(&facts).text.ends_with("it asked to run again later, 2 times so far"));
    facts.job.throttles = 4;
    assert!(only(&facts).text.contains("it was asked to slow down, 4 times so far"));
}

#[test]
fn who_could_run_it_and_does_not_is_told_apart() {
    let mut facts = facts();
    for (processes, text) in [
        (vec![], "No process has been heard of lately: it is left alone until a worker starts"),
        (
            vec![process(&[("reports", 1)], &[("ping", 1)])],
            "None of 1 live process works on the queue \"default\" (h, pid 1)",
        ),
        (
            vec![process(&[("default", 1)], &[("pong", 1)])],
            "None of 1 live process of its queue knows the kind \"ping\"",
        ),
        (vec![process(&[("default", 1)], &[("ping", 0)])], "Its arguments are version 1"),
    ] {
        facts.processes = processes;
        let reason = only(&facts);
        assert_eq!(reason.what, What::NoProcess);
        assert!(reason.text.starts_with(text), "{}", reason.text);
    }
    facts.processes = vec![Process { name: "old".to_owned(), queues: None, kinds: None }];
    assert_eq!(only(&facts).what, What::Turn, "one that does not say may run it");
}

#[test]
fn a_gate_that_shut_the_lane_says_since_when_and_keeps_its_later_opening() {
    let mut facts = facts();
    let resource = Resource { not_before: Some(at(60)), ..Resource::default() };
    facts.needs = vec![needs("r", resource)];
    facts.lane = Some(LaneStanding {
        shut: Some(("r".to_owned(), "not_before".to_owned(), at(-5))),
        opens_at: Some(at(61)),
    });
    let reason = only(&facts);
    assert_eq!((reason.what, reason.since), (What::NotBefore, Some(at(-5))));
    assert_eq!(reason.until, Some(at(61)));
}

#[test]
fn a_lane_that_is_shut_by_an_open_gate_is_told_unless_its_time_has_come() {
    let mut facts = facts();
    facts.lane = Some(LaneStanding {
        shut: Some(("r".to_owned(), "limit".to_owned(), at(-5))),
        opens_at: None,
    });
    assert_eq!(only(&facts).what, What::Lane);
    if let Some(lane) = &mut facts.lane {
        lane.opens_at = Some(at(-1));
    }
    assert_eq!(only(&facts).what, What::Turn);
}

fn resources() -> impl Strategy<Value = Resource> {
    let time = || proptest::option::of((-100_i64..100).prop_map(at));
    let counts = (proptest::option::of(0..3_i32), 0..4_i32);
    let used = (any::<bool>(), any::<bool>());
    (counts.clone(), counts, time(), proptest::option::of(time()), used).prop_map(
        |(running, holds, not_before, paused, (rate, quota))| Resource {
            max_running: running.0,
            running: running.1,
            max_holds: holds.0,
            held: holds.1,
            not_before,
            paused,
            rate: rate.then(|| {
                let mut rate = Rate::new(1, Duration::from_secs(60)).expect("a rate");
                rate.take(at(-1), 1);
                rate
            }),
            quota: quota.then(|| {
                let mut quota = Quota::new(1, "UTC").expect("a quota");
                quota.take(at(-1), 1);
                quota
            }),
            ..Resource::default()
        },
    )
}

proptest! {
    #[test]
    fn no_waiting_job_is_unexplained_and_the_gates_come_in_the_order_in_which_they_are_asked(
        found in proptest::collection::vec(resources(), 0..4),
        run_at in -100_i64..100,
        blocked in any::<bool>(),
        has_process in any::<bool>(),
        shut in proptest::option::of(proptest::option::of(-100_i64..100)),
    ) {
        let mut facts = facts();
        let names = ["a", "b", "c", "d"];
        facts.needs = found.into_iter().zip(names).map(|(r, name)| needs(name, r)).collect();
        (facts.job.run_at, facts.job.due) = (Some(at(run_at)), run_at <= 0);
        facts.job.blocked_by = blocked.then(|| "lwa:u".to_owned());
        if !has_process {
            facts.processes.clear();
        }
        facts.lane = shut.map(|opens_at| LaneStanding {
            shut: Some(("a".to_owned(), "limit".to_owned(), at(-1))),
            opens_at: opens_at.map(at),
        });
        let explanation = explain(&facts);
        prop_assert!(!explanation.reasons.is_empty());
        prop_assert!(explanation.reasons.iter().all(|reason| !reason.text.is_empty()));
        prop_assert!(explanation.reasons.is_sorted_by_key(|reason| reason.what));
        let held = explanation.reasons.iter().all(|reason| {
            // Whoever is held is told until when, or what has to happen.
            reason.what == What::Turn || reason.until.is_some() || reason.waits_for.is_some()
        });
        prop_assert!(held, "{:?}", explanation.reasons);
    }
}
