//! `recomamp webhooks`: who is told of what happens.

use super::person::{Asker, Person};
use super::{connect, input, output, wrong};
use crate::config::{self, Database, Keys};
use crate::given;
use crate::queue::Queue;
use crate::register::webhooks::{self, Line, NewWebhook, event};
use crate::store::WebhookId;
use crate::store::webhooks::{self as store, Webhook, WebhookFormat};
use crate::telemetry::Mode;
use crate::webhooks::Allowed;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::PgPool;
use std::path::PathBuf;
use url::Url;

/// How many lines of a log are shown.
const LINES: i64 = 50;

/// Tells others over HTTP of what happens: webhooks, by the scheme of standardwebhooks.com, or for Slack.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    Add(Add),
    List(List),
    /// Shows a webhook and the newest lines of its log.
    #[command(
        after_help = "Example:\n  recomamp webhooks show 019e1f5c-6a52-7c31-8a3f-6f1c9d2b7a10"
    )]
    Show(One),
    /// Sends a webhook a test event. What became of it is in its log.
    #[command(
        after_help = "Example:\n  recomamp webhooks test 019e1f5c-6a52-7c31-8a3f-6f1c9d2b7a10"
    )]
    Test(Test),
    Disable(Disable),
    /// Tells a disabled webhook again what happens from now on.
    #[command(
        after_help = "Example:\n  recomamp webhooks enable 019e1f5c-6a52-7c31-8a3f-6f1c9d2b7a10"
    )]
    Enable(Named),
    /// Takes a webhook away, with its log.
    #[command(
        after_help = "Example:\n  recomamp webhooks remove 019e1f5c-6a52-7c31-8a3f-6f1c9d2b7a10"
    )]
    Remove(Named),
    /// Shows what a webhook was told, every attempt.
    #[command(
        after_help = "Example:\n  recomamp webhooks deliveries 019e1f5c-6a52-7c31-8a3f-6f1c9d2b7a10 --json"
    )]
    Deliveries(One),
}

/// Adds a webhook. Prints its id and, this once, the secret that signs what it is told.
///
/// The address of a Slack webhook is a secret itself: it is kept encrypted, and only its host is shown.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp webhooks add --url https://hooks.example.com/amc --events auto_paused,needs_reauth"
)]
pub struct Add {
    /// Where it is told, by POST: https, and not inside the own network unless `RECOMAMP_WEBHOOK_ALLOW`
    /// lists it.
    #[arg(long, value_parser = given::address)]
    url: Url,
    /// Of what: `auto_paused`, `resumed`, `collection_finished`, `collection_failed`, `needs_reauth`,
    /// `run_failed`, `instance_blocked`, `stuck`; everything when not given.
    #[arg(long, value_delimiter = ',', value_parser = event)]
    events: Vec<String>,
    /// In which form: standard or slack.
    #[arg(long, default_value = "standard")]
    format: WebhookFormat,
    /// A file with the secret, whsec_…; one is made when not given.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the webhooks.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp webhooks list --json")]
pub struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Tells a webhook nothing more; what it was still to be told is dropped.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp webhooks disable 019e1f5c-6a52-7c31-8a3f-6f1c9d2b7a10 --why 'receiver is moving'"
)]
pub struct Disable {
    /// The webhook's id.
    #[arg(value_parser = id)]
    id: WebhookId,
    /// Why, in a sentence for whoever finds it.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: String,
    #[command(flatten)]
    person: Person,
}

/// One webhook that is told otherwise from now on.
#[derive(Debug, Args)]
pub struct Named {
    /// The webhook's id.
    #[arg(value_parser = id)]
    id: WebhookId,
    #[command(flatten)]
    asker: Asker,
}

/// One webhook that is tested.
#[derive(Debug, Args)]
pub struct Test {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    asker: Asker,
}

