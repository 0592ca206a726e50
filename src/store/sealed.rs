//! Every secret at rest, whichever table keeps it: for those who seal them anew with another key.

use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::words::Sealed;

/// A table with secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vault {
    /// `lwa_credentials`: refresh tokens and access tokens.
    Tokens,
    /// `webhooks`: what signs.
    Webhooks,
}

/// The secrets of one row, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Secrets {
    /// Names the row.
    pub id: Uuid,
    /// The secret that every row has: a refresh token, or what signs.
    pub first: Sealed,
    /// One that not every row has: an access token.
    pub second: Option<Sealed>,
}

/// The secrets of the next so many rows after this one.
pub async fn after(
    db: impl PgExecutor<'_>,
    vault: Vault,
    last: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Secrets>, sqlx::Error> {
    let sql = match vault {
        Vault::Tokens => {
            r"-- sealed_tokens_after
            select user_id as id, refresh_token_encrypted as first, access_token_encrypted as second
            from lwa_credentials
            where $1::uuid is null or user_id > $1
            order by user_id
            limit $2"
        }
        Vault::Webhooks => {
            r"-- sealed_webhooks_after
            select id, secret_encrypted as first, null::text as second
            from webhooks
            where $1::uuid is null or id > $1
            order by id
            limit $2"
        }
    };
    sqlx::query_as(sql).bind(last).bind(limit).fetch_all(db).await
}

/// The secrets of this row.
pub async fn of(
    db: impl PgExecutor<'_>,
    vault: Vault,
    id: Uuid,
) -> Result<Option<Secrets>, sqlx::Error> {
    let sql = match vault {
        Vault::Tokens => {
            r"-- sealed_tokens_of
            select user_id as id, refresh_token_encrypted as first, access_token_encrypted as second
            from lwa_credentials
            where user_id = $1"
        }
        Vault::Webhooks => {
            r"-- sealed_webhooks_of
            select id, secret_encrypted as first, null::text as second from webhooks where id = $1"
        }
    };
    sqlx::query_as(sql).bind(id).fetch_optional(db).await
}

/// Puts the same secrets, sealed anew, in the place of those that were read. False when somebody has
/// stored others since.
pub async fn reseal(
    db: impl PgExecutor<'_>,
    vault: Vault,
    read: &Secrets,
    anew: &Secrets,
) -> Result<bool, sqlx::Error> {
    let sql = match vault {
        Vault::Tokens => {
            r"-- sealed_tokens_anew
            update lwa_credentials
            set refresh_token_encrypted = $4, access_token_encrypted = $5
            where user_id = $1
              and refresh_token_encrypted = $2
              and access_token_encrypted is not distinct from $3"
        }
        Vault::Webhooks => {
            r"-- sealed_webhooks_anew
            update webhooks
            set secret_encrypted = $4
            where id = $1
              and secret_encrypted = $2
              and $3::text is null
              and $5::text is null"
        }
    };
    let done = sqlx::query(sql)
        .bind(read.id)
        .bind(&read.first)
        .bind(&read.second)
        .bind(&anew.first)
        .bind(&anew.second)
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}
