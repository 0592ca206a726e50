//! A plain client at a simulator of its own. It knows how to ask, and nothing about retrying.
//!
//! It speaks HTTP itself (reqwest, in tests only): the product's AMC client must not vouch for the
//! server that checks it.

use recomamp::simulator::{self, Counts, Settings, Simulator};
use serde_json::{Value, json};
use std::time::Duration;

/// An instance that everybody may use.
pub const INSTANCE: &str = "amcdemous01";
/// Its account and marketplace.
pub const ACCOUNT: (&str, &str) = ("ENTITY1SIMUS", "ATVPDKIKX0DER");
/// A refresh token that sees every account.
pub const REFRESH_TOKEN: &str = "Atzr|simulator-demo";

/// A simulator, a client, and an access token.
pub struct Desk {
    pub simulator: Simulator,
    pub http: reqwest::Client,
    pub token: String,
}

impl Desk {
    /// Starts a simulator with a clock that stands still.
    pub async fn open() -> Self {
        Self::with(Settings::manual()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let simulator = simulator::start(settings).await.expect("a free port");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut desk = Self { simulator, http, token: String::new() };
        desk.refresh().await;
        desk
    }

    /// Fetches a new access token.
    pub async fn refresh(&mut self) {
        let (status, body) = self.ask_token(REFRESH_TOKEN).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().expect("a token").clone_into(&mut self.token);
    }

    pub async fn ask_token(&self, refresh_token: &str) -> (u16, Value) {
        let settings = self.simulator.settings();
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", &settings.client_id),
            ("client_secret", &settings.client_secret),
        ];
        let request = self.http.post(self.simulator.token_url()).form(&form);
        answer(request.send().await.expect("an answer")).await
    }

    /// A request to AMC with all its headers.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.http
            .request(method, format!("{}{path}", self.simulator.base_url()))
            .bearer_auth(&self.token)
            .header("Amazon-Advertising-API-ClientId", self.simulator.settings().client_id)
            .header("Amazon-Advertising-API-AdvertiserId", ACCOUNT.0)
            .header("Amazon-Advertising-API-MarketplaceId", ACCOUNT.1)
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request.send().await.expect("an answer")).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None).await
    }

    /// A call on the instance: `path` begins after its id.
    pub async fn amc(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.call(method, &format!("/amc/reporting/{INSTANCE}{path}"), body).await
    }

    /// Submits one week of a plain query and gives the execution's id.
    pub async fn submit(&self, monday: &str) -> String {
        let (status, body) = self.amc("POST", "/workflowExecutions", Some(&week(monday))).await;
        assert_eq!(status, 200, "{body}");
        id(&body)
    }

    pub async fn execution(&self, id: &str) -> Value {
        let (status, body) = self.amc("GET", &format!("/workflowExecutions/{id}"), None).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    pub async fn status(&self, id: &str) -> String {
        self.execution(id).await["status"].as_str().expect("a status").to_owned()
    }

    /// The download addresses of an execution's result files.
    pub async fn urls(&self, id: &str) -> Vec<String> {
        let path = format!("/workflowExecutions/{id}/downloadUrls");
        let (status, body) = self.amc("GET", &path, None).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_value(body["downloadUrls"].clone()).expect("a list of texts")
    }

    pub async fn download(&self, url: &str) -> reqwest::Response {
        self.http.get(url).send().await.expect("an answer")
    }

    pub fn advance(&self, seconds: u64) {
        self.simulator.advance(Duration::from_secs(seconds));
    }

    pub fn counts(&self) -> Counts {
        self.simulator.counts()
    }
}

/// The body of a submit for the week that starts on `monday`, UTC.
pub fn week(monday: &str) -> Value {
    let start: chrono::NaiveDate = monday.parse().expect("a date");
    let end = start + chrono::Days::new(7);
    json!({
        "workflow": {"workflowId": "plain", "sqlQuery": "select campaign from sponsored_ads_traffic"},
        "timeWindowType": "EXPLICIT",
        "timeWindowStart": format!("{start}T00:00:00"),
        "timeWindowEnd": format!("{end}T00:00:00"),
        "timeWindowTimeZone": "UTC",
    })
}

pub fn id(execution: &Value) -> String {
    execution["workflowExecutionId"].as_str().expect("an id").to_owned()
}

/// Status and JSON of an answer; null when it is not JSON.
pub async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.expect("a whole body");
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}
