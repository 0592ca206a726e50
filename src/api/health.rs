//! How a process is, for those who watch over it.

use crate::schema;
use crate::shutdown::Shutdown;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use sqlx::PgPool;
use std::time::Duration;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What readiness hangs on.
#[derive(Debug, Clone)]
pub struct Probed {
    /// The database.
    pub db: PgPool,
    /// Tells when the process stops.
    pub shutdown: Shutdown,
}

/// The process turns. It depends on nothing: a database that is away is no reason to restart it.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// The process can do its work, or the reason why not.
pub async fn readyz(State(probed): State<Probed>) -> Result<&'static str, impl IntoResponse> {
    match unready(&probed).await {
        None => Ok("ready\n"),
        Some(reason) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"))),
    }
}

async fn unready(probed: &Probed) -> Option<String> {
    if probed.shutdown.has_begun() {
        return Some("the process is stopping".to_owned());
    }
    match tokio::time::timeout(PATIENCE, schema::standing(&probed.db)).await {
        Ok(Ok(standing)) if standing.is_current() => None,
        Ok(Ok(standing)) => Some(standing.to_string()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            Some("the database does not answer".to_owned())
        }
        Err(_) => Some(format!("the database did not answer within {} s", PATIENCE.as_secs())),
    }
}

/// The metrics of this process in Prometheus' text format.
pub async fn metrics() -> impl IntoResponse {
    let media = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (media, crate::metrics::render())
}
