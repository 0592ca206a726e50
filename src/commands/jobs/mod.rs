//! `recomamp jobs`: the jobs of the queue, one by one, looked at and steered by a person.

mod cancel;
mod discard;
mod edit;
mod explain;
mod list;
mod replay;
mod show;
mod steer;

use anyhow::Result;
use clap::Subcommand;

/// The jobs of the queue: which there are, why one does not run, and what to do about it.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    List(list::List),
    Show(show::Show),
    Explain(explain::Explain),
    Cancel(cancel::Cancel),
    Discard(discard::Discard),
    Replay(replay::Replay),
    Edit(edit::Edit),
}

impl Jobs {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Explain(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Discard(command) => command.run().await,
            Self::Replay(command) => command.run().await,
            Self::Edit(command) => command.run().await,
        }
    }
}
