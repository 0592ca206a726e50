//! What an attempt that went well asks for next.

use super::NewJob;
use std::time::Duration;

/// What an attempt that went well asks for next.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing more.
    Done,
    /// Enqueue these in the transaction that marks this job done.
    Then(Vec<NewJob>),
    /// Run again after this long. Spends no attempt, and keeps no worker busy meanwhile.
    Snooze(Duration),
    /// Run again after this long, because nobody knows how it went, for this reason: an answer was lost.
    /// Otherwise a snooze. To breakers a lost answer is a failure.
    Doubt(Duration, String),
    /// This, but nobody outside was asked: see [`Outcome::unasked`], which is the only source of it.
    Unasked(Box<Outcome>),
    /// The job has already finished, inside its own transaction: see
    /// [`Attempt::complete_in`](super::Attempt::complete_in), which is the only source of this value.
    Committed(Committed),
}

/// Proof that an attempt was completed inside the handler's own transaction.
#[derive(Debug)]
pub struct Committed(pub(super) ());

impl Outcome {
    /// Done, and then this one job.
    pub fn then(job: NewJob) -> Self {
        Self::Then(vec![job])
    }

    /// The same, but nobody outside was asked this time. Breakers hear nothing of it: it does not show
    /// that what they guard works.
    #[must_use]
    pub fn unasked(self) -> Self {
        Self::Unasked(Box::new(self))
    }

    /// What is asked for next, whoever was asked before.
    pub(super) fn next(&self) -> &Self {
        match self {
            Self::Unasked(next) => next.next(),
            other => other,
        }
    }
}
