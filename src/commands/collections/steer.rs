//! A backfill is paused, resumed, cancelled.

use super::{Asked, database};
use crate::given;
use crate::queue::Queue;
use crate::steering::{self, Because};
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
    #[arg(long, value_parser = given::reason)]
    why: String,
    /// When it goes on by itself.
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    asked: Asked,
}

/// Lets a paused collection go on. Failed weeks are counted anew.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp collections resume campaigns-20250917-3f9a2c1e")]
pub struct Resume {
    /// Why, in one sentence.
    #[arg(long, value_parser = given::reason)]
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
    #[arg(long, value_parser = given::reason)]
    why: String,
    #[command(flatten)]
    asked: Asked,
}

impl Pause {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = crate::transaction::begin(&database().await?).await?;
        let because = Because { by: self.asked.person.name(), why: Some(&self.why) };
        let id = &self.asked.collection_id;
        let steered = steering::pause(&mut tx, id, self.until, &because).await?;
        tx.commit().await?;
        self.asked.say(&steered)
    }
}

impl Resume {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = crate::transaction::begin(&database().await?).await?;
        let because = Because { by: self.asked.person.name(), why: self.why.as_deref() };
        let id = &self.asked.collection_id;
        let steered = steering::resume(&mut tx, &Queue::new(), id, &because).await?;
        tx.commit().await?;
        self.asked.say(&steered)
    }
}

impl Cancel {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = crate::transaction::begin(&database().await?).await?;
        let because = Because { by: self.asked.person.name(), why: Some(&self.why) };
        let id = &self.asked.collection_id;
        let steered = steering::cancel(&mut tx, &Queue::new(), id, &because).await?;
        tx.commit().await?;
        self.asked.say(&steered)
    }
}
