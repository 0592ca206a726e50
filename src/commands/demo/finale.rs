//! What the demonstration shows at its end, and whether it is right.

use crate::backfill::status::Status;
use crate::commands::output;
use crate::plural::counted;
use crate::reports::metrics::{Metrics, Ratios};
use crate::simulator::{Counts, Simulator, Totals};
use crate::store::aggregates::{self, Aggregate, AggregateGrain};
use crate::store::collections;
use anyhow::{Context, Result};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many weeks the table shows.
const LATEST: usize = 8;

/// How the demonstration ended.
#[derive(Debug, Serialize)]
pub struct Finale {
    /// Whether everything is as it should be.
    pub ok: bool,
    /// The collection's public id.
    pub collection_id: String,
    /// Weeks whose rows are stored.
    pub weeks_done: u64,
    /// All weeks.
    pub weeks: u64,
    /// How long this run took, from the start of Postgres to the report.
    pub seconds: f64,
    /// The last weeks.
    pub latest: Vec<Week>,
    /// How many months were summed up.
    pub months: usize,
    /// How many quarters were summed up.
    pub quarters: usize,
    /// What was stored beside what the simulator's closed formula gives.
    pub totals: Vec<Total>,
    /// What the simulator saw of our submits.
    pub submits: Submits,
    /// How many calls met which kind of fault.
    pub faults: BTreeMap<String, u32>,
}

/// One week of the report.
#[derive(Debug, Serialize)]
pub struct Week {
    start: NaiveDate,
    rows: i64,
    #[serde(flatten)]
    metrics: Metrics,
    #[serde(flatten)]
    ratios: Ratios,
}

/// One total.
#[derive(Debug, Serialize)]
pub struct Total {
    name: String,
    stored: Decimal,
    formula: Decimal,
    equal: bool,
}

/// What the simulator saw of our submits.
#[derive(Debug, Serialize)]
pub struct Submits {
    accepted: u64,
    weeks_submitted_twice: usize,
    most_open_at_once: u32,
    limit: u32,
}

impl Finale {
    /// Compares what is stored with what the simulator knows.
    pub async fn draw(
        db: &PgPool,
        status: &Status,
        amazon: &Simulator,
        limit: u32,
        took: Duration,
    ) -> Result<Self> {
        let id = collections::by_collection_id(db, &status.collection_id).await?;
        let id = id.context("the collection is gone")?.id;
        let stored = aggregates::list(db, id, AggregateGrain::Week).await?;
        let weeks = stored.into_iter().map(Week::of).collect::<Result<Vec<_>>>()?;
        let expected = u32::try_from(status.progress.total)?;
        let facts = amazon.facts(&status.instance).totals(status.start, expected);
        let totals = totals(&weeks, &facts)?;
        let submits = Submits::of(&amazon.counts(), limit);
        let ok = status.progress.done == status.progress.total
            && totals.iter().all(|total| total.equal)
            && submits.are_right(status.progress.total);
        Ok(Self {
            ok,
            collection_id: status.collection_id.clone(),
            weeks_done: status.progress.done,
            weeks: status.progress.total,
            seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
            months: aggregates::list(db, id, AggregateGrain::Month).await?.len(),
            quarters: aggregates::list(db, id, AggregateGrain::Quarter).await?.len(),
            latest: weeks.into_iter().rev().take(LATEST).rev().collect(),
            totals,
            submits,
            faults: faults(amazon),
        })
    }

    /// Prints it for people.
    pub fn print(&self) -> Result<()> {
        output::line(format!("\nThe last weeks of {}:\n", self.collection_id))?;
        let headings =
            ["WEEK", "ROWS", "IMPRESSIONS", "CLICKS", "SPEND", "SALES", "CTR %", "ACOS %", "ROAS"];
        output::table(headings, right(headings, self.latest.iter().map(Week::cells).collect()))?;

        output::line(format!(
            "\nAll weeks, also summed up by month ({}) and quarter ({}), beside the simulator's closed formula:\n",
            self.months, self.quarters
        ))?;
        let headings = ["TOTAL", "STORED", "FORMULA", ""];
        output::table(headings, right(headings, self.totals.iter().map(Total::cells).collect()))?;

        output::line(format!("\n{}", self.submits))?;
        if !self.faults.is_empty() {
            let met: Vec<String> =
                self.faults.iter().map(|(kind, met)| format!("{met} × {kind}")).collect();
            output::line(format!("Faults met on the way: {}.", met.join(", ")))?;
        }
        let verdict =
            if self.ok { "Everything is as it should be." } else { "Something is wrong." };
        output::line(format!(
            "{} of {} done in {} s. {verdict}",
            self.weeks_done,
            counted(self.weeks, "week", "weeks"),
            self.seconds
        ))
    }
}

