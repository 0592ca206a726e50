//! `recomamp collections report`: whether a collection has every day once.

use crate::backfill::completion::{self, Completion};
use crate::commands::{Exit, connect, output, settings};
use crate::config::Database;
use crate::plural::counted;
use crate::telemetry::Mode;
use anyhow::{Result, bail};
use clap::Args;

/// Proves that a collection has every day of its period once, or lists what it lacks, and why.
///
/// Exit code 5 when it is not complete. The verdict is the last line.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp collections report campaigns-20250917-3f9a2c1e")]
pub struct Report {
    /// The collection.
    collection_id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Report {
    pub(super) async fn run(self) -> Result<Exit> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let report = completion::report(&mut *db.acquire().await?, &self.collection_id).await?;
        let Some(report) = report else {
            bail!("there is no collection {}: see `recomamp status`", self.collection_id);
        };
        if self.json {
            output::json(&report)?;
        } else {
            print(&report)?;
        }
        Ok(if report.complete { Exit::Done } else { Exit::Incomplete })
    }
}

fn print(report: &Completion) -> Result<()> {
    let rows = report.weeks.iter().map(|week| {
        [
            week.start.to_string(),
            week.end.to_string(),
            week.status.to_string(),
            week.row_count.map(|rows| rows.to_string()).unwrap_or_default(),
            week.data_version.to_string(),
            week.executions.to_string(),
            week.data_checksum.as_ref().map(|sum| sum[..16].to_owned()).unwrap_or_default(),
            week.elsewhere.clone().unwrap_or_default(),
        ]
    });
    let columns =
        ["FROM", "UNTIL", "STATUS", "ROWS", "VERSION", "EXECUTIONS", "CHECKSUM", "ROWS ARE IN"];
    output::table(columns, rows)?;
    output::line("")?;
    for gap in &report.coverage.gaps {
        let reason =
            gap.lacking.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        output::line(format!(
            "gap      {} to before {}  {}{reason}",
            gap.start, gap.end, gap.lacking.status
        ))?;
    }
    for (what, days) in
        [("overlap", &report.coverage.overlaps), ("outside", &report.coverage.outside)]
    {
        for days in days {
            output::line(format!("{what}  {} to before {}", days.start, days.end))?;
        }
    }
    output::line(format!(
        "{}, {}, {} taken over from other collections",
        counted(report.row_count, "row", "rows"),
        counted(report.executions, "execution", "executions"),
        counted(report.reused, "slice", "slices")
    ))?;
    output::line(&report.verdict)
}
