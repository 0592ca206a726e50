//! Schedules and their runs are looked at.

use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::plural::counted;
use crate::schedule::view::{self, RunView, ScheduleView};
use crate::store::schedules;
use crate::telemetry::Mode;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

/// Lists the schedules.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp schedules list --json")]
pub struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows a schedule, its newest runs and the next times.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp schedules show monday")]
pub struct Show {
    /// The schedule.
    schedule_id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the newest runs of a schedule.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp schedules runs monday --limit 50")]
pub struct Runs {
    /// The schedule.
    schedule_id: String,
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A schedule with its newest runs.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    schedule: ScheduleView,
    runs: Vec<RunView>,
}

impl List {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let views = schedules::list(&db).await?.iter().map(ScheduleView::of).collect::<Vec<_>>();
        if self.json {
            return output::json(&views);
        }
        let headings = ["SCHEDULE", "WORKFLOW", "DUE", "STATUS", "NEXT (UTC)"];
        output::table(
            headings,
            views.into_iter().map(|view| {
                let next = view.next.map(|next| next.format("%F %R").to_string());
                let (status, due) = (view.status.to_string(), view.due);
                [view.schedule_id, view.workflow, due, status, next.unwrap_or_default()]
            }),
        )
    }
}

impl Show {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut connection = db.acquire().await?;
        let (schedule, runs) = view::detailed(&mut connection, &self.schedule_id, 10).await?;
        if self.json {
            return output::json(&Shown { schedule, runs });
        }
        let field = |name: &str, value: String| [name.to_owned(), value];
        let failures = failures(&schedule);
        let mut rows = vec![
            field("name", schedule.name),
            field("workflow", schedule.workflow),
            field("due", schedule.due),
            field("status", schedule.status.to_string()),
            field("overlap", schedule.overlap.to_string()),
            field("catch_up", format!("{} (at most {})", schedule.catch_up, schedule.catch_up_max)),
            field("jitter", format!("up to {} s", schedule.jitter_seconds)),
            field("max attempts", format!("{} executions a run", schedule.max_attempts)),
            field("failures in a row", failures),
            field(
                "window",
                format!(
                    "{} until {} ago, to the end of a {}",
                    counted(schedule.lookback_days, "day", "days"),
                    counted(schedule.lag_days, "day", "days"),
                    schedule.window_anchor
                ),
            ),
            field("parameters", schedule.parameters.to_string()),
            field(
                "keeps",
                schedule.keep_runs.map_or(
                    "all runs, for as long as RECOMAMP_RUN_RETENTION says".to_owned(),
                    |runs| counted(runs, "run", "runs"),
                ),
            ),
            field(
                "webhooks hear",
                schedule.notify.map_or("all".to_owned(), |events| events.to_string()),
            ),
        ];
        rows.extend(schedule.pause_reason.map(|reason| field("paused because", reason)));
        rows.extend(
            schedule.resume_at.map(|at| field("resumes", at.format("%F %R UTC").to_string())),
        );
        rows.extend(schedule.next.map(|next| field("next", next.format("%F %R UTC").to_string())));
        output::table(["SCHEDULE", &self.schedule_id], rows)?;
        table(runs)
    }
}

impl Runs {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut connection = db.acquire().await?;
        let (_, runs) =
            view::detailed(&mut connection, &self.schedule_id, i64::from(self.limit)).await?;
        if self.json {
            return output::json(&runs);
        }
        table(runs)
    }
}

fn failures(schedule: &ScheduleView) -> String {
    let failures = schedule.consecutive_failures;
    match schedule.failure_threshold {
        Some(threshold) => format!("{failures} (paused at {threshold})"),
        None => format!("{failures} (never paused for them)"),
    }
}

fn table(runs: Vec<RunView>) -> Result<()> {
    let headings = ["RUN", "DUE (UTC)", "STATUS", "WINDOW", "WHY"];
    output::table(
        headings,
        runs.into_iter().map(|run| {
            let due = run.scheduled_for.map(|at| at.format("%F %R").to_string());
            let window = run.window.map(|days| format!("{} to {}", days.start, days.end));
            [
                run.run_id.to_string(),
                due.unwrap_or_else(|| "by hand".to_owned()),
                run.status.to_string(),
                window.unwrap_or_default(),
                run.error_summary.unwrap_or_default(),
            ]
        }),
    )
}
