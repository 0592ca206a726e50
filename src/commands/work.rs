//! Runs jobs until it is told to stop.

use super::connect;
use super::lifeline::Lifeline;
use super::{ops, wrong};
use crate::config::{self, Settings as _};
use crate::jobs;
use crate::queue::dispatcher::Settings;
use crate::queue::postgres::{Mode, PgStore};
use crate::queue::{Queue, worker};
use crate::shutdown::Shutdown;
use crate::telemetry;
use crate::tools::{self, Tools};
use anyhow::Result;
use clap::Args;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;

/// Runs jobs until it is told to stop.
///
/// The first signal (SIGTERM or Ctrl-C) lets running jobs finish for `RECOMAMP_SHUTDOWN_GRACE`; then,
/// or with a second signal, what still runs is handed back and runs elsewhere. No attempt is lost.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp work --concurrency 32")]
pub struct Work {
    /// How many jobs run at once, as `RECOMAMP_CONCURRENCY`: a number for every queue, or a list such
    /// as 16,reports=2.
    #[arg(long)]
    concurrency: Option<String>,
    #[command(flatten)]
    lifeline: Lifeline,
}

/// Connections of a worker's pool; it opens two more, to renew and to listen.
const CONNECTIONS: u32 = 3;
/// How often a worker that cannot listen looks for jobs.
const POLL_EVERY: Duration = Duration::from_secs(1);

type Read = (config::Database, tools::Settings, config::Worker, config::Process, config::Logging);

impl Work {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        let (database, tools, worker, process, logging) = self.settings()?;
        telemetry::init(telemetry::Mode::Daemon, &logging)?;
        let db = connect::database(&database, CONNECTIONS).await?;
        connect::migrated(&db).await?;
        let shutdown = Shutdown::on_signals(process.shutdown_grace)?;
        self.lifeline.hold(&shutdown);
        let tools =
            Arc::new(Tools::new(db.clone(), Queue::new(), tools, jobs::refresh_token::job)?);
        guard(&db, &tools).await?;
        let catalog = jobs::catalog();
        let mut settings = Settings::new(lanes(&catalog.queues(), &worker)?);
        let mode = if database.polling_only { Mode::Poll } else { Mode::Listen };
        if mode == Mode::Poll {
            settings.poll_every = POLL_EVERY;
        }
        let _ops = ops::serve(process.metrics_addr, &db, &shutdown).await?;
        let store = PgStore::new(db, mode);
        let (soft, hard) = (shutdown.soft().clone(), shutdown.hard().clone());
        worker::run(store, catalog, tools, settings, soft, hard).await?;
        tracing::info!("stopped");
        Ok(())
    }

    fn settings(&self) -> Result<Read, config::Errors> {
        let given = self.concurrency.as_ref();
        Read::from_env_and(&|name| given.filter(|_| name == "RECOMAMP_CONCURRENCY").cloned())
    }
}

/// Installations of an earlier build, and hosts that are new in the settings, get their breakers here.
async fn guard(db: &PgPool, tools: &Tools) -> Result<()> {
    let mut transaction = crate::transaction::begin(db).await?;
    let given = tools.guard(&mut transaction).await?;
    transaction.commit().await?;
    if given > 0 {
        tracing::info!(given, "breakers were given to what had none");
    }
    Ok(())
}

fn lanes(queues: &[&str], worker: &config::Worker) -> Result<Vec<(String, usize)>> {
    if let Some(unknown) = worker.named_queues().find(|name| !queues.contains(name)) {
        let queues = queues.join(", ");
        return Err(wrong(format!(
            "RECOMAMP_CONCURRENCY names the queue {unknown:?}; there are {queues}"
        )));
    }
    let slots = |queue: &str| usize::try_from(worker.concurrency(queue)).unwrap_or(usize::MAX);
    Ok(queues.iter().map(|queue| ((*queue).to_owned(), slots(queue))).collect())
}
