//! Workflows are listed, and one is shown with its versions and what AMC said of them.

use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::register::workflows as register;
use crate::store::executions::SubmitMode;
use crate::store::versions::{self, Told};
use crate::store::workflows::{self, SyncStatus};
use crate::store::{VersionId, instances, users as people};
use crate::telemetry::Mode;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Lists the workflows.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp workflows list --json")]
pub struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows a workflow: its versions, the parameters they declare, and what AMC said of them.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp workflows show campaigns")]
pub struct Show {
    /// The workflow.
    workflow_id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    workflow_id: String,
    name: String,
    instance_id: String,
    user: String,
    version_id: Option<VersionId>,
    submit_mode: SubmitMode,
    amc_sync_status: SyncStatus,
}

impl Row {
    fn cells(self) -> [String; 5] {
        let status = self.amc_sync_status.to_string();
        [self.workflow_id, self.name, self.instance_id, self.user, status]
    }
}

impl List {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let users = people::list(&db).await?.into_iter();
        let emails: HashMap<_, _> = users.map(|user| (user.id, user.email)).collect();
        let instances = instances::list(&db).await?.into_iter();
        let names: HashMap<_, _> = instances.map(|i| (i.id, i.instance_id)).collect();
        let rows = workflows::list(&db).await?.into_iter().map(|workflow| Row {
            workflow_id: workflow.workflow_id,
            name: workflow.name,
            instance_id: names.get(&workflow.instance_id).cloned().unwrap_or_default(),
            user: emails.get(&workflow.user_id).cloned().unwrap_or_default(),
            version_id: workflow.current_version_id,
            submit_mode: workflow.submit_mode,
            amc_sync_status: workflow.amc_sync_status,
        });
        if self.json {
            return output::json(&rows.collect::<Vec<_>>());
        }
        output::table(["WORKFLOW", "NAME", "INSTANCE", "USER", "AT AMC"], rows.map(Row::cells))
    }
}

impl Show {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut connection = db.acquire().await?;
        let workflow = register::find(&mut connection, &self.workflow_id).await?;
        let versions = versions::told(&mut *connection, workflow.id).await?;
        if self.json {
            return output::json(&json!({
                "workflow_id": workflow.workflow_id,
                "name": workflow.name,
                "submit_mode": workflow.submit_mode,
                "amc_sync_status": workflow.amc_sync_status,
                "amc_workflow_id": workflow.amc_workflow_id,
                "versions": versions,
            }));
        }
        let way = match workflow.submit_mode {
            SubmitMode::Inline => "its query is sent along with each execution",
            SubmitMode::Saved => "its query is saved at AMC",
        };
        output::line(format!("{} ({}): {way}", workflow.workflow_id, workflow.name))?;
        output::table(
            ["SHA256", "ADDED (UTC)", "PARAMETERS", "COMPILES", "SAVED AT AMC"],
            versions.iter().map(cells),
        )
    }
}

fn cells(version: &Told) -> [String; 5] {
    let current = if version.is_current { " *" } else { "" };
    let names = version.input_parameters.as_array().into_iter().flatten();
    let names: Vec<_> = names.filter_map(|one| one["name"].as_str()).collect();
    [
        format!("{}{current}", &version.sha256[..12]),
        version.created_at.format("%F %R").to_string(),
        if names.is_empty() { "-".to_owned() } else { names.join(", ") },
        said(&version.checks, "verdict"),
        said(&version.copies, "status"),
    ]
}

/// What AMC said on each instance, with its reason if it refused.
fn said(list: &Value, word: &str) -> String {
    let each = list.as_array().into_iter().flatten().map(|one| {
        let text = |field: &str| one[field].as_str().unwrap_or_default();
        match text("reason") {
            "" => format!("{}: {}", text("instance"), text(word)),
            reason => format!("{}: {} ({reason})", text("instance"), text(word)),
        }
    });
    let each: Vec<_> = each.collect();
    if each.is_empty() { "-".to_owned() } else { each.join("; ") }
}
