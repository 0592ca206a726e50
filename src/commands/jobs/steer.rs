//! What the commands that steer jobs share: which jobs, who asks and why, and how it is told.

use crate::commands::person::Person;
use crate::commands::{connect, output};
use crate::config::Database;
use crate::given;
use crate::queue::steer::{Because, Unfinished};
use crate::queue::{Queue, Share, State};
use crate::telemetry::Mode;
use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::{PgPool, PgTransaction};

/// Who, why, and how it is told.
#[derive(Debug, Args)]
pub(super) struct Asked {
    /// Why, in a sentence for whoever looks at it later.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: String,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl Asked {
    pub(super) fn because(&self) -> Because<'_> {
        Because { by: self.person.name(), why: &self.why }
    }
}

/// Which unfinished jobs.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The jobs' ids.
    #[arg(required_unless_present = "choice")]
    pub(super) ids: Vec<i64>,
    #[command(flatten)]
    choice: Choice,
    /// Say how many there are, and change nothing.
    #[arg(long, conflicts_with = "ids")]
    pub(super) dry_run: bool,
}

/// A choice of unfinished jobs, instead of ids.
#[derive(Debug, Args)]
#[group(id = "choice", multiple = true, conflicts_with = "ids")]
struct Choice {
    /// Those in this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Those of this kind.
    #[arg(long)]
    kind: Option<String>,
    /// Those out of this share of the slots: live, backfill or maintenance.
    #[arg(long, value_parser = word::<Share>)]
    share: Option<Share>,
    /// Those that use this resource, such as `amc_instance:amcibersblt`.
    #[arg(long)]
    resource: Option<String>,
    /// Those in this state: waiting or running.
    #[arg(long, value_parser = word::<State>)]
    state: Option<State>,
    /// Those enqueued at this time or later, as in 2026-01-31T08:00:00Z.
    #[arg(long, value_parser = given::time)]
    created_after: Option<DateTime<Utc>>,
    /// Those enqueued before this time.
    #[arg(long, value_parser = given::time)]
    created_before: Option<DateTime<Utc>>,
}

impl Which {
    pub(super) fn filter(&self) -> Unfinished {
        Unfinished {
            queue: self.choice.queue.clone(),
            kind: self.choice.kind.clone(),
            share: self.choice.share,
            resource: self.choice.resource.clone(),
            state: self.choice.state,
            created_after: self.choice.created_after,
            created_before: self.choice.created_before,
        }
    }

    /// Says how many there are.
    pub(super) async fn count(&self, db: &PgPool, json: bool) -> Result<()> {
        let mut connection = db.acquire().await?;
        let chosen = Queue::new().count(&mut connection, &self.filter()).await?;
        if json {
            return output::json(&chosen);
        }
        output::line(format!(
            "{} wait, {} run. Nothing was changed.",
            chosen.waiting, chosen.running
        ))
    }
}

pub(super) async fn open() -> Result<PgPool> {
    let database: Database = crate::commands::settings(Mode::Command)?;
    connect::ready(&database, 1).await
}

pub(super) fn ended(state: State) -> String {
    format!("is {} already", state.as_str())
}

/// Commits what was done to a choice, and tells it.
pub(super) async fn told(
    tx: PgTransaction<'_>,
    asked: &Asked,
    answer: &impl Serialize,
    said: &str,
) -> Result<()> {
    tx.commit().await?;
    if asked.json { output::json(answer) } else { output::line(said) }
}

#[derive(Serialize)]
struct Line<'a, T> {
    id: i64,
    #[serde(flatten)]
    answer: &'a T,
}

/// Commits what was done to each job, and tells it. It fails when it could not be done to one of them;
/// what was done to the others is done.
pub(super) async fn each<T: Serialize>(
    tx: PgTransaction<'_>,
    asked: &Asked,
    ids: &[i64],
    answers: &[T],
    said: impl Fn(&T) -> Result<String, String>,
) -> Result<()> {
    tx.commit().await?;
    if asked.json {
        let lines: Vec<_> =
            ids.iter().zip(answers).map(|(id, answer)| Line { id: *id, answer }).collect();
        output::json(&lines)?;
    }
    let mut refused = Vec::new();
    for (id, answer) in ids.iter().zip(answers) {
        match said(answer) {
            Ok(said) if !asked.json => output::line(format!("job {id} {said}"))?,
            Ok(_) => {}
            Err(said) => refused.push(format!("job {id} {said}")),
        }
    }
    if !refused.is_empty() {
        bail!("{}", refused.join("; "));
    }
    Ok(())
}

/// A word as the API knows it.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(|error| error.to_string())
}
