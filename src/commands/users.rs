//! `recomamp users`: the people in whose name the engine talks to Amazon, and their tokens.

use super::{connect, input, output, refused};
use crate::config::{Database, Keys, Settings as _};
use crate::given;
use crate::jobs::{owner, refresh_token};
use crate::plural::counted;
use crate::queue::Queue;
use crate::store::credentials::{self, Credential, TokenState};
use crate::store::events::{self, NewEvent};
use crate::store::{Region, Sealed, UserId, users};
use crate::telemetry::Mode;
use crate::tools::{resources, rotation};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::collections::HashMap;
use std::path::PathBuf;

/// The people in whose name the engine talks to Amazon, and their tokens.
#[derive(Debug, Subcommand)]
pub enum Users {
    Add(Add),
    Authorise(Authorise),
    Resume(Resume),
    List(List),
}

/// Adds a user with a refresh token of Login with Amazon. Prints the user's id.
///
/// The token is read from standard input or a file, never from an argument, and stored encrypted.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp users add --email ana@example.com --name Ana --region na < refresh-token"
)]
pub struct Add {
    /// How people name the user.
    #[arg(long, value_parser = email)]
    email: String,
    /// What to call the user on a page.
    #[arg(long, value_parser = given::name)]
    name: String,
    /// Which of Amazon's hosts refresh the token: na, eu or fe.
    #[arg(long)]
    region: Region,
    /// A file that holds the refresh token; standard input when not given.
    #[arg(long, value_name = "FILE")]
    refresh_token_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Gives a user a new refresh token, and starts the work again that waited for it.
#[derive(Debug, Args)]
#[command(
    visible_alias = "authorize",
    after_help = "Example:\n  recomamp users authorise ana@example.com < refresh-token"
)]
pub struct Authorise {
    /// The user.
    #[arg(value_parser = email)]
    email: String,
    /// Which of Amazon's hosts refresh the token; the one before when not given.
    #[arg(long)]
    region: Option<Region>,
    /// A file that holds the refresh token; standard input when not given.
    #[arg(long, value_name = "FILE")]
    refresh_token_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lets every token try again that Amazon refused because of our client id or its secret.
///
/// Correct `RECOMAMP_LWA_CLIENT_ID` and `RECOMAMP_LWA_CLIENT_SECRET` and restart the workers first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp users resume")]
pub struct Resume {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the users and whether their tokens work.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp users list --json")]
pub struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Users {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(command) => command.run().await,
            Self::Authorise(command) => command.run().await,
            Self::Resume(command) => command.run().await,
            Self::List(command) => command.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let (database, keys): (Database, Keys) = super::settings(Mode::Command)?;
        let token = input::refresh_token(self.refresh_token_file.as_deref())?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let user = users::insert(&mut *tx, &self.email, &self.name, None).await;
        let user = user.map_err(|error| {
            let taken = format!(
                "there is a user {} already: give a new token with `recomamp users authorise`",
                self.email
            );
            refused::insert(error, taken)
        })?;
        credentials::authorise(&mut *tx, user, self.region, None, &seal(&keys, &token)).await?;
        note(&mut tx, user, "users add", &json!({"region": self.region})).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"user_id": user, "email": self.email.to_lowercase()}));
        }
        output::line(user)?;
        eprintln!("Next: recomamp accounts add --user {} --account-id ENTITY… --help", self.email);
        Ok(())
    }
}

impl Authorise {
    async fn run(self) -> Result<()> {
        let (database, keys): (Database, Keys) = super::settings(Mode::Command)?;
        let token = input::refresh_token(self.refresh_token_file.as_deref())?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let user = find(&mut tx, &self.email).await?.id;
        let before = credentials::refresh_token(&mut *tx, user).await?;
        let region = self.region.or(before.as_ref().map(|before| before.region));
        let region = region.context("the user never had a token: say its --region")?;
        let client = before.as_ref().and_then(|before| before.lwa_client_id.as_deref());
        credentials::authorise(&mut *tx, user, region, client, &seal(&keys, &token)).await?;
        let queue = Queue::new();
        owner::opened(&queue, &mut tx, &resources::credential(user)).await?;
        let woken = queue.open(&mut tx, &resources::credential(user)).await?;
        refresh_token::hasten(&queue, &mut tx, user).await?;
        note(&mut tx, user, "users authorise", &json!({"region": region})).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"user_id": user, "jobs_started_again": woken}));
        }
        output::line(user)?;
        eprintln!(
            "Started again, having waited for this token: {}.",
            counted(woken, "job", "jobs")
        );
        Ok(())
    }
}

