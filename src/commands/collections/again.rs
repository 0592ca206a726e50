//! Weeks of a backfill are collected once more.

use crate::commands::asked::{self, Asked};
use crate::given;
use crate::queue::Queue;
use crate::steering;
use anyhow::Result;
use chrono::NaiveDate;
use clap::Args;

/// Takes up the failed and the cancelled weeks of a collection, as if they had never been tried.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  recomamp collections retry campaigns-20250917-3f9a2c1e\n  recomamp collections retry campaigns-20250917-3f9a2c1e --week 2025-03-03"
)]
pub struct Retry {
    /// Only the week that begins on this day.
    #[arg(long, value_name = "DATE", value_parser = given::date)]
    week: Option<NaiveDate>,
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Asks AMC again for the last weeks of a collection, because it may have restated their data.
///
/// Their rows stay until the new ones are stored; where AMC says the same as before, nothing changes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp collections recollect campaigns-20250917-3f9a2c1e --weeks 4"
)]
pub struct Recollect {
    /// How many, the last ones of the collection.
    #[arg(long)]
    weeks: u32,
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: Option<String>,
    #[command(flatten)]
    asked: Asked,
}

impl Retry {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(self.why.as_deref());
        let steered =
            steering::retry(&mut tx, &Queue::new(), &self.asked.id, self.week, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}

impl Recollect {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(self.why.as_deref());
        let steered =
            steering::recollect(&mut tx, &Queue::new(), &self.asked.id, self.weeks, &because)
                .await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}
