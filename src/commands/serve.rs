//! `recomamp serve`: answers over HTTP until it is stopped.

use super::lifeline::Lifeline;
use super::{connect, wrong};
use crate::api::{self, Api};
use crate::backfill::estimate::Curve;
use crate::config::{self, Database, Keys, Limits, Polling, Process};
use crate::queue::Queue;
use crate::shutdown::Shutdown;
use crate::telemetry::Mode;
use anyhow::{Context, Result};
use axum::Router;
use clap::Args;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// The most connections to the database.
const CONNECTIONS_MAX: u32 = 5;

/// What it has to know.
type Settings =
    (Database, (Limits, Polling), (Option<Keys>, config::Webhooks), config::Serve, Process);

/// Answers over HTTP: starts and shows backfills, says how the process is, shows its metrics.
///
/// Nobody has to say who they are, so it listens on this machine alone unless `RECOMAMP_HTTP_ADDR`
/// or `PORT` says otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp serve
  curl -s localhost:8080/readyz
  curl -s localhost:8080/v1/collections -H 'Content-Type: application/json' -d '{\"workflow\": \"campaigns\", \"weeks\": 52}'")]
pub struct Serve {
    #[command(flatten)]
    lifeline: Lifeline,
}

impl Serve {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        let (database, (limits, polling), (keys, webhooks), serve, process): Settings =
            super::settings(Mode::Daemon)?;
        let allowed = webhooks.allow.parse().map_err(wrong)?;
        let db = connect::ready(&database, CONNECTIONS_MAX).await?;
        let shutdown = Shutdown::on_signals(process.shutdown_grace)?;
        self.lifeline.hold(&shutdown);
        let api = Api {
            db: db.clone(),
            queue: Queue::new(),
            limits,
            keys,
            allowed,
            curve: Curve { first: polling.first, max: polling.max },
            shutdown: shutdown.clone(),
        };
        let listener = listen(serve.addr, "RECOMAMP_HTTP_ADDR").await?;
        tracing::info!(address = %listener.local_addr()?, "serving");
        answer(listener, api::router(api), &shutdown).await?;
        db.close().await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Listens on this address, which comes from this setting.
///
/// # Errors
/// One line that names the setting, when somebody else listens there or nobody may.
pub async fn listen(addr: SocketAddr, setting: &str) -> Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr}: give another address in {setting}"))
}

/// Answers until the shutdown begins, then finishes what has been asked until it lets go.
///
/// # Errors
/// When the listener fails.
pub async fn answer(listener: TcpListener, router: Router, shutdown: &Shutdown) -> Result<()> {
    let soft = shutdown.soft().clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(soft.cancelled_owned());
    tokio::select! {
        served = serving => Ok(served?),
        () = shutdown.hard().cancelled() => Ok(()),
    }
}
