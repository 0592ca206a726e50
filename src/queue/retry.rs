//! What follows from how an attempt went: the whole policy, on one screen, without I/O.
//!
//! | class          | spends        | waits                                              | discarded after     |
//! |----------------|---------------|----------------------------------------------------|---------------------|
//! | (snooze)       | a snooze      | as long as asked                                   | 100,000             |
//! | transient      | an attempt    | full jitter up to 1 s × 2ⁿ, at most 5 min          | the job's own limit |
//! | throttled      | a throttle    | as long as told (else 2 s × 2ⁿ, 5 min), plus 0–20 % | 10,000 in a row    |
//! | unauthorized   | a denial      | until the credential is opened, at most 15 min     | 30,000 in a row     |
//! | interrupted    | an interruption | not at all                                       | 1,000               |
//! | (rescue)       | a rescue      | not at all; later, a random part of 10 s a rescue  | 3 in a row          |
//! | permanent      | –             | –                                                  | at once             |
//! | cancelled      | –             | –                                                  | at once, as cancelled |
//!
//! "In a row": a snooze is an attempt that went well, and sets these counters back. As snoozes have a
//! limit that nothing sets back, no job goes on for ever, whatever mixture it meets. A kind may have
//! [`Limits`] of its own. That of rescues is the same for all, and is kept by
//! [`Store::rescue`](super::store::Store::rescue): a process that is dead cannot be asked about its kinds,
//! and whoever finds it may not know them.
//!
//! Full jitter: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use super::error::{Class, Failure};
use super::gate::trips::Cause;
use super::outcome::Outcome;
use super::state::State;
use super::store::{Ack, Evidence, Failed, Lease, Spends, Step};
use rand::Rng;
use std::time::Duration;

/// A job whose process died under it this often is discarded: it probably was the cause.
pub const MAX_RESCUES: i16 = 3;

/// How often a job may be put back for reasons that spend no attempt; once more, and it is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How often it may ask to run again later, in all its life.
    pub snoozes: i32,
    /// How often in a row the outside may ask it to slow down.
    pub throttles: i16,
    /// How often in a row its credential may be refused.
    pub denials: i16,
    /// How often a stopping process may hand it back, in all its life.
    pub interruptions: i16,
}

impl Limits {
    /// Far beyond what a sound job meets: days of waiting, a thousand deploys.
    pub const DEFAULT: Self =
        Self { snoozes: 100_000, throttles: 10_000, denials: 30_000, interruptions: 1_000 };
}

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(300);
/// How long a job waits for its credential before it looks by itself.
const CREDENTIAL_PATIENCE: Duration = Duration::from_secs(900);
/// A wait may be this long: a hundred years. Beyond that dates have no end to reach.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// An error's text is kept up to this length, in bytes.
const ERROR_TEXT_MAX: usize = 4096;
/// So many of its causes are kept in the log, each up to this length.
const CAUSES_MAX: usize = 16;
const CAUSE_TEXT_MAX: usize = 2048;

/// What is to be written down about an attempt that went like this; nothing, if the handler has
/// done so itself.
pub fn verdict(lease: &Lease, result: Result<Outcome, Failure>) -> Option<Ack> {
    if let Ok(Outcome::Unasked(next)) = result {
        let ack = verdict(lease, Ok(*next))?;
        return Some(Ack { evidence: Evidence::Nothing, ..ack });
    }
    let evidence = evidence(&result);
    let went_well = |step, follow_ups| (step, None, None, None, follow_ups);
    let (step, error, failed, leave_alone, follow_ups) = match result {
        Ok(Outcome::Committed(_) | Outcome::Unasked(_)) => return None,
        Ok(Outcome::Done) => went_well(Step::Finish(State::Done), Vec::new()),
        Ok(Outcome::Then(jobs)) => went_well(Step::Finish(State::Done), jobs),
        Ok(Outcome::Snooze(delay)) if lease.snoozes < lease.limits.snoozes => {
            went_well(wait(true, delay, Spends::Snooze, None), Vec::new())
        }
        Ok(Outcome::Doubt(delay, why)) if lease.snoozes < lease.limits.snoozes => {
            let why = storable(why, ERROR_TEXT_MAX);
            (wait(true, delay, Spends::Snooze, None), Some(why), None, None, Vec::new())
        }
        Ok(Outcome::Snooze(_) | Outcome::Doubt(..)) => {
            let said = given_up(lease.limits.snoozes, "snoozes");
            let failed = Failed { outcome: "snoozed", causes: vec![said.clone()] };
            (Step::Finish(State::Discarded), Some(said), Some(failed), None, Vec::new())
        }
        Err(failure) => {
            let (step, leave_alone) = after_failure(lease, &failure.class);
            let causes = step_is_too_much(lease, &step, &failure.class).into_iter();
            let causes: Vec<String> = causes
                .chain(failure.causes())
                .take(CAUSES_MAX)
                .map(|cause| storable(cause, CAUSE_TEXT_MAX))
                .collect();
            let error = storable(causes.join(": "), ERROR_TEXT_MAX);
            let failed = Failed { outcome: failure.class.as_str(), causes };
            (step, Some(error), Some(failed), leave_alone, Vec::new())
        }
    };
    Some(Ack {
        job_id: lease.job_id,
        fence: lease.fence,
        claimed_at: lease.claimed_at,
        step,
        error,
        evidence,
        leave_alone,
        follow_ups,
        failed,
        progress: None,
    })
}

