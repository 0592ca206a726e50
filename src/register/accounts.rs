//! The Amazon advertising accounts that own AMC instances.

use super::{RegisterError, users};
use crate::amc::{self, EntityId, IdError, MarketplaceId};
use crate::store::accounts::{self, Account, AccountStatus};
use crate::store::events::{self, Because, NewEvent};
use crate::store::{AccountUuid, Region, users as people};
use serde::Serialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;

/// An account to be added.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Amazon's id of it.
    pub account_id: EntityId,
    /// What to call it on a page.
    pub name: String,
    /// Where it sells.
    pub marketplace: MarketplaceId,
    /// Which of Amazon's hosts answer for it; the marketplace's own when not given.
    pub region: Option<Region>,
    /// The email of the user whose token reaches it.
    pub user: String,
}

/// An account as people and programs are told of one.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// Amazon's id of it.
    pub account_id: String,
    /// What to call it on a page.
    pub name: String,
    /// Amazon's id of the marketplace.
    pub marketplace_id: String,
    /// Which of Amazon's hosts answer for it.
    pub region: Region,
    /// The email of the user whose token reaches it.
    pub user: String,
    /// Whether the engine works for it.
    pub status: AccountStatus,
}

/// Amazon's id of an account, ENTITY….
///
/// # Errors
/// It is none.
pub fn id(text: &str) -> Result<EntityId, IdError> {
    text.parse()
}

/// A marketplace, by Amazon's id or by a country code.
///
/// # Errors
/// It is none.
pub fn marketplace(text: &str) -> Result<MarketplaceId, IdError> {
    text.parse()
}

impl NewAccount {
    /// Which of Amazon's hosts answer for it.
    ///
    /// # Errors
    /// The marketplace lies elsewhere, or nobody knows it.
    pub fn region(&self) -> Result<Region, RegisterError> {
        let own = self.marketplace.region().map(|region| match region {
            amc::Region::Na => Region::Na,
            amc::Region::Eu => Region::Eu,
            amc::Region::Fe => Region::Fe,
        });
        let marketplace = &self.marketplace;
        let wrong = |why| RegisterError::wrong("region", why);
        match (self.region, own) {
            (Some(given), Some(own)) if given != own => {
                Err(wrong(format!("marketplace {marketplace} lies in region {own}, not {given}")))
            }
            (Some(region), _) | (None, Some(region)) => Ok(region),
            (None, None) => Err(wrong(format!(
                "nobody here knows marketplace {marketplace}: say its region, na, eu or fe"
            ))),
        }
    }
}

/// Adds an account.
pub async fn add(
    transaction: &mut PgConnection,
    new: &NewAccount,
    because: &Because<'_>,
) -> Result<AccountUuid, RegisterError> {
    let region = new.region()?;
    let user = users::find(transaction, &new.user).await?;
    let account = accounts::NewAccount {
        account_id: new.account_id.as_str(),
        account_name: &new.name,
        marketplace_id: new.marketplace.as_str(),
        region,
        user_id: user.id,
    };
    let id = accounts::insert(&mut *transaction, &account).await.map_err(|error| {
        let taken =
            format!("there is an account {} already: see `recomamp accounts list`", new.account_id);
        RegisterError::of_insert(error, taken)
    })?;
    let event = NewEvent {
        entity: "account",
        entity_id: new.account_id.as_str(),
        from_status: None,
        to_status: Some(AccountStatus::Active.as_str()),
        actor: because.by,
        reason: because.said(),
        detail: &json!({"user": user.id}),
    };
    events::append(transaction, &event).await?;
    Ok(id)
}

/// Every account.
pub async fn list(db: &PgPool) -> Result<Vec<Told>, RegisterError> {
    let users = people::list(db).await?.into_iter();
    let emails: HashMap<_, _> = users.map(|user| (user.id, user.email)).collect();
    let told = |account: Account| Told {
        user: emails.get(&account.user_id).cloned().unwrap_or_default(),
        account_id: account.account_id,
        name: account.account_name,
        marketplace_id: account.marketplace_id,
        region: account.region,
        status: account.status,
    };
    Ok(accounts::list(db).await?.into_iter().map(told).collect())
}
