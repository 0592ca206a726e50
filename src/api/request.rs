//! What happens to every request: it gets an id, a time limit, and a line in the log.

use super::error::Problem;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The header that carries a request's id, both ways.
const HEADER: &str = "x-request-id";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

tokio::task_local! {
    static ID: String;
}

/// The id of the request that this task answers.
pub fn current_id() -> Option<String> {
    ID.try_with(Clone::clone).ok()
}

/// Runs a request under its id and within its time.
pub async fn watched(request: Request, next: Next) -> Response {
    let given = request.headers().get(HEADER).and_then(|id| id.to_str().ok());
    let id = given.filter(|id| is_id(id)).map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    ID.scope(id.clone(), answered(id, request, next)).await
}

async fn answered(id: String, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let began = Instant::now();
    let answer = tokio::time::timeout(PATIENCE, next.run(request)).await;
    let mut response = answer.unwrap_or_else(|_| Problem::timed_out().into_response());
    let milliseconds = began.elapsed().as_millis();
    let status = response.status().as_u16();
    tracing::debug!(request_id = id, %method, path, status, milliseconds, "request answered");
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// Whether a caller's id is fit for logs.
fn is_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (8..=64).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_id_is_taken_only_when_a_log_can_hold_it() {
        assert!(is_id("0199-abcd_EF"));
        for id in ["", "short", "with space in it", "line\nbreak-12", &"x".repeat(65)] {
            assert!(!is_id(id), "{id:?}");
        }
    }
}
