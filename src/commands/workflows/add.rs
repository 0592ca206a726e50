//! A workflow is added with its query, or changed.

use crate::amc::{AmcInstanceId, AmcWorkflowId, INLINE_CHARS_MAX};
use crate::commands::person::{Asker, Person};
use crate::commands::{connect, input, output, settings, wrong};
use crate::config::Database;
use crate::given;
use crate::register::workflows::{self, Changes, NewWorkflow, Stored, Updated, Wording};
use crate::telemetry::Mode;
use anyhow::Result;
use clap::{ArgGroup, Args};
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
    /// The file with the query; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    sql_file: PathBuf,
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Changes a workflow's query, its parameters, or whether AMC keeps it. What is not given stays.
///
/// Backfills that have begun keep what they began with.
#[derive(Debug, Args)]
#[command(override_usage = "recomamp workflows update [OPTIONS] <WORKFLOW_ID>")]
#[command(after_help = "\
Examples:
  recomamp workflows update campaigns --sql-file campaigns.sql
  recomamp workflows update campaigns --parameters-file campaigns.json --why 'a brand may be given'
  recomamp workflows update campaigns --saved=false")]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args([
    "sql_file", "parameters_file", "saved",
])))]
pub struct Update {
    /// The workflow.
    workflow_id: AmcWorkflowId,
    /// The file with the query; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    sql_file: Option<PathBuf>,
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    asker: Asker,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What belongs to a query.
#[derive(Debug, Args)]
struct Manner {
    /// A JSON file that declares the parameters of the query, in our words or in AMC's:
    /// `[{"name":"asins","type":"asin_list"},{"name":"brand","dataType":"STRING"}]`.
    #[arg(long, value_name = "FILE")]
    parameters_file: Option<PathBuf>,
    /// Have AMC keep the query, instead of sending it along with each execution; `--saved=false` for the
    /// other way round. One that is too long to be sent along is saved in any case.
    #[arg(
        long, value_name = "true|false", num_args = 0..=1, require_equals = true,
        default_missing_value = "true",
    )]
    saved: Option<bool>,
}

impl Add {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let wording = self.wording()?;
        let db = connect::ready(&database, 1).await?;
        let new = NewWorkflow {
            workflow_id: self.workflow_id,
            name: self.name,
            instance_id: self.instance.to_string(),
            user: self.user,
        };
        let mut tx = crate::transaction::begin(&db).await?;
        let because = self.person.because(None);
        let stored = workflows::add(&mut tx, &new, &wording, &because).await?;
        tx.commit().await?;
        say_if_long(wording.is_long);
        print(self.json, &new.workflow_id, stored)?;
        if !self.json {
            eprintln!(
                "Next: recomamp backfill --workflow {} --weeks 52 --dry-run",
                new.workflow_id
            );
        }
        Ok(())
    }

    /// Reads the files that are named.
    fn wording(&self) -> Result<Wording> {
        let text = input::text(&self.sql_file)?;
        let parameters = self.manner.parameters()?.unwrap_or_else(|| json!([]));
        Ok(Wording::read(&text, parameters, self.manner.saved.unwrap_or(false))?)
    }
}

impl Update {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let changes = self.changes()?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let (id, because) = (self.workflow_id.as_str(), self.asker.because());
        let updated = workflows::update(&mut tx, id, &changes, &because).await?;
        tx.commit().await?;
        let Updated { stored, broken, is_long } = updated;
        say_if_long(is_long);
        for one in broken {
            eprintln!("Warning: runs of schedule {} will fail: {}", one.schedule_id, one.why);
        }
        print(self.json, &self.workflow_id, stored)
    }

    /// Reads the files that are named.
    fn changes(&self) -> Result<Changes> {
        Ok(Changes {
            sql: self.sql_file.as_deref().map(input::text).transpose()?,
            parameters: self.manner.parameters()?,
            saved: self.manner.saved,
        })
    }
}

fn print(json: bool, name: &AmcWorkflowId, stored: Stored) -> Result<()> {
    let Stored { id, version_id } = stored;
    if json {
        return output::json(&json!({"id": id, "workflow_id": name, "version_id": version_id}));
    }
    output::line(id)
}

impl Manner {
    fn parameters(&self) -> Result<Option<Value>> {
        self.parameters_file.as_deref().map(list).transpose()
    }
}

fn say_if_long(is_long: bool) {
    if is_long {
        eprintln!(
            "The query has more than {INLINE_CHARS_MAX} characters, so it will be saved at AMC."
        );
    }
}

fn list(file: &Path) -> Result<Value> {
    let text = input::text(file)?;
    let not_json = |error| wrong(format!("{} is not JSON: {error}", file.display()));
    serde_json::from_str(&text).map_err(not_json)
}