/// What the attempt says about the resources that it used.
fn evidence(result: &Result<Outcome, Failure>) -> Evidence {
    match result {
        Ok(Outcome::Doubt(..)) => Evidence::Failed(Cause::Transient),
        Ok(_) => Evidence::Good,
        Err(failure) => failure.cause().map_or(Evidence::Nothing, Evidence::Failed),
    }
}

/// What is to be said first when the class would have let the job wait, had it not done so too often.
/// A job that has spent its attempts needs no such word: the last error is the reason.
fn step_is_too_much(lease: &Lease, step: &Step, class: &Class) -> Option<String> {
    let limits = &lease.limits;
    match (step, class) {
        (Step::Wait { .. }, _) => None,
        (_, Class::Throttled { .. }) => Some(given_up(limits.throttles, "throttles")),
        (_, Class::Unauthorized { .. }) => Some(given_up(limits.denials, "denials")),
        (_, Class::Interrupted) => Some(given_up(limits.interruptions, "interruptions")),
        _ => None,
    }
}

fn given_up(limit: impl Into<i32>, of_what: &str) -> String {
    format!("given up, because its limit of {} {of_what} is spent", limit.into())
}

fn after_failure(lease: &Lease, class: &Class) -> (Step, Option<(String, Duration)>) {
    match class {
        Class::Permanent => (Step::Finish(State::Discarded), None),
        Class::Cancelled => (Step::Finish(State::Cancelled), None),
        Class::Transient => {
            let delay = full_jitter(Duration::from_secs(1), lease.attempt, LONGEST);
            (wait(lease.attempt < lease.max_attempts, delay, Spends::Attempt, None), None)
        }
        Class::Throttled { retry_after, resource } => {
            let ours =
                || ceiling(Duration::from_secs(2), lease.throttles.saturating_add(1), LONGEST);
            // Told "at once", it would be told so again and again.
            let pause = retry_after.map_or_else(ours, |told| told.max(Duration::from_secs(1)));
            let pause = pause.min(FOREVER);
            let delay = pause + pause.mul_f64(rand::rng().random_range(0.0..0.2));
            let step =
                wait(lease.throttles < lease.limits.throttles, delay, Spends::Throttle, None);
            (step, Some((resource.clone(), pause)))
        }
        Class::Unauthorized { credential } => {
            let gate = Some(credential.clone());
            let may_wait = lease.denials < lease.limits.denials;
            (wait(may_wait, CREDENTIAL_PATIENCE, Spends::Denial, gate), None)
        }
        Class::Interrupted => {
            let may_wait = lease.interruptions < lease.limits.interruptions;
            (wait(may_wait, Duration::ZERO, Spends::Interruption, None), None)
        }
    }
}

fn wait(may: bool, delay: Duration, spends: Spends, blocked_by: Option<String>) -> Step {
    let delay = delay.min(FOREVER);
    if may { Step::Wait { delay, spends, blocked_by } } else { Step::Finish(State::Discarded) }
}

/// A random wait of up to `first` doubled with every attempt, never more than `longest`.
fn full_jitter(first: Duration, attempt: i16, longest: Duration) -> Duration {
    ceiling(first, attempt, longest).mul_f64(rand::rng().random_range(0.0..1.0))
}

/// `first` for the first attempt, doubled with every further one, never more than `longest`.
fn ceiling(first: Duration, attempt: i16, longest: Duration) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(20);
    first.saturating_mul(1 << doublings).min(longest)
}

