//! `/_sim`: what whoever runs the simulator can ask of it and change, over HTTP.
//!
//! | | |
//! |---|---|
//! | `GET /_sim/state` | clocks, executions by status, faults |
//! | `GET /_sim/counts` | [`Counts`] |
//! | `GET /_sim/log`, `GET /_sim/exchanges` | every call; with their bodies, if they are recorded |
//! | `GET /_sim/facts?instance=…&first=2025-01-06&weeks=52` | [`Totals`] |
//! | `GET`, `POST`, `DELETE /_sim/faults`, `DELETE /_sim/faults/{id}` | look, set one or a list, lift |
//! | `POST /_sim/faults/storm` | set the preset |
//! | `POST /_sim/advance` `{"seconds": 60}` | move the clocks |
//! | `POST /_sim/tokens/revoke`, `…/restore` `{"refresh_token": "Atzr|…"}` | one refresh token; revoke takes `seconds` too |
//! | `POST /_sim/tokens/forget` | every access token |

use super::State as Snapshot;
use super::counts::{Counts, Entry, Exchange};
use super::facts::{Facts, Totals};
use super::faults::{Fault, SetFault};
use super::server::Shared;
use super::storm::storm;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

type World = State<Arc<Shared>>;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/state", get(state))
        .route("/counts", get(counts))
        .route("/log", get(log))
        .route("/exchanges", get(exchanges))
        .route("/facts", get(facts))
        .route("/faults", get(faults).post(set_faults).delete(lift_faults))
        .route("/faults/storm", post(set_storm))
        .route("/faults/{id}", delete(lift_fault))
        .route("/advance", post(advance))
        .route("/tokens/revoke", post(revoke))
        .route("/tokens/restore", post(restore))
        .route("/tokens/forget", post(forget))
}

async fn state(State(shared): World) -> Json<Snapshot> {
    Json(Snapshot::of(&mut shared.world()))
}

async fn counts(State(shared): World) -> Json<Counts> {
    let mut world = shared.world();
    world.settle();
    Json(world.witness.counts.clone())
}

async fn log(State(shared): World) -> Json<Vec<Entry>> {
    Json(shared.world().witness.log.iter().cloned().collect())
}

async fn exchanges(State(shared): World) -> Json<Vec<Exchange>> {
    Json(shared.world().witness.exchanges.clone())
}

#[derive(Deserialize)]
struct Span {
    instance: String,
    first: NaiveDate,
    weeks: u32,
}

async fn facts(State(shared): World, Query(span): Query<Span>) -> Json<Totals> {
    let facts = {
        let settings = &shared.world().settings;
        Facts::new(settings.seed, span.instance, settings.campaigns)
    };
    Json(facts.totals(span.first, span.weeks))
}

async fn faults(State(shared): World) -> Json<Vec<SetFault>> {
    Json(shared.world().faults.all().to_vec())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(Box<Fault>),
    More(Vec<Fault>),
}

async fn set_faults(State(shared): World, Json(faults): Json<OneOrMore>) -> Json<Vec<u64>> {
    let faults = match faults {
        OneOrMore::One(fault) => vec![*fault],
        OneOrMore::More(faults) => faults,
    };
    Json(shared.change(|world| faults.into_iter().map(|one| world.faults.add(one)).collect()))
}

async fn set_storm(State(shared): World) -> Json<Vec<u64>> {
    Json(shared.change(|world| {
        let faults = storm(world.settings.seed);
        faults.into_iter().map(|one| world.faults.add(one)).collect()
    }))
}

async fn lift_faults(State(shared): World) -> StatusCode {
    shared.change(|world| world.faults.lift(None));
    StatusCode::NO_CONTENT
}

async fn lift_fault(State(shared): World, Path(id): Path<u64>) -> StatusCode {
    match shared.change(|world| world.faults.lift(Some(id))) {
        0 => StatusCode::NOT_FOUND,
        _ => StatusCode::NO_CONTENT,
    }
}

#[derive(Deserialize)]
struct Advance {
    seconds: u64,
}

async fn advance(State(shared): World, Json(by): Json<Advance>) -> Json<Snapshot> {
    shared.change(|world| world.clock.advance(Duration::from_secs(by.seconds)));
    Json(Snapshot::of(&mut shared.world()))
}

#[derive(Deserialize)]
struct Token {
    refresh_token: String,
    seconds: Option<u32>,
}

async fn revoke(State(shared): World, Json(token): Json<Token>) -> StatusCode {
    shared.change(|world| {
        let length = token.seconds.map(|seconds| TimeDelta::seconds(seconds.into()));
        let until = length.map_or(DateTime::<Utc>::MAX_UTC, |length| world.clock.felt() + length);
        world.tokens.revoke(&token.refresh_token, until);
    });
    StatusCode::NO_CONTENT
}

async fn restore(State(shared): World, Json(token): Json<Token>) -> StatusCode {
    shared.change(|world| world.tokens.restore(&token.refresh_token));
    StatusCode::NO_CONTENT
}

async fn forget(State(shared): World) -> StatusCode {
    shared.change(|world| world.tokens.forget());
    StatusCode::NO_CONTENT
}
