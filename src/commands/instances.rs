//! `recomamp instances`: the AMC instances that the engine works on.

use super::person::Person;
use super::{connect, output, refused, users};
use crate::amc::{AmcInstanceId, EntityId};
use crate::config::{Database, Limits};
use crate::given;
use crate::jobs::{collect_week, sync_instances};
use crate::plural::counted;
use crate::queue::Queue;
use crate::queue::gate::Rule;
use crate::store::events::{self, NewEvent};
use crate::store::instances::{self, InstanceStatus, NewInstance};
use crate::store::{accounts, credentials};
use crate::telemetry::Mode;
use crate::tools::{gates, resources};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;
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
    #[arg(long, value_parser = web_address)]
    endpoint_url: Option<Url>,
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
    /// Why, in a sentence for whoever finds it.
    #[arg(long, alias = "reason", value_parser = given::sentence, default_value = "no reason given")]
    why: String,
    #[command(flatten)]
    person: Person,
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
        let mut tx = crate::transaction::begin(&db).await?;
        let account = accounts::by_account_id(&mut *tx, self.account.as_str()).await?;
        let Some(account) = account else {
            bail!("there is no account {}: see `recomamp accounts list`", self.account);
        };
        let instance = NewInstance {
            instance_id: self.instance_id.as_str(),
            instance_name: &self.name,
            account_id: account.id,
            endpoint_url: self.endpoint_url.as_ref().map(Url::as_str),
        };
        let id = instances::insert(&mut *tx, &instance).await.map_err(|error| {
            let taken = format!("there is an instance {} already", self.instance_id);
            refused::insert(error, taken)
        })?;
        let (instance_id, account) = (self.instance_id.as_str(), self.account.as_str());
        gates::of_new_instance(&Queue::new(), &mut tx, instance_id, account, &limits).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"id": id, "instance_id": self.instance_id}));
        }
        output::line(id)?;
        eprintln!("Next: recomamp workflows add --instance {} --help", self.instance_id);
        Ok(())
    }
}

#[derive(Debug, Serialize)]
struct Row {
    instance_id: String,
    name: String,
    account_id: String,
    endpoint_url: Option<String>,
    status: InstanceStatus,
    block_reason: Option<String>,
}

impl Row {
    fn cells(self) -> [String; 6] {
        [
            self.instance_id,
            self.name,
            self.account_id,
            self.endpoint_url.unwrap_or_default(),
            self.status.to_string(),
            self.block_reason.unwrap_or_default(),
        ]
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let accounts = accounts::list(&db).await?.into_iter();
        let accounts: HashMap<_, _> = accounts.map(|a| (a.id, a.account_id)).collect();
        let rows = instances::list(&db).await?.into_iter().map(|instance| Row {
            instance_id: instance.instance_id,
            name: instance.instance_name,
            account_id: accounts.get(&instance.account_id).cloned().unwrap_or_default(),
            endpoint_url: instance.endpoint_url,
            status: instance.status,
            block_reason: instance.block_reason,
        });
        if self.json {
            return output::json(&rows.collect::<Vec<_>>());
        }
        let headings = ["INSTANCE", "NAME", "ACCOUNT", "ENDPOINT", "STATUS", "WHY"];
        output::table(headings, rows.map(Row::cells))
    }
}

impl Sync {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let chosen = match &self.user {
            Some(email) => vec![users::find(&mut tx, email).await?.id],
            None => credentials::usable(&mut *tx).await?,
        };
        for user in &chosen {
            if credentials::refresh_token(&mut *tx, *user).await?.is_none() {
                bail!("the user has no token: run `recomamp users authorise`");
            }
            sync_instances::ask_now(&Queue::new(), &mut tx, *user).await?;
        }
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
        let instance = instances::by_instance_id(&mut *tx, name).await?;
        let instance = instance.with_context(|| {
            format!("there is no instance {name}: see `recomamp instances list`")
        })?;
        // A week, or a member of a batch, may also be blocked by itself, on an instance that is not.
        let begun = collect_week::unblock(&Queue::new(), &mut tx, instance.id).await?;
        if begun == 0 && instance.status != InstanceStatus::Blocked {
            bail!("instance {name} is {}, not blocked", instance.status);
        }
        let event = NewEvent {
            entity: "instance",
            entity_id: name,
            from_status: Some(instance.status.as_str()),
            to_status: Some(InstanceStatus::Active.as_str()),
            actor: "instances unblock",
            reason: None,
            detail: &json!({"weeks": begun}),
        };
        events::append(&mut *tx, &event).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"instance_id": name, "weeks_started_again": begun}));
        }
        eprintln!("Started again on {name}: {}.", counted(begun, "blocked week", "blocked weeks"));
        Ok(())
    }
}

impl Limit {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let name = self.instance_id.as_str();
        let mut tx = crate::transaction::begin(&db).await?;
        instances::by_instance_id(&mut *tx, name).await?.with_context(|| {
            format!("there is no instance {name}: see `recomamp instances list`")
        })?;
        let (queue, resource) = (Queue::new(), resources::instance(name));
        let rule = Rule::Holds(Some(i32::from(self.max_open)));
        queue.set_gate_by(&mut tx, &resource, rule, self.person.name(), &self.why).await?;
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

fn web_address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    url.ok_or("give a web address such as https://advertising-api.amazon.com, without credentials")
}
