//! A batch is called off, or what failed of it is taken up again.

use crate::commands::asked::{self, Asked};
use crate::given;
use crate::queue::Queue;
use crate::steering::{cancel_batch, retry_batch};
use anyhow::Result;
use clap::Args;

/// Cancels what a batch has left to do, at AMC too. What is stored stays.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp batches cancel batch-20250917-3f9a2c1e --why 'wrong query'"
)]
pub struct Cancel {
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: String,
    #[command(flatten)]
    asked: Asked,
}

/// Takes up the failed and the cancelled members of a batch, each with all its attempts.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp batches retry batch-20250917-3f9a2c1e")]
pub struct Retry {
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(Some(&self.why));
        let steered = cancel_batch(&mut tx, &Queue::new(), &self.asked.id, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}

impl Retry {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(self.why.as_deref());
        let steered = retry_batch(&mut tx, &Queue::new(), &self.asked.id, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}
