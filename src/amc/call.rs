//! One call to AMC, before it is sent.

use super::access::{Access, Caller};
use super::operation::Operation;
use reqwest::Method;
use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;

/// The media type every resource understands, as far as Amazon's guide goes.
pub(super) const JSON: &str = "application/json";

/// One call to AMC, ready to be sent.
pub(super) struct Call<'a> {
    pub operation: Operation,
    pub method: Method,
    pub access: &'a Access,
    /// The account, for all calls but the list of accounts.
    pub caller: Option<&'a Caller>,
    pub path: Vec<&'a str>,
    pub query: Vec<(&'static str, String)>,
    pub body: Option<Value>,
    /// The resource's own media type.
    pub media: &'static str,
}

impl<'a> Call<'a> {
    /// A question without a body about something in the account.
    pub(super) fn get(
        operation: Operation,
        caller: &'a Caller,
        path: Vec<&'a str>,
        media: &'static str,
    ) -> Self {
        Self {
            operation,
            method: Method::GET,
            access: &caller.access,
            caller: Some(caller),
            path,
            query: Vec::new(),
            body: None,
            media,
        }
    }

    /// The same with a body.
    pub(super) fn sending(self, method: Method, body: Value) -> Self {
        Self { method, body: Some(body), ..self }
    }

    /// The request it is. `plain` sends the body as plain JSON instead of as AMC's own media type.
    pub(super) fn request(
        &self,
        http: &reqwest::Client,
        plain: bool,
    ) -> Result<RequestBuilder, String> {
        let headers = match self.caller {
            Some(caller) => caller.headers()?,
            None => self.access.headers()?,
        };
        let (accept, media) = match self.media {
            JSON => (JSON.to_owned(), JSON),
            media => (format!("{media}, {JSON}"), if plain { JSON } else { media }),
        };
        let url = self.access.url(&self.path)?;
        let mut request = http.request(self.method.clone(), url).headers(headers);
        request = request.header(ACCEPT, accept);
        if !self.query.is_empty() {
            request = request.query(&self.query);
        }
        if let Some(body) = &self.body {
            request = request.header(CONTENT_TYPE, media).body(body.to_string());
        }
        Ok(request)
    }
}
