//! The completion report: proves that a collection has every day of its period once, or says which days
//! it lacks, and why.

use super::coverage::{Coverage, Lacking, Piece};
use crate::plural::counted;
use crate::store::collections::{self, Collection, CollectionStatus};
use crate::store::weeks::{self, Evidence, WeekStatus};
use chrono::NaiveDate;
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// Whether a collection has what it was to collect. The names of its fields are a promise to programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// Names the collection.
    pub collection_id: String,
    /// Where it stands.
    pub status: CollectionStatus,
    /// The first day it covers.
    pub start: NaiveDate,
    /// The first day after those it covers.
    pub end: NaiveDate,
    /// Whether every day of the period is there exactly once, and AMC was asked no more than it had to be.
    pub complete: bool,
    /// The same in a sentence.
    pub verdict: String,
    /// Slices.
    pub slices: u64,
    /// Slices whose rows are stored, or were.
    pub with_rows: u64,
    /// Of those, the ones whose rows have been dropped since, because they had been kept long enough.
    pub dropped: u64,
    /// Of those, the ones that took over another collection's rows.
    pub reused: u64,
    /// Slices that were left out because another collection has their rows.
    pub elsewhere: u64,
    /// Rows of all slices together.
    pub row_count: i64,
    /// Executions that ran for it.
    pub executions: i64,
    /// Times that AMC took an execution beyond the first: 0, or something is wrong with the engine.
    pub duplicates: i64,
    /// Gaps, overlaps, and what lies outside.
    #[serde(flatten)]
    pub coverage: Coverage,
    /// The evidence, slice by slice, the earliest first.
    pub weeks: Vec<Proof>,
}

/// What proves that a slice was collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The first day.
    pub start: NaiveDate,
    /// The first day after it.
    pub end: NaiveDate,
    /// Where it stands.
    pub status: WeekStatus,
    /// Rows in its result.
    pub row_count: Option<i64>,
    /// Raised each time its rows are stored anew.
    pub data_version: i32,
    /// The sha256 of its rows, in hexadecimal.
    pub data_checksum: Option<String>,
    /// Executions that ran for it.
    pub executions: i64,
    /// The collection that has its rows, when it was left out of this one.
    pub elsewhere: Option<String>,
}

/// The report on the collection with this public id; none when there is none.
pub async fn report(
    connection: &mut PgConnection,
    collection_id: &str,
) -> Result<Option<Completion>, sqlx::Error> {
    let found = collections::by_collection_id(&mut *connection, collection_id).await?;
    let Some(collection) = found else { return Ok(None) };
    let mut evidence = weeks::evidence(connection, collection.id).await?;
    // What a person has called off at either end is not to be collected any more.
    evidence.retain(|one| {
        let is_inside = one.week_start_date < collection.period_end
            && one.week_end_date > collection.period_start;
        is_inside || one.status != WeekStatus::Skipped
    });
    Ok(Some(Completion::of(collection, &evidence)))
}

impl Completion {
    fn of(collection: Collection, evidence: &[Evidence]) -> Self {
        let (start, end) = (collection.period_start, collection.period_end);
        let coverage = Coverage::of(start, end, &evidence.iter().map(piece).collect::<Vec<_>>());
        let with_rows = || evidence.iter().filter(|one| one.has_rows);
        let duplicates = evidence.iter().map(|one| one.duplicates).sum();
        let mut report = Self {
            collection_id: collection.collection_id,
            status: collection.status,
            start,
            end,
            complete: coverage.is_exact() && duplicates == 0,
            verdict: String::new(),
            slices: evidence.len() as u64,
            with_rows: with_rows().count() as u64,
            dropped: with_rows().filter(|one| one.is_dropped).count() as u64,
            reused: with_rows().filter(|one| one.executions == 0).count() as u64,
            elsewhere: evidence.iter().filter(|one| one.elsewhere.is_some()).count() as u64,
            row_count: with_rows().filter_map(|one| one.row_count).sum(),
            executions: evidence.iter().map(|one| one.executions).sum(),
            duplicates,
            coverage,
            weeks: evidence.iter().map(proof).collect(),
        };
        report.verdict = report.verdict();
        report
    }

    fn verdict(&self) -> String {
        let Self { start, end, executions, .. } = self;
        let elsewhere = match self.elsewhere {
            0 => String::new(),
            slices => format!(", {slices} of them in other collections"),
        };
        if self.complete {
            let dropped = match self.dropped {
                0 => String::new(),
                dropped => format!(
                    "; the rows of {} have been dropped since, kept long enough, and their sums stay",
                    counted(dropped, "slice", "slices")
                ),
            };
            return format!(
                "complete: every day from {start} to before {end} is there once, in {}{elsewhere}; \
                 {}, none taken twice{dropped}",
                counted(self.slices, "slice", "slices"),
                counted(executions, "execution", "executions")
            );
        }
        let mut troubles = Vec::new();
        let mut gaps: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for gap in &self.coverage.gaps {
            let (count, slices) = gaps.entry(gap.lacking.status).or_default();
            *count += 1;
            *slices += gap.slices;
        }
        for (status, (count, slices)) in gaps {
            troubles.push(match slices {
                0 => format!("{count} {status} without a slice"),
                _ => format!("{slices} {status}"),
            });
        }
        for (count, what) in [
            (count(self.coverage.overlaps.len()), "overlaps"),
            (count(self.coverage.outside.len()), "outside the period"),
            (self.duplicates, "taken twice by AMC"),
        ] {
            if count > 0 {
                troubles.push(format!("{count} {what}"));
            }
        }
        format!(
            "not complete: {} of {} from {start} to before {end} have their rows{elsewhere}; {}",
            self.with_rows + self.elsewhere,
            counted(self.slices, "slice", "slices"),
            troubles.join(", ")
        )
    }
}

fn count(days: usize) -> i64 {
    i64::try_from(days).unwrap_or(i64::MAX)
}

fn piece(evidence: &Evidence) -> Piece {
    let is_there = evidence.has_rows || evidence.elsewhere.is_some();
    let lacking = (!is_there).then(|| Lacking {
        status: evidence.status.as_str(),
        reason: evidence.error_message.clone(),
    });
    Piece { start: evidence.week_start_date, end: evidence.week_end_date, lacking }
}

fn proof(evidence: &Evidence) -> Proof {
    Proof {
        start: evidence.week_start_date,
        end: evidence.week_end_date,
        status: evidence.status,
        row_count: evidence.row_count,
        data_version: evidence.data_version,
        data_checksum: evidence.data_checksum.map(hex::encode),
        executions: evidence.executions,
        elsewhere: evidence.elsewhere.clone(),
    }
}
