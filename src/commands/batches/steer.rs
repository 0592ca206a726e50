//! A batch is called off, or what failed of it is taken up again.

use crate::commands::person::Person;
use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::given;
use crate::queue::Queue;
use crate::steering::{Because, SteeredBatch, cancel_batch, retry_batch};
use crate::telemetry::Mode;
use anyhow::Result;
use clap::Args;

/// Cancels what a batch has left to do, at AMC too. What is stored stays.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp batches cancel batch-20250917-3f9a2c1e --why 'wrong query'"
)]
pub struct Cancel {
    /// The batch.
    batch_id: String,
    /// Why, in one sentence.
    #[arg(long, value_parser = given::reason)]
    why: String,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Takes up the failed and the cancelled members of a batch, each with all its attempts.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp batches retry batch-20250917-3f9a2c1e")]
pub struct Retry {
    /// The batch.
    batch_id: String,
    /// Why, in one sentence.
    #[arg(long, value_parser = given::reason)]
    why: Option<String>,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let mut tx = crate::transaction::begin(&connect::ready(&database, 1).await?).await?;
        let because = Because { by: self.person.name(), why: Some(&self.why) };
        let steered = cancel_batch(&mut tx, &Queue::new(), &self.batch_id, &because).await?;
        tx.commit().await?;
        say(&steered, self.json)
    }
}

impl Retry {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let mut tx = crate::transaction::begin(&connect::ready(&database, 1).await?).await?;
        let because = Because { by: self.person.name(), why: self.why.as_deref() };
        let steered = retry_batch(&mut tx, &Queue::new(), &self.batch_id, &because).await?;
        tx.commit().await?;
        say(&steered, self.json)
    }
}

fn say(steered: &SteeredBatch, json: bool) -> Result<()> {
    if json { output::json(steered) } else { output::line(&steered.said) }
}
