//! `/v1/webhooks`: who is told of what happens, looked at, tested, disabled and taken away.
//!
//! Adding one needs the key that encrypts secrets, which `serve` does not have: `recomamp webhooks add`.

use super::Api;
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::jobs::deliver_webhook;
use crate::store::WebhookId;
use crate::store::webhooks::{self, Logged, Webhook};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::json;

/// How many lines of the log are shown.
const LINES: i64 = 50;

type Id = Result<Path<String>, PathRejection>;

/// What a program is told of a webhook.
#[derive(Debug, Serialize)]
pub struct Shown {
    #[serde(flatten)]
    webhook: Webhook,
    deliveries: Vec<Logged>,
}

/// Every webhook.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<Webhook>>, Problem> {
    Parameters::none(query)?;
    Ok(Json(webhooks::list(&api.db).await?))
}

/// A webhook and the newest lines of its log.
pub async fn show(State(api): State<Api>, id: Id) -> Result<Json<Shown>, Problem> {
    shown(&api, read_id(id)?).await.map(Json)
}

/// Sends a test event: 202 and the delivery's id.
pub async fn test(State(api): State<Api>, id: Id) -> Result<impl IntoResponse, Problem> {
    let id = read_id(id)?;
    known(&api, id).await?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let data = json!({"reason": "a program asked for this test"});
    let delivery = webhooks::test(&mut *tx, id, &data).await?;
    api.queue.enqueue(&mut tx, &[deliver_webhook::job(delivery)?]).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"delivery": delivery}))))
}

/// Tells a webhook nothing more, for the reason in `why`.
pub async fn disable(
    State(api): State<Api>,
    id: Id,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Shown>, Problem> {
    let (id, mut fields) = (read_id(id)?, Fields::from_request(&headers, body)?);
    let why = fields.why()?;
    fields.end()?;
    known(&api, id).await?;
    webhooks::disable(&api.db, id, Some(&why)).await?;
    shown(&api, id).await.map(Json)
}

/// Tells a disabled webhook again what happens from now on.
pub async fn enable(State(api): State<Api>, id: Id) -> Result<Json<Shown>, Problem> {
    let id = read_id(id)?;
    known(&api, id).await?;
    webhooks::disable(&api.db, id, None).await?;
    shown(&api, id).await.map(Json)
}

/// Takes a webhook away, with its log: 204.
pub async fn remove(State(api): State<Api>, id: Id) -> Result<StatusCode, Problem> {
    let id = read_id(id)?;
    if webhooks::remove(&api.db, id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(unknown(id))
}

async fn shown(api: &Api, id: WebhookId) -> Result<Shown, Problem> {
    let webhook = known(api, id).await?;
    Ok(Shown { webhook, deliveries: webhooks::log(&api.db, id, LINES).await? })
}

async fn known(api: &Api, id: WebhookId) -> Result<Webhook, Problem> {
    webhooks::by_id(&api.db, id).await?.ok_or_else(|| unknown(id))
}

fn unknown(id: WebhookId) -> Problem {
    Problem::not_found(format!("there is no webhook {id}"))
}

fn read_id(id: Id) -> Result<WebhookId, Problem> {
    let given = id.map(|Path(id)| id).unwrap_or_default();
    given.parse().map_err(|_| Problem::not_found("a webhook is named by its id, a UUID"))
}
