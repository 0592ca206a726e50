//! A schedule is added.

use super::Asked;
use super::times::Times;
use crate::clock;
use crate::commands::values::Values;
use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::given;
use crate::register::webhooks::event;
use crate::schedule::manage::{self, Request};
use crate::schedule::window::WindowRule;
use crate::store::schedules::{self, CatchUp, OverlapPolicy, WindowAnchor};
use crate::telemetry::Mode;
use anyhow::{Context, Result};
use chrono_tz::Tz;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

/// Adds a schedule, by cron or by an interval of days. It fires for times after now.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp schedules add --schedule-id monday --workflow campaigns --cron '0 2 * * 1' --timezone America/New_York
  recomamp schedules add --schedule-id fortnight --workflow campaigns --every-days 14 --from 2025-01-06 --at 03:30

The five fields of cron are minute, hour, day of month, month and day of week: Sunday is 0 or 7, Monday
is 1, L the last day, 15W the working day nearest to the 15th, 1#2 the second Monday, 5L the last Friday.
A time that the clocks skip is due right after the gap; one that happens twice is due once.")]
#[command(group(ArgGroup::new("due").args(["cron", "every_days"]).required(true)))]
#[command(group(ArgGroup::new("days").args(["every_days"]).requires("from")))]
pub struct Add {
    /// How people and programs name it: letters, digits, dot, hyphen and underscore.
    #[arg(long, value_parser = given::id)]
    schedule_id: String,
    /// The workflow to run.
    #[arg(long)]
    workflow: String,
    /// What to call it on a page.
    #[arg(long, value_parser = given::name)]
    name: Option<String>,
    #[command(flatten)]
    times: Times,
    /// The IANA zone in which it is due, and in which the days of its windows begin.
    #[arg(long, default_value_t = Tz::UTC, value_parser = given::zone)]
    timezone: Tz,
    #[command(flatten)]
    windows: Windows,
    #[command(flatten)]
    parameters: Values,
    /// What happens to times that passed while nothing could fire: none, latest or all.
    #[arg(long, default_value = "latest")]
    catch_up: CatchUp,
    /// How many of them fire at most.
    #[arg(long, default_value_t = 10)]
    catch_up_max: i32,
    /// What happens to a run that is due while an earlier one is unfinished: `skip`, `queue_one` or
    /// `cancel_old`.
    #[arg(long, default_value = "skip")]
    overlap: OverlapPolicy,
    /// By how many seconds at most the work of a run is put off.
    #[arg(long, default_value_t = 0)]
    jitter_seconds: i32,
    /// How many executions a run may spend before it is failed.
    #[arg(long, default_value_t = 5)]
    max_attempts: i32,
    /// How many failed runs in a row pause it; 0 for never.
    #[arg(long, default_value_t = 3)]
    failure_threshold: i32,
    /// How many runs that have ended are kept, with their results; for as long as `RECOMAMP_RUN_RETENTION`
    /// says when not given.
    #[arg(long, value_name = "RUNS", value_parser = clap::value_parser!(i32).range(1..=65_535))]
    keep_runs: Option<i32>,
    /// Of which of its events webhooks are told, as in `run_failed,auto_paused`; of all that they want
    /// when not given.
    #[arg(long, value_name = "EVENTS", value_delimiter = ',', value_parser = event)]
    notify: Option<Vec<String>>,
    #[command(flatten)]
    asked: Asked,
}

/// Which days a run asks for.
#[derive(Debug, Args)]
struct Windows {
    /// How many days a window has.
    #[arg(long, default_value_t = manage::WINDOW_DEFAULT.lookback_days)]
    lookback_days: i32,
    /// How many days ago a window has to have ended, so that its numbers no longer change.
    #[arg(long, default_value_t = manage::WINDOW_DEFAULT.lag_days)]
    lag_days: i32,
    /// With what a window ends: day, week or month.
    #[arg(long, default_value = "day")]
    window_anchor: WindowAnchor,
}

impl Add {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let parameters = Value::from(self.parameters.read()?);
        let window = WindowRule {
            lookback_days: self.windows.lookback_days,
            lag_days: self.windows.lag_days,
            anchor: self.windows.window_anchor,
        };
        let timing = self.times.timing(self.timezone.name()).context("no time is given")?;
        let request = Request {
            schedule_id: &self.schedule_id,
            workflow: &self.workflow,
            name: self.name.as_deref(),
            timing,
            window,
            parameters: &parameters,
            catch_up: (self.catch_up, self.catch_up_max),
            overlap: self.overlap,
            jitter_seconds: self.jitter_seconds,
            max_attempts_per_run: self.max_attempts,
            failure_threshold: (self.failure_threshold != 0).then_some(self.failure_threshold),
        };
        let due = request.checked()?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let id = manage::add(&mut tx, &request, &self.asked.asker.because()).await?;
        schedules::keep_runs(&mut *tx, id, self.keep_runs).await?;
        schedules::notify(&mut *tx, id, self.notify.as_deref()).await?;
        let next = manage::ahead(&due, window, clock::now(&mut *tx).await?, 1).pop();
        tx.commit().await?;
        let next = next.map(|next| next.due_at);
        if self.asked.json {
            let answer = json!({"id": id, "schedule_id": self.schedule_id, "next": next});
            return output::json(&answer);
        }
        output::line(&self.schedule_id)?;
        if let Some(next) = next {
            eprintln!("It is due next at {}, if a scheduler runs.", next.format("%F %R UTC"));
        }
        Ok(())
    }
}
