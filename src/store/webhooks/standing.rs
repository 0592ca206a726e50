//! How webhooks fare: which are disabled, and which have been told in vain of late.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::WebhookState;
use crate::store::ids::WebhookId;

/// How a webhook fares.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Standing {
    /// Names the webhook.
    pub id: WebhookId,
    /// Where it is told; of one for Slack, whose address is its secret, only the host.
    pub url: String,
    /// Whether it is told anything.
    pub state: WebhookState,
    /// Why not, when it is disabled.
    pub why: Option<String>,
    /// How many attempts in a row have failed, the newest included.
    pub failures: i64,
    /// When the first of them did.
    pub failing_since: Option<DateTime<Utc>>,
    /// What went wrong with the newest.
    pub last_error: Option<String>,
}

/// How every webhook fares, the oldest first.
pub async fn standing(db: impl PgExecutor<'_>) -> Result<Vec<Standing>, sqlx::Error> {
    sqlx::query_as(
        r"-- webhooks_standing
        select webhook.id, webhook.url, webhook.state, webhook.why,
            failed.failures, failed.failing_since, failed.last_error
        from webhooks as webhook
        cross join lateral (
            select max(made.at) as at
            from webhook_deliveries as delivery
            join webhook_attempts as made on made.delivery_id = delivery.id
            where delivery.webhook_id = webhook.id
              and made.error is null
        ) as heard
        cross join lateral (
            select count(*) as failures, min(made.at) as failing_since,
                (array_agg(made.error order by made.at desc))[1] as last_error
            from webhook_deliveries as delivery
            join webhook_attempts as made on made.delivery_id = delivery.id
            where delivery.webhook_id = webhook.id
              and made.error is not null
              and (heard.at is null or made.at > heard.at)
        ) as failed
        order by webhook.id",
    )
    .fetch_all(db)
    .await
}
