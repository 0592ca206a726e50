//! A workflow is saved at AMC, or AMC is asked about it again.

use super::find;
use crate::commands::person::Person;
use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::jobs::sync_workflow;
use crate::queue::Queue;
use crate::store::{checks, copies};
use crate::telemetry::Mode;
use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

/// Has the current query of a workflow saved at AMC, also when AMC refused it before. A worker does it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp workflows sync campaigns")]
pub struct Sync {
    /// The workflow.
    workflow_id: String,
    #[command(flatten)]
    person: Person,
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
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Sync {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let workflow = find(&mut tx, &self.workflow_id).await?;
        let by = self.person.name();
        let status = sync_workflow::again(&Queue::new(), &mut tx, &workflow, by).await?;
        let Some(status) = status else {
            bail!(
                "workflow {0} has no query yet: give it one with `recomamp workflows update {0}`",
                self.workflow_id
            );
        };
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"workflow_id": self.workflow_id, "status": status}));
        }
        output::line(format!("{} is {status}", self.workflow_id))
    }
}

impl Recheck {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let workflow = find(&mut tx, &self.workflow_id).await?;
        let forgotten = checks::forget(&mut *tx, workflow.id).await?
            + copies::forget(&mut *tx, workflow.id).await?;
        tx.commit().await?;
        if self.json {
            return output::json(&json!({"workflow_id": self.workflow_id, "forgotten": forgotten}));
        }
        output::line(format!("{forgotten} refusals forgotten"))
    }
}
