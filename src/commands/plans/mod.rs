//! `recomamp plans`: collections that were asked for together.

mod show;
mod steer;

use super::Exit;
use anyhow::Result;
use clap::Subcommand;

/// Collections that were asked for together.
#[derive(Debug, Subcommand)]
pub enum Plans {
    List(show::List),
    Show(show::Show),
    Pause(steer::Pause),
    Resume(steer::Resume),
    Cancel(steer::Cancel),
    Retry(steer::Retry),
}

impl Plans {
    /// Runs it.
    pub async fn run(self) -> Result<Exit> {
        let done = match self {
            Self::Show(command) => return command.run().await,
            Self::List(command) => command.run().await,
            Self::Pause(command) => command.run().await,
            Self::Resume(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Retry(command) => command.run().await,
        };
        done.map(Exit::done)
    }
}