/// A text without what Postgres cannot store, and not endless.
fn storable(text: String, most: usize) -> String {
    let mut text = if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    if text.len() > most {
        let cut = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::gate::breaker::Observation;
    use anyhow::anyhow;
    use proptest::prelude::*;

    fn lease() -> Lease {
        Lease {
            job_id: 7,
            fence: 3,
            kind: "k".into(),
            queue: "q".into(),
            args: serde_json::Value::Null,
            attempt: 1,
            max_attempts: 2,
            timeout: Duration::from_secs(1),
            snoozes: 0,
            throttles: 0,
            denials: 0,
            interruptions: 0,
            created_at: chrono::DateTime::UNIX_EPOCH,
            claimed_at: chrono::DateTime::UNIX_EPOCH,
            share: crate::queue::Share::Live,
            waited: Duration::ZERO,
            limits: Limits::DEFAULT,
        }
    }

    fn step_after(lease: &Lease, failure: Failure) -> Step {
        verdict(lease, Err(failure)).expect("a failure is always written down").step
    }

    fn spends(step: &Step) -> Option<Spends> {
        match step {
            Step::Wait { spends, .. } => Some(*spends),
            Step::Finish(_) => None,
        }
    }

    #[test]
    fn each_class_spends_its_own_counter() {
        let e = || anyhow!("x");
        let table = [
            (Failure::transient(e()), Some(Spends::Attempt)),
            (Failure::throttled(e(), None, "r"), Some(Spends::Throttle)),
            (Failure::unauthorized(e(), "c"), Some(Spends::Denial)),
            (Failure::interrupted(), Some(Spends::Interruption)),
            (Failure::permanent(e()), None),
            (Failure::new(Class::Cancelled, e()), None),
        ];
        for (failure, expected) in table {
            let class = failure.class.clone();
            assert_eq!(spends(&step_after(&lease(), failure)), expected, "{class:?}");
        }
    }

    type Went = fn() -> Result<Outcome, Failure>;

    /// Every way to be put back, and the lease on which it has just spent its limit.
    fn ways(limits: Limits) -> [(&'static str, Lease, Went); 5] {
        let lease = Lease { limits, ..lease() };
        let Limits { snoozes, throttles, denials, interruptions } = limits;
        [
            ("snoozed", Lease { snoozes, ..lease.clone() }, || {
                Ok(Outcome::Snooze(Duration::from_secs(1)))
            }),
            ("transient", Lease { attempt: lease.max_attempts, ..lease.clone() }, || {
                Err(Failure::transient(anyhow!("x")))
            }),
            ("throttled", Lease { throttles, ..lease.clone() }, || {
                Err(Failure::throttled(anyhow!("x"), None, "r"))
            }),
            ("unauthorized", Lease { denials, ..lease.clone() }, || {
                Err(Failure::unauthorized(anyhow!("x"), "c"))
            }),
            ("interrupted", Lease { interruptions, ..lease }, || Err(Failure::interrupted())),
        ]
    }

    #[test]
    fn no_class_can_go_on_for_ever_and_each_says_what_it_has_spent() {
        let most =
            Limits { snoozes: i32::MAX, throttles: i16::MAX, denials: i16::MAX, interruptions: 1 };
        for limits in [Limits::DEFAULT, most] {
            for (outcome, worn, result) in ways(limits) {
                let once_more = Lease {
                    attempt: worn.attempt - i16::from(outcome == "transient"),
                    snoozes: worn.snoozes - i32::from(outcome == "snoozed"),
                    throttles: worn.throttles - i16::from(outcome == "throttled"),
                    denials: worn.denials - i16::from(outcome == "unauthorized"),
                    interruptions: worn.interruptions - i16::from(outcome == "interrupted"),
                    ..worn.clone()
                };
                let ack = verdict(&once_more, result()).expect("written down");
                assert!(matches!(ack.step, Step::Wait { .. }), "{outcome} may still wait");

                let ack = verdict(&worn, result()).expect("written down");
                assert_eq!(ack.step, Step::Finish(State::Discarded), "{outcome}");
                let failed = ack.failed.expect("it is logged");
                assert_eq!(failed.outcome, outcome);
                let says_so = failed.causes[0].starts_with("given up, because its limit of");
                assert_eq!(says_so, outcome != "transient", "{:?}", failed.causes);
                assert_eq!(ack.error.as_deref(), Some(failed.causes.join(": ").as_str()));
            }
        }
    }

    #[test]
    fn what_went_well_is_not_logged() {
        let well =
            [Outcome::Done, Outcome::Then(Vec::new()), Outcome::Snooze(Duration::from_secs(1))];
        for outcome in well {
            assert_eq!(verdict(&lease(), Ok(outcome)).expect("written down").failed, None);
        }
    }

    #[test]
    fn a_lost_answer_is_a_failure_to_breakers_and_spends_a_snooze() {
        let doubt = Outcome::Doubt(Duration::ZERO, "its answer was lost".into());
        let ack = verdict(&lease(), Ok(doubt)).expect("written down");
        let failed = Observation::Failed { cause: Cause::Transient, error: "its answer was lost" };
        assert_eq!(ack.observation(), failed);
        assert_eq!(spends(&ack.step), Some(Spends::Snooze));
        assert_eq!(ack.error.as_deref(), Some("its answer was lost"));
    }

    #[test]
    fn who_asked_nobody_and_what_nobody_outside_is_to_blame_for_say_nothing_to_breakers() {
        let idle = Outcome::Snooze(Duration::ZERO).unasked();
        let idle = verdict(&lease(), Ok(idle)).expect("written down");
        assert_eq!(idle.observation(), Observation::Neither);
        assert_eq!(spends(&idle.step), Some(Spends::Snooze));
        let unneeded = verdict(&lease(), Ok(Outcome::Done.unasked())).expect("written down");
        assert_eq!(unneeded.observation(), Observation::Neither);
        assert!(matches!(unneeded.step, Step::Finish(State::Done)));
        let away = verdict(&lease(), Err(sqlx::Error::PoolTimedOut.into())).expect("written down");
        assert_eq!(away.observation(), Observation::Neither);
        assert_eq!(spends(&away.step), Some(Spends::Attempt));
        let asked = verdict(&lease(), Ok(Outcome::Snooze(Duration::ZERO))).expect("written down");
        assert_eq!(asked.observation(), Observation::Good);
    }

    #[test]
    fn a_wait_without_end_can_be_stored() {
        let ack = verdict(&lease(), Ok(Outcome::Snooze(Duration::MAX))).expect("written down");
        let Step::Wait { delay, .. } = ack.step else { panic!("it waits") };
        assert_eq!(delay, FOREVER);
        let throttled = Failure::throttled(anyhow!("429"), Some(Duration::MAX), "r");
        let ack = verdict(&lease(), Err(throttled)).expect("written down");
        assert_eq!(ack.leave_alone.expect("the resource is told").1, FOREVER);
    }

    #[test]
    fn a_throttle_is_never_shorter_than_what_the_outside_asked_for() {
        let told = Duration::from_secs(120);
        let ack = verdict(&lease(), Err(Failure::throttled(anyhow!("429"), Some(told), "host:x")))
            .expect("written down");
        assert_eq!(ack.leave_alone, Some(("host:x".to_owned(), told)));
        let Step::Wait { delay, .. } = ack.step else { panic!("it waits") };
        assert!(delay >= told);
    }

    #[test]
    fn an_error_keeps_its_causes_and_loses_what_cannot_be_stored() {
        let told = |error: anyhow::Error| {
            let ack = verdict(&lease(), Err(Failure::transient(error))).expect("written down");
            (ack.error.expect("a text"), ack.failed.expect("logged").causes)
        };
        let (text, causes) = told(anyhow!("root\0cause").context("while polling"));
        assert_eq!(text, "while polling: root\u{fffd}cause");
        assert_eq!(causes, ["while polling", "root\u{fffd}cause"]);

        let mut deep = anyhow!("é".repeat(10_000));
        for _ in 0..100 {
            deep = deep.context("é".repeat(2_000));
        }
        let (text, causes) = told(deep);
        assert!(text.len() < ERROR_TEXT_MAX + 8);
        assert_eq!(causes.len(), CAUSES_MAX);
        assert!(causes.iter().all(|cause| cause.len() < CAUSE_TEXT_MAX + 8));
    }

    proptest! {
        #[test]
        fn the_ceiling_never_shrinks_and_never_passes_the_longest(attempt in 1..i16::MAX - 1) {
            let at = |n| ceiling(Duration::from_secs(1), n, LONGEST);
            prop_assert!(at(attempt) <= at(attempt + 1));
            prop_assert!(at(attempt) <= LONGEST);
            prop_assert!(full_jitter(Duration::from_secs(1), attempt, LONGEST) <= at(attempt));
        }
    }
}
