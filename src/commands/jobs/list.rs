//! `recomamp jobs list`: jobs, page by page.

use crate::commands::{connect, output};
use crate::config::Database;
use crate::queue::State;
use crate::queue::postgres::inspect::jobs::{self, Filter};
use crate::telemetry::Mode;
use anyhow::Result;
use clap::Args;

/// The most on one page.
const LIMIT_MAX: i64 = 1000;

/// Lists jobs, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp jobs list
  recomamp jobs list --kind submit_execution --state discarded
  recomamp jobs list --after 4711 --json")]
pub struct List {
    /// Only those of this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Only those of this kind.
    #[arg(long)]
    kind: Option<String>,
    /// Only those in this state: waiting, running, done, discarded or cancelled; those that have not
    /// finished when not given.
    #[arg(long, value_parser = state)]
    state: Option<State>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=LIMIT_MAX))]
    limit: i64,
    /// The page after the one that ended with this job.
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<()> {
        let database: Database = crate::commands::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let filter = Filter {
            queue: self.queue,
            kind: self.kind,
            state: self.state,
            after: self.after,
            limit: self.limit,
        };
        let page = jobs::page(&mut *db.acquire().await?, &filter).await?;
        if self.json {
            return output::json(&page);
        }
        let last = page.last().map(|job| job.id);
        let is_full = i64::try_from(page.len()).is_ok_and(|count| count == filter.limit);
        let rows = page.into_iter().map(|job| {
            [
                job.id.to_string(),
                job.queue,
                job.kind,
                job.state.as_str().to_owned(),
                job.attempt.to_string(),
                output::time(job.finished_at.or(job.run_at).unwrap_or(job.created_at)),
                job.blocked_by.unwrap_or_default(),
                first_line(job.last_error.as_deref().unwrap_or_default()),
            ]
        });
        let headings =
            ["JOB", "QUEUE", "KIND", "STATE", "ATTEMPTS", "WHEN", "WAITS FOR", "LAST ERROR"];
        output::table(headings, rows)?;
        if let (true, Some(last)) = (is_full, last) {
            eprintln!("There may be more: --after {last}");
        }
        Ok(())
    }
}

/// A state by its word.
fn state(text: &str) -> Result<State, String> {
    let all = [State::Waiting, State::Running, State::Done, State::Discarded, State::Cancelled];
    let words = all.map(State::as_str).join(", ");
    let found = all.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| format!("it is one of {words}"))
}

/// As much of an error as fits into a line of a table.
fn first_line(text: &str) -> String {
    const LONGEST: usize = 80;
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_one_of_five_words() {
        assert_eq!(state("waiting"), Ok(State::Waiting));
        let message = state("failed").expect_err("there is no such state");
        assert_eq!(message, "it is one of waiting, running, done, discarded, cancelled");
    }

    #[test]
    fn a_long_error_is_cut_between_letters() {
        assert_eq!(first_line("no\nnever"), "no");
        assert_eq!(first_line(&"ä".repeat(81)), format!("{}…", "ä".repeat(80)));
    }
}
