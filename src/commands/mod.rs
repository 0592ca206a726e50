//! The subcommands, one file each; each line of the Procfile is one of them.

pub mod bench;
pub mod connect;
pub mod ops;
pub mod schedule;
pub mod work;

use clap::{Parser, Subcommand};

/// A durable job queue for long, rate-limited, asynchronous API work; first use: Amazon Marketing
/// Cloud reporting.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Bench),
    Schedule(schedule::Schedule),
    Work(work::Work),
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Bench(command) => command.run().await,
            Command::Schedule(command) => command.run().await,
            Command::Work(command) => command.run().await,
        }
    }
}
