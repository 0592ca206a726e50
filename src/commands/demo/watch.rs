//! Follows the backfill to its report, and lets the storm strike on the way.

use super::children::Children;
use crate::backfill::status::{self, Status};
use crate::commands::watch::Shown;
use crate::simulator::Simulator;
use crate::store::aggregates::{self, AggregateGrain};
use crate::store::collections;
use anyhow::{Context, Result, bail};
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The report follows the last week within this time.
const REPORT_WITHIN: Duration = Duration::from_secs(60);

/// What is watched.
pub struct Watched<'a> {
    /// The collection's public id.
    pub collection_id: &'a str,
    /// Where it is kept.
    pub db: &'a PgPool,
    /// Who answers it.
    pub amazon: &'a Simulator,
    /// Whether a worker is to be killed when a third of the weeks is done.
    pub kill_a_worker: bool,
}

impl Watched<'_> {
    /// Shows how far it is until it has ended and its report is written.
    pub async fn follow(&self, children: &mut Children) -> Result<Status> {
        let mut shown = Shown::new();
        let mut strike = self.kill_a_worker;
        let status = loop {
            let status = self.look().await?;
            shown.progress(&status.progress, &self.faults());
            if status.status.is_terminal() {
                break status;
            }
            if strike && status.progress.done * 3 >= status.progress.total {
                strike = false;
                children.kill("work").await?;
                children.start("work")?;
                shown.event("The worker was killed (kill -9), and another one started.");
            }
            children.check()?;
            sleep(LOOK_EVERY).await;
        };
        shown.end();
        self.until_reported(&status, children).await?;
        Ok(status)
    }

    async fn look(&self) -> Result<Status> {
        let mut connection = self.db.acquire().await?;
        let status = status::of(&mut connection, self.collection_id).await?;
        status.with_context(|| format!("the collection {} is gone", self.collection_id))
    }

    /// How many calls the simulator has spoilt, as the end of a line.
    fn faults(&self) -> String {
        match self.amazon.state().faults.iter().map(|fault| fault.met).sum::<u32>() {
            0 => String::new(),
            1 => " · 1 fault met".to_owned(),
            met => format!(" · {met} faults met"),
        }
    }

    async fn until_reported(&self, status: &Status, children: &mut Children) -> Result<()> {
        let deadline = Instant::now() + REPORT_WITHIN;
        let collection = collections::by_collection_id(self.db, self.collection_id).await?;
        let collection = collection.context("the collection is gone")?.id;
        while Instant::now() < deadline {
            let weeks = aggregates::list(self.db, collection, AggregateGrain::Week).await?;
            if u64::try_from(weeks.len()) == Ok(status.progress.done) {
                return Ok(());
            }
            children.check()?;
            sleep(LOOK_EVERY).await;
        }
        bail!("the report was not written within {} s of the last week", REPORT_WITHIN.as_secs())
    }
}
