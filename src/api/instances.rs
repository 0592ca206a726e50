//! `/v1/instances`: the AMC instances that the engine works on, asked for at AMC, limited, unblocked.
//!
//! Where one answers, when not at its region's host, is said on the command line alone: users' tokens are
//! sent there.

use super::Api;
use super::asked::{Asked, Person};
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::given;
use crate::register::accounts;
use crate::register::instances::{self, NewInstance, Told};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

type Body = Result<Bytes, BytesRejection>;

/// Every instance.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<Told>>, Problem> {
    Parameters::none(query)?;
    Ok(Json(instances::list(&api.db).await?))
}

/// Adds an instance, with its limits and its breaker: 201.
pub async fn add(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let mut fields = Fields::from_request(&headers, body)?;
    let new = NewInstance {
        instance_id: fields.required_told("instance_id", "AMC's id, as text", instances::id)?,
        name: fields.required_text("name", "a name, as text", given::name)?,
        account_id: fields.required_told("account", "Amazon's id, ENTITY…", accounts::id)?,
        endpoint_url: None,
    };
    let person = Person::of(fields)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let because = person.because();
    let id = instances::add(&mut tx, &api.queue, &new, &api.limits, &because).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(json!({"id": id, "instance_id": new.instance_id}))))
}

/// Asks AMC which accounts and instances there are, for one user or for all: 202.
pub async fn sync(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let mut fields = Fields::from_request(&headers, body)?;
    let email: Option<String> = fields.optional("user", "the email of a user")?;
    let person = Person::of(fields)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let because = person.because();
    let chosen = instances::sync(&mut tx, &api.queue, email.as_deref(), &because).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"users": chosen}))))
}

/// Starts work again on an instance that Amazon refused us.
pub async fn unblock(State(api): State<Api>, asked: Asked) -> Result<Json<Value>, Problem> {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let begun = instances::unblock(&mut tx, &api.queue, &asked.id, &asked.because()).await?;
    tx.commit().await?;
    Ok(Json(json!({"instance_id": asked.id, "weeks_started_again": begun})))
}

/// Sets how many executions may be open on an instance at once. Those that are open stay.
pub async fn limit(State(api): State<Api>, mut asked: Asked) -> Result<Json<Value>, Problem> {
    let max_open = asked.fields.required_number("max_open", 0..=u16::MAX)?;
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    instances::limit(&mut tx, &api.queue, (&asked.id, max_open), &asked.because()).await?;
    tx.commit().await?;
    Ok(Json(json!({"instance_id": asked.id, "max_open": max_open})))
}
