//! What is known of a credential, and which of them want looking after.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use crate::store::ids::UserId;
use crate::store::words::{Region, Sealed, words};

words! {
    /// Whether a refresh token still works, and who has to act when it does not.
    TokenState as "token_state" {
        /// Refreshed when it is about to expire.
        Active = "active",
        /// Amazon refused the refresh token; the user has to log in again.
        NeedsReauth = "needs_reauth",
        /// Amazon refused the installation's own client id or secret.
        ClientInvalid = "client_invalid",
    }
}

impl TokenState {
    /// What a person can do about a refusal of the token of the user with this email.
    pub fn remedy(self, email: &str) -> String {
        match self {
            Self::Active => format!(
                "if the user has withdrawn the grant, run `recomamp users authorise {email}`"
            ),
            Self::NeedsReauth => {
                format!("let the user log in again, then run `recomamp users authorise {email}`")
            }
            Self::ClientInvalid => {
                "correct RECOMAMP_LWA_CLIENT_ID and its secret, restart the workers, then run `recomamp \
                 users resume`"
                    .to_owned()
            }
        }
    }
}

/// What a caller of AMC needs of a credential.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct AccessToken {
    /// The access token; none until the first refresh.
    #[sqlx(rename = "access_token_encrypted")]
    pub encrypted: Option<Sealed>,
    /// When it ends.
    #[sqlx(rename = "access_token_expires_at")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Seconds until then by the store's clock, negative when it has ended.
    pub seconds_left: Option<i64>,
    /// Which token this is; given back when it is refused.
    #[sqlx(rename = "token_generation")]
    pub generation: i64,
    /// Whether the refresh token still works.
    #[sqlx(rename = "token_state")]
    pub state: TokenState,
    /// What Amazon said when it stopped working.
    #[sqlx(rename = "token_error")]
    pub error: Option<String>,
}

/// What a refresh needs of a credential.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct RefreshToken {
    /// The refresh token.
    #[sqlx(rename = "refresh_token_encrypted")]
    pub encrypted: Sealed,
    /// Which token host refreshes it.
    pub region: Region,
    /// The client id the user gave access to; none for the installation's own.
    pub lwa_client_id: Option<String>,
    /// Which generation a refresh replaces.
    #[sqlx(rename = "token_generation")]
    pub generation: i64,
    /// Seconds since the last refresh by the store's clock; none before the first.
    pub seconds_since_refresh: Option<i64>,
    /// How many access tokens in a row were refused soon after they were bought.
    pub refused_young: i32,
    /// Whether it still works.
    #[sqlx(rename = "token_state")]
    pub state: TokenState,
}

/// A row of `lwa_credentials`, for those who look after all of them.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Credential {
    /// Whose it is.
    pub user_id: UserId,
    /// Which token host refreshes it.
    pub region: Region,
    /// The client id the user gave access to; none for the installation's own.
    pub lwa_client_id: Option<String>,
    /// The refresh token.
    pub refresh_token_encrypted: Sealed,
    /// The access token; none until the first refresh.
    pub access_token_encrypted: Option<Sealed>,
    /// When the access token ends.
    pub access_token_expires_at: Option<DateTime<Utc>>,
    /// Whether the refresh token still works.
    pub token_state: TokenState,
    /// What Amazon said when it stopped working.
    pub token_error: Option<String>,
    /// How many access tokens in a row were refused soon after they were bought.
    pub refused_young: i32,
    /// Seconds since the last refresh by the store's clock; none before the first.
    pub seconds_since_refresh: Option<i64>,
}

/// The user's access token; none when the user has never been authorised.
pub async fn access_token(
    db: impl PgExecutor<'_>,
    user: UserId,
) -> Result<Option<AccessToken>, sqlx::Error> {
    sqlx::query_as(
        r"-- credentials_access_token
        select access_token_encrypted, access_token_expires_at,
            floor(extract(epoch from access_token_expires_at - (select engine.now())))::bigint as seconds_left,
            token_generation, token_state, token_error
        from lwa_credentials
        where user_id = $1",
    )
    .bind(user)
    .fetch_optional(db)
    .await
}

