//! `recomamp gates show`: one resource with its gates, who is in, who waits, and what happened.

use super::list::gates_of;
use crate::commands::{connect, output};
use crate::config::Database;
use crate::queue::explain::Holders;
use crate::queue::gate::breaker::State;
use crate::queue::postgres::inspect::gates::{self, WholeGates};
use crate::telemetry::Mode;
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::Args;

/// Shows a resource with all its gates, who has a place, which lanes wait, and what happened last.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp gates show amc_instance:amcacme")]
pub struct Show {
    /// The resource, such as host:api.example.com, queue:default or kind:ping.
    resource: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = crate::commands::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut connection = db.acquire().await?;
        let now = crate::clock::now(&mut *connection).await?;
        let found = gates::whole(&mut connection, &self.resource).await?;
        let found = found.with_context(|| {
            format!("nobody has ever used {}: see `recomamp gates list`", self.resource)
        })?;
        if self.json { output::json(&found) } else { print(&found, now) }
    }
}

fn print(found: &WholeGates, now: DateTime<Utc>) -> Result<()> {
    let row = &found.row;
    let gates = gates_of(row, now);
    let gates = if gates.is_empty() { "no gates".to_owned() } else { gates.join(", ") };
    output::line(format!("{}: {gates}", row.name))?;
    if let (Some(by), Some(at), Some(why)) = (&row.paused_by, row.paused_at, &row.pause_reason) {
        let until = match row.paused_until {
            Some(at) => output::time(at),
            None => "somebody resumes it".to_owned(),
        };
        output::line(format!("Paused by {by} since {} until {until}: {why}", output::time(at)))?;
    }
    if let Some(until) = row.not_before {
        let why = row.reason.as_deref().unwrap_or("no reason given");
        output::line(format!("To be left alone until {}: {why}", output::time(until)))?;
    }
    match row.breaker.as_ref().map(|breaker| breaker.state()) {
        Some(State::Open { why, .. }) => output::line(format!("Breaker {why}"))?,
        Some(State::HalfOpen { left, good, probes, .. }) => output::line(format!(
            "Breaker half-open: {} probes under way, {good} succeeded, {left} may still start",
            probes.len()
        ))?,
        _ => {}
    }
    for shut in &found.shut {
        let until = match shut.opens_at {
            Some(at) => format!("opens at {}", output::time(at)),
            None => "opens when something happens".to_owned(),
        };
        output::line(format!("Shut now: {} ({until})", shut.gate.as_str()))?;
    }
    people("RUNNING", &found.running_jobs)?;
    people("HOLDER", &found.holders)?;
    lanes(found)?;
    events(found)
}

fn people(heading: &str, holders: &Holders) -> Result<()> {
    if holders.first.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let rows = holders.first.iter().map(|holder| {
        [holder.name.clone(), holder.job_id.to_string(), output::time_if(holder.since)]
    });
    output::table([heading, "JOB", "SINCE"], rows)?;
    let shown = i64::try_from(holders.first.len()).unwrap_or(i64::MAX);
    if holders.count > shown {
        output::line(format!("and {} more", holders.count - shown))?;
    }
    Ok(())
}

fn lanes(found: &WholeGates) -> Result<()> {
    if found.lanes.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let rows = found.lanes.iter().map(|lane| {
        [
            lane.queue.clone(),
            lane.kind.clone(),
            lane.shut_gate.clone().unwrap_or_default(),
            output::time_if(lane.shut_since),
            output::time_if(lane.opens_at),
        ]
    });
    output::table(["LANE OF QUEUE", "KIND", "SHUT BY", "SINCE", "OPENS AT"], rows)
}

fn events(found: &WholeGates) -> Result<()> {
    if found.events.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let rows = found.events.iter().map(|event| {
        [output::time(event.at), event.what.clone(), event.by.clone(), event.why.clone()]
    });
    output::table(["WHEN", "WHAT", "BY", "WHY"], rows)
}
