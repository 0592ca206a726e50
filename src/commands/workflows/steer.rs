//! A workflow is saved at AMC, or AMC is asked about it again.

use crate::commands::person::Asker;
use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::plural::counted;
use crate::queue::Queue;
use crate::register::workflows;
use crate::telemetry::Mode;
use anyhow::Result;
use clap::Args;
use serde_json::json;

/// Has the current query of a workflow saved at AMC, also when AMC refused it before. A worker does it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp workflows sync campaigns")]
pub struct Sync {
    /// The workflow.
    workflow_id: String,
    #[command(flatten)]
    asker: Asker,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Forgets what AMC refused of a workflow, so that it is asked again before the next execution.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp workflows recheck campaigns")]
pub struct Recheck {
    /// The workflow.
    workflow_id: String,
    #[command(flatten)]
    asker: Asker,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Sync {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let (id, because) = (&self.workflow_id, self.asker.because());
        let status = workflows::sync(&mut tx, &Queue::new(), id, &because).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"workflow_id": id, "status": status}));
        }
        output::line(format!("{id} is {status}"))
    }
}

impl Recheck {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let because = self.asker.because();
        let forgotten = workflows::recheck(&mut tx, &self.workflow_id, &because).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"workflow_id": self.workflow_id, "forgotten": forgotten}));
        }
        output::line(format!("{} forgotten", counted(forgotten, "refusal", "refusals")))
    }
}
