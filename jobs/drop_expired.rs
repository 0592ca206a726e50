//! Drops what has been kept long enough: rows and files of results, runs that are old or beyond what their
//! schedule keeps, events, unexpected answers. The scheduler asks for it every hour.
//!
//! It works in batches and stops after so many: what is left is dropped the next time. Files go
//! before the word of where they lie, so one that dies in between does the same again.

use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Priority};
use crate::reports::files;
use crate::store::retention::{self, OldResult};
use crate::tools::Tools;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many results, or runs, go in one batch.
const BATCH: i64 = 100;
/// How many events, or answers, go in one batch.
const ROWS: i32 = 5_000;
/// How many batches one turn does.
const BATCHES: usize = 50;

/// Drops what has been kept long enough.
#[derive(Debug, Serialize, Deserialize)]
pub struct DropExpired {}

impl Job for DropExpired {
    type Tools = Tools;
    const KIND: &'static str = "drop_expired";
    const QUEUE: &'static str = "results";
    const PRIORITY: Priority = Priority::Normal;
    const TIMEOUT: Duration = Duration::from_secs(3600);
    const MAX_ATTEMPTS: i16 = 5;

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let (mut results, mut runs, mut rows) = (0, 0, 0);
        for _ in 0..BATCHES {
            if attempt.cancelled().is_cancelled() {
                return Err(Failure::interrupted());
            }
            let done = [drop_results(tools).await?, drop_runs(tools).await?, prune(tools).await?];
            (results, runs, rows) = (results + done[0], runs + done[1], rows + done[2]);
            if done == [0; 3] {
                break;
            }
        }
        if results + runs + rows > 0 {
            tracing::info!(results, runs, rows, "dropped what had been kept long enough");
        }
        Ok(Outcome::Done)
    }
}

/// The job.
pub fn job() -> Result<NewJob, crate::queue::Error> {
    NewJob::of(&DropExpired {})
}

async fn drop_results(tools: &Tools) -> Result<u64, Failure> {
    let old = retention::old_results(&tools.db, tools.retention.results, BATCH).await?;
    for result in &old {
        expire(tools, result).await?;
    }
    Ok(old.len() as u64)
}

async fn expire(tools: &Tools, result: &OldResult) -> Result<(), Failure> {
    if let Some(first) = &result.storage_uri {
        for number in 0..result.file_count.max(1) {
            let uri = file(first, number);
            match tools.files.delete(&uri).await {
                Ok(()) => {}
                // Somebody has moved the place for results: what is not in it is not ours to delete.
                Err(error @ files::Error::Elsewhere { .. }) => {
                    tracing::warn!(%error, "a file is left where it is");
                }
                Err(error) => return Err(Failure::transient(error)),
            }
        }
    }
    Ok(retention::expire(&tools.db, result.execution_id).await?)
}

/// Where the file with this number lies, when `first` is where the first one does: `…/0.csv.gz`.
fn file(first: &str, number: i64) -> String {
    match first.strip_suffix("/0.csv.gz") {
        Some(folder) => format!("{folder}/{number}.csv.gz"),
        None => first.to_owned(),
    }
}

async fn drop_runs(tools: &Tools) -> Result<u64, Failure> {
    let runs = retention::old_runs(&tools.db, tools.retention.runs, BATCH).await?;
    if runs.is_empty() {
        return Ok(0);
    }
    for result in retention::results_of_runs(&tools.db, &runs).await? {
        expire(tools, &result).await?;
    }
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    let deleted = retention::delete_runs(&mut transaction, &runs).await?;
    transaction.commit().await?;
    Ok(deleted)
}

async fn prune(tools: &Tools) -> Result<u64, Failure> {
    let events = retention::prune_events(&tools.db, tools.retention.events, ROWS).await?;
    let answers = retention::prune_answers(&tools.db, tools.retention.answers, ROWS).await?;
    Ok(u64::try_from(events).unwrap_or(0) + answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_result_stand_beside_the_first() {
        assert_eq!(file("s3://b/amc1/e1/0.csv.gz", 2), "s3://b/amc1/e1/2.csv.gz");
        assert_eq!(file("file:///r/97.csv.gz", 0), "file:///r/97.csv.gz");
    }
}
