//! `recomamp gates`: what keeps jobs from starting, looked at and set.

mod events;
pub mod list;
mod set;
mod show;
mod steer;

use anyhow::Result;
use clap::Subcommand;

/// The gates that keep jobs from starting: limits, rates, quotas, places, pauses and breakers, on
/// outside things, queues (queue:default) and kinds (kind:ping).
#[derive(Debug, Subcommand)]
pub enum Gates {
    List(list::List),
    Show(show::Show),
    Set(Box<set::Set>),
    Pause(steer::Pause),
    Resume(steer::Resume),
    Trip(steer::Trip),
    Events(events::Events),
}

impl Gates {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Set(command) => command.run().await,
            Self::Pause(command) => command.run().await,
            Self::Resume(command) => command.run().await,
            Self::Trip(command) => command.run().await,
            Self::Events(command) => command.run().await,
        }
    }
}
