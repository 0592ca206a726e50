//! How a credential is given, renewed, refused and accepted again.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::store::ids::UserId;
use crate::store::text;
use crate::store::words::{Region, Sealed};

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

/// What a refusal of a refresh token means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Nothing: the user has logged in again meanwhile. Nothing was written.
    Renewed,
    /// It may be a mistake: it is looked at again.
    Unconfirmed {
        /// So long from now a refusal stops the credential.
        left: Duration,
    },
    /// The user has to log in again.
    Stopped,
    /// The same, and that was known before.
    StoppedBefore,
}

/// Writes down that Amazon refused the refresh token of this generation. That stops it when it was refused
/// before, at least `confirmed_after` ago, and never accepted since.
pub async fn refuse(
    db: impl PgExecutor<'_>,
    user: UserId,
    generation_expected: i64,
    error: &str,
    confirmed_after: Duration,
) -> Result<Refused, sqlx::Error> {
    let stopped: Option<(bool, bool, f64)> = sqlx::query_as(
        r"-- credentials_refuse
        with was as (
            select user_id, token_state
            from lwa_credentials
            where user_id = $1
              and token_generation = $2
            for no key update
        )
        update lwa_credentials credential
        set grant_refused_at = coalesce(grant_refused_at, clock.now),
            token_state = case
                when coalesce(grant_refused_at, clock.now) <= clock.now - make_interval(secs => $4)
                then 'needs_reauth'
                else credential.token_state
            end,
            token_error = $3
        from was, (select engine.now() as now) as clock
        where credential.user_id = was.user_id
        returning was.token_state = 'needs_reauth', credential.token_state = 'needs_reauth',
            extract(epoch from grant_refused_at + make_interval(secs => $4) - clock.now)::float8",
    )
    .bind(user)
    .bind(generation_expected)
    .bind(text::message(error))
    .bind(confirmed_after.as_secs_f64())
    .fetch_optional(db)
    .await?;
    Ok(match stopped {
        None => Refused::Renewed,
        Some((true, _, _)) => Refused::StoppedBefore,
        Some((false, true, _)) => Refused::Stopped,
        Some((false, false, left)) => {
            Refused::Unconfirmed { left: Duration::try_from_secs_f64(left).unwrap_or_default() }
        }
    })
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

/// Keeps a credential as it is until the transaction ends: whoever refuses it or stores a new one waits, and
/// then sees what was written meanwhile.
pub async fn hold_still(db: impl PgExecutor<'_>, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- credentials_hold_still
        select from lwa_credentials where user_id = $1 for share",
    )
    .bind(user)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::store::credentials::{AccessToken, TokenState, access_token, refresh_token};
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
        let refused = async || refuse(db, user, 0, "invalid_grant", Duration::ZERO).await.unwrap();
        assert_eq!(refused().await, Refused::Stopped);
        assert_eq!(refused().await, Refused::StoppedBefore);
        assert_eq!(token(&house).await.state, TokenState::NeedsReauth);

        authorise(db, user, Region::Na, None, &sealed("new")).await.unwrap();
        assert_eq!(refused().await, Refused::Renewed);
        let token = token(&house).await;
        assert_eq!((token.state, token.error, token.generation), (TokenState::Active, None, 1));
    }

    #[tokio::test]
    async fn a_refusal_stops_a_credential_only_when_it_is_repeated_after_a_while() {
        let house = authorised().await;
        let (db, user, minutes) = (house.db(), house.user, Duration::from_mins(10));
        let left =
            async |generation| match refuse(db, user, generation, "invalid_grant", minutes).await {
                Ok(Refused::Unconfirmed { left }) => left,
                other => panic!("{other:?}"),
            };
        assert_eq!(left(0).await, minutes);
        house.database.advance_clock(Duration::from_mins(9)).await;
        assert!(left(0).await <= Duration::from_mins(1), "it is known when it can be believed");
        assert_eq!(token(&house).await.state, TokenState::Active);
        // One good answer between them, and the first refusal was a mistake.
        store_refreshed(db, user, 0, &sealed("good"), HOUR, None, 0).await.unwrap();
        house.database.advance_clock(Duration::from_mins(9)).await;
        assert_eq!(left(1).await, minutes);
        house.database.advance_clock(minutes).await;
        assert_eq!(refuse(db, user, 1, "invalid_grant", minutes).await.unwrap(), Refused::Stopped);
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
