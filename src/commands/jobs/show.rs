//! `recomamp jobs show`: one job with everything that is known of it.

use crate::commands::{connect, output};
use crate::config::Database;
use crate::queue::postgres::inspect::jobs::{self, Whole};
use crate::telemetry::Mode;
use anyhow::{Context, Result};
use clap::Args;

/// Shows a job with everything that is known of it, finished or not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp jobs show 4711")]
pub struct Show {
    /// The job.
    id: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = crate::commands::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let job = jobs::whole(&mut *db.acquire().await?, self.id).await?;
        let job =
            job.with_context(|| format!("there is no job {}: see `recomamp jobs list`", self.id))?;
        if self.json { output::json(&job) } else { print(job) }
    }
}

fn print(job: Whole) -> Result<()> {
    let number = |count: Option<i64>| count.map(|count| count.to_string()).unwrap_or_default();
    let uses = job.uses.as_ref().map(|uses| {
        let said = |used: &crate::queue::Use| {
            let hold = if used.hold { " and a place" } else { "" };
            format!("{} of {}{hold}", used.cost, used.resource)
        };
        uses.iter().map(said).collect::<Vec<_>>().join(", ")
    });
    let rows = [
        ("job", job.id.to_string()),
        ("kind", job.kind),
        ("version", job.version.to_string()),
        ("queue", job.queue),
        ("state", job.state.as_str().to_owned()),
        ("attempts", format!("{} of {}", job.attempt, job.max_attempts)),
        ("snoozes", job.snoozes.to_string()),
        ("throttles", job.throttles.to_string()),
        ("denials", job.denials.to_string()),
        ("rescues", job.rescues.to_string()),
        ("interruptions", job.interruptions.to_string()),
        ("priority", job.priority.to_string()),
        ("time limit", format!("{} s", job.timeout_ms / 1000)),
        ("uses", uses.unwrap_or_default()),
        ("holds as", job.hold_as.unwrap_or_default()),
        ("unique key", job.unique_key.unwrap_or_default()),
        ("asked for by job", number(job.parent_id)),
        ("replay of job", number(job.replay_of)),
        ("replayed as job", number(job.replayed_as)),
        ("enqueued", output::time(job.created_at)),
        ("runs at", output::time_if(job.run_at)),
        ("waits for", job.blocked_by.unwrap_or_default()),
        ("claimed", output::time_if(job.claimed_at)),
        ("process", job.process.unwrap_or_default()),
        ("finished", output::time_if(job.finished_at)),
        ("arguments", job.args.to_string()),
        ("progress", job.progress.map(|progress| progress.to_string()).unwrap_or_default()),
        ("last error", job.last_error.unwrap_or_default()),
    ];
    let said = rows.into_iter().filter(|(_, value)| !value.is_empty());
    output::table(["FIELD", "VALUE"], said.map(|(field, value)| [field.to_owned(), value]))?;
    if job.log.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let rows = job.log.into_iter().map(|made| {
        [
            made.fence.to_string(),
            output::time(made.began_at),
            output::time(made.ended_at),
            made.outcome,
            made.host.unwrap_or_default(),
            made.causes.join(": "),
        ]
    });
    output::table(["ATTEMPT", "BEGAN", "ENDED", "OUTCOME", "HOST", "WHY"], rows)
}
