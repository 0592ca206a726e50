//! `amc_accounts`: the Amazon advertising accounts that own AMC instances.

use sqlx::{FromRow, PgExecutor};

use super::ids::{AccountUuid, UserId};
use super::words::{Region, words};

words! {
    /// Whether the engine works for an account.
    AccountStatus as "account_status" {
        /// In use.
        Active = "active",
        /// Switched off by a person.
        Disabled = "disabled",
    }
}

/// A row of `amc_accounts`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Account {
    /// Names the account here.
    pub id: AccountUuid,
    /// Amazon's id of the account, `ENTITY…`.
    pub account_id: String,
    /// What to call it on a page.
    pub account_name: String,
    /// Amazon's id of the marketplace, such as `ATVPDKIKX0DER`.
    pub marketplace_id: String,
    /// Which of Amazon's hosts answer for it.
    pub region: Region,
    /// The user whose credential reaches it.
    pub user_id: UserId,
    /// Whether the engine works for it.
    pub status: AccountStatus,
}

/// An account to be added.
#[derive(Debug, Clone, Copy)]
pub struct NewAccount<'a> {
    /// Amazon's id of the account, `ENTITY…`.
    pub account_id: &'a str,
    /// What to call it on a page.
    pub account_name: &'a str,
    /// Amazon's id of the marketplace; a country code is refused.
    pub marketplace_id: &'a str,
    /// Which of Amazon's hosts answer for it.
    pub region: Region,
    /// The user whose credential reaches it.
    pub user_id: UserId,
}

/// Adds an account. One that is there already is a unique violation.
pub async fn insert(
    db: impl PgExecutor<'_>,
    account: &NewAccount<'_>,
) -> Result<AccountUuid, sqlx::Error> {
    sqlx::query_scalar(
        r"-- accounts_insert
        insert into amc_accounts (id, account_id, account_name, marketplace_id, region, user_id)
        values ($1, $2, $3, $4, $5, $6)
        returning id",
    )
    .bind(AccountUuid::fresh())
    .bind(account.account_id)
    .bind(account.account_name)
    .bind(account.marketplace_id)
    .bind(account.region)
    .bind(account.user_id)
    .fetch_one(db)
    .await
}

/// The account with Amazon's id.
pub async fn by_account_id(
    db: impl PgExecutor<'_>,
    account_id: &str,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as(
        r"-- accounts_by_account_id
        select id, account_id, account_name, marketplace_id, region, user_id, status
        from amc_accounts
        where account_id = $1",
    )
    .bind(account_id)
    .fetch_optional(db)
    .await
}

/// Names an account as Amazon does.
pub async fn rename(
    db: impl PgExecutor<'_>,
    account: AccountUuid,
    name: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- accounts_rename
        update amc_accounts set account_name = $2 where id = $1 and account_name <> $2",
    )
    .bind(account)
    .bind(name)
    .execute(db)
    .await?;
    Ok(())
}

/// Every account, by Amazon's id.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Account>, sqlx::Error> {
    sqlx::query_as(
        r"-- accounts_list
        select id, account_id, account_name, marketplace_id, region, user_id, status
        from amc_accounts
        order by account_id",
    )
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::House;

    #[tokio::test]
    async fn a_country_is_no_marketplace_id() {
        let house = House::new().await;
        let known = by_account_id(house.db(), "ENTITY2NQX8M1").await.unwrap();
        assert_eq!(list(house.db()).await.unwrap(), Vec::from_iter(known));

        let account = NewAccount {
            account_id: "ENTITY2",
            account_name: "Two",
            marketplace_id: "US",
            region: Region::Na,
            user_id: house.user,
        };
        let error = insert(house.db(), &account).await.unwrap_err();
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some("marketplace_id_is_amazons_not_a_country"));
    }
}
