//! A schedule is run now, paused, resumed, taken away; its runs are cancelled.

use super::Asked;
use crate::commands::person::Person;
use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::given;
use crate::plural::counted;
use crate::queue::Queue;
use crate::schedule::manage;
use crate::telemetry::Mode;
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

/// Runs a schedule once, now, after its runs that are unfinished. Its due times stay what they are.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp schedules trigger monday")]
pub struct Trigger {
    /// The schedule.
    schedule_id: String,
    #[command(flatten)]
    asked: Asked,
}

/// Pauses a schedule. What is under way goes on.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp schedules pause monday --why 'the campaign has ended' --until 2026-01-05T00:00:00Z"
)]
pub struct Pause {
    /// The schedule.
    schedule_id: String,
    /// Why, in one sentence.
    #[arg(long, alias = "reason", value_parser = given::reason)]
    why: String,
    /// When it goes on by itself.
    #[arg(long, value_name = "TIME", value_parser = given::time)]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lets a paused schedule go on. What was due meanwhile is treated as its `catch_up` says.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp schedules resume monday")]
pub struct Resume {
    /// The schedule.
    schedule_id: String,
    #[command(flatten)]
    asked: Asked,
}

/// Cancels the unfinished runs of a schedule, at AMC too.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp schedules cancel monday")]
pub struct Cancel {
    /// The schedule.
    schedule_id: String,
    #[command(flatten)]
    asked: Asked,
}

/// Takes a schedule away and cancels its unfinished runs. Its past runs stay.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp schedules remove monday")]
pub struct Remove {
    /// The schedule.
    schedule_id: String,
    #[command(flatten)]
    asked: Asked,
}

impl Trigger {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let because = self.asked.asker.because();
        let run = manage::trigger(&mut tx, &Queue::new(), &self.schedule_id, &because).await?;
        tx.commit().await?;
        if self.asked.json {
            return output::json(&json!({"run_id": run}));
        }
        output::line(run)
    }
}

impl Pause {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let because = self.person.because(Some(&self.why));
        let schedule = manage::pause(&mut tx, &self.schedule_id, self.until, &because).await?;
        tx.commit().await?;
        say(self.json, &schedule.schedule_id, schedule.status.as_str())
    }
}

impl Resume {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let because = self.asked.asker.because();
        let schedule = manage::resume(&mut tx, &self.schedule_id, &because).await?;
        tx.commit().await?;
        say(self.asked.json, &schedule.schedule_id, schedule.status.as_str())
    }
}

impl Cancel {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let because = self.asked.asker.because();
        let runs = manage::cancel_runs(&mut tx, &Queue::new(), &self.schedule_id, &because).await?;
        tx.commit().await?;
        if self.asked.json {
            return output::json(&json!({"schedule_id": self.schedule_id, "cancelled": runs}));
        }
        output::line(format!("{} cancelled", counted(runs, "run", "runs")))
    }
}

impl Remove {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let because = self.asked.asker.because();
        manage::remove(&mut tx, &Queue::new(), &self.schedule_id, &because).await?;
        tx.commit().await?;
        say(self.asked.json, &self.schedule_id, "removed")
    }
}

fn say(json: bool, schedule_id: &str, status: &str) -> Result<()> {
    if json {
        return output::json(&json!({"schedule_id": schedule_id, "status": status}));
    }
    output::line(format!("{schedule_id} is {status}"))
}
