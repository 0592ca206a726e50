//! Sends a call, reads its answer within bounds, and says what became of it.

use super::answer::{Answer, Body, Head, chain, read_body, transport};
use super::call::Call;
use super::error::{Class, Error};
use super::operation::{CallReport, Operation};
use super::said::READ_MAX;
use super::settings::{Settings, SetupError};
use reqwest::{RequestBuilder, redirect, retry};
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// An idle connection is dropped before Amazon's load balancers drop it, so that a submit does not
/// get lost on a connection that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// The AMC client. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Client {
    /// For Amazon's APIs.
    pub(super) api: reqwest::Client,
    /// For the storage service: no total timeout, bodies as they are stored.
    pub(super) storage: reqwest::Client,
    pub(super) settings: Settings,
    /// Set once a host has refused AMC's own media types: from then on bodies go as plain JSON.
    plain_json: Arc<AtomicBool>,
}

impl Client {
    /// Sets up the connections; nothing is sent.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let base = || {
            reqwest::Client::builder()
                .user_agent(concat!("recomamp/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(settings.connect_timeout)
                .pool_idle_timeout(POOL_IDLE)
                // A redirect would carry the token to another host, and a retry could submit twice.
                .redirect(redirect::Policy::none())
                .retry(retry::never())
        };
        let setup = |error: reqwest::Error| SetupError(chain(&error));
        let api = base().build().map_err(setup)?;
        let storage =
            base().no_gzip().read_timeout(settings.idle_timeout).build().map_err(setup)?;
        Ok(Self { api, storage, settings, plain_json: Arc::default() })
    }

    /// Sends a call and reads its answer with `read`, which says why when it cannot.
    ///
    /// A body refused with 415 was not looked at: it is sent once more as plain JSON, which Amazon's
    /// guide uses throughout.
    pub(super) async fn call<T>(
        &self,
        call: &Call<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let plain = self.plain_json.load(Ordering::Relaxed);
        let result = self.attempt(call, plain, &read).await;
        match result {
            Err(error) if error.status() == Some(415) && !plain && call.body.is_some() => {
                self.plain_json.store(true, Ordering::Relaxed);
                self.attempt(call, true, &read).await
            }
            result => result,
        }
    }

    /// One HTTP exchange, reported.
    async fn attempt<T>(
        &self,
        call: &Call<'_>,
        plain: bool,
        read: &impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let operation = call.operation;
        let started = Instant::now();
        let mut head = None;
        let result = async {
            let request = call
                .request(&self.api, plain)
                .map_err(|reason| Error::new(operation, Class::Permanent, reason))?;
            let answer =
                self.exchange(operation, request, self.settings.timeout, &mut head).await?;
            let secrets = [call.access.access_token.expose_secret()];
            answer.accept(operation, &secrets, read)
        }
        .await;
        let outcome = result.as_ref().err().map_or("ok", |error| error.class().as_str());
        self.report(operation, started, head.as_ref(), outcome);
        result
    }

    /// Sends a request and reads what comes back. An error means that no answer, or not all of it, came.
    pub(super) async fn exchange(
        &self,
        operation: Operation,
        request: RequestBuilder,
        timeout: Duration,
        head: &mut Option<Head>,
    ) -> Result<Answer, Error> {
        let response =
            request.timeout(timeout).send().await.map_err(|error| transport(operation, error))?;
        let seen = head.insert(Head::of(&response)).clone();
        let good = seen.status.is_success();
        let most = if good { self.settings.max_body_bytes } else { READ_MAX };
        match read_body(response, most).await {
            Ok(body) => Ok(Answer { head: seen, body }),
            // The status of a refusal says enough, even when its body broke off.
            Err(_) if !good => Ok(Answer { head: seen, body: Body::default() }),
            Err(error) => Err(seen.lend(transport(operation, error))),
        }
    }

    /// Tells the log and the observer.
    pub(super) fn report(
        &self,
        operation: Operation,
        started: Instant,
        head: Option<&Head>,
        outcome: &'static str,
    ) {
        let report = CallReport {
            operation,
            status: head.map(|head| head.status.as_u16()),
            outcome,
            duration: started.elapsed(),
            retry_after: head.and_then(|head| head.retry_after),
        };
        tracing::debug!(
            operation = operation.as_str(),
            status = report.status,
            outcome,
            request_id = head.and_then(|head| head.request_id.as_deref()),
            duration_ms = u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX),
            retry_after_ms =
                report.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            "amc call"
        );
        if let Some(on_call) = &self.settings.on_call {
            on_call(&report);
        }
    }
}
