//! `recomamp jobs`: the jobs of the queue, steered by a person.

mod cancel;
mod discard;
mod edit;
mod replay;
mod steer;

use anyhow::Result;
use clap::Subcommand;

/// The jobs of the queue.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    Cancel(cancel::Cancel),
    Discard(discard::Discard),
    Replay(replay::Replay),
    Edit(edit::Edit),
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
