//! Does what has to happen again and again, until it is told to stop.

use super::connect;
use super::lifeline::Lifeline;
use super::ops;
use crate::config::{self, Settings as _};
use crate::queue::Queue;
use crate::schedule::{self, Desk};
use crate::shutdown::Shutdown;
use crate::telemetry;
use anyhow::Result;
use clap::Args;

/// Does what has to happen again and again, until it is told to stop.
///
/// Schedules fire, tokens are renewed before they end, old history is dropped, the jobs of dead
/// processes are taken back, gates are swept. Any number of schedulers may run.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp schedule")]
pub struct Schedule {
    #[command(flatten)]
    lifeline: Lifeline,
}

/// Connections of a scheduler's pool.
const CONNECTIONS: u32 = 3;

type Read = (config::Database, config::Retention, config::Process, config::Logging);

impl Schedule {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        let (database, retention, process, logging) = Read::from_env()?;
        telemetry::init(telemetry::Mode::Daemon, &logging)?;
        let db = connect::database(&database, CONNECTIONS).await?;
        connect::migrated(&db).await?;
        let shutdown = Shutdown::on_signals(process.shutdown_grace)?;
        self.lifeline.hold(&shutdown);
        let _ops = ops::serve(process.metrics_addr, &db, &shutdown).await?;
        tracing::info!("scheduling");
        let desk = Desk { db, queue: Queue::new(), retention: retention.history };
        schedule::run(desk, shutdown.soft().clone()).await;
        tracing::info!("stopped");
        Ok(())
    }
}
