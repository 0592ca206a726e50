//! A schedule is added, looked ahead on, and given other times.

use super::Asked;
use crate::clock;
use crate::commands::values::Values;
use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::given;
use crate::queue::Queue;
use crate::register::webhooks::event;
use crate::schedule::due::Timing;
use crate::schedule::manage::{self, Ahead, Request};
use crate::schedule::settings::{self as others, KEEP_RUNS, Settings, Wanted};
use crate::schedule::window::WindowRule;
use crate::store::schedules::{self, CatchUp, OverlapPolicy, ScheduleType, WindowAnchor};
use crate::telemetry::Mode;
use anyhow::{Context, Result};
use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

/// What takes a bound away.
const ALL: &str = "all";

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
    /// How many runs that have ended are kept, with their results; all when not given.
    #[arg(long, value_name = "RUNS", value_parser = clap::value_parser!(i32).range(1..=65_535))]
    keep_runs: Option<i32>,
    /// Of which of its events webhooks are told, as in `run_failed,auto_paused`; of all that they want
    /// when not given.
    #[arg(long, value_name = "EVENTS", value_delimiter = ',', value_parser = event)]
    notify: Option<Vec<String>>,
    #[command(flatten)]
    asked: Asked,
}

/// Gives a schedule other times, keeps more or fewer of its runs, tells others of other events.
///
/// What was due before fires by the old times. What is not given stays; but with new times the zone is UTC
/// when it is not given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp schedules update monday --cron '0 4 * * 1' --timezone America/New_York
  recomamp schedules update monday --keep-runs 50 --notify run_failed,auto_paused
  recomamp schedules update monday --keep-runs all --notify all")]
#[command(group(
    ArgGroup::new("change").args(["cron", "every_days", "keep_runs", "notify"]).required(true).multiple(true)
))]
pub struct Update {
    /// The schedule.
    schedule_id: String,
    #[command(flatten)]
    times: Times,
    /// How many runs that have ended are kept, with their results; or all.
    #[arg(long, value_name = "RUNS|all", value_parser = keep_runs)]
    keep_runs: Option<Wanted<i32>>,
    /// Of which of its events webhooks are told; all for all that they want.
    #[arg(long, value_name = "EVENTS|all", value_delimiter = ',', value_parser = event_or_all)]
    notify: Option<Vec<String>>,
    #[command(flatten)]
    asked: Asked,
}

/// Shows the next times of a schedule and the days each run asks for. Creates nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp schedules preview monday --count 10")]
pub struct Preview {
    /// The schedule.
    schedule_id: String,
    /// How many.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// When it is due.
#[derive(Debug, Args)]
struct Times {
    /// Five fields: minute, hour, day of month, month, day of week.
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// Every so many days, instead of cron.
    #[arg(long, value_name = "DAYS", conflicts_with = "cron", requires = "from")]
    every_days: Option<i32>,
    /// The day from which these days count.
    #[arg(long, value_name = "DATE", requires = "every_days")]
    from: Option<NaiveDate>,
    /// The time of day of an interval.
    #[arg(long, value_name = "HH:MM", requires = "every_days", value_parser = time_of_day)]
    at: Option<NaiveTime>,
    /// The IANA zone in which it is due, and in which the days of its windows begin.
    #[arg(long, default_value_t = Tz::UTC, value_parser = given::zone)]
    timezone: Tz,
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

impl Times {
    fn are_given(&self) -> bool {
        self.cron.is_some() || self.every_days.is_some()
    }

    fn timing(&self) -> Timing<'_> {
        let by_cron = self.cron.is_some();
        Timing {
            schedule_type: if by_cron { ScheduleType::Cron } else { ScheduleType::Interval },
            cron_expression: self.cron.as_deref(),
            interval_days: self.every_days,
            anchor_date: self.from,
            anchor_time: (!by_cron).then(|| self.at.unwrap_or_default()),
            timezone: self.timezone.name(),
        }
    }
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
        let request = Request {
            schedule_id: &self.schedule_id,
            workflow: &self.workflow,
            name: self.name.as_deref(),
            timing: self.times.timing(),
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
        let id = manage::add(&mut tx, &request, self.asked.person.name()).await?;
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

impl Update {
    fn others(&self) -> Settings {
        let notify = match &self.notify {
            None => Wanted::AsItIs,
            Some(events) if events.iter().any(|event| event == ALL) => Wanted::All,
            Some(events) => Wanted::Only(events.clone()),
        };
        Settings { keep_runs: self.keep_runs.clone().unwrap_or_default(), notify }
    }

    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let mut tx = crate::transaction::begin(&db).await?;
        let (id, by) = (&self.schedule_id, self.asked.person.name());
        if self.times.are_given() {
            manage::change(&mut tx, &Queue::new(), id, &self.times.timing(), by).await?;
        }
        let wanted = self.others();
        if wanted.say_anything() {
            others::set(&mut tx, id, &wanted, by).await?;
        }
        tx.commit().await?;
        if self.asked.json {
            return output::json(&json!({"schedule_id": self.schedule_id}));
        }
        output::line(&self.schedule_id)
    }
}

impl Preview {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let schedule = schedules::by_schedule_id(&db, &self.schedule_id).await?;
        let schedule = schedule.with_context(|| {
            format!("there is no schedule {}: see `recomamp schedules list`", self.schedule_id)
        })?;
        let (due, window) = crate::schedule::due::read(&schedule)?;
        let times = manage::ahead(&due, window, schedule.now, self.count.into());
        if self.json {
            return output::json(&times);
        }
        let headings = ["DUE (UTC)", "LOCAL TIME", "WINDOW FROM", "UNTIL"];
        output::table(headings, times.iter().map(cells))?;
        eprintln!("By {due}; it is {}.", schedule.status);
        Ok(())
    }
}

fn cells(time: &Ahead) -> [String; 4] {
    [
        time.due_at.format("%F %R").to_string(),
        time.local_time.format("%a %F %R").to_string(),
        time.window.start.to_string(),
        time.window.end.to_string(),
    ]
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

fn time_of_day(text: &str) -> Result<NaiveTime, String> {
    NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| "give a time such as 03:30".to_owned())
}
