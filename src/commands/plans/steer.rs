//! A whole plan is paused, resumed, cancelled.

use crate::commands::person::Person;
use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::queue::Queue;
use crate::steering::{self, Because, SteeredPlan};
use crate::telemetry::Mode;
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use sqlx::PgPool;

/// Pauses every unfinished collection of a plan. What AMC has is finished and stored.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp plans pause plan-20250917-3f9a2c1e --why 'quarter end' --until 2026-01-05T00:00:00Z"
)]
pub struct Pause {
    /// Why, in one sentence.
    #[arg(long)]
    why: String,
    /// When it goes on by itself.
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    asked: Asked,
}

/// Lets every paused collection of a plan go on. Failed weeks are counted anew.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp plans resume plan-20250917-3f9a2c1e")]
pub struct Resume {
    /// Why, in one sentence.
    #[arg(long)]
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
    #[arg(long)]
    why: String,
    #[command(flatten)]
    asked: Asked,
}

/// Which plan, who asks, and how to answer.
#[derive(Debug, Args)]
struct Asked {
    /// The plan.
    #[arg(value_name = "PLAN")]
    plan_id: String,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Pause {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = crate::transaction::begin(&database().await?).await?;
        let because = Because { by: self.asked.person.name(), why: Some(&self.why) };
        let id = &self.asked.plan_id;
        let steered = steering::pause_plan(&mut tx, id, self.until, &because).await?;
        tx.commit().await?;
        self.asked.say(&steered)
    }
}

impl Resume {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = crate::transaction::begin(&database().await?).await?;
        let because = Because { by: self.asked.person.name(), why: self.why.as_deref() };
        let id = &self.asked.plan_id;
        let steered = steering::resume_plan(&mut tx, &Queue::new(), id, &because).await?;
        tx.commit().await?;
        self.asked.say(&steered)
    }
}

impl Cancel {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = crate::transaction::begin(&database().await?).await?;
        let because = Because { by: self.asked.person.name(), why: Some(&self.why) };
        let id = &self.asked.plan_id;
        let steered = steering::cancel_plan(&mut tx, &Queue::new(), id, &because).await?;
        tx.commit().await?;
        self.asked.say(&steered)
    }
}

impl Asked {
    fn say(&self, steered: &SteeredPlan) -> Result<()> {
        if self.json {
            return output::json(steered);
        }
        output::line(&steered.said)
    }
}

async fn database() -> Result<PgPool> {
    let database: Database = settings(Mode::Command)?;
    connect::ready(&database, 1).await
}
