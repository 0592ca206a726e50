//! `recomamp accounts`: the Amazon advertising accounts that own AMC instances.

use super::person::Person;
use super::{connect, output};
use crate::amc::{EntityId, MarketplaceId};
use crate::config::Database;
use crate::given;
use crate::register::accounts::{self, NewAccount, Told};
use crate::store::Region;
use crate::telemetry::Mode;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

/// The Amazon advertising accounts that own AMC instances.
#[derive(Debug, Subcommand)]
pub enum Accounts {
    Add(Add),
    List(List),
}

/// Adds an account, reached with a user's token.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp accounts add --account-id ENTITY1A2B3C4D5E6F --name Shop --marketplace US --user ana@example.com"
)]
pub struct Add {
    /// Amazon's id of the account, ENTITY….
    #[arg(long)]
    account_id: EntityId,
    /// What to call it on a page.
    #[arg(long, value_parser = given::name)]
    name: String,
    /// A country code such as US, or Amazon's id of the marketplace such as ATVPDKIKX0DER.
    #[arg(long)]
    marketplace: MarketplaceId,
    /// Which of Amazon's hosts answer for it, na, eu or fe; the marketplace's own when not given.
    #[arg(long)]
    region: Option<Region>,
    /// The email of the user whose token reaches it.
    #[arg(long)]
    user: String,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the accounts.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp accounts list --json")]
pub struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Accounts {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(command) => command.run().await,
            Self::List(command) => command.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let new = NewAccount {
            account_id: self.account_id,
            name: self.name,
            marketplace: self.marketplace,
            region: self.region,
            user: self.user,
        };
        // What is wrong in itself is said before a database is asked for.
        new.region()?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let id = accounts::add(&mut tx, &new, &self.person.because(None)).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"id": id, "account_id": new.account_id}));
        }
        output::line(id)?;
        eprintln!("Next: recomamp instances add --account {} --help", new.account_id);
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let rows = accounts::list(&db).await?;
        if self.json {
            return output::json(&rows);
        }
        let headings = ["ACCOUNT", "NAME", "MARKETPLACE", "REGION", "USER", "STATUS"];
        output::table(headings, rows.into_iter().map(cells))
    }
}

fn cells(account: Told) -> [String; 6] {
    let Told { account_id, name, marketplace_id, region, user, status } = account;
    [account_id, name, marketplace_id, region.to_string(), user, status.to_string()]
}
