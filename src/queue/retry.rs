//! What follows from how an attempt went: the whole policy, on one screen, without I/O.
//!
//! | class          | spends        | waits                                              | discarded after     |
//! |----------------|---------------|----------------------------------------------------|---------------------|
//! | (snooze)       | a snooze      | as long as asked                                   | 100,000             |
//! | transient      | an attempt    | full jitter up to 1 s × 2ⁿ, at most 5 min          | the job's own limit |
//! | throttled      | a throttle    | as long as told (else 2 s × 2ⁿ, 5 min), plus 0–20 % | 10,000              |
//! | unauthorized   | a denial      | until the credential is opened, at most 15 min     | 30,000              |
//! | interrupted    | an interruption | not at all                                       | 1,000               |
//! | permanent      | –             | –                                                  | at once             |
//! | cancelled      | –             | –                                                  | at once, as cancelled |
//!
//! A crash of the process is not in the table: [`Store::rescue`](super::store::Store::rescue) sees it.
//!
//! Full jitter: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use super::error::{Class, Failure};
use super::gate::trips::Cause;
use super::outcome::Outcome;
use super::state::State;
use super::store::{Ack, Lease, Spends, Step};
use rand::Rng;
use std::time::Duration;

/// A job whose process died under it this often is discarded: it probably was the cause.
pub const MAX_RESCUES: i16 = 3;

const MAX_SNOOZES: i32 = 100_000;
const MAX_THROTTLES: i16 = 10_000;
const MAX_DENIALS: i16 = 30_000;
const MAX_INTERRUPTIONS: i16 = 1_000;

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(300);
/// How long a job waits for its credential before it looks by itself.
const CREDENTIAL_PATIENCE: Duration = Duration::from_secs(900);
/// An error's text is kept up to this length, in bytes.
const ERROR_TEXT_MAX: usize = 4096;

/// What is to be written down about an attempt that went like this; nothing, if the handler has
/// done so itself.
pub fn verdict(lease: &Lease, result: Result<Outcome, Failure>) -> Option<Ack> {
    let cause = result.as_ref().err().and_then(|failure| Cause::of(&failure.class));
    let (step, error, leave_alone, follow_ups) = match result {
        Ok(Outcome::Committed(_)) => return None,
        Ok(Outcome::Done) => (Step::Finish(State::Done), None, None, Vec::new()),
        Ok(Outcome::Then(jobs)) => (Step::Finish(State::Done), None, None, jobs),
        Ok(Outcome::Snooze(delay)) => {
            let step = wait(lease.snoozes < MAX_SNOOZES, delay, Spends::Snooze, None);
            (step, None, None, Vec::new())
        }
        Err(failure) => {
            let (step, leave_alone) = after_failure(lease, &failure.class);
            (step, Some(error_text(&failure)), leave_alone, Vec::new())
        }
    };
    let (job_id, fence) = (lease.job_id, lease.fence);
    Some(Ack { job_id, fence, step, error, cause, leave_alone, follow_ups })
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
            let ours = || ceiling(Duration::from_secs(2), lease.throttles + 1, LONGEST);
            // Told "at once", it would be told so again and again.
            let pause = retry_after.map_or_else(ours, |told| told.max(Duration::from_secs(1)));
            let delay = pause + pause.mul_f64(rand::rng().random_range(0.0..0.2));
            let step = wait(lease.throttles < MAX_THROTTLES, delay, Spends::Throttle, None);
            (step, Some((resource.clone(), pause)))
        }
        Class::Unauthorized { credential } => {
            let gate = Some(credential.clone());
            let may_wait = lease.denials < MAX_DENIALS;
            (wait(may_wait, CREDENTIAL_PATIENCE, Spends::Denial, gate), None)
        }
        Class::Interrupted => {
            let may_wait = lease.interruptions < MAX_INTERRUPTIONS;
            (wait(may_wait, Duration::ZERO, Spends::Interruption, None), None)
        }
    }
}

fn wait(may: bool, delay: Duration, spends: Spends, blocked_by: Option<String>) -> Step {
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

/// The error as it is kept: one chain of causes, without what Postgres cannot store, and not endless.
fn error_text(failure: &Failure) -> String {
    let mut text = failure.to_string().replace('\0', "\u{fffd}");
    if text.len() > ERROR_TEXT_MAX {
        let cut = (0..=ERROR_TEXT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn no_class_can_go_on_for_ever() {
        let worn = Lease {
            attempt: 2,
            snoozes: MAX_SNOOZES,
            throttles: MAX_THROTTLES,
            denials: MAX_DENIALS,
            interruptions: MAX_INTERRUPTIONS,
            ..lease()
        };
        let e = || anyhow!("x");
        let failures = [
            Failure::transient(e()),
            Failure::throttled(e(), None, "r"),
            Failure::unauthorized(e(), "c"),
            Failure::interrupted(),
            Failure::permanent(e()),
        ];
        for failure in failures {
            assert_eq!(step_after(&worn, failure), Step::Finish(State::Discarded));
        }
        let snoozed = verdict(&worn, Ok(Outcome::Snooze(Duration::from_secs(1))));
        assert_eq!(snoozed.expect("written down").step, Step::Finish(State::Discarded));
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
        let failure = Failure::transient(anyhow!("root\0cause").context("while polling"));
        assert_eq!(error_text(&failure), "while polling: root\u{fffd}cause");
        let long = Failure::transient(anyhow!("é".repeat(10_000)));
        assert!(error_text(&long).len() < ERROR_TEXT_MAX + 8);
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
