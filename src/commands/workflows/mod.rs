//! `recomamp workflows`: the queries that backfills and schedules run.

mod add;
mod show;
mod steer;

use anyhow::Result;
use clap::Subcommand;

/// The queries that backfills and schedules run.
#[derive(Debug, Subcommand)]
pub enum Workflows {
    Add(add::Add),
    Update(add::Update),
    List(show::List),
    Show(show::Show),
    Sync(steer::Sync),
    Recheck(steer::Recheck),
}

impl Workflows {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(command) => command.run().await,
            Self::Update(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Sync(command) => command.run().await,
            Self::Recheck(command) => command.run().await,
        }
    }
}
