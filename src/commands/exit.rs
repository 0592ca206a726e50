//! How a command can end, as other programs see it.

use std::process::ExitCode;

/// How a command that did not fail has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// It looked, and something is not as it should be.
    Unhealthy,
    /// The backfill that it watched ended without all its weeks.
    Incomplete,
    /// A person stopped it with Ctrl-C, and what it watched goes on.
    Interrupted,
}

impl Exit {
    /// For a command that can only succeed or fail.
    pub(super) fn done((): ()) -> Self {
        Self::Done
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Unhealthy => 3,
            Exit::Incomplete => 5,
            // 128 + SIGINT, as shells say it.
            Exit::Interrupted => 130,
        })
    }
}
