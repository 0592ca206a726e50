//! `recomamp users`: the people in whose name the engine talks to Amazon, and their tokens.

use super::person::{Asker, Person};
use super::{connect, input, output};
use crate::config::{Database, Keys, Settings as _};
use crate::given;
use crate::plural::counted;
use crate::queue::Queue;
use crate::register::users::{self, NewUser, Told};
use crate::store::Region;
use crate::store::credentials::TokenState;
use crate::telemetry::Mode;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
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
    #[arg(long, value_parser = given::email)]
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
    #[command(flatten)]
    person: Person,
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
    #[arg(value_parser = given::email)]
    email: String,
    /// Which of Amazon's hosts refresh the token; the one before when not given.
    #[arg(long)]
    region: Option<Region>,
    /// A file that holds the refresh token; standard input when not given.
    #[arg(long, value_name = "FILE")]
    refresh_token_file: Option<PathBuf>,
    #[command(flatten)]
    asker: Asker,
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
    #[command(flatten)]
    asker: Asker,
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
        let (email, name, region) = (&self.email, &self.name, self.region);
        let new = NewUser { email, name, region, token: &token };
        let user = users::add(&mut tx, &keys, &new, &self.person.because(None)).await?;
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
        let (queue, mut tx) = (Queue::new(), crate::transaction::begin(&db).await?);
        let (given, because) = ((self.region, &token), self.asker.because());
        let done = users::authorise(&mut tx, &queue, &keys, &self.email, given, &because).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&done);
        }
        output::line(done.user_id)?;
        let jobs = counted(done.jobs_started_again, "job", "jobs");
        eprintln!("Started again, having waited for this token: {jobs}.");
        Ok(())
    }
}

impl Resume {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let done = users::resume(&mut tx, &Queue::new(), &self.asker.because()).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&done);
        }
        eprintln!(
            "Tried again: {}; started again, having waited: {}.",
            counted(done.tokens_tried_again, "token", "tokens"),
            counted(done.jobs_started_again, "job", "jobs")
        );
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        // They are not needed to list; without them nobody can say what they open.
        let keys = Keys::from_env().ok();
        let db = connect::ready(&database, 1).await?;
        let rows = users::list(&db, keys.as_ref()).await?;
        if self.json {
            return output::json(&rows);
        }
        let headings = ["EMAIL", "NAME", "REGION", "TOKEN", "TROUBLE"];
        output::table(headings, rows.into_iter().map(cells))
    }
}

fn cells(user: Told) -> [String; 5] {
    let state = user.token_state.map_or("none", TokenState::as_str);
    let is_active = user.token_state == Some(TokenState::Active);
    let region = user.region.map_or("", Region::as_str).to_owned();
    let (state, trouble) = match (user.token_readable, user.token_error) {
        (Some(false), _) => {
            let trouble = format!(
                "no key of RECOMAMP_ENCRYPTION_KEYS opens it: put the right one behind the others, \
                 or `recomamp users authorise {}`",
                user.email
            );
            ("unreadable", trouble)
        }
        (_, Some(error)) if is_active => (state, format!("refused, and tried again: {error}")),
        (_, error) => (state, error.or(user.access_trouble).unwrap_or_default()),
    };
    [user.email, user.name, region, state.to_owned(), trouble]
}