/// One webhook.
#[derive(Debug, Args)]
pub struct One {
    /// The webhook's id.
    #[arg(value_parser = id)]
    id: WebhookId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Webhooks {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        let command = match self {
            Self::Add(command) => return command.run().await,
            other => other,
        };
        let database: Database = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        match command {
            Self::Add(_) => Ok(()),
            Self::List(command) => list(&db, command.json).await,
            Self::Show(one) => show(&db, &one).await,
            Self::Test(test) => test.run(&db).await,
            Self::Disable(command) => command.run(&db).await,
            Self::Enable(one) => one.enable(&db).await,
            Self::Remove(one) => one.remove(&db).await,
            Self::Deliveries(one) => {
                let lines = webhooks::log(&mut *db.acquire().await?, one.id, LINES).await?;
                log(lines, one.json)
            }
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let (database, keys, allow): (Database, Keys, config::Webhooks) =
            super::settings(Mode::Command)?;
        let allowed: Allowed = allow.allow.parse().map_err(wrong)?;
        // What is wrong in itself is said before a database is asked for.
        allowed.check_url(&self.url).context("--url")?;
        let secret = self.secret_file.as_deref().map(input::secret).transpose()?;
        let db = connect::ready(&database, 1).await?;
        let new = NewWebhook { url: self.url, events: self.events, format: self.format, secret };
        let mut tx = crate::transaction::begin(&db).await?;
        let because = self.person.because(None);
        let (id, secret) = webhooks::add(&mut tx, &keys, &allowed, new, &because).await?;
        tx.commit().await?;
        let secret = secret.as_ref().map(ExposeSecret::expose_secret);
        if self.json {
            return output::json(&json!({"id": id, "secret": secret}));
        }
        output::line(id)?;
        if let Some(secret) = secret {
            output::line(secret)?;
            eprintln!("Keep the secret: it is not shown again.");
        }
        eprintln!("Next: recomamp webhooks test {id}");
        Ok(())
    }
}

fn id(text: &str) -> given::Given<WebhookId> {
    let wrong = "is no id: give the UUID that `recomamp webhooks list` shows";
    text.parse().map_err(|_| wrong.to_owned())
}

impl Disable {
    async fn run(self, db: &PgPool) -> Result<()> {
        let mut tx = crate::transaction::begin(db).await?;
        let because = self.person.because(Some(&self.why));
        webhooks::disable(&mut tx, self.id, &because).await?;
        tx.commit().await?;
        eprintln!("It is told nothing more.");
        Ok(())
    }
}

impl Named {
    async fn enable(self, db: &PgPool) -> Result<()> {
        let mut tx = crate::transaction::begin(db).await?;
        webhooks::enable(&mut tx, self.id, &self.asker.because()).await?;
        tx.commit().await?;
        eprintln!("It is told what happens from now on.");
        Ok(())
    }

    async fn remove(self, db: &PgPool) -> Result<()> {
        let mut tx = crate::transaction::begin(db).await?;
        webhooks::remove(&mut tx, self.id, &self.asker.because()).await?;
        tx.commit().await?;
        eprintln!("It is gone.");
        Ok(())
    }
}

impl Test {
    async fn run(self, db: &PgPool) -> Result<()> {
        let (id, mut tx) = (self.one.id, crate::transaction::begin(db).await?);
        let delivery = webhooks::test(&mut tx, &Queue::new(), id, &self.asker.because()).await?;
        tx.commit().await?;
        if self.one.json {
            return output::json(&json!({"delivery": delivery}));
        }
        eprintln!("A worker sends it now: see `recomamp webhooks deliveries {id}`.");
        Ok(())
    }
}

async fn list(db: &PgPool, json: bool) -> Result<()> {
    let rows = store::list(db).await?;
    if json {
        return output::json(&rows);
    }
    output::table(["ID", "URL", "FORMAT", "EVENTS", "STATE", "WHY"], rows.into_iter().map(cells))
}

fn cells(row: Webhook) -> [String; 6] {
    let (format, state) = (row.format.to_string(), row.state.to_string());
    [row.id.to_string(), row.url, format, row.events.join(","), state, row.why.unwrap_or_default()]
}

async fn show(db: &PgPool, one: &One) -> Result<()> {
    let mut connection = db.acquire().await?;
    let webhook = webhooks::find(&mut connection, one.id).await?;
    let lines = webhooks::log(&mut connection, one.id, LINES).await?;
    if one.json {
        return output::json(&json!({"webhook": webhook, "deliveries": lines}));
    }
    output::table(["ID", "URL", "FORMAT", "EVENTS", "STATE", "WHY"], [cells(webhook)])?;
    output::line("")?;
    log(lines, false)
}

fn log(lines: Vec<Line>, json: bool) -> Result<()> {
    if json {
        return output::json(&lines);
    }
    let rows = lines.into_iter().map(|Line { logged: line, next_try_at }| {
        let number = |number: Option<i64>| number.map(|n| n.to_string()).unwrap_or_default();
        [
            output::time(line.at),
            line.event,
            line.state.to_string(),
            number(line.attempt.map(i64::from)),
            output::time_if(line.tried_at),
            number(line.status.map(i64::from)),
            number(line.duration_ms),
            output::time_if(next_try_at),
            line.error.unwrap_or_default(),
        ]
    });
    let headings =
        ["AT", "EVENT", "STATE", "ATTEMPT", "TRIED AT", "STATUS", "MS", "NEXT TRY", "TROUBLE"];
    output::table(headings, rows)
}
