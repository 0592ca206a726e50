//! `recomamp accounts`: the Amazon advertising accounts that own AMC instances.

use super::{connect, output, refused, users, wrong};
use crate::amc::{self, EntityId, MarketplaceId};
use crate::config::Database;
use crate::given;
use crate::store::accounts::{self, AccountStatus, NewAccount};
use crate::store::{Region, users as people};
use crate::telemetry::Mode;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use std::collections::HashMap;

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
        let region = self.region()?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let user = users::find(&mut tx, &self.user).await?;
        let account = NewAccount {
            account_id: self.account_id.as_str(),
            account_name: &self.name,
            marketplace_id: self.marketplace.as_str(),
            region,
            user_id: user.id,
        };
        let id = accounts::insert(&mut *tx, &account).await.map_err(|error| {
            let taken = format!("there is an account {} already", self.account_id);
            refused::insert(error, taken)
        })?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"id": id, "account_id": self.account_id}));
        }
        output::line(id)?;
        eprintln!("Next: recomamp instances add --account {} --help", self.account_id);
        Ok(())
    }

    fn region(&self) -> Result<Region> {
        let own = self.marketplace.region().map(|region| match region {
            amc::Region::Na => Region::Na,
            amc::Region::Eu => Region::Eu,
            amc::Region::Fe => Region::Fe,
        });
        match (self.region, own) {
            (Some(given), Some(own)) if given != own => Err(wrong(format!(
                "marketplace {} lies in region {own}, not {given}",
                self.marketplace
            ))),
            (Some(region), _) | (None, Some(region)) => Ok(region),
            (None, None) => Err(wrong(format!(
                "nobody here knows marketplace {}: say its --region",
                self.marketplace
            ))),
        }
    }
}

#[derive(Debug, Serialize)]
struct Row {
    account_id: String,
    name: String,
    marketplace_id: String,
    region: Region,
    user: String,
    status: AccountStatus,
}

impl Row {
    fn cells(self) -> [String; 6] {
        let Self { account_id, name, marketplace_id, region, user, status } = self;
        [account_id, name, marketplace_id, region.to_string(), user, status.to_string()]
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let users = people::list(&db).await?.into_iter();
        let emails: HashMap<_, _> = users.map(|user| (user.id, user.email)).collect();
        let rows = accounts::list(&db).await?.into_iter().map(|account| Row {
            account_id: account.account_id,
            name: account.account_name,
            marketplace_id: account.marketplace_id,
            region: account.region,
            user: emails.get(&account.user_id).cloned().unwrap_or_default(),
            status: account.status,
        });
        if self.json {
            return output::json(&rows.collect::<Vec<_>>());
        }
        let headings = ["ACCOUNT", "NAME", "MARKETPLACE", "REGION", "USER", "STATUS"];
        output::table(headings, rows.map(Row::cells))
    }
}
