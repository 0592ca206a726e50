//! The next times of a schedule, looked at ahead.

use crate::commands::{connect, output, settings};
use crate::config::Database;
use crate::schedule::manage::{self, Ahead};
use crate::store::schedules;
use crate::telemetry::Mode;
use anyhow::{Context, Result};
use clap::Args;

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

impl Preview {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let schedule = schedules::by_schedule_id(&db, &self.schedule_id).await?;
        let schedule = schedule.with_context(|| {
            format!("there is no schedule {}: see `recomamp schedules list`", self.schedule_id)
        })?;
        let (due, window) = crate::schedule::due::read(&schedule)?;
        let times = manage::ahead(&due, window, manage::fires_from(&schedule), self.count.into());
        if self.json {
            return output::json(&times);
        }
        let headings = ["DUE (UTC)", "LOCAL TIME", "WINDOW FROM", "UNTIL"];
        output::table(headings, times.iter().map(cells))?;
        let status = schedule.status;
        match schedule.resume_at {
            Some(at) => eprintln!(
                "By {due}; it is {status} until {}: what is due before then is left out here, and is treated as \
                 its catch_up says ({}).",
                at.format("%F %R UTC"),
                schedule.catch_up
            ),
            None => eprintln!("By {due}; it is {status}."),
        }
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
