//! `recomamp backfill`: collects many weeks of one report.

use super::{Exit, connect, output, watch};
use crate::backfill::plan::{LAG_DAYS_DEFAULT, PlanRequest};
use crate::backfill::start::{self, Prepared, Request};
use crate::backfill::{status, week::Week};
use crate::config::{Database, Limits};
use crate::jobs::feed;
use crate::queue::Queue;
use crate::queue::postgres::inspect;
use crate::telemetry::Mode;
use anyhow::{Context, Result};
use chrono::{NaiveDate, Weekday};
use chrono_tz::Tz;
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::PgConnection;

/// Collects many weeks of one report, the last complete ones or a range.
///
/// Prints the id of the new collection; its weeks and their jobs are created together or not at all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp backfill --workflow campaigns --weeks 52 --dry-run
  recomamp backfill --workflow campaigns --weeks 52 --watch
  recomamp backfill --workflow campaigns --from 2025-01-06 --until 2025-03-31 --param brand=Acme")]
pub struct Backfill {
    /// The workflow to run.
    #[arg(long)]
    workflow: String,
    /// The AMC instance to run it on; the workflow's own when not given.
    #[arg(long)]
    instance: Option<String>,
    /// How many weeks, ending with the last one that is complete and old enough.
    #[arg(long, default_value_t = 52, conflicts_with_all = ["from", "until"])]
    weeks: u32,
    /// The first day of the first week.
    #[arg(long, value_name = "DATE", requires = "until")]
    from: Option<NaiveDate>,
    /// The day after the last week.
    #[arg(long, value_name = "DATE", requires = "from")]
    until: Option<NaiveDate>,
    /// The zone in which days begin.
    #[arg(long, default_value_t = Tz::UTC)]
    timezone: Tz,
    /// How many days ago a week has to have ended, so that its numbers no longer change.
    #[arg(long, default_value_t = LAG_DAYS_DEFAULT)]
    lag_days: u16,
    /// The first day of every week.
    #[arg(long, value_name = "WEEKDAY", default_value = "monday")]
    week_starts_on: Weekday,
    /// A value for one of the workflow's parameters. May be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// What to call the collection on a page.
    #[arg(long)]
    name: Option<String>,
    /// Create nothing; show the weeks.
    #[arg(long, conflicts_with = "watch")]
    dry_run: bool,
    /// Follow it to its end; Ctrl-C stops watching, not the backfill.
    #[arg(long)]
    watch: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a dry run tells.
#[derive(Debug, Serialize)]
struct DryRun<'a> {
    workflow: &'a str,
    instance: &'a str,
    timezone: &'a str,
    lag_days: u16,
    week_starts_on: u32,
    parameters: &'a Value,
    warning: Option<String>,
    weeks: &'a [Week],
}

impl Backfill {
    /// Runs it.
    pub async fn run(self) -> Result<Exit> {
        let (database, limits): (Database, Limits) = super::settings(Mode::Command)?;
        let request = self.request(limits);
        let db = connect::ready(&database, 2).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        if self.dry_run {
            let prepared = start::prepare(&mut tx, &request).await?;
            return self.show(&request, &prepared).map(Exit::done);
        }
        let created = start::create(&mut tx, &request).await?;
        feed::top_up(&Queue::new(), &mut tx, created.collection).await?;
        tx.commit().await?;

        if let Some(warning) = &created.warning {
            eprintln!("Warning: {warning}.");
        }
        let mut connection = db.acquire().await?;
        say_who_works(&mut connection).await?;
        if !self.json {
            output::line(&created.collection_id)?;
        }
        let exit = if self.watch {
            watch::follow(&db, &created.collection_id).await?
        } else {
            if !self.json {
                eprintln!("Follow it with `recomamp status {} --watch`.", created.collection_id);
            }
            Exit::Done
        };
        if self.json {
            let status = status::of(&mut connection, &created.collection_id).await?;
            output::json(&status.context("the collection is gone")?)?;
        }
        Ok(exit)
    }

    fn request(&self, limits: Limits) -> Request {
        let weeks = match (self.from, self.until) {
            (Some(from), Some(until)) => PlanRequest::Range { from, until },
            _ => PlanRequest::Last(self.weeks),
        };
        let parameters = self.parameters.iter().cloned();
        Request {
            workflow: self.workflow.clone(),
            instance: self.instance.clone(),
            weeks,
            zone: self.timezone,
            lag_days: self.lag_days,
            week_starts_on: self.week_starts_on,
            parameters: parameters
                .map(|(name, value)| (name, Value::from(value)))
                .collect::<Map<_, _>>()
                .into(),
            name: self.name.clone(),
            max_attempts_per_week: i32::try_from(limits.week_attempts).unwrap_or(i32::MAX),
            actor: "backfill",
        }
    }

    fn show(&self, request: &Request, prepared: &Prepared) -> Result<()> {
        let weeks = &prepared.plan.slices;
        let warning = prepared.plan.warning();
        if self.json {
            return output::json(&DryRun {
                workflow: &request.workflow,
                instance: &prepared.instance.instance_id,
                timezone: request.zone.name(),
                lag_days: request.lag_days,
                week_starts_on: request.week_starts_on.number_from_monday(),
                parameters: &request.parameters,
                warning,
                weeks,
            });
        }
        let rows = weeks.iter().enumerate().map(|(index, week)| {
            let hours = week.hours(request.zone).to_string();
            [(index + 1).to_string(), week.start.to_string(), week.end.to_string(), hours]
        });
        output::table(["WEEK", "FROM", "UNTIL", "HOURS"], rows)?;
        if let Some(warning) = warning {
            eprintln!("Warning: {warning}.");
        }
        eprintln!(
            "{} weeks of {} on {}. Nothing was created.",
            weeks.len(),
            request.workflow,
            prepared.instance.instance_id
        );
        Ok(())
    }
}

/// A backfill without a worker looks like one that hangs.
async fn say_who_works(connection: &mut PgConnection) -> Result<()> {
    if inspect::sessions(connection).await?.is_empty() {
        eprintln!("No worker is running: the backfill begins when one does (`recomamp work`).");
    }
    Ok(())
}

fn parameter(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give a name and a value, as in brand=Acme"),
    }
}
