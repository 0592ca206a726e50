//! `recomamp jobs cancel`: stops jobs that are not wanted any more.

use super::steer::{Asked, Which, each, ended, open, told};
use crate::jobs::wanted;
use crate::queue::Queue;
use crate::queue::steer;
use anyhow::{Result, bail};
use clap::Args;

/// Stops jobs that are not wanted any more, also while they run. Nothing follows a cancelled job; it
/// can be replayed. What a week, a run or a batch wants is called off with that.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  recomamp jobs cancel 17 18 --why \"the customer has left\"\n  \
    recomamp jobs cancel --kind deliver_webhook --why \"the receiver has moved\" --dry-run"
)]
pub struct Cancel {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    asked: Asked,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<()> {
        let db = open().await?;
        if self.which.dry_run {
            return self.which.count(&db, self.asked.json).await;
        }
        let (queue, because, mut tx) =
            (Queue::new(), self.asked.because(), crate::transaction::begin(&db).await?);
        if self.which.ids.is_empty() {
            let filter = self.which.filter();
            if let Some(refusal) = filter.kind.as_deref().and_then(wanted::refusal_of_kind) {
                bail!(refusal);
            }
            let done = queue.cancel_all(&mut tx, &filter, &because).await?;
            let said =
                format!("{} are cancelled, {} are being stopped.", done.waiting, done.running);
            return told(tx, &self.asked, &done, &said).await;
        }
        if let Some((id, command)) = wanted::by(&mut tx, &self.which.ids).await?.first() {
            bail!(wanted::refusal(*id, command));
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
