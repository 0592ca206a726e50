//! `recomamp gates pause`, `resume` and `trip`: a person stops a resource and lets it go on.

use crate::commands::person::Person;
use crate::commands::{connect, output};
use crate::config::{self, Database};
use crate::given;
use crate::jobs;
use crate::queue::Queue;
use crate::queue::postgres::inspect::gates;
use crate::store::{accounts, instances, users};
use crate::telemetry::Mode;
use crate::tools::resources;
use anyhow::{Result, bail};
use clap::Args;
use sqlx::{PgConnection, PgPool};
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
    #[arg(value_parser = given::resource)]
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
    #[arg(value_parser = given::resource)]
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
        // Pausing makes it known.
        let is_new = gates::row(&mut tx, &self.resource).await?.is_none();
        Queue::new().pause(&mut tx, &self.resource, by, &self.why, self.lasts).await?;
        let stranger = stranger(&mut tx, &self.resource, is_new).await?;
        tx.commit().await?;
        if let Some(warning) = stranger {
            eprintln!("Warning: {warning}");
        }
        let until = match self.lasts {
            Some(lasts) => format!("for {}", length(lasts)),
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

/// What there is to warn of: what is misspelt is paused like anything else, and stops nothing. A kind or a
/// queue may be another release's, and a resource may be used yet.
async fn stranger(
    connection: &mut PgConnection,
    resource: &str,
    is_new: bool,
) -> Result<Option<String>> {
    let catalog = jobs::catalog();
    let (what, name) = resource.split_once(':').unwrap_or(("", resource));
    let known: Vec<&str> = match what {
        "kind" => catalog.kinds().collect(),
        "queue" => catalog.queues(),
        _ => {
            let is_strange = is_new && !is_known(connection, resource, name).await?;
            return Ok(is_strange.then(|| {
                format!(
                    "no job has used {resource} so far and nothing of that name is known, so nothing stops: \
                     `recomamp gates list` shows what there is, `recomamp gates resume {resource}` ends the \
                     pause"
                )
            }));
        }
    };
    Ok((!known.contains(&name)).then(|| {
        let known = known.join(", ");
        format!("this release knows no {name:?}, so nothing of it stops: there are {known}.")
    }))
}

/// Whether a resource that no job has used stands for something that was added.
async fn is_known(
    connection: &mut PgConnection,
    resource: &str,
    name: &str,
) -> Result<bool, sqlx::Error> {
    if resource == resources::instance(name) || resource == resources::access(name) {
        return Ok(instances::by_instance_id(connection, name).await?.is_some());
    }
    if resource == resources::account(name) {
        return Ok(accounts::list(connection).await?.iter().any(|one| one.account_id == name));
    }
    if let Some(user) = resources::user_of_credential(resource) {
        return Ok(users::by_id(connection, user).await?.is_some());
    }
    Ok(resource == resources::TOKENS)
}

/// A length of time in its largest whole unit.
fn length(time: Duration) -> String {
    match time.as_secs() {
        _ if time.subsec_nanos() > 0 => format!("{time:?}"),
        seconds if seconds % 60 > 0 || seconds == 0 => format!("{seconds} s"),
        seconds if seconds % 3600 > 0 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

async fn database() -> Result<PgPool> {
    let database: Database = crate::commands::settings(Mode::Command)?;
    connect::ready(&database, 1).await
}