impl Week {
    fn of(stored: Aggregate) -> Result<Self> {
        Ok(Self {
            start: stored.period_start,
            rows: stored.row_count,
            metrics: serde_json::from_value(stored.metrics)?,
            ratios: serde_json::from_value(stored.derived)?,
        })
    }

    fn cells(&self) -> [String; 9] {
        let sum = |name| {
            self.metrics.get(name).map(|sum| sum.normalize().to_string()).unwrap_or_default()
        };
        let money = |name| two_places(self.metrics.get(name));
        [
            self.start.to_string(),
            self.rows.to_string(),
            sum("impressions"),
            sum("clicks"),
            money("spend"),
            money("sales"),
            two_places(self.ratios.ctr),
            two_places(self.ratios.acos),
            two_places(self.ratios.roas),
        ]
    }
}

impl Total {
    fn of(name: &str, stored: Decimal, formula: Decimal) -> Self {
        // 86997.70 and 86997.7 are written alike.
        let (stored, formula) = (stored.normalize(), formula.normalize());
        Self { name: name.to_owned(), stored, formula, equal: stored == formula }
    }

    fn cells(&self) -> [String; 4] {
        let verdict = if self.equal { "equal" } else { "NOT equal" };
        let (stored, formula) = (self.stored.to_string(), self.formula.to_string());
        [self.name.clone(), stored, formula, verdict.to_owned()]
    }
}

impl Submits {
    fn of(counts: &Counts, limit: u32) -> Self {
        Self {
            accepted: counts.accepted(),
            weeks_submitted_twice: counts.repeated().len(),
            most_open_at_once: counts.max_open.values().copied().max().unwrap_or(0),
            limit,
        }
    }

    /// One accepted submit per week, and never more open than allowed.
    fn are_right(&self, weeks: u64) -> bool {
        self.accepted == weeks
            && self.weeks_submitted_twice == 0
            && self.most_open_at_once <= self.limit
    }
}

impl std::fmt::Display for Submits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { accepted, weeks_submitted_twice, most_open_at_once, limit } = self;
        write!(
            f,
            "AMC accepted {accepted} executions (weeks submitted twice: {weeks_submitted_twice}) and had \
             {most_open_at_once} open at once, of {limit} that it allows."
        )
    }
}

fn totals(weeks: &[Week], facts: &Totals) -> Result<Vec<Total>> {
    let stored = Metrics::total(weeks.iter().map(|week| &week.metrics))?;
    let rows: i64 = weeks.iter().map(|week| week.rows).sum();
    // Whole numbers and decimals as text: what `Metrics` reads.
    let formula: BTreeMap<String, serde_json::Value> =
        serde_json::from_value(serde_json::to_value(&facts.metrics)?)?;
    let mut totals = vec![Total::of("rows", rows.into(), facts.rows.into())];
    for (name, value) in formula {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let stored = stored.get(&name).unwrap_or_default();
        totals.push(Total::of(&name, stored, text.parse()?));
    }
    Ok(totals)
}

fn faults(amazon: &Simulator) -> BTreeMap<String, u32> {
    let mut met = BTreeMap::new();
    for set in amazon.state().faults.into_iter().filter(|set| set.met > 0) {
        *met.entry(word(&set.fault.kind)).or_default() += set.met;
    }
    met
}

/// The kind's word, without its details.
fn word(kind: &crate::simulator::Kind) -> String {
    let word = match serde_json::to_value(kind) {
        Ok(serde_json::Value::Object(named)) => named.into_iter().next().map(|(word, _)| word),
        Ok(serde_json::Value::String(word)) => Some(word),
        _ => None,
    };
    word.unwrap_or_default().replace('_', " ")
}

fn two_places(number: Option<Decimal>) -> String {
    number.map(|number| format!("{:.2}", number.round_dp(2))).unwrap_or_default()
}

/// Numbers are compared by their last digits: every column but the first stands on the right.
fn right<const N: usize>(headings: [&str; N], rows: Vec<[String; N]>) -> Vec<[String; N]> {
    let mut widths = headings.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut rows = rows;
    for row in &mut rows {
        for (cell, width) in row.iter_mut().zip(widths).skip(1) {
            *cell = format!("{cell:>width$}");
        }
    }
    rows
}
