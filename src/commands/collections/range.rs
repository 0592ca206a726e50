//! A backfill covers more weeks, or fewer.

use crate::commands::asked::{self, Asked};
use crate::given;
use crate::queue::Queue;
use crate::steering::{self, Bounds};
use anyhow::Result;
use chrono::NaiveDate;
use clap::Args;

/// Adds earlier or later weeks to a collection, and takes up those that were skipped.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp collections widen campaigns-20250917-3f9a2c1e --from 2024-01-01"
)]
pub struct Widen {
    #[command(flatten)]
    covers: Covers,
    #[command(flatten)]
    asked: Asked,
}

/// Skips the weeks of a collection outside these days that have not begun.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp collections shrink campaigns-20250917-3f9a2c1e --from 2025-01-06 --why 'AMC has nothing older'"
)]
pub struct Shrink {
    #[command(flatten)]
    covers: Covers,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, Args)]
struct Covers {
    /// The first day it is to cover.
    #[arg(long, value_name = "DATE", value_parser = given::date)]
    from: Option<NaiveDate>,
    /// The day after the last that it is to cover.
    #[arg(long, value_name = "DATE", value_parser = given::date)]
    until: Option<NaiveDate>,
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: Option<String>,
}

impl Covers {
    fn bounds(&self) -> Bounds {
        Bounds { from: self.from, until: self.until }
    }
}

impl Widen {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(self.covers.why.as_deref());
        let (id, bounds) = (&self.asked.id, self.covers.bounds());
        let steered = steering::widen(&mut tx, &Queue::new(), id, bounds, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}

impl Shrink {
    pub(super) async fn run(self) -> Result<()> {
        let mut tx = asked::begin().await?;
        let because = self.asked.because(self.covers.why.as_deref());
        let (id, bounds) = (&self.asked.id, self.covers.bounds());
        let steered = steering::shrink(&mut tx, &Queue::new(), id, bounds, &because).await?;
        self.asked.done(tx, &steered, &steered.said).await
    }
}
