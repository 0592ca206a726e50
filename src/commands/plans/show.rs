//! Plans as people look at them: the newest, or one with its collections.

use crate::backfill::plans::{self, PlanStatus};
use crate::commands::watch::{self, Followed};
use crate::commands::{Exit, connect, output, settings};
use crate::config::Database;
use crate::telemetry::Mode;
use anyhow::{Result, bail};
use clap::Args;

/// Lists the newest plans and how far they are.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp plans list --limit 5")]
pub struct List {
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows a plan: how far it is, collection by collection.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  recomamp plans show plan-20250917-3f9a2c1e\n  recomamp plans show plan-20250917-3f9a2c1e --watch"
)]
pub struct Show {
    /// The plan.
    plan_id: String,
    /// Follow the plan to its end; exit code 5 when it did not complete.
    #[arg(long)]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let plans = plans::newest(&mut *db.acquire().await?, i64::from(self.limit)).await?;
        if self.json {
            return output::json(&plans);
        }
        let rows = plans.into_iter().map(|plan| {
            let collections = plan.collections.len().to_string();
            [
                plan.plan_id,
                plan.status.to_string(),
                collections,
                plan.progress.to_string(),
                plan.name,
            ]
        });
        output::table(["PLAN", "STATUS", "COLLECTIONS", "PROGRESS", "NAME"], rows)
    }
}

impl Show {
    pub(super) async fn run(self) -> Result<Exit> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let exit = if self.watch {
            watch::follow(&db, Followed::Plan(&self.plan_id)).await?
        } else {
            Exit::Done
        };
        let plan = plans::of(&mut *db.acquire().await?, &self.plan_id).await?;
        let Some(plan) = plan else {
            bail!("there is no plan {}: see `recomamp plans list`", self.plan_id);
        };
        if self.json {
            output::json(&plan)?;
        } else if !self.watch {
            print(plan)?;
        }
        Ok(exit)
    }
}

fn print(plan: PlanStatus) -> Result<()> {
    output::line(format!("{} ({}): {}", plan.plan_id, plan.status, plan.progress))?;
    let (open, rows) = (plan.open_executions, plan.row_count);
    output::line(format!("{}; {open} open at AMC, {rows} rows", plan.name))?;
    output::line("")?;
    let rows = plan.collections.into_iter().map(|one| {
        let why = one.last_error.unwrap_or_default();
        let (status, progress) = (one.status.to_string(), one.progress.to_string());
        [one.workflow, one.instance, one.collection_id, status, progress, why]
    });
    output::table(["WORKFLOW", "INSTANCE", "COLLECTION", "STATUS", "PROGRESS", "WHY"], rows)
}
