//! `recomamp schedules`: what runs by itself, and when.

mod add;
mod preview;
mod show;
mod steer;
mod times;
mod update;

use super::person::Asker;
use anyhow::Result;
use clap::{Args, Subcommand};

/// What runs by itself, and when.
#[derive(Debug, Subcommand)]
pub enum Schedules {
    Add(Box<add::Add>),
    Update(Box<update::Update>),
    List(show::List),
    Show(show::Show),
    Preview(preview::Preview),
    Runs(show::Runs),
    Trigger(steer::Trigger),
    Pause(steer::Pause),
    Resume(steer::Resume),
    Cancel(steer::Cancel),
    Remove(steer::Remove),
}

/// Who asks, and how to answer.
#[derive(Debug, Args)]
struct Asked {
    #[command(flatten)]
    asker: Asker,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Schedules {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(command) => command.run().await,
            Self::Update(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Preview(command) => command.run().await,
            Self::Runs(command) => command.run().await,
            Self::Trigger(command) => command.run().await,
            Self::Pause(command) => command.run().await,
            Self::Resume(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Remove(command) => command.run().await,
        }
    }
}
