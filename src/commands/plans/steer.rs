//! A whole plan is paused, resumed, cancelled, or what failed of it is taken up again.

use crate::commands::asked::{self, Asked};
use crate::given;
use crate::queue::Queue;
use crate::steering;
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;

/// Pauses every unfinished collection of a plan. What AMC has is finished and stored.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp plans pause plan-20250917-3f9a2c1e --why 'quarter end' --until 2026-01-05T00:00:00Z"
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

/// Lets every paused collection of a plan go on. Failed weeks are counted anew.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp plans resume plan-20250917-3f9a2c1e")]
pub struct Resume {
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Cancels what the collections of a plan have left to do, at AMC too. What is stored stays.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp plans cancel plan-20250917-3f9a2c1e --why 'wrong query'"
)]
pub struct Cancel {
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: String,
    #[command(flatten)]
    asked: Asked,
}

/// Takes up the failed and the cancelled weeks of every collection of a plan, as if they had never been
/// tried.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp plans retry plan-20250917-3f9a2c1e")]
pub struct Retry {
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

impl Pause {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(Some(&self.why));
        let steered = steering::pause_plan(&mut tx, &self.asked.id, self.until, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}

impl Resume {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(self.why.as_deref());
        let steered =
            steering::resume_plan(&mut tx, &Queue::new(), &self.asked.id, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}

impl Cancel {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(Some(&self.why));
        let steered =
            steering::cancel_plan(&mut tx, &Queue::new(), &self.asked.id, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}

impl Retry {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(self.why.as_deref());
        let steered =
            steering::retry_plan(&mut tx, &Queue::new(), &self.asked.id, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}
