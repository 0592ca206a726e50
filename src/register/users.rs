//! The people in whose name the engine talks to Amazon: added with a token, given another one, listed.

use super::{RegisterError, tokens};
use crate::config::Keys;
use crate::jobs::{owner, refresh_token};
use crate::queue::Queue;
use crate::store::credentials::{self, Credential, TokenState};
use crate::store::events::{self, Because, NewEvent};
use crate::store::users::{self, User};
use crate::store::{Region, UserId};
use crate::tools::{resources, rotation, young};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;

/// A user to be added.
#[derive(Debug, Clone, Copy)]
pub struct NewUser<'a> {
    /// How people name the user.
    pub email: &'a str,
    /// What to call the user on a page.
    pub name: &'a str,
    /// Which of Amazon's hosts refresh the token.
    pub region: Region,
    /// The refresh token of Login with Amazon.
    pub token: &'a SecretString,
}

/// What a new token has set going.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Authorised {
    /// Whose it is.
    pub user_id: UserId,
    /// How many jobs had waited for it.
    pub jobs_started_again: u64,
}

/// What a corrected client has set going.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Resumed {
    /// How many tokens Amazon had refused because of the client.
    pub tokens_tried_again: usize,
    /// How many jobs had waited for them.
    pub jobs_started_again: u64,
}

/// A user as people and programs are told of one.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// Names the user here.
    pub user_id: UserId,
    /// How people name the user.
    pub email: String,
    /// What to call the user on a page.
    pub name: String,
    /// False stops new work in the user's name.
    pub is_active: bool,
    /// Which of Amazon's hosts refresh the token; none without a token.
    pub region: Option<Region>,
    /// How the token stands.
    pub token_state: Option<TokenState>,
    /// What Amazon said of it last, when it was no.
    pub token_error: Option<String>,
    /// That AMC refuses one access token after the other although Amazon gives them, and what to do.
    pub access_trouble: Option<String>,
    /// Whether a key of ours opens the refresh token; none when there is no token or no key.
    pub token_readable: Option<bool>,
    /// When the access token ends.
    pub access_token_expires_at: Option<DateTime<Utc>>,
}

/// Adds a user with a refresh token.
pub async fn add(
    transaction: &mut PgConnection,
    keys: &Keys,
    new: &NewUser<'_>,
    because: &Because<'_>,
) -> Result<UserId, RegisterError> {
    let user = users::insert(&mut *transaction, new.email, new.name, None).await;
    let user = user.map_err(|error| {
        let taken = format!(
            "there is a user {} already: give a new token with `recomamp users authorise`",
            new.email
        );
        RegisterError::of_insert(error, taken)
    })?;
    let token = tokens::seal(keys, new.token);
    credentials::authorise(&mut *transaction, user, new.region, None, &token).await?;
    note(transaction, user, because, &json!({"region": new.region})).await?;
    Ok(user)
}

/// Gives a user a new refresh token, and starts the work again that waited for it. Without a region it
/// is the one before.
pub async fn authorise(
    transaction: &mut PgConnection,
    queue: &Queue,
    keys: &Keys,
    email: &str,
    (region, token): (Option<Region>, &SecretString),
    because: &Because<'_>,
) -> Result<Authorised, RegisterError> {
    let user = find(transaction, email).await?.id;
    let before = credentials::refresh_token(&mut *transaction, user).await?;
    let region = region.or(before.as_ref().map(|before| before.region)).ok_or_else(|| {
        RegisterError::wrong("region", "the user never had a token: say its region, na, eu or fe")
    })?;
    let client = before.as_ref().and_then(|before| before.lwa_client_id.as_deref());
    let token = tokens::seal(keys, token);
    credentials::authorise(&mut *transaction, user, region, client, &token).await?;
    let jobs_started_again = open(transaction, queue, user).await?;
    note(transaction, user, because, &json!({"region": region})).await?;
    Ok(Authorised { user_id: user, jobs_started_again })
}

/// Lets every token try again that Amazon refused because of our client.
pub async fn resume(
    transaction: &mut PgConnection,
    queue: &Queue,
    because: &Because<'_>,
) -> Result<Resumed, RegisterError> {
    let refused: Vec<Credential> = credentials::list(&mut *transaction)
        .await?
        .into_iter()
        .filter(|credential| credential.token_state == TokenState::ClientInvalid)
        .collect();
    let mut jobs_started_again = 0;
    for credential in &refused {
        let client = credential.lwa_client_id.as_deref();
        credentials::accept_client(&mut *transaction, client).await?;
        jobs_started_again += open(transaction, queue, credential.user_id).await?;
        note(transaction, credential.user_id, because, &json!({})).await?;
    }
    Ok(Resumed { tokens_tried_again: refused.len(), jobs_started_again })
}

/// The user with this email.
pub async fn find(connection: &mut PgConnection, email: &str) -> Result<User, RegisterError> {
    let user = users::by_email(connection, email).await?;
    user.ok_or_else(|| RegisterError::unknown("user", email))
}

/// Every user and how the token stands. Without keys nobody can say what they open.
pub async fn list(db: &PgPool, keys: Option<&Keys>) -> Result<Vec<Told>, RegisterError> {
    let credentials = credentials::list(db).await?.into_iter();
    let mut credentials: HashMap<_, _> = credentials.map(|c| (c.user_id, c)).collect();
    let users = users::list(db).await?.into_iter();
    Ok(users.map(|user| Told::of(credentials.remove(&user.id), user, keys)).collect())
}

impl Told {
    fn of(credential: Option<Credential>, user: User, keys: Option<&Keys>) -> Self {
        let refresh_token = credential.as_ref().map(|c| &c.refresh_token_encrypted);
        Self {
            token_readable: refresh_token
                .zip(keys)
                .map(|(token, keys)| rotation::opens(keys, token)),
            user_id: user.id,
            email: user.email,
            name: user.name,
            is_active: user.is_active,
            region: credential.as_ref().map(|credential| credential.region),
            token_state: credential.as_ref().map(|credential| credential.token_state),
            access_token_expires_at: credential.as_ref().and_then(|c| c.access_token_expires_at),
            access_trouble: credential
                .as_ref()
                .and_then(|c| young::trouble(c.refused_young, c.seconds_since_refresh)),
            token_error: credential.and_then(|credential| credential.token_error),
        }
    }
}

/// Whatever waited for the user's token goes on. How many jobs.
async fn open(
    transaction: &mut PgConnection,
    queue: &Queue,
    user: UserId,
) -> Result<u64, RegisterError> {
    let credential = resources::credential(user);
    owner::opened(queue, &mut *transaction, &credential).await?;
    let woken = queue.open(&mut *transaction, &credential).await?;
    refresh_token::hasten(queue, transaction, user).await?;
    Ok(woken)
}

async fn note(
    connection: &mut PgConnection,
    user: UserId,
    because: &Because<'_>,
    detail: &Value,
) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity: "user",
        entity_id: &user.to_string(),
        from_status: None,
        to_status: Some(TokenState::Active.as_str()),
        actor: because.by,
        reason: because.said(),
        detail,
    };
    events::append(connection, &event).await
}
