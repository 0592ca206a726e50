//! Who is told of what happens: added with a secret, tested.

use super::{RegisterError, tokens};
use crate::config::Keys;
use crate::jobs::deliver_webhook;
use crate::queue::Queue;
use crate::store::events::{self, Because, NewEvent};
use crate::store::webhooks::{self, DeliveryState, Logged, Webhook, WebhookFormat, WebhookState};
use crate::store::{DeliveryId, WebhookId};
use crate::webhooks::{Allowed, message, sign};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use url::Url;

/// A webhook to be added.
#[derive(Debug)]
pub struct NewWebhook {
    /// Where it is told, by POST.
    pub url: Url,
    /// Of which kinds of events; everything when none is named.
    pub events: Vec<String>,
    /// In which form.
    pub format: WebhookFormat,
    /// What signs; one is made when not given. Slack looks at no signature.
    pub secret: Option<SecretString>,
}

/// A kind of event that a webhook can be told of.
///
/// # Errors
/// There is none of this name, and which there are.
pub fn event(text: &str) -> Result<String, String> {
    if message::EVENTS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("there is no event {text:?}: use some of {}", message::EVENTS.join(", ")))
}

/// Adds a webhook. Its id, and what signs, which nobody is shown again.
pub async fn add(
    transaction: &mut PgConnection,
    keys: &Keys,
    allowed: &Allowed,
    new: NewWebhook,
    because: &Because<'_>,
) -> Result<(WebhookId, Option<SecretString>), RegisterError> {
    allowed.check_url(&new.url)?;
    let all = || message::EVENTS.iter().map(|event| (*event).to_owned()).collect();
    let events = if new.events.is_empty() { all() } else { new.events };
    let (url, sealed, signs) = match new.format {
        WebhookFormat::Standard => {
            let secret = new.secret.unwrap_or_else(sign::secret);
            let wrong = |error: sign::NoSecret| RegisterError::wrong("secret", error.to_string());
            sign::check(&secret).map_err(wrong)?;
            (new.url.to_string(), tokens::seal(keys, &secret), Some(secret))
        }
        WebhookFormat::Slack if new.secret.is_some() => {
            let why = "a Slack webhook is not signed: leave the secret out";
            return Err(RegisterError::wrong("secret", why));
        }
        // Whoever has its address can write into the channel: the address is the secret.
        WebhookFormat::Slack => {
            let address = SecretString::from(new.url.as_str());
            let host = format!("{}/", new.url.origin().ascii_serialization());
            (host, tokens::seal(keys, &address), None)
        }
    };
    let id = webhooks::insert(&mut *transaction, &url, &sealed, new.format, &events).await?;
    // Not the address, which may be a secret.
    let detail = json!({"format": new.format, "events": events});
    note(transaction, id, (None, Some(WebhookState::Active)), because, &detail).await?;
    Ok((id, signs))
}

/// A line of a webhook's log, and when it is tried next if it is.
#[derive(Debug, Serialize)]
pub struct Line {
    /// The line.
    #[serde(flatten)]
    pub logged: Logged,
    /// When this is told once more, if it is still to be.
    pub next_try_at: Option<DateTime<Utc>>,
}

/// The newest lines of a webhook's log.
pub async fn log(
    connection: &mut PgConnection,
    webhook: WebhookId,
    limit: i64,
) -> Result<Vec<Line>, RegisterError> {
    find(connection, webhook).await?;
    let lines = webhooks::log(&mut *connection, webhook, limit).await?;
    let pending = lines.iter().filter(|line| line.state == DeliveryState::Pending);
    let pending: Vec<DeliveryId> = pending.map(|line| line.id).collect();
    let mut next = deliver_webhook::next_tries(connection, &pending).await?;
    // The newest attempt of a telling stands before its others, and the next one follows that.
    let told = |logged: Logged| Line { next_try_at: next.remove(&logged.id), logged };
    Ok(lines.into_iter().map(told).collect())
}

/// Sends a webhook a test event.
pub async fn test(
    transaction: &mut PgConnection,
    queue: &Queue,
    webhook: WebhookId,
    because: &Because<'_>,
) -> Result<DeliveryId, RegisterError> {
    let data = json!({"reason": "somebody asked for this test"});
    let Some(delivery) = webhooks::test(&mut *transaction, webhook, &data).await? else {
        let why = find(transaction, webhook).await?.why.unwrap_or_default();
        if why == webhooks::MOVED {
            return Err(RegisterError::Refused(format!("webhook {webhook}: {why}")));
        }
        return Err(RegisterError::Refused(format!(
            "webhook {webhook} is disabled ({why}): run `recomamp webhooks enable {webhook}` first"
        )));
    };
    queue.enqueue(&mut *transaction, &[deliver_webhook::job(delivery)?]).await?;
    note(transaction, webhook, (None, None), because, &json!({"test": delivery})).await?;
    Ok(delivery)
}

/// Tells a webhook nothing more, for a reason, and drops what it was still to be told.
pub async fn disable(
    transaction: &mut PgConnection,
    webhook: WebhookId,
    because: &Because<'_>,
) -> Result<(), RegisterError> {
    find(transaction, webhook).await?;
    let why = because.said().unwrap_or("no reason given");
    if webhooks::disable(&mut *transaction, webhook, Some(why)).await? {
        let change = (Some(WebhookState::Active), Some(WebhookState::Disabled));
        note(transaction, webhook, change, because, &json!({})).await?;
    }
    Ok(())
}

/// Tells a disabled webhook again what happens from now on.
pub async fn enable(
    transaction: &mut PgConnection,
    webhook: WebhookId,
    because: &Because<'_>,
) -> Result<(), RegisterError> {
    let before = find(transaction, webhook).await?;
    if before.why.as_deref() == Some(webhooks::MOVED) {
        return Err(RegisterError::Refused(format!("webhook {webhook}: {}", webhooks::MOVED)));
    }
    if webhooks::disable(&mut *transaction, webhook, None).await? {
        let change = (Some(WebhookState::Disabled), Some(WebhookState::Active));
        note(transaction, webhook, change, because, &json!({"was": before.why})).await?;
    }
    Ok(())
}

/// Takes a webhook away, with its log.
pub async fn remove(
    transaction: &mut PgConnection,
    webhook: WebhookId,
    because: &Because<'_>,
) -> Result<(), RegisterError> {
    let before = find(transaction, webhook).await?;
    webhooks::remove(&mut *transaction, webhook).await?;
    let detail = json!({"removed": true});
    note(transaction, webhook, (Some(before.state), None), because, &detail).await?;
    Ok(())
}

/// Writes down what somebody did to a webhook: from where to where, if it stands otherwise now.
async fn note(
    connection: &mut PgConnection,
    webhook: WebhookId,
    (before, after): (Option<WebhookState>, Option<WebhookState>),
    because: &Because<'_>,
    detail: &Value,
) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity: "webhook",
        entity_id: &webhook.to_string(),
        from_status: before.map(WebhookState::as_str),
        to_status: after.map(WebhookState::as_str),
        actor: because.by,
        reason: because.said(),
        detail,
    };
    events::append(connection, &event).await
}

/// The webhook with this id.
pub async fn find(
    connection: &mut PgConnection,
    webhook: WebhookId,
) -> Result<Webhook, RegisterError> {
    let found = webhooks::by_id(connection, webhook).await?;
    found.ok_or_else(|| RegisterError::unknown("webhook", webhook.to_string()))
}
