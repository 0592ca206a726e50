//! `recomamp jobs`: the jobs of the queue, one by one.

mod explain;
mod list;
mod show;

use anyhow::Result;
use clap::Subcommand;

/// The jobs of the queue: which there are, and why one does not run.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    List(list::List),
    Show(show::Show),
    Explain(explain::Explain),
}

impl Jobs {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Explain(command) => command.run().await,
        }
    }
}
