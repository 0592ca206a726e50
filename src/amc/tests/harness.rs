//! Servers that answer as told and remember what they were asked, and a client that asks them.

use crate::amc::{
    Access, AmcExecutionId, AmcInstanceId, CallReport, Caller, Client, EntityId, MarketplaceId,
    Settings,
};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// The token of all tests; must never be seen outside the header.
pub const TOKEN: &str = "Atza|the-access-token";

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The decoded query, sorted.
    pub fn query(&self) -> Vec<(String, String)> {
        let url = Url::parse("http://x").unwrap().join(&self.target).unwrap();
        let mut pairs: Vec<_> = url.query_pairs().into_owned().collect();
        pairs.sort();
        pairs
    }
}

/// An HTTP server; stops when the test's runtime does.
pub struct Server {
    pub url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Answers each request with what `answer` makes of it and of its number, from 0.
    pub async fn answering(
        answer: impl Fn(usize, &Seen) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = Arc::clone(&seen);
        let service = axum::Router::new().fallback(move |request: Request| {
            let (record, answer) = (Arc::clone(&record), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap();
                let seen = Seen {
                    method: head.method,
                    target: head.uri.to_string(),
                    headers: head.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                let number = {
                    let mut record = record.lock().unwrap();
                    record.push(seen.clone());
                    record.len() - 1
                };
                answer(number, &seen)
            }
        });
        let (listener, url) = listen().await;
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { url, seen }
    }

    /// Gives the same answer to everything.
    pub async fn always(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers: Vec<_> =
            headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let body = body.to_owned();
        Self::answering(move |_, _| {
            let headers: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            reply(status, &headers, body.clone())
        })
        .await
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request there was.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.into_iter().next().unwrap()
    }
}

/// An answer.
pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

/// A good answer.
pub fn json(body: impl Into<Body>) -> Response {
    reply(200, &[("content-type", "application/json")], body)
}

/// What a raw server does once it has read a request.
#[derive(Clone, Copy)]
pub enum Then {
    /// Says these bytes and closes.
    Close(&'static str),
    /// Says these bytes and then nothing more, ever.
    Hang(&'static str),
}

/// A server below HTTP. Counts the requests it has read to the end.
pub async fn raw(then: Then) -> (Url, Arc<Mutex<usize>>) {
    let (listener, url) = listen().await;
    let count: Arc<Mutex<usize>> = Arc::default();
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        let mut hanging = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            *counter.lock().unwrap() += 1;
            match then {
                Then::Close(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                Then::Hang(text) => {
                    stream.write_all(text.as_bytes()).await.unwrap();
                    hanging.push(stream);
                }
            }
        }
    });
    (url, count)
}

async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
                rest.lines().next().unwrap().trim().parse::<usize>().unwrap()
            });
            if body.len() >= length {
                return;
            }
        }
        if stream.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
    }
}

/// An address where nobody listens.
pub async fn nobody() -> Url {
    listen().await.1
}

async fn listen() -> (TcpListener, Url) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    (listener, url)
}

/// A client with Amazon-like patience.
pub fn client() -> Client {
    Client::new(Settings::default()).unwrap()
}

/// A client that waits a tenth of a second and no longer, for servers that never answer.
pub fn impatient() -> Client {
    let soon = Duration::from_millis(100);
    Client::new(Settings {
        timeout: soon,
        token_timeout: soon,
        idle_timeout: soon,
        ..Settings::default()
    })
    .unwrap()
}

/// A client that writes down what it reports.
pub fn observed(max_body_bytes: usize) -> (Client, Arc<Mutex<Vec<CallReport>>>) {
    let reports: Arc<Mutex<Vec<CallReport>>> = Arc::default();
    let record = Arc::clone(&reports);
    let on_call = Arc::new(move |report: &CallReport| record.lock().unwrap().push(report.clone()));
    (
        Client::new(Settings { max_body_bytes, on_call: Some(on_call), ..Settings::default() })
            .unwrap(),
        reports,
    )
}

pub fn caller(base_url: &Url) -> Caller {
    Caller {
        access: Access {
            base_url: base_url.clone(),
            client_id: "amzn1.application-oa2-client.1".to_owned(),
            access_token: TOKEN.into(),
        },
        entity_id: EntityId::new("ENTITY1A2B").unwrap(),
        marketplace_id: MarketplaceId::new("US").unwrap(),
    }
}

pub fn instance() -> AmcInstanceId {
    AmcInstanceId::new("amcibersblt").unwrap()
}

pub fn execution_id() -> AmcExecutionId {
    AmcExecutionId::new("b3a77999-7c8e-4289-9bf9-5da8f178536c").unwrap()
}
