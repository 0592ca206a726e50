//! `recomamp jobs cancel`, `discard`, `replay`, `edit`: those with these ids, or those of a choice.

use crate::commands::{connect, output};
use crate::config::Database;
use crate::queue::steer::{self, Because, Finished, RunAt, Unfinished};
use crate::queue::{Priority, Queue, Share, State};
use crate::telemetry::Mode;
use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::{PgPool, PgTransaction};

/// Who, why, and how it is told.
#[derive(Debug, Args)]
struct Asked {
    /// Why, in a sentence for whoever looks at it later.
    #[arg(long)]
    why: String,
    /// Who asks.
    #[arg(long, default_value = "a person")]
    by: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Asked {
    fn because(&self) -> Because<'_> {
        Because { by: &self.by, why: &self.why }
    }
}

/// Which unfinished jobs.
#[derive(Debug, Args)]
struct Which {
    /// The jobs' ids.
    #[arg(required_unless_present = "choice")]
    ids: Vec<i64>,
    #[command(flatten)]
    choice: Choice,
    /// Say how many there are, and change nothing.
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
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
    /// Those that use this resource, such as amc_instance:amcibersblt.
    #[arg(long)]
    resource: Option<String>,
    /// Those in this state: waiting or running.
    #[arg(long, value_parser = word::<State>)]
    state: Option<State>,
    /// Those enqueued at this time or later, as in 2026-01-31T08:00:00Z.
    #[arg(long)]
    created_after: Option<DateTime<Utc>>,
    /// Those enqueued before this time.
    #[arg(long)]
    created_before: Option<DateTime<Utc>>,
}

impl Which {
    fn filter(&self) -> Unfinished {
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
    async fn count(&self, db: &PgPool, json: bool) -> Result<()> {
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

/// Stops jobs that are not wanted any more, also while they run. Nothing follows a cancelled job; it
/// can be replayed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  recomamp jobs cancel 17 18 --why \"the customer has left\"\n  \
    recomamp jobs cancel --kind collect_week --share backfill --why \"wrong query\" --dry-run"
)]
pub struct Cancel {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    asked: Asked,
}

/// Gives up waiting jobs, as if they had failed for good. They can be replayed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp jobs discard 17 --why \"the account is closed\"")]
pub struct Discard {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    asked: Asked,
}

/// Changes when waiting jobs run, and before or after which others.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp jobs edit 17 --run-at now --priority urgent --why \"Ana waits\""
)]
pub struct Edit {
    #[command(flatten)]
    which: Which,
    /// now, or a time such as 2026-01-31T08:00:00Z.
    #[arg(long, value_parser = run_at)]
    run_at: Option<RunAt>,
    /// urgent, live, normal or low.
    #[arg(long, value_parser = word::<Priority>)]
    priority: Option<Priority>,
    #[command(flatten)]
    asked: Asked,
}

/// Does finished jobs again: discarded and cancelled ones, and done ones if you say so.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  recomamp jobs replay 17 --patch '{\"limit\": 10}' --why \"it was too much\"\n  \
    recomamp jobs replay --state discarded --error 504 --per-second 2 --why \"Amazon is back\""
)]
pub struct Replay {
    /// The jobs' ids.
    #[arg(required_unless_present = "finished")]
    ids: Vec<i64>,
    #[command(flatten)]
    choice: Past,
    /// Change the arguments by this JSON merge patch (RFC 7396).
    #[arg(long, value_parser = document)]
    patch: Option<Value>,
    /// So many a second, instead of all at once.
    #[arg(long)]
    per_second: Option<f64>,
    /// Also those that killed their processes.
    #[arg(long)]
    force: bool,
    /// Also those that were done; with a choice, say --state done.
    #[arg(long, conflicts_with = "finished")]
    done: bool,
    /// Say how many there are, and change nothing.
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
    #[command(flatten)]
    asked: Asked,
}

/// A choice of finished jobs, instead of ids.
#[derive(Debug, Args)]
#[group(id = "finished", multiple = true, conflicts_with = "ids")]
struct Past {
    /// Those that are discarded, cancelled or done; without it the first two.
    #[arg(long, value_parser = word::<State>)]
    state: Option<State>,
    /// Those in this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Those of this kind.
    #[arg(long)]
    kind: Option<String>,
    /// Those that finished at this time or later, as in 2026-01-31T08:00:00Z.
    #[arg(long)]
    finished_after: Option<DateTime<Utc>>,
    /// Those that finished before this time.
    #[arg(long)]
    finished_before: Option<DateTime<Utc>>,
    /// Those whose last error has this text in it.
    #[arg(long)]
    error: Option<String>,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<()> {
        let db = open().await?;
        if self.which.dry_run {
            return self.which.count(&db, self.asked.json).await;
        }
        let (queue, because, mut tx) = (Queue::new(), self.asked.because(), db.begin().await?);
        if self.which.ids.is_empty() {
            let done = queue.cancel_all(&mut tx, &self.which.filter(), &because).await?;
            let said =
                format!("{} are cancelled, {} are being stopped.", done.waiting, done.running);
            return told(tx, &self.asked, &done, &said).await;
        }
        let answers = queue.cancel(&mut tx, &self.which.ids, &because).await?;
        each(tx, &self.asked, &self.which.ids, &answers, |answer| match answer {
            steer::Cancelled::Cancelled => Ok("is cancelled".to_owned()),
            steer::Cancelled::Requested => Ok("is being stopped".to_owned()),
            steer::Cancelled::AlreadyFinished(state) => Ok(ended(*state)),
            steer::Cancelled::Unknown => Err("is unknown".to_owned()),
        })
        .await
    }
}

