//! A call that failed: its class, and everything needed to explain it, without a secret.

use super::operation::Operation;
use std::fmt;
use std::time::Duration;

/// What a failure asks of the caller. Decided once, where the failure is born.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing was wrong with the request: try it again later.
    Transient,
    /// Too much is being asked, of this client or of this instance.
    Throttled {
        /// How long the other side asked us to wait, at most ten minutes.
        retry_after: Option<Duration>,
    },
    /// The access token is expired or invalid: refresh it once, then try again.
    Unauthorized,
    /// 403 without a known reason. Amazon's guide says that expired credentials look like this too:
    /// refresh once; when it stays, treat it as [`Class::Blocked`].
    Forbidden,
    /// A person has to act: wrong account or instance, or terms to be accepted. A new token cannot help.
    Blocked,
    /// AMC does not know this execution. True for a moment after it was created; later it is gone.
    NotFoundYet,
    /// The result cannot be downloaded yet.
    NotReady,
    /// The signed URL is no longer accepted: ask for new ones, the execution is fine.
    ExpiredUrl,
    /// The same request will fail again.
    Permanent,
    /// A submit whose answer got lost: it may have been accepted. Look it up, never send it again.
    Unknown,
}

impl Class {
    /// The word for logs, metric labels and columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled { .. } => "throttled",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Blocked => "blocked",
            Self::NotFoundYet => "not_found_yet",
            Self::NotReady => "not_ready",
            Self::ExpiredUrl => "expired_url",
            Self::Permanent => "permanent",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that failed.
///
/// Safe to log and to store: tokens and signatures have been cut out, texts are short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Detail>);

/// The parts of an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detail {
    pub operation: Operation,
    pub class: Class,
    /// Why, in the other side's words where it had any.
    pub reason: String,
    pub status: Option<u16>,
    pub request_id: Option<String>,
    pub retry_after: Option<Duration>,
    pub code: Option<String>,
    pub body: Option<String>,
}

impl Error {
    /// A failure without an answer: nothing but its class and reason is known.
    pub(super) fn new(operation: Operation, class: Class, reason: impl Into<String>) -> Self {
        Self(Box::new(Detail {
            operation,
            class,
            reason: reason.into(),
            status: None,
            request_id: None,
            retry_after: None,
            code: None,
            body: None,
        }))
    }

    /// What the failure asks of the caller.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// Which call failed.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// Why, in the other side's words where it had any; at most 500 bytes.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The HTTP status, `None` when no answer arrived.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// `x-amzn-RequestId`, which Amazon's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long the other side asked us to wait, at most ten minutes. Also known for other classes
    /// than [`Class::Throttled`], for example a submit that met a 503.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The error code in the body, or the header `x-amzn-ErrorType`.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The beginning of the body, at most 2 KiB, for storing what nobody expected.
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// Whether the other side has surely not acted on the request: it was refused, or never sent.
    ///
    /// For a submit, `false` means that an execution may exist at AMC. Every other call is safe to
    /// repeat, and the answer says nothing.
    pub fn surely_not_accepted(&self) -> bool {
        self.0.class != Class::Unknown
    }

    /// Gives this failure to its author for finishing touches.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Detail)) -> Self {
        change(&mut self.0);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Detail { operation, class, reason, status, request_id, .. } = &*self.0;
        write!(f, "{operation} is {class}")?;
        if let Some(status) = status {
            write!(f, " (HTTP {status})")?;
        }
        write!(f, ": {reason}")?;
        if let Some(id) = request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
