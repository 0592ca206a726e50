//! `lwa_credentials`: the encrypted tokens of each user, and whether they still work.
//!
//! Every new token raises the generation. Whoever refreshed on behalf of an older generation comes
//! too late and is refused, so that many who meet one expired token make one refresh.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::ids::UserId;
use super::text;
use super::words::{Region, Sealed, words};

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
}

/// Gives a user a refresh token: the first, or a new one after Amazon refused the old.
///
/// The access token of the old one is forgotten, and whatever was wrong is over.
pub async fn authorise(
    db: impl PgExecutor<'_>,
    user: UserId,
    region: Region,
    lwa_client_id: Option<&str>,
    refresh_token: &Sealed,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- credentials_authorise
        insert into lwa_credentials (user_id, region, lwa_client_id, refresh_token_encrypted)
        values ($1, $2, $3, $4)
        on conflict (user_id) do update
        set region = excluded.region,
            lwa_client_id = excluded.lwa_client_id,
            refresh_token_encrypted = excluded.refresh_token_encrypted,
            access_token_encrypted = null,
            access_token_expires_at = null,
            token_generation = lwa_credentials.token_generation + 1,
            token_state = 'active',
            token_error = null,
            grant_refused_at = null,
            refused_young = 0",
    )
    .bind(user)
    .bind(region)
    .bind(lwa_client_id)
    .bind(refresh_token)
    .execute(db)
    .await?;
    Ok(())
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

/// Stores what a refresh gave, and says whether it came in time.
///
/// Refused when the credential is no longer of the generation that was refreshed.
/// `refresh_token` is given only when Amazon sent a new one. `refused_young` is how many access tokens
/// in a row were refused soon after they were bought.
pub async fn store_refreshed(
    db: impl PgExecutor<'_>,
    user: UserId,
    generation_expected: i64,
    access_token: &Sealed,
    expires_in: Duration,
    refresh_token: Option<&Sealed>,
    refused_young: i32,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- credentials_store_refreshed
        update lwa_credentials
        set access_token_encrypted = $3,
            access_token_expires_at = (select engine.now()) + make_interval(secs => $4),
            refresh_token_encrypted = coalesce($5, refresh_token_encrypted),
            token_generation = token_generation + 1,
            token_state = 'active',
            token_error = null,
            grant_refused_at = null,
            refused_young = $6,
            token_refreshed_at = (select engine.now())
        where user_id = $1
          and token_generation = $2",
    )
    .bind(user)
    .bind(generation_expected)
    .bind(access_token)
    .bind(expires_in.as_secs_f64())
    .bind(refresh_token)
    .bind(refused_young)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes down that Amazon refused the refresh token, and says whether that stopped it: when it was
/// refused before, at least `confirmed_after` ago, and never accepted since.
///
/// Nothing is written when the credential is no longer of that generation: the user has logged in again.
pub async fn refuse(
    db: impl PgExecutor<'_>,
    user: UserId,
    generation_expected: i64,
    error: &str,
    confirmed_after: Duration,
) -> Result<bool, sqlx::Error> {
    let stopped: Option<bool> = sqlx::query_scalar(
        r"-- credentials_refuse
        update lwa_credentials
        set grant_refused_at = coalesce(grant_refused_at, clock.now),
            token_state = case
                when coalesce(grant_refused_at, clock.now) <= clock.now - make_interval(secs => $4)
                then 'needs_reauth'
                else token_state
            end,
            token_error = $3
        from (select engine.now() as now) as clock
        where user_id = $1
          and token_generation = $2
          and token_state <> 'needs_reauth'
        returning token_state = 'needs_reauth'",
    )
    .bind(user)
    .bind(generation_expected)
    .bind(text::message(error))
    .bind(confirmed_after.as_secs_f64())
    .fetch_optional(db)
    .await?;
    Ok(stopped.unwrap_or(false))
}

/// Writes down that Amazon refused a client id or its secret, for every credential that uses it.
///
/// `None` is the installation's own client id. Returns whose credentials stopped working, and which of
/// their tokens they were.
pub async fn refuse_client(
    db: impl PgExecutor<'_>,
    lwa_client_id: Option<&str>,
    error: &str,
) -> Result<Vec<(UserId, i64)>, sqlx::Error> {
    sqlx::query_as(
        r"-- credentials_refuse_client
        update lwa_credentials
        set token_state = 'client_invalid', token_error = $2
        where lwa_client_id is not distinct from $1
          and token_state = 'active'
        returning user_id, token_generation",
    )
    .bind(lwa_client_id)
    .bind(text::message(error))
    .fetch_all(db)
    .await
}

/// Lets every credential of a client id try again, once a person has corrected its secret.
///
/// `None` is the installation's own client id. Returns how many work again.
pub async fn accept_client(
    db: impl PgExecutor<'_>,
    lwa_client_id: Option<&str>,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- credentials_accept_client
        update lwa_credentials
        set token_state = 'active', token_error = null
        where lwa_client_id is not distinct from $1
          and token_state = 'client_invalid'",
    )
    .bind(lwa_client_id)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
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

/// The user's accounts and instances have just been taken over from AMC.
pub async fn synced(db: impl PgExecutor<'_>, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- credentials_synced
        update lwa_credentials set instances_synced_at = (select engine.now()) where user_id = $1",
    )
    .bind(user)
    .execute(db)
    .await?;
    Ok(())
}

