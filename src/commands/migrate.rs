//! `recomamp migrate`: brings the database's schema to the one that this program needs.

use super::{Exit, connect, output};
use crate::schema::{self, MIGRATIONS, Standing};
use crate::{config, telemetry::Mode};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use std::time::Duration;

/// The pauses before a step is tried again that could not lock a table.
const LOCK_RETRIES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(15)];

/// Held while the steps are taken, so that of two who migrate at once one waits and finds it done.
const LOCK: i64 = 0x6d69_6772_6174_6500;

/// Brings the database's schema up to date.
///
/// Safe to repeat and to run while the processes of the last release still work. A database that a
/// newer release has migrated is left alone.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  recomamp migrate\n  recomamp migrate --status    # exit code 3 unless it is up to date"
)]
pub struct Migrate {
    /// Change nothing; list the steps.
    #[arg(long)]
    status: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Step {
    version: i64,
    description: String,
    applied: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    up_to_date: bool,
    applied_now: usize,
    message: String,
    steps: Vec<Step>,
}

impl Migrate {
    /// Runs it.
    pub async fn run(self) -> Result<Exit> {
        let database: config::Database = super::settings(Mode::Command)?;
        let db = connect::database(&database, 1).await?;
        let mut connection = db.acquire().await?;
        let applied_now = if self.status { 0 } else { migrate(&mut connection).await? };
        let standing = schema::standing(&mut *connection).await?;
        let report = Report {
            up_to_date: standing.is_current(),
            applied_now,
            message: standing.to_string(),
            steps: steps(&mut connection).await?,
        };
        self.print(&report)?;
        Ok(if report.up_to_date { Exit::Done } else { Exit::Unhealthy })
    }

    fn print(&self, report: &Report) -> Result<()> {
        if self.json {
            return output::json(report);
        }
        if self.status {
            let rows = report.steps.iter().map(|step| {
                let word = if step.applied { "applied" } else { "missing" };
                [step.version.to_string(), step.description.clone(), word.to_owned()]
            });
            output::table(["STEP", "WHAT", "STATUS"], rows)?;
            return output::line(&report.message);
        }
        match report.applied_now {
            0 => output::line("nothing to do: the schema is up to date"),
            1 => output::line("1 step applied: the schema is up to date"),
            steps => output::line(format!("{steps} steps applied: the schema is up to date")),
        }
    }
}

/// Takes the missing steps and says how many they were. The lock ends with the connection, which
/// ends with this command.
async fn migrate(connection: &mut PgConnection) -> Result<usize> {
    connect::supported(connection).await?;
    lock(connection).await?;
    match schema::standing(&mut *connection).await? {
        Standing::Current => Ok(0),
        Standing::Behind { missing } => {
            patiently(connection).await?;
            Ok(missing)
        }
        standing => bail!("{standing}"),
    }
}

/// Takes the steps. One that waits for a table too long gives up, so that nobody waits behind it; it
/// has changed nothing then, and is tried again.
async fn patiently(connection: &mut PgConnection) -> Result<()> {
    for pause in LOCK_RETRIES {
        match MIGRATIONS.run(&mut *connection).await {
            Err(error) if waited_for_a_lock(&error) => {
                eprintln!(
                    "A table is in use and could not be locked: trying again in {} s. `select * from \
                     pg_stat_activity where state <> 'idle'` shows who uses it.",
                    pause.as_secs()
                );
                tokio::time::sleep(pause).await;
            }
            done => return done.context("the schema could not be migrated"),
        }
    }
    MIGRATIONS.run(connection).await.context(
        "the schema could not be migrated: a long transaction uses a table that has to change; end it, \
         or wait for it, and run `recomamp migrate` again",
    )
}

/// Whether the server said `lock_not_available`.
fn waited_for_a_lock(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    error.as_database_error().and_then(DatabaseError::code).as_deref() == Some("55P03")
}

/// Waits for another `migrate`, and says so.
async fn lock(connection: &mut PgConnection) -> Result<()> {
    let is_ours: bool = sqlx::query_scalar(
        r"-- migrate_try_lock
        select pg_try_advisory_lock($1)",
    )
    .bind(LOCK)
    .fetch_one(&mut *connection)
    .await?;
    if !is_ours {
        eprintln!("Another `recomamp migrate` is at work on this database: waiting for it.");
        sqlx::query(
            r"-- migrate_lock
            select pg_advisory_lock($1)",
        )
        .bind(LOCK)
        .execute(connection)
        .await?;
    }
    Ok(())
}

async fn steps(connection: &mut PgConnection) -> Result<Vec<Step>> {
    let applied = schema::applied(connection).await?;
    let steps = MIGRATIONS.iter().filter(|step| step.migration_type.is_up_migration());
    Ok(steps
        .map(|step| Step {
            version: step.version,
            description: step.description.to_string(),
            applied: applied.contains(&step.version),
        })
        .collect())
}
