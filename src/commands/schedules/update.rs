//! A schedule is changed while it is in use.

use super::Asked;
use super::times::Times;
use crate::commands::values::Values;
use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::given;
use crate::queue::Queue;
use crate::register::webhooks::event;
use crate::schedule::change::{Changes, KEEP_RUNS, Wanted, change};
use crate::store::schedules::{CatchUp, OverlapPolicy, Rules, WindowAnchor};
use crate::telemetry::Mode;
use anyhow::Result;
use chrono_tz::Tz;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

/// What takes a bound away.
const ALL: &str = "all";

/// Changes a schedule from now on. What is not given stays.
///
/// What was due before fires by the old times and rules; runs that have begun keep their days. With
/// `--param`, the parameters have the values that are given, and no others.
#[derive(Debug, Args)]
#[command(override_usage = "recomamp schedules update [OPTIONS] <SCHEDULE_ID>")]
#[command(after_help = "\
Examples:
  recomamp schedules update monday --cron '0 4 * * 1'
  recomamp schedules update fortnight --at 05:00
  recomamp schedules update monday --failure-threshold 5 --overlap queue_one
  recomamp schedules update monday --keep-runs 50 --notify run_failed,auto_paused
  recomamp schedules update monday --keep-runs all --notify all")]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args([
    "cron", "every_days", "from", "at", "timezone", "name", "lookback_days", "lag_days", "window_anchor", "given",
    "catch_up", "catch_up_max", "overlap", "jitter_seconds", "max_attempts", "failure_threshold", "keep_runs", "notify",
])))]
pub struct Update {
    /// The schedule.
    schedule_id: String,
    #[command(flatten)]
    times: Times,
    /// The IANA zone in which it is due, and in which the days of its windows begin.
    #[arg(long, value_parser = given::zone)]
    timezone: Option<Tz>,
    /// What to call it on a page.
    #[arg(long, value_parser = given::name)]
    name: Option<String>,
    /// How many days a window has.
    #[arg(long)]
    lookback_days: Option<i32>,
    /// How many days ago a window has to have ended, so that its numbers no longer change.
    #[arg(long)]
    lag_days: Option<i32>,
    /// With what a window ends: day, week or month.
    #[arg(long)]
    window_anchor: Option<WindowAnchor>,
    #[command(flatten)]
    parameters: Values,
    /// What happens to times that passed while nothing could fire: none, latest or all.
    #[arg(long)]
    catch_up: Option<CatchUp>,
    /// How many of them fire at most.
    #[arg(long)]
    catch_up_max: Option<i32>,
    /// What happens to a run that is due while an earlier one is unfinished: `skip`, `queue_one` or
    /// `cancel_old`.
    #[arg(long)]
    overlap: Option<OverlapPolicy>,
    /// By how many seconds at most the work of a run is put off.
    #[arg(long)]
    jitter_seconds: Option<i32>,
    /// How many executions a run may spend before it is failed.
    #[arg(long)]
    max_attempts: Option<i32>,
    /// How many failed runs in a row pause it; 0 for never.
    #[arg(long)]
    failure_threshold: Option<i32>,
    /// How many runs that have ended are kept, with their results; or all, for as long as
    /// `RECOMAMP_RUN_RETENTION` says.
    #[arg(long, value_name = "RUNS|all", value_parser = keep_runs)]
    keep_runs: Option<Wanted<i32>>,
    /// Of which of its events webhooks are told; all for all that they want.
    #[arg(long, value_name = "EVENTS|all", value_delimiter = ',', value_parser = event_or_all)]
    notify: Option<Vec<String>>,
    #[command(flatten)]
    asked: Asked,
}

impl Update {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let changes = Changes {
            timing: self.times.timing(Tz::UTC.name()),
            timezone: self.timezone.map(Tz::name),
            rules: self.rules()?,
            keep_runs: self.keep_runs.clone().unwrap_or_default(),
            notify: self.notify(),
        };
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let (id, because) = (&self.schedule_id, self.asked.asker.because());
        change(&mut tx, &Queue::new(), id, &changes, &because).await?;
        tx.commit().await?;
        if self.asked.json {
            return output::json(&json!({"schedule_id": id}));
        }
        output::line(id)
    }

    fn rules(&self) -> Result<Rules> {
        let parameters = self.parameters.read()?;
        Ok(Rules {
            name: self.name.clone(),
            parameters: (!parameters.is_empty()).then(|| Value::from(parameters)),
            lookback_days: self.lookback_days,
            lag_days: self.lag_days,
            window_anchor: self.window_anchor,
            catch_up: self.catch_up,
            catch_up_max: self.catch_up_max,
            overlap: self.overlap,
            jitter_seconds: self.jitter_seconds,
            max_attempts: self.max_attempts,
            failure_threshold: self.failure_threshold,
        })
    }

    fn notify(&self) -> Wanted<Vec<String>> {
        match &self.notify {
            None => Wanted::AsItIs,
            Some(events) if events.iter().any(|event| event == ALL) => Wanted::All,
            Some(events) => Wanted::Only(events.clone()),
        }
    }
}

fn keep_runs(text: &str) -> Result<Wanted<i32>, String> {
    if text == ALL {
        return Ok(Wanted::All);
    }
    let runs = text.parse().ok().filter(|runs| KEEP_RUNS.contains(runs));
    runs.map(Wanted::Only)
        .ok_or_else(|| format!("give between 1 and {}, or {ALL}", KEEP_RUNS.end()))
}

fn event_or_all(text: &str) -> Result<String, String> {
    if text == ALL { Ok(text.to_owned()) } else { event(text) }
}
