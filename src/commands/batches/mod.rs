//! `recomamp batches`: one workflow on many instances over one window.

mod add;
mod show;
mod steer;

use anyhow::Result;
use clap::Subcommand;

/// One workflow on many instances over one window.
#[derive(Debug, Subcommand)]
pub enum Batches {
    Add(add::Add),
    List(show::List),
    Show(show::Show),
    Cancel(steer::Cancel),
    Retry(steer::Retry),
}

impl Batches {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Retry(command) => command.run().await,
        }
    }
}
