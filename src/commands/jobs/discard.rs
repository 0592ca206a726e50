//! `recomamp jobs discard`: gives up waiting jobs.

use super::steer::{Asked, Which, each, ended, open, told};
use crate::queue::Queue;
use crate::queue::steer;
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Gives up waiting jobs, as if they had failed for good. They can be replayed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp jobs discard 17 --why \"the account is closed\"")]
pub struct Discard {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    asked: Asked,
}

impl Discard {
    pub(super) async fn run(self) -> Result<()> {
        let db = open().await?;
        if self.which.dry_run {
            return self.which.count(&db, self.asked.json).await;
        }
        let (queue, because, mut tx) =
            (Queue::new(), self.asked.because(), crate::transaction::begin(&db).await?);
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
