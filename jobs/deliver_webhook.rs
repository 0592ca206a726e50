//! Tells a webhook what happened, until the receiver says yes, or has not for three days.
//!
//! A receiver that answers 410 wants no more: its webhook is disabled.

use crate::queue::{Attempt, Failure, Job, NewJob, Outcome};
use crate::store::DeliveryId;
use crate::store::events::{self, NewEvent};
use crate::store::webhooks::{self, Delivery, DeliveryState, Tried, WebhookFormat, WebhookState};
use crate::tools::Tools;
use crate::webhooks::message;
use crate::webhooks::send::Message;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use url::Url;

/// The pauses between attempts, in seconds: three days in all. They are those that the Standard Webhooks
/// specification recommends.
const PAUSES: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// Tells a webhook what happened.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeliverWebhook {
    /// What, and whom.
    pub delivery_id: DeliveryId,
}

impl Job for DeliverWebhook {
    type Tools = Tools;
    const KIND: &'static str = "deliver_webhook";
    const QUEUE: &'static str = "webhooks";
    const TIMEOUT: Duration = Duration::from_secs(60);
    /// The pauses end, not a count.
    const MAX_ATTEMPTS: i16 = i16::MAX;

    fn unique_key(&self) -> Option<String> {
        Some(self.delivery_id.to_string())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(delivery) = webhooks::delivery(&tools.db, self.delivery_id).await? else {
            return Ok(Outcome::Done);
        };
        if delivery.state != DeliveryState::Pending {
            return Ok(Outcome::Done);
        }
        if delivery.webhook_state == WebhookState::Disabled {
            webhooks::forget(&tools.db, delivery.id).await?;
            return Ok(Outcome::Done);
        }
        let began = Instant::now();
        let (status, error) = match send(tools, &delivery).await {
            Ok(status) => (Some(status), refusal(status)),
            Err(error) => (None, Some(error)),
        };
        let duration = began.elapsed();
        let tried = Tried { status, duration, error: error.as_deref() };
        self.write(tools, attempt, &delivery, &tried).await
    }
}

/// The job that sends this.
pub fn job(delivery_id: DeliveryId) -> Result<NewJob, crate::queue::Error> {
    NewJob::of(&DeliverWebhook { delivery_id })
}

/// When those of these that are to be told once more are tried next.
pub async fn next_tries(
    connection: &mut PgConnection,
    deliveries: &[DeliveryId],
) -> Result<HashMap<DeliveryId, DateTime<Utc>>, sqlx::Error> {
    let next: Vec<(DeliveryId, DateTime<Utc>)> = sqlx::query_as(
        "-- deliveries_next_tries
        select delivery, run_at
        from unnest($1::uuid[]) as delivery
        join engine.jobs on unique_key = 'deliver_webhook:' || delivery and state = 'waiting'",
    )
    .bind(deliveries)
    .fetch_all(connection)
    .await?;
    Ok(next.into_iter().collect())
}

/// What is to be told and that no job works on, the oldest first: what has just been noted, and should
/// there be any, what was forgotten.
pub async fn forgotten(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<DeliveryId>, sqlx::Error> {
    sqlx::query_scalar(
        "-- forgotten_deliveries
        select id
        from webhook_deliveries
        where state = 'pending'
          and not exists (
              select from engine.jobs where unique_key = 'deliver_webhook:' || webhook_deliveries.id
          )
        order by at, id
        limit $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// The status of the answer, or what went wrong.
async fn send(tools: &Tools, delivery: &Delivery) -> Result<u16, String> {
    let secret = tools.unseal(&delivery.secret).map_err(|error| error.to_string())?;
    let (event, data) = (&delivery.event, &delivery.data);
    let (address, body, secret) = match delivery.format {
        WebhookFormat::Standard => {
            (delivery.url.as_str(), message::standard(event, delivery.at, data), Some(&secret))
        }
        // Its address is its secret.
        WebhookFormat::Slack => (secret.expose_secret(), message::slack(event, data), None),
    };
    let url = Url::parse(address).map_err(|_| webhooks::MOVED.to_owned())?;
    let id = delivery.id.to_string();
    let message = Message { url: &url, id: &id, at: delivery.now, body: &body, secret };
    tools.webhooks.send(&message).await.map_err(|error| error.to_string())
}

fn refusal(status: u16) -> Option<String> {
    (!(200..300).contains(&status)).then(|| format!("it answered {status}"))
}

impl DeliverWebhook {
    /// The log, what became of it, and the job's own end: together.
    async fn write(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        delivery: &Delivery,
        tried: &Tried<'_>,
    ) -> Result<Outcome, Failure> {
        let pause = usize::try_from(delivery.attempts).ok().and_then(|n| PAUSES.get(n));
        let hopeless = hopeless(tried);
        let (state, outcome) = match (tried.error, pause) {
            (None, _) => (DeliveryState::Delivered, Outcome::Done),
            (Some(_), _) if hopeless.is_some() => (DeliveryState::Failed, Outcome::Done),
            (Some(why), Some(pause)) => {
                let pause = Duration::from_secs(*pause);
                (DeliveryState::Pending, Outcome::Doubt(pause, why.to_owned()))
            }
            (Some(_), None) => (DeliveryState::Failed, Outcome::Done),
        };
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        webhooks::tried(&mut *transaction, delivery.id, tried, state).await?;
        if let Some(why) = hopeless {
            disable(&mut transaction, delivery, why).await?;
        }
        let outcome = attempt.complete_in(&mut transaction, outcome).await?;
        transaction.commit().await?;
        let (webhook, why) = (delivery.webhook_id, tried.error);
        if state == DeliveryState::Delivered {
            tracing::info!(%webhook, "delivered");
        } else {
            tracing::warn!(%webhook, why, state = state.as_str(), "not delivered");
        }
        Ok(outcome)
    }
}

/// Why there is no use in telling this webhook anything more.
fn hopeless(tried: &Tried<'_>) -> Option<&'static str> {
    match (tried.status, tried.error) {
        (Some(410), _) => Some(webhooks::GONE),
        (None, Some(webhooks::MOVED)) => Some(webhooks::MOVED),
        _ => None,
    }
}

async fn disable(
    connection: &mut PgConnection,
    delivery: &Delivery,
    why: &str,
) -> Result<(), sqlx::Error> {
    if !webhooks::disable(&mut *connection, delivery.webhook_id, Some(why)).await? {
        return Ok(());
    }
    let event = NewEvent {
        entity: "webhook",
        entity_id: &delivery.webhook_id.to_string(),
        from_status: Some(WebhookState::Active.as_str()),
        to_status: Some(WebhookState::Disabled.as_str()),
        actor: DeliverWebhook::KIND,
        reason: Some(why),
        detail: &serde_json::json!({}),
    };
    events::append(connection, &event).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_tried_for_three_days() {
        let days = PAUSES.iter().sum::<u64>() / 86_400;
        assert_eq!(days, 3);
        assert!(PAUSES.is_sorted());
    }
}
