//! `recomamp jobs edit`: waiting jobs run at another time, or before or after others.

use super::steer::{Asked, Which, each, ended, open, told, word};
use crate::queue::steer::{self, RunAt};
use crate::queue::{Priority, Queue};
use anyhow::Result;
use clap::Args;
use serde_json::json;

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

impl Edit {
    pub(super) async fn run(self) -> Result<()> {
        let db = open().await?;
        if self.which.dry_run {
            return self.which.count(&db, self.asked.json).await;
        }
        let change = steer::Edit { run_at: self.run_at, priority: self.priority };
        let (queue, because, mut tx) =
            (Queue::new(), self.asked.because(), crate::transaction::begin(&db).await?);
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

fn run_at(text: &str) -> Result<RunAt, String> {
    match text {
        "now" => Ok(RunAt::Now),
        _ => text
            .parse()
            .map(RunAt::At)
            .map_err(|_| "give now, or a time such as 2026-01-31T08:00:00Z".to_owned()),
    }
}
