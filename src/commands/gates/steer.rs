//! `recomamp gates pause`, `resume` and `trip`: a person stops a resource and lets it go on.

use crate::commands::person::Person;
use crate::commands::{connect, output};
use crate::config::{self, Database};
use crate::given;
use crate::jobs;
use crate::queue::Queue;
use crate::telemetry::Mode;
use anyhow::{Result, bail};
use clap::Args;
use sqlx::PgPool;
use std::time::Duration;

/// Stops every job that uses the resource from starting, until it is resumed or for a while. Those
/// that run go on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp gates pause amc_instance:amcacme --why 'Amazon maintains it' --for 30m
  recomamp gates pause queue:default --why 'a bad deploy'")]
pub struct Pause {
    /// The resource, such as host:api.example.com, queue:default or kind:ping.
    resource: String,
    /// Why, in a sentence for the person who finds it paused.
    #[arg(long, alias = "reason", value_parser = given::sentence)]
    why: String,
    /// For how long, as in 30m; until it is resumed when not given.
    #[arg(long = "for", value_name = "DURATION", value_parser = config::duration)]
    lasts: Option<Duration>,
    #[command(flatten)]
    person: Person,
}

/// Ends a pause, and lets an open breaker ask at once whether the resource is back.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp gates resume amc_instance:amcacme")]
pub struct Resume {
    /// The resource.
    resource: String,
    /// Why, in a sentence.
    #[arg(long, alias = "reason", value_parser = given::sentence, default_value = "resumed")]
    why: String,
    #[command(flatten)]
    person: Person,
}

/// Opens the resource's breaker until it is resumed. Then probes ask first whether it is back.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp gates trip host:api.example.com --why 'it returns rubbish'"
)]
pub struct Trip {
    /// The resource.
    resource: String,
    /// Why, in a sentence for the person who finds it open.
    #[arg(long, alias = "reason", value_parser = given::sentence)]
    why: String,
    #[command(flatten)]
    person: Person,
}

impl Pause {
    pub(super) async fn run(self) -> Result<()> {
        let db = database().await?;
        let (mut tx, by) = (crate::transaction::begin(&db).await?, self.person.name());
        Queue::new().pause(&mut tx, &self.resource, by, &self.why, self.lasts).await?;
        tx.commit().await?;
        warn_of_strangers(&self.resource);
        let until = match self.lasts {
            Some(lasts) => format!("for {lasts:?}"),
            None => format!("until `recomamp gates resume {}`", self.resource),
        };
        output::line(format!("{} is paused {until}.", self.resource))
    }
}

impl Resume {
    pub(super) async fn run(self) -> Result<()> {
        let db = database().await?;
        let (mut tx, by) = (crate::transaction::begin(&db).await?, self.person.name());
        let queue = Queue::new();
        if !queue.resume_because(&mut tx, &self.resource, by, &self.why).await? {
            bail!("{} is neither paused nor is its breaker open", self.resource);
        }
        tx.commit().await?;
        output::line(format!("{} goes on.", self.resource))
    }
}

impl Trip {
    pub(super) async fn run(self) -> Result<()> {
        let db = database().await?;
        let (mut tx, by) = (crate::transaction::begin(&db).await?, self.person.name());
        Queue::new().trip(&mut tx, &self.resource, by, &self.why).await?;
        tx.commit().await?;
        output::line(format!(
            "The breaker of {0} is open until `recomamp gates resume {0}`.",
            self.resource
        ))
    }
}

/// A misspelt kind or queue is paused like any other, and stops nothing. It may be another release's.
fn warn_of_strangers(resource: &str) {
    let catalog = jobs::catalog();
    let known: Vec<&str> = match resource.split_once(':') {
        Some(("kind", _)) => catalog.kinds().collect(),
        Some(("queue", _)) => catalog.queues(),
        _ => return,
    };
    let name = resource.split_once(':').map_or(resource, |(_, name)| name);
    if !known.contains(&name) {
        let known = known.join(", ");
        eprintln!(
            "Warning: this release knows no {name:?}, so nothing of it stops: there are {known}."
        );
    }
}

async fn database() -> Result<PgPool> {
    let database: Database = crate::commands::settings(Mode::Command)?;
    connect::ready(&database, 1).await
}
