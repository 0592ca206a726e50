//! The five states of a job.

use serde::{Deserialize, Serialize};

/// Where a job stands. `run_at`, `attempt` and `blocked_by` say the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "engine.job_state", rename_all = "snake_case")]
pub enum State {
    /// May be claimed once its `run_at` has passed and no gate is shut.
    Waiting,
    /// Leased to a process.
    Running,
    /// Finished well.
    Done,
    /// Given up: out of attempts, or hopeless. Kept with its history.
    Discarded,
    /// Stopped by a person.
    Cancelled,
}

impl State {
    /// Whether the job will never run again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Discarded | Self::Cancelled)
    }

    /// The word used in the database, in metrics and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
        }
    }
}
