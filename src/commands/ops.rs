//! The small listener of a worker or a scheduler: is it alive, is it ready, how is it doing.

use super::serve;
use crate::api;
use crate::shutdown::Shutdown;
use anyhow::Result;
use sqlx::PgPool;
use std::net::SocketAddr;
use tokio_util::task::AbortOnDropHandle;

/// Listens, if an address is given, until what it returns is dropped: it goes on answering while
/// the process stops.
pub async fn serve(
    addr: Option<SocketAddr>,
    db: &PgPool,
    shutdown: &Shutdown,
) -> Result<Option<AbortOnDropHandle<()>>> {
    let Some(addr) = addr else { return Ok(None) };
    let listener = serve::listen(addr, "RECOMAMP_METRICS_ADDR").await?;
    tracing::info!(address = %listener.local_addr()?, "showing metrics");
    let router = api::probes(db.clone(), shutdown.clone());
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the metrics listener stopped");
        }
    });
    Ok(Some(AbortOnDropHandle::new(task)))
}
