//! A workflow is added with its query, or given another one.

use super::find;
use crate::amc::{AmcInstanceId, AmcWorkflowId, INLINE_CHARS_MAX, Sql};
use crate::backfill::request::form;
use crate::commands::{connect, input, output, refused, settings, users, wrong};
use crate::config::Database;
use crate::given;
use crate::parameters::{check, declare, fill};
use crate::store::executions::SubmitMode;
use crate::store::workflows::{self, NewWorkflow};
use crate::store::{VersionId, WorkflowUuid, instances, schedules, versions};
use crate::telemetry::Mode;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use sqlx::PgConnection;
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
        let read = self.wording.read()?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let user = users::find(&mut tx, &self.user).await?;
        let instance = instances::by_instance_id(&mut *tx, self.instance.as_str()).await?;
        let Some(instance) = instance else {
            bail!("there is no instance {}: see `recomamp instances list`", self.instance);
        };
        let workflow = NewWorkflow {
            workflow_id: self.workflow_id.as_str(),
            name: &self.name,
            instance_id: instance.id,
            user_id: user.id,
        };
        let id = workflows::insert(&mut *tx, &workflow).await.map_err(|error| {
            let taken = format!(
                "there is a workflow {} already: change its query with `recomamp workflows update`",
                self.workflow_id
            );
            refused::insert(error, taken)
        })?;
        let version = read.store(&mut tx, id).await?;
        tx.commit().await?;
        print(self.json, &self.workflow_id, id, version)?;
        if !self.json {
            eprintln!(
                "Next: recomamp backfill --workflow {} --weeks 52 --dry-run",
                self.workflow_id
            );
        }
        Ok(())
    }
}

impl Update {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let read = self.wording.read()?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let workflow = find(&mut tx, self.workflow_id.as_str()).await?;
        let (id, form) = (workflow.id, form(&workflow));
        let version = read.store(&mut tx, id).await?;
        for schedule in schedules::list(&mut *tx)
            .await?
            .iter()
            .filter(|s| s.workflow == self.workflow_id.as_str())
        {
            if let Err(wrong) =
                check::check(&read.sql, &read.parameters, &schedule.parameters, form)
            {
                eprintln!("Warning: runs of schedule {} will fail: {wrong}", schedule.schedule_id);
            }
        }
        tx.commit().await?;
        print(self.json, &self.workflow_id, id, version)
    }
}

fn print(json: bool, name: &AmcWorkflowId, id: WorkflowUuid, version: VersionId) -> Result<()> {
    if json {
        return output::json(&json!({"id": id, "workflow_id": name, "version_id": version}));
    }
    output::line(id)
}

impl Wording {
    /// The query, checked but word for word, and the parameters it declares.
    fn read(&self) -> Result<Read> {
        let text = input::text(&self.sql_file)?;
        let parameters = match &self.parameters_file {
            Some(file) => list(file)?,
            None => json!([]),
        };
        let declared = declare::parse(&parameters)?;
        let sql = Sql::normalise(&fill::bare(&text, &declared)?.sql)?;
        let too_long = sql.as_str().chars().count() > INLINE_CHARS_MAX;
        if self.saved || too_long {
            let saved = fill::saved(&text, &declared).map_err(anyhow::Error::from);
            saved.context("the query cannot be saved at AMC")?;
        }
        if too_long && !self.saved {
            eprintln!(
                "The query has more than {INLINE_CHARS_MAX} characters, so it will be saved at AMC."
            );
        }
        let mode = if self.saved || too_long { SubmitMode::Saved } else { SubmitMode::Inline };
        Ok(Read { sql: text.trim().to_owned(), parameters, mode })
    }
}

/// A wording that has been read.
struct Read {
    sql: String,
    parameters: Value,
    mode: SubmitMode,
}

impl Read {
    async fn store(&self, tx: &mut PgConnection, workflow: WorkflowUuid) -> Result<VersionId> {
        workflows::submit_as(&mut *tx, workflow, self.mode).await?;
        Ok(versions::add(tx, workflow, &self.sql, &self.parameters).await?)
    }
}

fn list(file: &Path) -> Result<Value> {
    let text = input::text(file)?;
    let not_json = |error| wrong(format!("{} is not JSON: {error}", file.display()));
    serde_json::from_str(&text).map_err(not_json)
}
