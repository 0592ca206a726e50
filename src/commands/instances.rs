//! `recomamp instances`: the AMC instances that the engine works on.

use super::person::{Asker, Person};
use super::{connect, output};
use crate::amc::{AmcInstanceId, EntityId};
use crate::config::{Database, Limits};
use crate::given;
use crate::plural::counted;
use crate::queue::Queue;
use crate::register::instances::{self, NewInstance, Told};
use crate::telemetry::Mode;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use url::Url;

/// The AMC instances that the engine works on.
#[derive(Debug, Subcommand)]
pub enum Instances {
    Add(Add),
    List(List),
    Sync(Sync),
    Unblock(Unblock),
    Limit(Limit),
}

/// Adds an instance, limits how many executions may be open there, and gives it a breaker.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp instances add --instance-id amcibersblt --name Shop --account ENTITY1A2B3C4D5E6F"
)]
pub struct Add {
    /// AMC's own id of the instance.
    #[arg(long)]
    instance_id: AmcInstanceId,
    /// What to call it on a page.
    #[arg(long, value_parser = given::name)]
    name: String,
    /// Amazon's id of the account that owns it.
    #[arg(long)]
    account: EntityId,
    /// Where its API answers, when not at the region's host.
    #[arg(long, value_parser = instances::endpoint)]
    endpoint_url: Option<Url>,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the instances and whether Amazon lets us in.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp instances list --json")]
pub struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Takes over from AMC which accounts and instances there are, once a worker is there to ask.
///
/// New ones are added and can be used at once. What AMC does not list any more, or is still creating,
/// is blocked with that reason; nothing is deleted. It happens by itself once a day.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp instances sync --user ana@example.com")]
pub struct Sync {
    /// The email of the user whose token asks; every active user when not given.
    #[arg(long)]
    user: Option<String>,
    #[command(flatten)]
    asker: Asker,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Starts work again on an instance that Amazon refused us, once that is settled with Amazon.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp instances unblock amcibersblt")]
pub struct Unblock {
    /// AMC's own id of the instance.
    instance_id: AmcInstanceId,
    #[command(flatten)]
    asker: Asker,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Sets how many executions may be open on an instance at once, from now on. Those that are open
/// stay; 0 lets no further one begin.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp instances limit amcibersblt 3 --why 'AMC is slow today'"
)]
pub struct Limit {
    /// AMC's own id of the instance.
    instance_id: AmcInstanceId,
    /// How many.
    max_open: u16,
    #[command(flatten)]
    asker: Asker,
}

impl Instances {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Sync(command) => command.run().await,
            Self::Unblock(command) => command.run().await,
            Self::Limit(command) => command.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let (database, limits): (Database, Limits) = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let new = NewInstance {
            instance_id: self.instance_id,
            name: self.name,
            account_id: self.account,
            endpoint_url: self.endpoint_url,
        };
        let mut tx = crate::transaction::begin(&db).await?;
        let because = self.person.because(None);
        let id = instances::add(&mut tx, &Queue::new(), &new, &limits, &because).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"id": id, "instance_id": new.instance_id}));
        }
        output::line(id)?;
        eprintln!("Next: recomamp workflows add --instance {} --help", new.instance_id);
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let rows = instances::list(&db).await?;
        if self.json {
            return output::json(&rows);
        }
        let headings = ["INSTANCE", "NAME", "ACCOUNT", "ENDPOINT", "STATUS", "WHY"];
        output::table(headings, rows.into_iter().map(cells))
    }
}

fn cells(instance: Told) -> [String; 6] {
    [
        instance.instance_id,
        instance.name,
        instance.account_id,
        instance.endpoint_url.unwrap_or_default(),
        instance.status.to_string(),
        instance.block_reason.unwrap_or_default(),
    ]
}

impl Sync {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let (user, because) = (self.user.as_deref(), self.asker.because());
        let chosen = instances::sync(&mut tx, &Queue::new(), user, &because).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"users": chosen}));
        }
        let users = counted(chosen.len(), "user", "users");
        eprintln!("AMC is asked for {users}: see `recomamp instances list` in a moment.");
        Ok(())
    }
}

impl Unblock {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let name = self.instance_id.as_str();
        let because = self.asker.because();
        let begun = instances::unblock(&mut tx, &Queue::new(), name, &because).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"instance_id": name, "weeks_started_again": begun}));
        }
        let (one, many) = ("week, schedule or backfill", "weeks, schedules and backfills");
        eprintln!("Started again on {name}, having waited: {}.", counted(begun, one, many));
        Ok(())
    }
}

impl Limit {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let name = self.instance_id.as_str();
        let mut tx = crate::transaction::begin(&db).await?;
        let because = self.asker.because();
        instances::limit(&mut tx, &Queue::new(), (name, self.max_open), &because).await?;
        tx.commit().await?;
        match self.max_open {
            0 => eprintln!("Nothing further begins on {name} from now on."),
            many => eprintln!(
                "From now on at most {} may be open on {name}.",
                counted(many, "execution", "executions")
            ),
        }
        Ok(())
    }
}
