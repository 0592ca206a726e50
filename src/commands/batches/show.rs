//! Batches as people look at them: the newest, or one with its members.

use crate::backfill::batches::{self, BatchStatus};
use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::telemetry::Mode;
use anyhow::{Result, bail};
use clap::Args;

/// Lists the newest batches and how far they are.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp batches list --limit 5")]
pub struct List {
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows a batch: how far it is, instance by instance.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp batches show batch-20250917-3f9a2c1e")]
pub struct Show {
    /// The batch.
    batch_id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let batches = batches::newest(&mut *db.acquire().await?, i64::from(self.limit)).await?;
        if self.json {
            return output::json(&batches);
        }
        let rows = batches.into_iter().map(|batch| {
            let how_far = how_far(&batch);
            [batch.batch_id, batch.status.to_string(), how_far, batch.name]
        });
        output::table(["BATCH", "STATUS", "INSTANCES", "NAME"], rows)
    }
}

impl Show {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let batch = batches::of(&mut *db.acquire().await?, &self.batch_id).await?;
        let Some(batch) = batch else {
            bail!("there is no batch {}: see `recomamp batches list`", self.batch_id);
        };
        if self.json { output::json(&batch) } else { print(batch) }
    }
}

fn print(batch: BatchStatus) -> Result<()> {
    output::line(format!("{} ({}): {}", batch.batch_id, batch.status, how_far(&batch)))?;
    let (start, end, zone) = (batch.start, batch.end, &batch.timezone);
    output::line(format!("{}: {}, {start} to before {end} ({zone})", batch.name, batch.workflow))?;
    output::line("")?;
    let rows = batch.members.into_iter().map(|member| {
        let rows = member.row_count.map(|rows| rows.to_string()).unwrap_or_default();
        let attempts = member.attempts.to_string();
        let why = member.error.unwrap_or_default();
        [member.instance, member.status.to_string(), attempts, rows, why]
    });
    output::table(["INSTANCE", "STATUS", "EXECUTIONS", "ROWS", "WHY"], rows)
}

fn how_far(batch: &BatchStatus) -> String {
    let failed =
        if batch.failed > 0 { format!(", {} failed", batch.failed) } else { String::new() };
    format!("{} of {} done{failed}", batch.succeeded, batch.total)
}
