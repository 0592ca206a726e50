//! Backfills are listed and shown.

use super::database;
use crate::backfill::status as standing;
use crate::commands::{output, status};
use anyhow::{Context, Result};
use clap::Args;

/// Lists the newest collections.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp collections list --limit 50")]
pub struct List {
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows where a collection stands, week by week.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp collections show campaigns-20250917-3f9a2c1e")]
pub struct Show {
    /// The collection.
    #[arg(value_name = "COLLECTION")]
    collection_id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<()> {
        let db = database().await?;
        let newest = standing::newest(&mut *db.acquire().await?, i64::from(self.limit)).await?;
        if self.json {
            return output::json(&newest);
        }
        status::table_of_collections(&newest)
    }
}

impl Show {
    pub(super) async fn run(self) -> Result<()> {
        let (db, id) = (database().await?, &self.collection_id);
        let detailed = standing::detailed(&mut *db.acquire().await?, id).await?;
        let detailed = detailed.with_context(|| {
            format!(
                "there is no collection {id:?}: `recomamp collections list` shows those there are"
            )
        })?;
        if self.json { output::json(&detailed) } else { status::print(&detailed) }
    }
}
