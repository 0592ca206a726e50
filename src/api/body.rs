//! The body of a request that has to be JSON.

use super::error::Problem;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};

/// The body, if it says that it is JSON.
pub fn json(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    if !says_json(headers) {
        return Err(Problem::not_json());
    }
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("the body is longer than 1 MiB"),
        _ => Problem::unreadable("the body broke off"),
    })
}

/// Besides its use, the header keeps browsers from sending a form here without asking first.
fn says_json(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
    let media = media.and_then(|media| media.split(';').next()).unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json")
}
