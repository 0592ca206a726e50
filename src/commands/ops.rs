//! The small listener of a worker or a scheduler: is it alive, is it ready, how is it doing.

use crate::metrics;
use crate::shutdown::Shutdown;
use anyhow::{Context, Result};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use sqlx::PgPool;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// How long the database may take to answer a readiness check.
const PING: Duration = Duration::from_secs(1);

/// Listens, if an address is given, until what it returns is dropped.
pub async fn serve(
    addr: Option<SocketAddr>,
    db: &PgPool,
    shutdown: &Shutdown,
) -> Result<Option<AbortOnDropHandle<()>>> {
    let Some(addr) = addr else { return Ok(None) };
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("RECOMAMP_METRICS_ADDR: cannot listen on {addr}"))?;
    let (db, shutdown) = (db.clone(), shutdown.clone());
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(move || ready(db.clone(), shutdown.clone())))
        .route("/metrics", get(render));
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the metrics listener stopped");
        }
    });
    Ok(Some(AbortOnDropHandle::new(task)))
}

async fn ready(db: PgPool, shutdown: Shutdown) -> (StatusCode, &'static str) {
    if shutdown.has_begun() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    let ping = sqlx::query("-- ops_ping\nselect 1").execute(&db);
    match tokio::time::timeout(PING, ping).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}

async fn render() -> ([(header::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::render())
}
