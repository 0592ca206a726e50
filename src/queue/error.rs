//! The two ways to go wrong: an attempt fails, or the queue itself does.

use super::gate::invalid::Invalid;
use super::gate::trips::Cause;
use std::fmt;
use std::time::Duration;

/// What kind of failure it was. Decided once, where the error is born; what follows from it is one
/// table, in [`retry`](super::retry).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// May pass by itself: a dropped connection, a 503.
    Transient,
    /// The outside asks for fewer calls. Everything that uses the resource waits.
    Throttled {
        /// How long, if it said so. Never undercut; jitter only adds.
        retry_after: Option<Duration>,
        /// The resource that is to be left alone.
        resource: String,
    },
    /// A credential was refused. The job waits until [`Queue::open`](super::Queue::open) is called
    /// for the credential's resource.
    Unauthorized {
        /// The credential's resource.
        credential: String,
    },
    /// Will never pass. The job is discarded at once.
    Permanent,
    /// A person stopped it.
    Cancelled,
    /// The process that ran it is stopping, or has lost its lease.
    Interrupted,
}

impl Class {
    /// The word used in logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled { .. } => "throttled",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Permanent => "permanent",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why an attempt did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// What is to be done about it.
    pub class: Class,
    error: anyhow::Error,
    /// Nothing that the job uses is to blame.
    blameless: bool,
}

impl Failure {
    /// Whether it will never pass.
    pub fn is_permanent(&self) -> bool {
        self.class == Class::Permanent
    }

    /// The same, but what will never pass may: for a question that has to be asked again, whatever was answered.
    /// As it was answered, nothing that the job uses is to blame.
    #[must_use]
    pub fn may_pass(self) -> Self {
        if !self.is_permanent() {
            return self;
        }
        Self { class: Class::Transient, ..self }.blameless()
    }

    /// A failure of this class.
    pub fn new(class: Class, error: impl Into<anyhow::Error>) -> Self {
        Self { class, error: error.into(), blameless: false }
    }

    /// May pass by itself.
    pub fn transient(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Class::Transient, error)
    }

    /// Will never pass.
    pub fn permanent(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Class::Permanent, error)
    }

    /// The outside asks to leave `resource` alone, for `retry_after` if it said how long.
    pub fn throttled(
        error: impl Into<anyhow::Error>,
        retry_after: Option<Duration>,
        resource: impl Into<String>,
    ) -> Self {
        Self::new(Class::Throttled { retry_after, resource: resource.into() }, error)
    }

    /// The credential behind this resource was refused.
    pub fn unauthorized(error: impl Into<anyhow::Error>, credential: impl Into<String>) -> Self {
        Self::new(Class::Unauthorized { credential: credential.into() }, error)
    }

    /// The same, but nothing that the job uses is to blame: breakers hear nothing of it. Such as a disk
    /// that is full, or an answer that says "not yet".
    #[must_use]
    pub fn blameless(mut self) -> Self {
        self.blameless = true;
        self
    }

    /// In which way a resource that the job uses failed, if one did.
    pub fn cause(&self) -> Option<Cause> {
        if self.blameless { None } else { Cause::of(&self.class) }
    }

    /// What went wrong and why, the outermost first.
    pub fn causes(&self) -> impl Iterator<Item = String> {
        self.error.chain().map(ToString::to_string)
    }

    /// Somebody cancelled the job; `said` is who, and why.
    pub fn cancelled(said: String) -> Self {
        Self::new(Class::Cancelled, anyhow::Error::msg(said))
    }

    /// The process is stopping.
    pub fn interrupted() -> Self {
        Self::new(Class::Interrupted, anyhow::anyhow!("the process is stopping"))
    }
}

/// The whole chain of causes, on one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Failure {}

/// A database that is away may come back, and says nothing about the outside.
impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::transient(error).blameless()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::LeaseLost { .. } => Self::new(Class::Interrupted, error),
            Error::Encode { .. } | Error::Invalid(_) => Self::permanent(error),
            Error::Database(_) | Error::Panicked { .. } => Self::transient(error).blameless(),
        }
    }
}

/// The queue could not do its own work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The attempt is not the job's current one any more.
    #[error("job {job_id} is no longer ours: its lease was lost and the job was taken over")]
    LeaseLost {
        /// The job.
        job_id: i64,
    },

    /// The arguments are not JSON.
    #[error("the arguments of a {kind:?} job cannot be written as JSON")]
    Encode {
        /// The kind of the job.
        kind: &'static str,
        /// What was wrong.
        source: serde_json::Error,
    },

    /// A rule that makes no sense.
    #[error(transparent)]
    Invalid(#[from] Invalid),

    /// A part of this process panicked.
    #[error(
        "the part that {part} panicked, which is a bug: this process has stopped, others go on"
    )]
    Panicked {
        /// What it does.
        part: &'static str,
    },

    /// The store did not do what it was asked.
    #[error("the store did not answer: {0}")]
    Database(#[from] sqlx::Error),
}
