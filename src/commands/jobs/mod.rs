//! `recomamp jobs`: the jobs of the queue, steered by a person.

mod steer;

use anyhow::Result;
use clap::Subcommand;

/// The jobs of the queue.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    Cancel(steer::Cancel),
    Discard(steer::Discard),
    Replay(steer::Replay),
    Edit(steer::Edit),
}

impl Jobs {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Cancel(command) => command.run().await,
            Self::Discard(command) => command.run().await,
            Self::Replay(command) => command.run().await,
            Self::Edit(command) => command.run().await,
        }
    }
}
