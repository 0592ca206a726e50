//! The API, as a program meets it: `recomamp serve` over real HTTP.

mod batches;
mod collections;
mod events;
mod health;
mod jobs;
mod reasons;
mod register;
mod routes;
mod schedules;
mod steering;
mod workflows;

use crate::commands::Site;
use crate::harness::process::{Process, Program};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

/// A served installation with a workflow to run.
pub struct Served {
    pub site: Site,
    pub process: Process,
    pub http: Client,
    base: String,
}

impl Served {
    pub async fn new() -> Self {
        Self::of(Site::furnished().await, |serve| serve).await
    }

    /// One of this installation, with other settings than usual.
    pub async fn of(site: Site, set: impl FnOnce(Program) -> Program) -> Self {
        let serve = site.program(&["serve"]).env("RECOMAMP_HTTP_ADDR", "127.0.0.1:0");
        let mut process = set(serve).start().await;
        let line: Value = serde_json::from_str(&process.line("\"serving\"").await).expect("JSON");
        let base = format!("http://{}", line["address"].as_str().expect("an address"));
        let http = Client::builder().no_proxy().build().expect("a client");
        Self { site, process, http, base }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.expect("an answer")
    }

    pub async fn post(&self, body: &Value) -> Response {
        let request = self.http.post(self.url("/v1/collections")).json(body);
        request.send().await.expect("an answer")
    }

    /// Sends a body as it is, and says it is JSON.
    pub async fn post_text(&self, body: impl Into<reqwest::Body>) -> Response {
        let request = self.http.post(self.url("/v1/collections"));
        let request = request.header("content-type", "application/json; charset=utf-8");
        request.body(body).send().await.expect("an answer")
    }
}

/// A problem document with this status.
pub async fn problem(response: Response, status: StatusCode) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().expect("text").to_owned();
    let problem: Value = response.json().await.expect("JSON");
    assert_eq!(problem["status"], status.as_u16());
    assert_eq!(problem["request_id"], id);
    for field in ["type", "title", "detail"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    problem
}