/// Every credential.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Credential>, sqlx::Error> {
    sqlx::query_as(
        r"-- credentials_list
        select user_id, region, lwa_client_id, refresh_token_encrypted, access_token_encrypted,
            access_token_expires_at, token_state, token_error
        from lwa_credentials
        order by user_id",
    )
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::store::fixture::House;
    use crate::store::users;

    const HOUR: Duration = Duration::from_hours(1);

    fn sealed(name: &str) -> Sealed {
        Sealed::new(format!("gAAAAABn{name}"))
    }

    async fn authorised() -> House {
        let house = House::new().await;
        authorise(house.db(), house.user, Region::Na, None, &sealed("refresh")).await.unwrap();
        house
    }

    async fn token(house: &House) -> AccessToken {
        access_token(house.db(), house.user).await.unwrap().expect("the user is authorised")
    }

    #[tokio::test]
    async fn of_many_refreshes_of_one_generation_exactly_one_is_stored() {
        let house = authorised().await;
        let refreshes = (0..20).map(|n| {
            let (db, user) = (house.db(), house.user);
            async move {
                let access = sealed(&format!("access{n}"));
                store_refreshed(db, user, 0, &access, HOUR, None, 0).await.unwrap()
            }
        });
        let stored = join_all(refreshes).await.into_iter().filter(|stored| *stored).count();
        assert_eq!((stored, token(&house).await.generation), (1, 1));
    }

    #[tokio::test]
    async fn a_refresh_keeps_the_refresh_token_unless_amazon_sent_another() {
        let house = authorised().await;
        let (db, user) = (house.db(), house.user);
        store_refreshed(db, user, 0, &sealed("a"), HOUR, None, 0).await.unwrap();
        let kept = refresh_token(db, user).await.unwrap().expect("the user is authorised");
        assert_eq!((kept.encrypted, kept.generation), (sealed("refresh"), 1));
        store_refreshed(db, user, 1, &sealed("b"), HOUR, Some(&sealed("other")), 0).await.unwrap();
        let other = refresh_token(db, user).await.unwrap().expect("the user is authorised");
        assert_eq!(other.encrypted, sealed("other"));
    }

    #[tokio::test]
    async fn a_refusal_that_comes_after_a_new_login_is_refused() {
        let house = authorised().await;
        let (db, user) = (house.db(), house.user);
        assert!(refuse(db, user, 0, "invalid_grant", Duration::ZERO).await.unwrap());
        assert!(!refuse(db, user, 0, "invalid_grant", Duration::ZERO).await.unwrap());
        assert_eq!(token(&house).await.state, TokenState::NeedsReauth);

        authorise(db, user, Region::Na, None, &sealed("new")).await.unwrap();
        assert!(!refuse(db, user, 0, "invalid_grant", Duration::ZERO).await.unwrap());
        let token = token(&house).await;
        assert_eq!((token.state, token.error, token.generation), (TokenState::Active, None, 1));
    }

    #[tokio::test]
    async fn a_refusal_stops_a_credential_only_when_it_is_repeated_after_a_while() {
        let house = authorised().await;
        let (db, user, minutes) = (house.db(), house.user, Duration::from_mins(10));
        assert!(!refuse(db, user, 0, "invalid_grant", minutes).await.unwrap());
        house.database.advance_clock(Duration::from_mins(9)).await;
        assert!(!refuse(db, user, 0, "invalid_grant", minutes).await.unwrap());
        assert_eq!(token(&house).await.state, TokenState::Active);
        // One good answer between them, and the first refusal was a mistake.
        store_refreshed(db, user, 0, &sealed("good"), HOUR, None, 0).await.unwrap();
        house.database.advance_clock(Duration::from_mins(9)).await;
        assert!(!refuse(db, user, 1, "invalid_grant", minutes).await.unwrap());
        house.database.advance_clock(minutes).await;
        assert!(refuse(db, user, 1, "invalid_grant", minutes).await.unwrap());
        assert_eq!(token(&house).await.state, TokenState::NeedsReauth);
    }

    #[tokio::test]
    async fn a_plain_token_is_refused_by_the_database() {
        let house = House::new().await;
        let plain = Sealed::new("Atzr|IwEBIexample");
        let refused = authorise(house.db(), house.user, Region::Na, None, &plain).await;
        let error = refused.unwrap_err();
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some("refresh_token_is_encrypted"));
    }

    #[tokio::test]
    async fn tokens_about_to_expire_are_found_by_the_stores_clock() {
        let house = authorised().await;
        let (db, user) = (house.db(), house.user);
        let margin = Duration::from_mins(10);
        assert_eq!(expiring_before(db, margin).await.unwrap(), [user], "never refreshed");
        store_refreshed(db, user, 0, &sealed("access"), HOUR, None, 0).await.unwrap();
        assert_eq!(expiring_before(db, margin).await.unwrap(), []);

        house.database.advance_clock(Duration::from_mins(51)).await;
        assert_eq!(expiring_before(db, margin).await.unwrap(), [user]);
        let left = token(&house).await.seconds_left.expect("there is a token");
        assert!((400..=540).contains(&left), "{left}");

        refuse(db, user, 1, "invalid_grant", Duration::ZERO).await.unwrap();
        assert_eq!(expiring_before(db, margin).await.unwrap(), [], "nobody can refresh it");
    }

    #[tokio::test]
    async fn a_refused_client_stops_its_own_credentials_and_no_others() {
        let house = authorised().await;
        let db = house.db();
        let other = users::insert(db, "jo@shelf.example", "Jo", None).await.unwrap();
        authorise(db, other, Region::Eu, Some("client2"), &sealed("jo")).await.unwrap();

        assert_eq!(refuse_client(db, None, "invalid_client").await.unwrap().len(), 1);
        assert_eq!(token(&house).await.state, TokenState::ClientInvalid);
        let spared = access_token(db, other).await.unwrap().expect("Jo is authorised");
        assert_eq!(spared.state, TokenState::Active);

        assert_eq!(accept_client(db, None).await.unwrap(), 1);
        assert_eq!(token(&house).await.state, TokenState::Active);
    }
}