impl Resume {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let credentials = credentials::list(&mut *tx).await?.into_iter();
        let refused: Vec<Credential> =
            credentials.filter(|c| c.token_state == TokenState::ClientInvalid).collect();
        let queue = Queue::new();
        let mut woken = 0;
        for credential in &refused {
            credentials::accept_client(&mut *tx, credential.lwa_client_id.as_deref()).await?;
            owner::opened(&queue, &mut tx, &resources::credential(credential.user_id)).await?;
            woken += queue.open(&mut tx, &resources::credential(credential.user_id)).await?;
            refresh_token::hasten(&queue, &mut tx, credential.user_id).await?;
            note(&mut tx, credential.user_id, "users resume", &json!({})).await?;
        }
        tx.commit().await?;
        if self.json {
            let tokens = refused.len();
            return output::json(
                &json!({"tokens_tried_again": tokens, "jobs_started_again": woken}),
            );
        }
        eprintln!(
            "Tried again: {}; started again, having waited: {}.",
            counted(refused.len(), "token", "tokens"),
            counted(woken, "job", "jobs")
        );
        Ok(())
    }
}

/// The user with this email.
pub(super) async fn find(connection: &mut PgConnection, email: &str) -> Result<users::User> {
    match users::by_email(connection, email).await? {
        Some(user) => Ok(user),
        None => bail!("there is no user {email}: see `recomamp users list`"),
    }
}

/// A token as it is stored.
pub(super) fn seal(keys: &Keys, token: &SecretString) -> Sealed {
    Sealed::new(keys.ring().encrypt(token.expose_secret().as_bytes()))
}

async fn note(
    connection: &mut PgConnection,
    user: UserId,
    actor: &str,
    detail: &Value,
) -> Result<()> {
    let entity_id = &user.to_string();
    let event = NewEvent {
        entity: "user",
        entity_id,
        from_status: None,
        to_status: Some(TokenState::Active.as_str()),
        actor,
        reason: None,
        detail,
    };
    Ok(events::append(connection, &event).await?)
}

#[derive(Debug, Serialize)]
struct Row {
    user_id: UserId,
    email: String,
    name: String,
    is_active: bool,
    region: Option<Region>,
    token_state: Option<TokenState>,
    token_error: Option<String>,
    /// Whether a key of ours opens the refresh token; null when there is no token or no key.
    token_readable: Option<bool>,
    access_token_expires_at: Option<DateTime<Utc>>,
}

impl Row {
    fn new(user: users::User, credential: Option<Credential>, keys: Option<&Keys>) -> Self {
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
            token_error: credential.and_then(|credential| credential.token_error),
        }
    }

    fn cells(self) -> [String; 5] {
        let state = self.token_state.map_or("none", TokenState::as_str);
        let is_active = self.token_state == Some(TokenState::Active);
        let region = self.region.map_or("", Region::as_str).to_owned();
        let (state, trouble) = match (self.token_readable, self.token_error) {
            (Some(false), _) => {
                let trouble = format!(
                    "no key of RECOMAMP_ENCRYPTION_KEYS opens it: put the right one behind the \
                     others, or `recomamp users authorise {}`",
                    self.email
                );
                ("unreadable", trouble)
            }
            (_, Some(error)) if is_active => (state, format!("refused, and tried again: {error}")),
            (_, error) => (state, error.unwrap_or_default()),
        };
        [self.email, self.name, region, state.to_owned(), trouble]
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        // They are not needed to list; without them nobody can say what they open.
        let keys = Keys::from_env().ok();
        let db = connect::ready(&database, 1).await?;
        let credentials = credentials::list(&db).await?.into_iter();
        let mut credentials: HashMap<_, _> = credentials.map(|c| (c.user_id, c)).collect();
        let rows = users::list(&db).await?.into_iter().map(|user| {
            let credential = credentials.remove(&user.id);
            Row::new(user, credential, keys.as_ref())
        });
        if self.json {
            return output::json(&rows.collect::<Vec<_>>());
        }
        output::table(["EMAIL", "NAME", "REGION", "TOKEN", "TROUBLE"], rows.map(Row::cells))
    }
}

fn email(text: &str) -> Result<String, String> {
    let halves = text.split_once('@');
    let is_email = halves.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && !text.contains(char::is_whitespace);
    if !is_email {
        return Err("give an address such as ana@example.com".to_owned());
    }
    given::name(text)
}
