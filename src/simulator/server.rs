//! From request to answer on the line, by way of the world.

use super::admin;
use super::answer::{Answer, Payload};
use super::call::{Call, Operation};
use super::faults::{Effect, Kind};
use super::line::Line;
use super::misbehave::{Delivery, Extent};
use super::settings::Gzip;
use super::world::World;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::Response;
use futures::stream::{self, StreamExt};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Longest body that is read.
const BODY_BYTES: usize = 16 << 20;
const MEGABYTE: usize = 1 << 20;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    world: Mutex<World>,
    /// Counts up with every call answered and every change of the faults.
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) stop: CancellationToken,
}

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        let stop = CancellationToken::new();
        Self { world: Mutex::new(world), changes: watch::Sender::new(0), stop }
    }

    /// The world, for one step. A panic in an earlier step has left it whole enough to look at.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the world and tells whoever waits for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let changed = change(&mut self.world());
        self.changes.send_modify(|count| *count += 1);
        changed
    }

    /// Returns once the fault is lifted; false when the simulator stops first.
    async fn lifted(&self, fault: u64) -> bool {
        let mut changes = self.changes.subscribe();
        let lifted =
            changes.wait_for(|_| self.world().faults.all().iter().all(|set| set.id != fault));
        tokio::select! {
            lifted = lifted => lifted.is_ok(),
            () = self.stop.cancelled() => false,
        }
    }
}

/// The routes: `/_sim` for who runs the simulator, everything else is Amazon.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().nest("/_sim", admin::router()).fallback(serve).with_state(shared)
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let gzip = shared.world().settings.gzip;
    let Ok(body) = to_bytes(body, BODY_BYTES).await else {
        let refusal = Delivery::Answer(Answer::error(413, "Payload Too Large"), Extent::Whole);
        return respond(refusal, Operation::Token, gzip, line).await;
    };
    let Some(call) = Call::read(parts.method, parts.uri, parts.headers, body) else {
        let refusal = Delivery::Answer(Answer::error(404, "Not Found"), Extent::Whole);
        return respond(refusal, Operation::Token, gzip, line).await;
    };
    let fault = shared.change(|world| world.arrive(&call));
    let held = |side: Effect| match fault {
        Some((id, Kind::Hold { effect })) if effect == side => Some(id),
        _ => None,
    };
    if let Some(id) = held(Effect::Before)
        && !shared.lifted(id).await
    {
        return respond(Delivery::Reset, call.operation, gzip, line).await;
    }
    let mut delivery = shared.change(|world| world.act(&call, fault.as_ref()));
    if let Some(id) = held(Effect::After)
        && !shared.lifted(id).await
    {
        delivery = Delivery::Reset;
    }
    respond(delivery, call.operation, gzip, line).await
}

async fn respond(delivery: Delivery, operation: Operation, gzip: Gzip, line: Line) -> Response {
    let (answer, extent) = match delivery {
        Delivery::Answer(answer, extent) => (answer, extent),
        Delivery::Huge(megabytes) => return huge(operation, megabytes),
        Delivery::Reset => {
            line.cut();
            return Response::new(Body::empty());
        }
    };
    let mut response = Response::builder()
        .status(answer.status)
        .header("x-amzn-requestid", uuid::Uuid::new_v4().to_string());
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let (media, bytes) = match answer.body {
        Payload::Json(body) => (operation.media_type(), body.to_string().into_bytes()),
        Payload::Raw(media, bytes) => (media, bytes),
        Payload::File(bytes) if gzip == Gzip::Off => ("text/csv", bytes),
        Payload::File(bytes) => {
            if gzip == Gzip::Declared {
                response = response.header(CONTENT_ENCODING, "gzip");
            }
            ("text/csv", compress(&bytes).await)
        }
    };
    response = response.header(CONTENT_TYPE, media);
    let response = match extent {
        Extent::Whole => response.body(Body::from(bytes)),
        Extent::Half => response.body(Body::from(bytes[..bytes.len() / 2].to_vec())),
        Extent::Short | Extent::Cut => {
            let length = bytes.len();
            let line = (extent == Extent::Cut).then_some(line);
            response.header(CONTENT_LENGTH, length).body(half(bytes, line))
        }
    };
    response.expect("statuses and headers are of the simulator's own making")
}

/// Half of a body that was announced whole; with a line, that is cut then.
fn half(mut bytes: Vec<u8>, line: Option<Line>) -> Body {
    bytes.truncate(bytes.len() / 2);
    let first = stream::once(async move { Ok::<_, io::Error>(Bytes::from(bytes)) });
    let rest = stream::once(async move {
        // Gives the first half the time to leave.
        tokio::task::yield_now().await;
        if let Some(line) = line {
            line.cut();
        }
        Err(io::ErrorKind::ConnectionReset.into())
    });
    Body::from_stream(first.chain(rest))
}

fn huge(operation: Operation, megabytes: u32) -> Response {
    let megabyte = Bytes::from(vec![b' '; MEGABYTE]);
    let count = usize::try_from(megabytes).unwrap_or(usize::MAX);
    let body = stream::iter(std::iter::repeat_n(megabyte, count)).map(Ok::<_, io::Error>);
    let mut response = Response::new(Body::from_stream(body));
    let media = axum::http::HeaderValue::from_static(operation.media_type());
    response.headers_mut().insert(CONTENT_TYPE, media);
    response
}

async fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = async_compression::tokio::write::GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await.expect("memory takes every byte");
    encoder.shutdown().await.expect("memory takes every byte");
    encoder.into_inner()
}
