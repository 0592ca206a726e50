//! `recomamp collections`: backfills that are there already, looked at and steered.

mod again;
mod range;
mod report;
mod show;
mod steer;

use super::{Exit, connect};
use crate::config::Database;
use crate::telemetry::Mode;
use anyhow::Result;
use clap::Subcommand;
use sqlx::PgPool;

/// Backfills that are there already.
#[derive(Debug, Subcommand)]
pub enum Collections {
    List(show::List),
    Show(show::Show),
    Report(report::Report),
    Pause(steer::Pause),
    Resume(steer::Resume),
    Cancel(steer::Cancel),
    Retry(again::Retry),
    Recollect(again::Recollect),
    Widen(range::Widen),
    Shrink(range::Shrink),
}

impl Collections {
    /// Runs it.
    pub async fn run(self) -> Result<Exit> {
        let done = match self {
            Self::Report(command) => return command.run().await,
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Pause(command) => command.run().await,
            Self::Resume(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Retry(command) => command.run().await,
            Self::Recollect(command) => command.run().await,
            Self::Widen(command) => command.run().await,
            Self::Shrink(command) => command.run().await,
        };
        done.map(Exit::done)
    }
}

async fn database() -> Result<PgPool> {
    let database: Database = super::settings(Mode::Command)?;
    connect::ready(&database, 1).await
}
