//! `recomamp collections`: backfills that are there already, looked at and steered.

mod again;
mod range;
mod report;
mod show;
mod steer;

use super::person::Person;
use super::{Exit, connect, output};
use crate::config::Database;
use crate::steering::Steered;
use crate::telemetry::Mode;
use anyhow::Result;
use clap::{Args, Subcommand};
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

/// Which collection, who asks, and how to answer.
#[derive(Debug, Args)]
struct Asked {
    /// The collection.
    #[arg(value_name = "COLLECTION")]
    collection_id: String,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Asked {
    fn say(&self, steered: &Steered) -> Result<()> {
        if self.json {
            return output::json(steered);
        }
        output::line(&steered.said)
    }
}

async fn database() -> Result<PgPool> {
    let database: Database = super::settings(Mode::Command)?;
    connect::ready(&database, 1).await
}
