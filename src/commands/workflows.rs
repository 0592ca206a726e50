//! `recomamp workflows`: the queries that backfills run.

use super::{connect, input, output, refused, users};
use crate::amc::{AmcInstanceId, AmcWorkflowId, INLINE_CHARS_MAX, InputParameter, Sql};
use crate::config::Database;
use crate::store::workflows::{self, NewWorkflow, SyncStatus};
use crate::store::{VersionId, WorkflowUuid, instances, users as people, versions};
use crate::telemetry::Mode;
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The queries that backfills run.
#[derive(Debug, Subcommand)]
pub enum Workflows {
    Add(Add),
    Update(Update),
    List(List),
}

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
    #[arg(long)]
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

/// Lists the workflows.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp workflows list --json")]
pub struct List {
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
    /// A JSON file with the parameters that the query declares, as AMC takes them:
    /// `[{"name":"brand","dataType":"STRING"}]`.
    #[arg(long, value_name = "FILE")]
    parameters_file: Option<PathBuf>,
}

impl Workflows {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Add(command) => command.run().await,
            Self::Update(command) => command.run().await,
            Self::List(command) => command.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let (sql, parameters) = self.wording.read()?;
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
        let version = versions::add(&mut *tx, id, &sql, &parameters).await?;
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
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
        let (sql, parameters) = self.wording.read()?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let id = find(&mut tx, self.workflow_id.as_str()).await?;
        let version = versions::add(&mut *tx, id, &sql, &parameters).await?;
        tx.commit().await?;
        print(self.json, &self.workflow_id, id, version)
    }
}

async fn find(connection: &mut PgConnection, workflow_id: &str) -> Result<WorkflowUuid> {
    match workflows::by_workflow_id(connection, workflow_id).await? {
        Some(workflow) => Ok(workflow.id),
        None => bail!("there is no workflow {workflow_id}: see `recomamp workflows list`"),
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
    fn read(&self) -> Result<(String, Value)> {
        let text = input::text(&self.sql_file)?;
        let sql = Sql::normalise(&text)?;
        if sql.as_str().chars().count() > INLINE_CHARS_MAX {
            eprintln!(
                "Warning: the query has more than {INLINE_CHARS_MAX} characters, so AMC takes it only as a saved workflow."
            );
        }
        let parameters = match &self.parameters_file {
            Some(file) => declared(file)?,
            None => json!([]),
        };
        Ok((text.trim().to_owned(), parameters))
    }
}

fn declared(file: &Path) -> Result<Value> {
    let text = input::text(file)?;
    let parameters: Vec<InputParameter> = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is not a list of parameters such as [{{\"name\":\"brand\",\"dataType\":\"STRING\"}}]",
            file.display()
        )
    })?;
    Ok(serde_json::to_value(parameters)?)
}

#[derive(Debug, Serialize)]
struct Row {
    workflow_id: String,
    name: String,
    instance_id: String,
    user: String,
    version_id: Option<VersionId>,
    amc_sync_status: SyncStatus,
}

impl Row {
    fn cells(self) -> [String; 5] {
        let status = self.amc_sync_status.to_string();
        [self.workflow_id, self.name, self.instance_id, self.user, status]
    }
}

impl List {
    async fn run(self) -> Result<()> {
        let database: Database = super::settings(Mode::Command)?;
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
            amc_sync_status: workflow.amc_sync_status,
        });
        if self.json {
            return output::json(&rows.collect::<Vec<_>>());
        }
        output::table(["WORKFLOW", "NAME", "INSTANCE", "USER", "AT AMC"], rows.map(Row::cells))
    }
}