/// The user's refresh token; none when the user has never been authorised.
pub async fn refresh_token(
    db: impl PgExecutor<'_>,
    user: UserId,
) -> Result<Option<RefreshToken>, sqlx::Error> {
    sqlx::query_as(
        r"-- credentials_refresh_token
        select refresh_token_encrypted, region, lwa_client_id, token_generation, token_state,
            refused_young,
            floor(extract(epoch from (select engine.now()) - token_refreshed_at))::bigint
                as seconds_since_refresh
        from lwa_credentials
        where user_id = $1",
    )
    .bind(user)
    .fetch_optional(db)
    .await
}

/// The users whose access token ends within `margin`, or who have none yet, the most urgent first. Each
/// user's margin is up to half as long again, so that tokens bought together are not renewed together.
pub async fn expiring_before(
    db: impl PgExecutor<'_>,
    margin: Duration,
) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- credentials_expiring_before
        select user_id
        from lwa_credentials
        join users on users.id = user_id and users.is_active
        where token_state = 'active'
          and (access_token_expires_at is null
               or access_token_expires_at < (select engine.now()) + make_interval(
                   secs => $1 * (1 + abs(hashtext(user_id::text || token_generation) % 1000) / 2000.0)
               ))
        order by access_token_expires_at nulls first, user_id",
    )
    .bind(margin.as_secs_f64())
    .fetch_all(db)
    .await
}

/// The active users whose credential is good.
pub async fn usable(db: impl PgExecutor<'_>) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- credentials_usable
        select user_id
        from lwa_credentials
        join users on users.id = user_id and users.is_active
        where token_state = 'active'
        order by user_id",
    )
    .fetch_all(db)
    .await
}

/// The users whose accounts and instances were not taken over from AMC for so long.
pub async fn unsynced_since(
    db: impl PgExecutor<'_>,
    interval: Duration,
) -> Result<Vec<UserId>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- credentials_unsynced_since
        select user_id
        from lwa_credentials
        join users on users.id = user_id and users.is_active
        where token_state = 'active'
          and coalesce(instances_synced_at, lwa_credentials.created_at)
              <= (select engine.now()) - make_interval(secs => $1)
        order by user_id",
    )
    .bind(interval.as_secs_f64())
    .fetch_all(db)
    .await
}

/// Every credential.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Credential>, sqlx::Error> {
    sqlx::query_as(
        r"-- credentials_list
        select user_id, region, lwa_client_id, refresh_token_encrypted, access_token_encrypted,
            access_token_expires_at, token_state, token_error, refused_young,
            floor(extract(epoch from (select engine.now()) - token_refreshed_at))::bigint
                as seconds_since_refresh
        from lwa_credentials
        order by user_id",
    )
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::credentials::{authorise, refuse, store_refreshed};
    use crate::store::fixture::House;

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn tokens_about_to_expire_are_found_by_the_stores_clock() {
        let house = House::new().await;
        let (db, user) = (house.db(), house.user);
        let sealed = Sealed::new("gAAAAABntoken");
        authorise(db, user, Region::Na, None, &sealed).await.unwrap();
        let margin = Duration::from_mins(10);
        assert_eq!(expiring_before(db, margin).await.unwrap(), [user], "never refreshed");
        store_refreshed(db, user, 0, &sealed, HOUR, None, 0).await.unwrap();
        assert_eq!(expiring_before(db, margin).await.unwrap(), []);

        house.database.advance_clock(Duration::from_mins(51)).await;
        assert_eq!(expiring_before(db, margin).await.unwrap(), [user]);
        let token = access_token(db, user).await.unwrap().expect("the user is authorised");
        let left = token.seconds_left.expect("there is a token");
        assert!((400..=540).contains(&left), "{left}");

        refuse(db, user, 1, "invalid_grant", Duration::ZERO).await.unwrap();
        assert_eq!(expiring_before(db, margin).await.unwrap(), [], "nobody can refresh it");
    }
}
