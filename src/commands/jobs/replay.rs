//! `recomamp jobs replay`: does finished jobs again.

use super::steer::{Asked, each, open, told, word};
use crate::given;
use crate::queue::steer::{self, Finished};
use crate::queue::{Queue, State};
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::Value;

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
    #[arg(long, value_parser = given::time)]
    finished_after: Option<DateTime<Utc>>,
    /// Those that finished before this time.
    #[arg(long, value_parser = given::time)]
    finished_before: Option<DateTime<Utc>>,
    /// Those whose last error has this text in it.
    #[arg(long)]
    error: Option<String>,
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
        let (queue, because, mut tx) =
            (Queue::new(), self.asked.because(), crate::transaction::begin(&db).await?);
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

fn document(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))
}
