//! `/v1/webhooks`: who is told of what happens, added, looked at, tested, disabled and taken away.

use super::Api;
use super::asked::Person;
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::given;
use crate::register::webhooks::{self, Line, NewWebhook, event};
use crate::store::WebhookId;
use crate::store::webhooks::{self as store, Webhook, WebhookFormat};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::json;

/// How many lines of the log are shown.
const LINES: i64 = 50;

type Body = Result<Bytes, BytesRejection>;
type Id = Result<Path<String>, PathRejection>;

/// What a program is told of a webhook.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    webhook: Webhook,
    deliveries: Vec<Line>,
}

/// Every webhook.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<Webhook>>, Problem> {
    Parameters::none(query)?;
    Ok(Json(store::list(&api.db).await?))
}

/// Adds a webhook: 201, its id and, this once, the secret that signs what it is told; null for Slack.
pub async fn add(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let mut fields = Fields::from_request(&headers, body)?;
    let secret: Option<String> = fields.optional("secret", "whsec_…, as text")?;
    let new = NewWebhook {
        url: fields.required_text("url", "an address, as text", given::address)?,
        events: events(&mut fields)?,
        format: fields.optional("format", "standard or slack")?.unwrap_or(WebhookFormat::Standard),
        secret: secret.map(SecretString::from),
    };
    let person = Person::of(fields)?;
    let keys = api.keys.as_ref().ok_or_else(Problem::no_key)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let because = person.because();
    let (id, secret) = webhooks::add(&mut tx, keys, &api.allowed, new, &because).await?;
    tx.commit().await?;
    let location = [(header::LOCATION, format!("/v1/webhooks/{id}"))];
    let secret = secret.as_ref().map(ExposeSecret::expose_secret);
    let answer = json!({"id": id, "secret": secret});
    Ok((StatusCode::CREATED, location, Json(answer)))
}

/// A webhook and the newest lines of its log.
pub async fn show(State(api): State<Api>, id: Id) -> Result<Json<Shown>, Problem> {
    shown(&api, read_id(id)?).await.map(Json)
}

/// The log of a webhook, every attempt, the newest first.
pub async fn deliveries(
    State(api): State<Api>,
    id: Id,
    query: Given,
) -> Result<Json<Vec<Line>>, Problem> {
    let (id, mut parameters) = (read_id(id)?, Parameters::of(query)?);
    let limit = parameters.limit()?;
    parameters.end()?;
    Ok(Json(webhooks::log(&mut *api.db.acquire().await?, id, limit).await?))
}

/// Sends a test event: 202 and the delivery's id.
pub async fn test(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let id = read_id(id)?;
    let person = Person::of(Fields::from_request(&headers, body)?)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let delivery = webhooks::test(&mut tx, &api.queue, id, &person.because()).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"delivery": delivery}))))
}

/// Tells a webhook nothing more, for the reason in `why`.
pub async fn disable(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Shown>, Problem> {
    let id = read_id(id)?;
    let person = Person::with_reason(Fields::from_request(&headers, body)?)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    webhooks::disable(&mut tx, id, &person.because()).await?;
    tx.commit().await?;
    shown(&api, id).await.map(Json)
}

/// Tells a disabled webhook again what happens from now on.
pub async fn enable(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Shown>, Problem> {
    let id = read_id(id)?;
    let person = Person::of(Fields::from_request(&headers, body)?)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    webhooks::enable(&mut tx, id, &person.because()).await?;
    tx.commit().await?;
    shown(&api, id).await.map(Json)
}

/// Takes a webhook away, with its log: 204.
pub async fn remove(State(api): State<Api>, id: Id, query: Given) -> Result<StatusCode, Problem> {
    let id = read_id(id)?;
    let person = Person::of_address(Parameters::of(query)?)?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    webhooks::remove(&mut tx, id, &person.because()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn shown(api: &Api, id: WebhookId) -> Result<Shown, Problem> {
    let mut connection = api.db.acquire().await?;
    let webhook = webhooks::find(&mut connection, id).await?;
    Ok(Shown { webhook, deliveries: webhooks::log(&mut connection, id, LINES).await? })
}

/// Of what it is told; everything when it does not say.
fn events(fields: &mut Fields) -> Result<Vec<String>, Problem> {
    let named: Vec<String> =
        fields.optional("events", "a list of kinds of events")?.unwrap_or_default();
    let wrong = |said: String| {
        let (detail, remedy) = said.split_once(": ").unwrap_or((&said, ""));
        Problem::invalid("events", detail).with_remedy(remedy)
    };
    named.iter().map(|name| event(name).map_err(wrong)).collect()
}

fn read_id(id: Id) -> Result<WebhookId, Problem> {
    let given = id.map(|Path(id)| id).unwrap_or_default();
    given.parse().map_err(|_| Problem::not_found("a webhook is named by its id, a UUID"))
}
