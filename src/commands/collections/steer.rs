//! A backfill is paused, resumed, cancelled.

use crate::commands::asked::{self, Asked};
use crate::given;
use crate::queue::Queue;
use crate::steering;
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;

/// Pauses a collection. What AMC has is finished and stored; nothing new begins.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp collections pause campaigns-20250917-3f9a2c1e --why 'quarter end' --until 2026-01-05T00:00:00Z"
)]
pub struct Pause {
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: String,
    /// When it goes on by itself.
    #[arg(long, value_name = "TIME", value_parser = given::time)]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    asked: Asked,
}

/// Lets a paused collection go on. Failed weeks are counted anew.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp collections resume campaigns-20250917-3f9a2c1e")]
pub struct Resume {
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Cancels what a collection has left to do, at AMC too. What is stored stays.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp collections cancel campaigns-20250917-3f9a2c1e --why 'wrong query'"
)]
pub struct Cancel {
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: String,
    #[command(flatten)]
    asked: Asked,
}

impl Pause {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(Some(&self.why));
        let steered = steering::pause(&mut tx, &self.asked.id, self.until, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}

impl Resume {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(self.why.as_deref());
        let steered = steering::resume(&mut tx, &Queue::new(), &self.asked.id, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}

impl Cancel {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(Some(&self.why));
        let steered = steering::cancel(&mut tx, &Queue::new(), &self.asked.id, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}
