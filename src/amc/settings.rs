//! How patient the client is, and who listens.

use super::operation::CallReport;
use std::sync::Arc;
use std::time::Duration;

/// Hears about every HTTP exchange; must not block.
pub type Observer = Arc<dyn Fn(&CallReport) + Send + Sync>;

/// How patient and how greedy the client is.
#[derive(Clone)]
pub struct Settings {
    /// How long a connection may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a whole call may take. Default 60 s: Amazon's gateway gives up after about 30 s, and
    /// its answer is worth waiting for.
    pub timeout: Duration,
    /// How long a call to Login with Amazon may take. Default 20 s.
    pub token_timeout: Duration,
    /// How long a download may stand still; it may take any time altogether. Default 30 s.
    pub idle_timeout: Duration,
    /// The largest good answer that is read (not files), in bytes. Default 16 MiB.
    pub max_body_bytes: usize,
    /// Hears about every HTTP exchange; must not block.
    pub on_call: Option<Observer>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_mins(1),
            token_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(30),
            max_body_bytes: 16 * 1024 * 1024,
            on_call: None,
        }
    }
}

/// The HTTP client could not be set up; nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up HTTPS ({0}); is the package ca-certificates installed?")]
pub struct SetupError(pub(super) String);
