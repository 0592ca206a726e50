//! `/v1/events`: the journal, which says what happened to collections, schedules, instances, users.

use super::Api;
use super::error::Problem;
use super::query::{Given, Parameters};
use crate::given;
use crate::store::events::{self, Event, Filter, Of, entity};
use axum::Json;
use axum::extract::State;
use serde::Serialize;

/// A page of the journal.
#[derive(Debug, Serialize)]
pub struct Page {
    /// The newest first.
    events: Vec<Event>,
    /// What to give as `before` for the next page; null when this is the last one.
    next_before: Option<i64>,
}

/// What happened, page by page, the newest first.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Page>, Problem> {
    let mut parameters = Parameters::of(query)?;
    let filter = Filter {
        of: of(&mut parameters)?,
        since: parameters.text("since", given::time)?,
        before: parameters.optional("before", "the id of an event")?,
        limit: parameters.limit()?,
    };
    parameters.end()?;
    let events = events::page(&api.db, &filter).await?;
    let is_full = i64::try_from(events.len()).is_ok_and(|count| count == filter.limit);
    let next_before = events.last().map(|event| event.id).filter(|_| is_full);
    Ok(Json(Page { events, next_before }))
}

fn of(parameters: &mut Parameters) -> Result<Option<Of>, Problem> {
    let kind = parameters.text("entity", entity)?;
    let id = parameters.text("id", given::any_id)?;
    match (kind, id) {
        (None, Some(_)) => Err(Problem::invalid("id", "id is given without entity")
            .with_remedy("give entity too: what kind of thing it is the id of")),
        (kind, id) => Ok(kind.map(|entity| Of { entity, id })),
    }
}