impl Discard {
    pub(super) async fn run(self) -> Result<()> {
        let db = open().await?;
        if self.which.dry_run {
            return self.which.count(&db, self.asked.json).await;
        }
        let (queue, because, mut tx) = (Queue::new(), self.asked.because(), db.begin().await?);
        if self.which.ids.is_empty() {
            let jobs = queue.discard_all(&mut tx, &self.which.filter(), &because).await?;
            let said = format!("{jobs} are discarded.");
            return told(tx, &self.asked, &json!({ "discarded": jobs }), &said).await;
        }
        let answers = queue.discard(&mut tx, &self.which.ids, &because).await?;
        each(tx, &self.asked, &self.which.ids, &answers, |answer| match answer {
            steer::Discarded::Discarded => Ok("is discarded".to_owned()),
            steer::Discarded::AlreadyFinished(state) => Ok(ended(*state)),
            steer::Discarded::Running => Err("is running: cancel it instead".to_owned()),
            steer::Discarded::Unknown => Err("is unknown".to_owned()),
        })
        .await
    }
}

impl Edit {
    pub(super) async fn run(self) -> Result<()> {
        let db = open().await?;
        if self.which.dry_run {
            return self.which.count(&db, self.asked.json).await;
        }
        let change = steer::Edit { run_at: self.run_at, priority: self.priority };
        let (queue, because, mut tx) = (Queue::new(), self.asked.because(), db.begin().await?);
        if self.which.ids.is_empty() {
            let filter = self.which.filter();
            let jobs = queue.edit_all(&mut tx, &filter, &change, &because).await?;
            let said = format!("{jobs} are changed.");
            return told(tx, &self.asked, &json!({ "edited": jobs }), &said).await;
        }
        let answers = queue.edit(&mut tx, &self.which.ids, &change, &because).await?;
        each(tx, &self.asked, &self.which.ids, &answers, |answer| match answer {
            steer::Edited::Edited => Ok("is changed".to_owned()),
            steer::Edited::Blocked(by) => Ok(format!("goes on waiting for {by}")),
            steer::Edited::Running => Err("is running: it cannot be changed".to_owned()),
            steer::Edited::AlreadyFinished(state) => Err(ended(*state)),
            steer::Edited::Unknown => Err("is unknown".to_owned()),
        })
        .await
    }
}

impl Replay {
    pub(super) async fn run(self) -> Result<()> {
        let db = open().await?;
        let how = steer::Replay {
            patch: self.patch.clone(),
            per_second: self.per_second,
            force: self.force,
            done: self.done,
        };
        let (queue, because, mut tx) = (Queue::new(), self.asked.because(), db.begin().await?);
        if self.dry_run {
            let count = queue.replayable(&mut tx, &self.filter(), &how).await?;
            let said = format!(
                "{} can be replayed; {} killed their processes (--force), {} were replayed before. \
                Nothing was changed.",
                count.jobs, count.poison, count.already
            );
            return told(tx, &self.asked, &count, &said).await;
        }
        if self.ids.is_empty() {
            let replays = queue.replay_all(&mut tx, &self.filter(), &how, &because).await?;
            let (new, existing) = (replays.replayed.len(), replays.existing.len());
            let said = format!("{new} are replayed; the unique keys of {existing} are taken.");
            return told(tx, &self.asked, &replays, &said).await;
        }
        let mut answers = Vec::new();
        for id in &self.ids {
            answers.push(queue.replay(&mut tx, *id, &how, &because).await?);
        }
        each(tx, &self.asked, &self.ids, &answers, |answer| match answer {
            steer::Replayed::Replayed(new) => Ok(format!("is done again by job {new}")),
            steer::Replayed::AlreadyReplayed(new) => Ok(format!("was replayed before, as {new}")),
            steer::Replayed::Existing(other) => Ok(format!("has the unique key of job {other}")),
            steer::Replayed::Poison => Err("killed its processes: say --force".to_owned()),
            steer::Replayed::Done => Err("was done: say --done".to_owned()),
            steer::Replayed::Unfinished(state) => Err(format!("is {}", state.as_str())),
            steer::Replayed::Unknown => Err("is unknown".to_owned()),
        })
        .await
    }

    fn filter(&self) -> Finished {
        Finished {
            state: self.choice.state,
            queue: self.choice.queue.clone(),
            kind: self.choice.kind.clone(),
            finished_after: self.choice.finished_after,
            finished_before: self.choice.finished_before,
            error: self.choice.error.clone(),
        }
    }
}

async fn open() -> Result<PgPool> {
    let database: Database = crate::commands::settings(Mode::Command)?;
    connect::ready(&database, 1).await
}

fn ended(state: State) -> String {
    format!("is {} already", state.as_str())
}

/// Commits what was done to a choice, and tells it.
async fn told(
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
async fn each<T: Serialize>(
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
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(|error| error.to_string())
}

fn run_at(text: &str) -> Result<RunAt, String> {
    match text {
        "now" => Ok(RunAt::Now),
        _ => text
            .parse()
            .map(RunAt::At)
            .map_err(|_| "give now, or a time such as 2026-01-31T08:00:00Z".to_owned()),
    }
}

fn document(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))
}
