//! What a program is told when something is wrong: a problem document after
//! [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457).

use super::request;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::fmt;

/// What is wrong with a request, or with us.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    field: Option<String>,
    remedy: Option<String>,
}

/// A problem as it goes over the wire.
#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
    request_id: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: String) -> Self {
        Self { status, code, title, detail, field: None, remedy: None }
    }

    /// 400: it is not what this route reads at all.
    pub fn unreadable(detail: impl Into<String>) -> Self {
        let title = "The request cannot be read";
        Self::new(StatusCode::BAD_REQUEST, "unreadable", title, detail.into())
    }

    /// 404: it names something that there is not.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing", detail.into())
    }

    /// 405: the path has no such method.
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        let title = "The method is not understood here";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", title, detail.into())
    }

    /// 409: as things stand it cannot be done.
    pub fn conflict(detail: impl Into<String>) -> Self {
        let title = "As things stand this cannot be done";
        Self::new(StatusCode::CONFLICT, "conflict", title, detail.into())
    }

    /// 413: the body is too long.
    pub fn too_large(detail: impl Into<String>) -> Self {
        let title = "The request is too long";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", title, detail.into())
    }

    /// 415: the body is not JSON, or does not say so.
    pub fn not_json() -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "the body does not say that it is JSON".to_owned();
        Self::new(status, "not_json", "The request is not JSON", detail)
            .with_remedy("send the header Content-Type: application/json")
    }

    /// 422: a field is not what it must be.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let title = "A field is not what it must be";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", title, detail.into())
            .with_field(field)
    }

    /// 400: a change that names nothing of what there is to be changed.
    pub fn no_change(known: &str) -> Self {
        Self::unreadable("nothing is to be changed").with_remedy(format!("give some of {known}"))
    }

    /// 503: the database is away.
    pub fn unavailable(error: impl fmt::Display) -> Self {
        let request_id = request::current_id();
        tracing::warn!(%error, request_id, "a request found no database");
        let title = "The database does not answer";
        let detail = "nothing was done: the database is away or has too much to do".to_owned();
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title, detail)
            .with_remedy("try again in a moment")
    }

    /// 503: we took too long.
    pub fn timed_out() -> Self {
        let title = "The answer took too long";
        let detail = "the request was given up; what it asked for may have been done".to_owned();
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", title, detail)
            .with_remedy("look whether it was done before asking again")
    }

    /// 500: something of ours. It is logged here, once; the program learns only the request's id.
    pub fn internal(error: impl fmt::Display) -> Self {
        let request_id = request::current_id();
        tracing::error!(%error, request_id, "a request failed");
        let title = "Something went wrong here";
        let detail = "the request failed for a reason of ours, which is in our log".to_owned();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", title, detail)
            .with_remedy("try again; if it stays, give the request_id to whoever runs this server")
    }

    /// 409: it takes a secret, and this server has no key to keep it with.
    pub fn no_key() -> Self {
        Self::conflict("this server has no key to encrypt secrets with, so it takes none")
            .with_remedy("give `recomamp serve` RECOMAMP_ENCRYPTION_KEYS, the same as the workers'")
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // No connection was to be had, so nothing was asked.
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Self::unavailable(error),
            _ => Self::internal(error),
        }
    }
}

impl From<crate::queue::Error> for Problem {
    fn from(error: crate::queue::Error) -> Self {
        match error {
            crate::queue::Error::Database(error) => error.into(),
            crate::queue::Error::Invalid(invalid) => {
                Self::invalid(invalid.field, invalid.to_string()).with_remedy(invalid.remedy)
            }
            _ => Self::internal(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            kind: format!("urn:recomamp:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
            remedy: self.remedy.as_deref(),
            request_id: request::current_id(),
        };
        let mut response = (self.status, Json(document)).into_response();
        let media = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_without_a_free_connection_is_no_error_of_the_request() {
        let away = Problem::from(sqlx::Error::PoolTimedOut);
        let ours = Problem::from(sqlx::Error::RowNotFound);
        assert_eq!((away.status.as_u16(), ours.status.as_u16()), (503, 500));
    }
}
