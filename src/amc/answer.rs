//! What comes back: its head, its body within bounds, and the error that it may be.

use super::classify;
use super::error::{Class, Error};
use super::operation::Operation;
use super::retry_after::retry_after;
use super::said::{self, READ_MAX};
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use std::time::Duration;

/// The head of an answer, as far as anybody wants to know it later.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub status: StatusCode,
    pub request_id: Option<String>,
    pub retry_after: Option<Duration>,
    /// `x-amzn-ErrorType`: the gateway's error code, where the body has none.
    pub error_type: Option<String>,
}

/// An answer, read within bounds.
pub(super) struct Answer {
    pub head: Head,
    pub body: Body,
}

impl Head {
    pub(super) fn of(response: &Response) -> Self {
        let headers = response.headers();
        Self {
            status: response.status(),
            request_id: text(headers, "x-amzn-requestid")
                .or_else(|| text(headers, "x-amz-request-id")),
            retry_after: retry_after(headers),
            error_type: text(headers, "x-amzn-errortype"),
        }
    }

    /// Writes what is known of the answer into an error.
    pub(super) fn lend(&self, error: Error) -> Error {
        error.with(|detail| {
            detail.status = Some(self.status.as_u16());
            detail.request_id.clone_from(&self.request_id);
            detail.retry_after = self.retry_after;
        })
    }
}

impl Answer {
    /// The answer as a value, or as a classed error.
    pub(super) fn accept<T>(
        self,
        operation: Operation,
        secrets: &[&str],
        read: &impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        if !self.head.status.is_success() {
            return Err(self.refusal(operation, secrets));
        }
        let unreadable = |reason: String| {
            let error = Error::new(operation, classify::lost(operation), reason);
            self.head.lend(error).with(|detail| {
                // Nothing at all is also something that nobody expected.
                detail.body = Some(if operation.answers_secrets() {
                    "[not kept, because it may hold a secret]".to_owned()
                } else {
                    let bytes = &self.body.bytes;
                    let said = said::read(&bytes[..bytes.len().min(READ_MAX)], secrets);
                    said.kept.unwrap_or_default()
                });
            })
        };
        if self.body.over {
            return Err(unreadable(format!(
                "the answer is larger than {} bytes",
                self.body.bytes.len()
            )));
        }
        match std::str::from_utf8(&self.body.bytes) {
            Ok(text) => read(text).map_err(unreadable),
            Err(_) => Err(unreadable("the answer is not UTF-8".to_owned())),
        }
    }

    /// The error that this refusal by AMC is.
    fn refusal(&self, operation: Operation, secrets: &[&str]) -> Error {
        let Head { status, retry_after, ref error_type, .. } = self.head;
        let said = said::read(&self.body.bytes, secrets);
        let words =
            [said.code.as_deref(), error_type.as_deref(), Some(&said.reason)].into_iter().flatten();
        let words = words.collect::<Vec<_>>().join(" ");
        let is_amcs = said.is_json || error_type.is_some();
        let class = if classify::is_a_gateways(operation, status.as_u16(), &words, is_amcs) {
            Class::Transient
        } else {
            classify::refusal(operation, status.as_u16(), &words, retry_after)
        };
        let reason = if status.is_redirection() {
            "redirects are not followed, because the token would go along; check the base URL"
                .into()
        } else if said.reason.is_empty() {
            status.canonical_reason().unwrap_or("no reason given").to_owned()
        } else {
            said.reason
        };
        self.head.lend(Error::new(operation, class, reason)).with(|detail| {
            detail.code = said.code.or_else(|| error_type.clone());
            detail.body = said.kept;
        })
    }
}

/// A failure below HTTP. Only a connection that was never made is certain to have sent nothing.
pub(super) fn transport(operation: Operation, error: reqwest::Error) -> Error {
    let class = if error.is_builder() {
        Class::Permanent
    } else if error.is_connect() {
        Class::Transient
    } else {
        classify::lost(operation)
    };
    let what = if error.is_timeout() { "timed out" } else { "no complete answer" };
    Error::new(operation, class, format!("{what}: {}", chain(&error.without_url())))
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    said::cut(&text, 500)
}

/// A body read up to a bound.
#[derive(Default)]
pub(super) struct Body {
    pub bytes: Vec<u8>,
    /// Whether there was more.
    pub over: bool,
}

/// Reads at most `most` bytes.
pub(super) async fn read_body(mut response: Response, most: usize) -> Result<Body, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(Body { bytes, over: true });
        }
    }
    Ok(Body { bytes, over: false })
}

/// A header as text, short.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(|value| said::cut(value, 200))
}
