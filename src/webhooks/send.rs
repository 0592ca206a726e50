//! Sends a message, once, to an address that was looked at.

use super::guard::{Allowed, Refused};
use super::sign::{self, NoSecret};
use chrono::{DateTime, Utc};
use reqwest::{Client, redirect, retry};
use secrecy::SecretString;
use std::net::SocketAddr;
use std::time::Duration;
use url::{Host, Url};

/// How long a receiver may take, to the end of its answer's head.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Sends messages.
#[derive(Debug, Clone)]
pub struct Sender {
    allowed: Allowed,
}

/// A message to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Where to.
    pub url: &'a Url,
    /// The same in every attempt, so that the receiver can tell a repetition.
    pub id: &'a str,
    /// When this attempt is made.
    pub at: DateTime<Utc>,
    /// JSON.
    pub body: &'a str,
    /// What signs it; none when the receiver looks at no signature.
    pub secret: Option<&'a SecretString>,
}

/// Why a message could not be sent, or was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may not go there.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It cannot be signed.
    #[error(transparent)]
    Secret(#[from] NoSecret),
    /// The host is not known.
    #[error("the host cannot be found: {0}")]
    Unknown(std::io::Error),
    /// No answer came.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

impl Sender {
    /// One that may also call what is allowed here.
    pub fn new(allowed: Allowed) -> Self {
        Self { allowed }
    }

    /// Sends a message once, and gives the HTTP status of the answer. Redirects are not followed: they
    /// could lead anywhere.
    pub async fn send(&self, message: &Message<'_>) -> Result<u16, Error> {
        let timestamp = message.at.timestamp();
        let sign = |secret| sign::signature(secret, message.id, timestamp, message.body);
        let signature = message.secret.map(sign).transpose()?;
        let client = self.client(message.url).await?;
        let request = client
            .post(message.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", timestamp)
            .body(message.body.to_owned());
        let request = match signature {
            Some(signature) => request.header("webhook-signature", signature),
            None => request,
        };
        // The address may hold a secret of the receiver's: it is not told.
        let answer = request.send().await.map_err(|error| no_answer(&error.without_url()))?;
        Ok(answer.status().as_u16())
    }

    /// A client that connects to the addresses that were looked at, whatever the name is said to be
    /// a moment later.
    async fn client(&self, url: &Url) -> Result<Client, Error> {
        self.allowed.check_url(url)?;
        let client = Client::builder()
            .user_agent(concat!("recomamp/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy();
        let client = match url.host() {
            Some(Host::Domain(name)) => {
                client.resolve_to_addrs(name, &self.resolved(name, url).await?)
            }
            _ => client,
        };
        client.build().map_err(|error| no_answer(&error))
    }

    async fn resolved(&self, name: &str, url: &Url) -> Result<Vec<SocketAddr>, Error> {
        let port = url.port_or_known_default().unwrap_or(443);
        let lookup = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((name, port)));
        let found = lookup.await.map_err(|error| Error::Unknown(error.into()))?;
        let found: Vec<SocketAddr> = found.map_err(Error::Unknown)?.collect();
        for address in &found {
            self.allowed.check_address(name, address.ip())?;
        }
        Ok(found)
    }
}

fn no_answer(error: &reqwest::Error) -> Error {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        said.push_str(": ");
        said.push_str(&cause.to_string());
        source = cause.source();
    }
    Error::NoAnswer(said)
}
