//! A workflow is added with its query, or given another one.

use crate::amc::{AmcInstanceId, AmcWorkflowId, INLINE_CHARS_MAX};
use crate::commands::{connect, input, output, settings, wrong};
use crate::config::Database;
use crate::given;
use crate::register::workflows::{self, NewWorkflow, Stored};
use crate::telemetry::Mode;
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Adds a workflow with its query.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp workflows add --workflow-id campaigns --name Campaigns --instance amcibersblt --user ana@example.com --sql-file campaigns.sql"
)]
pub struct Add {
    /// How people and programs name it: letters, digits, dot, hyphen and underscore.
    #[arg(long)]
    workflow_id: AmcWorkflowId,
    /// What to call it on a page.
    #[arg(long, value_parser = given::name)]
    name: String,
    /// The AMC instance it is meant for.
    #[arg(long)]
    instance: AmcInstanceId,
    /// The email of the user whose it is.
    #[arg(long)]
    user: String,
    #[command(flatten)]
    wording: Wording,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Gives a workflow another query. Backfills that have begun keep the one they began with.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp workflows update campaigns --sql-file campaigns.sql")]
pub struct Update {
    /// The workflow.
    workflow_id: AmcWorkflowId,
    #[command(flatten)]
    wording: Wording,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a workflow says.
#[derive(Debug, Args)]
struct Wording {
    /// The file with the query; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    sql_file: PathBuf,
    /// A JSON file that declares the parameters of the query, in our words or in AMC's:
    /// `[{"name":"asins","type":"asin_list"},{"name":"brand","dataType":"STRING"}]`.
    #[arg(long, value_name = "FILE")]
    parameters_file: Option<PathBuf>,
    /// Have AMC keep the query, instead of sending it along with each execution. One that is too long to
    /// be sent along is saved in any case.
    #[arg(long)]
    saved: bool,
}

impl Add {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let wording = self.wording.read()?;
        let db = connect::ready(&database, 1).await?;
        let new = NewWorkflow {
            workflow_id: self.workflow_id,
            name: self.name,
            instance_id: self.instance.to_string(),
            user: self.user,
        };
        let mut tx = crate::transaction::begin(&db).await?;
        let stored = workflows::add(&mut tx, &new, &wording).await?;
        tx.commit().await?;
        print(self.json, &new.workflow_id, stored)?;
        if !self.json {
            eprintln!(
                "Next: recomamp backfill --workflow {} --weeks 52 --dry-run",
                new.workflow_id
            );
        }
        Ok(())
    }
}

impl Update {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let wording = self.wording.read()?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let id = self.workflow_id.as_str();
        let (stored, broken) = workflows::update(&mut tx, id, &wording).await?;
        tx.commit().await?;
        for one in broken {
            eprintln!("Warning: runs of schedule {} will fail: {}", one.schedule_id, one.why);
        }
        print(self.json, &self.workflow_id, stored)
    }
}

fn print(json: bool, name: &AmcWorkflowId, stored: Stored) -> Result<()> {
    let Stored { id, version_id } = stored;
    if json {
        return output::json(&json!({"id": id, "workflow_id": name, "version_id": version_id}));
    }
    output::line(id)
}

impl Wording {
    /// Reads the files that are named.
    fn read(&self) -> Result<workflows::Wording> {
        let text = input::text(&self.sql_file)?;
        let parameters = match &self.parameters_file {
            Some(file) => list(file)?,
            None => json!([]),
        };
        let read = workflows::Wording::read(&text, parameters, self.saved)?;
        if read.is_long {
            eprintln!(
                "The query has more than {INLINE_CHARS_MAX} characters, so it will be saved at AMC."
            );
        }
        Ok(read)
    }
}

fn list(file: &Path) -> Result<Value> {
    let text = input::text(file)?;
    let not_json = |error| wrong(format!("{} is not JSON: {error}", file.display()));
    serde_json::from_str(&text).map_err(not_json)
}
