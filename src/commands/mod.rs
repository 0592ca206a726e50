//! The subcommands, one file each; each line of the Procfile is one of them.

// What a process does until it is stopped.
mod ops;
mod schedule;
mod serve;
mod simulate;
mod work;

// What a person does once, and looks at often.
mod backfill;
mod batches;
mod bench;
mod collections;
mod demo;
mod doctor;
mod events;
mod gates;
mod jobs;
mod keys;
mod migrate;
mod plans;
mod schedules;
mod status;
mod webhooks;

// What a new installation is told about Amazon.
mod accounts;
mod instances;
mod users;
mod workflows;

// What they share.
mod asked;
mod connect;
mod exit;
mod input;
mod lifeline;
mod output;
mod person;
mod values;
mod watch;

pub use exit::{Exit, failed};

use crate::config::{Logging, Settings};
use crate::telemetry::{self, Mode};
use anyhow::Result;
use clap::{Parser, Subcommand};

/// A durable job queue for long, rate-limited, asynchronous API work; first use: Amazon Marketing
/// Cloud reporting.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Settings come from the environment: `recomamp doctor` checks them, .env.example lists them.
Exit codes:
  0    it is done
  1    it is refused as things stand, or it failed: no such workflow, no database, taken already
  2    what was given is wrong, and nothing was done: the command line, a file it names, a setting
  3    something is not healthy (doctor, migrate --status)
  5    the backfill did not complete (--watch, collections report)
  130  stopped with Ctrl-C";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Simulate(simulate::Simulate),
    Serve(serve::Serve),
    Work(work::Work),
    Schedule(schedule::Schedule),
    Migrate(migrate::Migrate),
    #[command(subcommand)]
    Keys(keys::Keys),
    #[command(subcommand)]
    Users(users::Users),
    #[command(subcommand)]
    Accounts(accounts::Accounts),
    #[command(subcommand)]
    Instances(instances::Instances),
    #[command(subcommand)]
    Workflows(workflows::Workflows),
    Backfill(Box<backfill::Backfill>),
    #[command(subcommand)]
    Plans(plans::Plans),
    #[command(subcommand)]
    Batches(batches::Batches),
    #[command(subcommand)]
    Collections(collections::Collections),
    #[command(subcommand)]
    Schedules(schedules::Schedules),
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    #[command(subcommand)]
    Gates(gates::Gates),
    Events(events::Events),
    #[command(subcommand)]
    Webhooks(webhooks::Webhooks),
    Status(status::Status),
    Doctor(doctor::Doctor),
    Bench(bench::Bench),
}

impl Cli {
    /// Runs the command and says how it ended.
    pub async fn run(self) -> Result<Exit> {
        match self.command {
            Command::Demo(command) => Box::pin(command.run()).await,
            Command::Simulate(command) => command.run().await.map(Exit::done),
            Command::Serve(command) => command.run().await.map(Exit::done),
            Command::Work(command) => command.run().await.map(Exit::done),
            Command::Schedule(command) => command.run().await.map(Exit::done),
            Command::Migrate(command) => command.run().await,
            Command::Keys(command) => command.run().await.map(Exit::done),
            Command::Users(command) => command.run().await.map(Exit::done),
            Command::Accounts(command) => command.run().await.map(Exit::done),
            Command::Instances(command) => command.run().await.map(Exit::done),
            Command::Workflows(command) => command.run().await.map(Exit::done),
            Command::Backfill(command) => Box::pin(command.run()).await,
            Command::Collections(command) => Box::pin(command.run()).await,
            Command::Batches(command) => Box::pin(command.run()).await.map(Exit::done),
            Command::Plans(command) => command.run().await,
            Command::Schedules(command) => Box::pin(command.run()).await.map(Exit::done),
            Command::Jobs(command) => command.run().await.map(Exit::done),
            Command::Gates(command) => command.run().await.map(Exit::done),
            Command::Events(command) => command.run().await.map(Exit::done),
            Command::Webhooks(command) => command.run().await.map(Exit::done),
            Command::Status(command) => command.run().await,
            Command::Doctor(command) => command.run().await,
            Command::Bench(command) => command.run().await.map(Exit::done),
        }
    }
}

/// Reads what a command needs of the environment, every mistake at once, and switches logs on.
pub fn settings<S: Settings>(mode: Mode) -> Result<S> {
    let (logging, settings) = <(Logging, S)>::from_env()?;
    // The driver says more than people want to read; RECOMAMP_LOG can still ask for it.
    let filter = format!("sqlx=warn,{}", logging.filter);
    telemetry::init(mode, &Logging { filter })?;
    Ok(settings)
}

/// The error of a command that was given something wrong.
fn wrong(message: impl std::fmt::Display) -> anyhow::Error {
    exit::Wrong(message.to_string()).into()
}
