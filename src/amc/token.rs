//! Login with Amazon: a refresh token buys an access token for an hour.

use super::answer::{Answer, Head};
use super::call::JSON;
use super::client::Client;
use super::error::Class;
use super::operation::Operation;
use super::said;
use reqwest::header::ACCEPT;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::fmt;
use std::time::{Duration, Instant};
use url::Url;

/// What Login with Amazon documents, for an answer that leaves it out.
const LIFETIME: Duration = Duration::from_hours(1);

/// What a refresh brings.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// For the calls of the next hour.
    pub access_token: SecretString,
    /// How long it lives, from the moment it was asked for.
    pub expires_in: Duration,
    /// A new refresh token. Usually the same one comes back; when none does, keep the old one.
    pub refresh_token: Option<SecretString>,
}

/// What a failed refresh asks of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenClass {
    /// The refresh token is no longer good: this user has to consent anew. Amazon has answered this by
    /// mistake before, so ask once more before telling anybody.
    InvalidGrant,
    /// Client id or secret are wrong: nobody's token can be refreshed, the operator has to act.
    InvalidClient,
    /// The same request will fail again.
    Permanent,
    /// Too many refreshes.
    Throttled {
        /// How long the other side asked us to wait, at most ten minutes.
        retry_after: Option<Duration>,
    },
    /// Try again later; the present access token stays good until it expires.
    Transient,
}

impl TokenClass {
    /// The word for logs, metric labels and columns.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidClient => "invalid_client",
            Self::Permanent => "permanent",
            Self::Throttled { .. } => "throttled",
            Self::Transient => "transient",
        }
    }
}

/// A refresh that failed. Safe to log and to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenError {
    class: TokenClass,
    reason: String,
    status: Option<u16>,
    request_id: Option<String>,
}

impl TokenError {
    /// What the failure asks of the caller.
    pub fn class(&self) -> TokenClass {
        self.class
    }

    /// Why, in Login with Amazon's words where it had any.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The HTTP status, `None` when no answer arrived.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// `x-amzn-RequestId`.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The same failure, told to those who did not make the request.
    #[must_use]
    pub fn without_request(&self) -> Self {
        Self { request_id: None, ..self.clone() }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", Operation::RefreshToken, self.class.as_str())?;
        if let Some(status) = self.status {
            write!(f, " (HTTP {status})")?;
        }
        write!(f, ": {}", self.reason)?;
        if let Some(id) = &self.request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for TokenError {}

impl Client {
    /// Buys an access token (RFC 6749, section 6). Doing it twice is harmless: Amazon does not rotate
    /// refresh tokens, and older access tokens stay good.
    pub async fn refresh(
        &self,
        token_url: &Url,
        client_id: &str,
        client_secret: &SecretString,
        refresh_token: &SecretString,
    ) -> Result<Tokens, TokenError> {
        let operation = Operation::RefreshToken;
        let started = Instant::now();
        let mut head = None;
        let secrets = [client_secret.expose_secret(), refresh_token.expose_secret()];
        let request = self.api.post(token_url.clone()).header(ACCEPT, JSON).form(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", secrets[1]),
            ("client_id", client_id),
            ("client_secret", secrets[0]),
        ]);
        let timeout = self.settings.token_timeout;
        let result = match self.exchange(operation, request, timeout, &mut head).await {
            Ok(answer) => read(&answer, &secrets),
            Err(error) => Err(TokenError {
                class: match error.class() {
                    Class::Permanent => TokenClass::Permanent,
                    _ => TokenClass::Transient,
                },
                reason: error.reason().to_owned(),
                status: error.status(),
                request_id: error.request_id().map(str::to_owned),
            }),
        };
        let outcome = result.as_ref().err().map_or("ok", |error| error.class.as_str());
        self.report(operation, started, head.as_ref(), outcome);
        result
    }
}

fn read(answer: &Answer, secrets: &[&str]) -> Result<Tokens, TokenError> {
    let Head { status, retry_after, ref request_id, .. } = answer.head;
    let failed = |class, reason: String| TokenError {
        class,
        reason,
        status: Some(status.as_u16()),
        request_id: request_id.clone(),
    };
    if status.is_success() {
        // Not even the beginning of this answer is quoted: it may hold a token.
        let odd = || failed(TokenClass::Transient, "the answer has no `access_token`".to_owned());
        return tokens(&answer.body.bytes).ok_or_else(odd);
    }
    let said = said::read(&answer.body.bytes, secrets);
    let error = said.code.as_deref().unwrap_or_default();
    let reason = match (error, said.reason.as_str()) {
        ("", "") => status.canonical_reason().unwrap_or("no reason given").to_owned(),
        ("", reason) => reason.to_owned(),
        (error, reason) => format!("{error}: {reason}"),
    };
    let class = match (error, status.as_u16()) {
        ("invalid_grant", 400..=499) => TokenClass::InvalidGrant,
        ("invalid_client", 400..=499) | (_, 401) => TokenClass::InvalidClient,
        (_, 429) => TokenClass::Throttled { retry_after },
        (_, 503) if retry_after.is_some() => TokenClass::Throttled { retry_after },
        (_, 408) => TokenClass::Transient,
        (_, 300..=499) => TokenClass::Permanent,
        _ => TokenClass::Transient,
    };
    Err(failed(class, reason))
}

fn tokens(body: &[u8]) -> Option<Tokens> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let token = |name: &str| {
        let text = body.get(name)?.as_str()?.trim();
        (!text.is_empty()).then(|| SecretString::from(text))
    };
    let seconds = body.get("expires_in").and_then(|value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    Some(Tokens {
        access_token: token("access_token")?,
        expires_in: seconds.map_or(LIFETIME, Duration::from_secs),
        refresh_token: token("refresh_token"),
    })
}
