//! `recomamp gates list`: every resource that has a gate.

use crate::commands::{connect, output};
use crate::config::Database;
use crate::queue::gate::breaker::Phase;
use crate::queue::postgres::inspect::gates::{self, GatesRow};
use crate::telemetry::Mode;
use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Args;

/// The most that is listed.
pub const LIMIT: i64 = 1000;

/// Lists the resources that have a gate, and how each gate stands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp gates list
  recomamp gates list --after amc_instance:amcacme --json")]
pub struct List {
    /// The page after the one that ended with this resource.
    #[arg(long, value_name = "RESOURCE")]
    after: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = crate::commands::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut connection = db.acquire().await?;
        let now = crate::clock::now(&mut *connection).await?;
        let rows = gates::list(&mut connection, self.after.as_deref(), LIMIT).await?;
        if self.json {
            return output::json(&rows);
        }
        print(&rows, now)
    }
}

/// One line for each resource.
pub fn print(rows: &[GatesRow], now: DateTime<Utc>) -> Result<()> {
    let rows = rows.iter().map(|row| {
        let shut = row.lanes_shut.to_string();
        [row.name.clone(), gates_of(row, now).join(", "), standing(row, now), shut]
    });
    output::table(["RESOURCE", "GATES", "SHUT NOW", "LANES WAITING"], rows)
}

/// Each gate in a phrase.
pub(super) fn gates_of(row: &GatesRow, now: DateTime<Utc>) -> Vec<String> {
    let mut gates = Vec::new();
    gates.extend(row.max_running.map(|max| format!("running {} of {max}", row.running)));
    gates.extend(row.max_holds.map(|max| format!("holds {} of {max}", row.held)));
    gates.extend(
        row.rate.as_ref().map(|rate| format!("rate {} in {:?}", rate.tokens(), rate.period())),
    );
    gates.extend(row.quota.as_ref().map(|quota| {
        format!("quota {} of {} ({})", quota.used_today(now), quota.limit(), quota.zone())
    }));
    gates.extend(row.breaker.as_ref().map(|breaker| {
        let phase = match breaker.phase() {
            Phase::Closed => "closed",
            Phase::Open => "open",
            Phase::HalfOpen => "half-open",
        };
        format!("breaker {phase}")
    }));
    if row.weight != 1 {
        gates.push(format!("weight {}", row.weight));
    }
    gates
}

/// What a person looks for first.
fn standing(row: &GatesRow, now: DateTime<Utc>) -> String {
    if let (Some(by), Some(why)) = (&row.paused_by, &row.pause_reason) {
        let until = row.paused_until.map(|at| format!(" until {}", output::time(at)));
        return format!("paused{} by {by}: {why}", until.unwrap_or_default());
    }
    if let Some(until) = row.not_before.filter(|until| *until > now) {
        let why = row.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        return format!("left alone until {}{why}", output::time(until));
    }
    let is_open = row.breaker.as_ref().is_some_and(|breaker| breaker.phase() == Phase::Open);
    if is_open { "breaker".to_owned() } else { String::new() }
}
