//! `webhooks`, `webhook_deliveries`, `webhook_attempts`: who is told of what happens, and whether it was.
//!
//! Deliveries are written by the database, in the transaction of the event that they tell of.

mod standing;

pub use standing::{Standing, standing};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};
use std::time::Duration;

use super::ids::{DeliveryId, WebhookId};
use super::text;
use super::words::{Sealed, words};

words! {
    /// In which form a webhook is told.
    WebhookFormat as "webhook_format" {
        /// JSON, signed by the scheme of standardwebhooks.com.
        Standard = "standard",
        /// A text, as Slack's incoming webhooks take it.
        Slack = "slack",
    }
}

/// Why a webhook is disabled whose receiver has said so itself.
pub const GONE: &str = "the receiver answered 410: it wants no more";
/// Why a webhook for Slack is disabled that was added when addresses were kept in clear, and has none any
/// more. Migration 0086 says the same.
pub const MOVED: &str = "its address is kept encrypted from now on: remove it and add it anew";

words! {
    /// Whether a webhook is told anything.
    WebhookState as "webhook_state" {
        /// It is told.
        Active = "active",
        /// It is not: a person, or the receiver itself, has said so.
        Disabled = "disabled",
    }
}

words! {
    /// What became of a telling.
    DeliveryState as "delivery_state" {
        /// To be told, perhaps once more.
        Pending = "pending",
        /// The receiver has said yes.
        Delivered = "delivered",
        /// It never did, for days.
        Failed = "failed",
        /// The webhook was disabled meanwhile.
        Dropped = "dropped",
    }
}

/// A row of `webhooks`, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, serde::Serialize)]
pub struct Webhook {
    /// Names the webhook.
    pub id: WebhookId,
    /// Where it is told; of one for Slack, whose address is its secret, only the host.
    pub url: String,
    /// In which form.
    pub format: WebhookFormat,
    /// Of which kinds of events.
    pub events: Vec<String>,
    /// Whether it is told anything.
    pub state: WebhookState,
    /// Why not, when it is disabled.
    pub why: Option<String>,
}

/// A telling, with what it takes to send it.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Delivery {
    /// Names the telling.
    pub id: DeliveryId,
    /// Who is told.
    pub webhook_id: WebhookId,
    /// Where; of one for Slack, only the host.
    pub url: String,
    /// What signs; of one for Slack, its address.
    #[sqlx(rename = "secret_encrypted")]
    pub secret: Sealed,
    /// In which form.
    pub format: WebhookFormat,
    /// Whether the webhook is told anything.
    pub webhook_state: WebhookState,
    /// Which kind of event.
    pub event: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened.
    pub data: Value,
    /// What became of it.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: i32,
    /// The time by the store's clock.
    pub now: DateTime<Utc>,
}

/// A line of the delivery log.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, serde::Serialize)]
pub struct Logged {
    /// Names the telling.
    pub id: DeliveryId,
    /// Which kind of event.
    pub event: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What became of it.
    pub state: DeliveryState,
    /// Which attempt; none before the first.
    pub attempt: Option<i32>,
    /// When that ended.
    pub tried_at: Option<DateTime<Utc>>,
    /// The HTTP status, if an answer came.
    pub status: Option<i32>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// What went wrong, if something did.
    pub error: Option<String>,
}

/// How an attempt went.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// The HTTP status, if an answer came.
    pub status: Option<u16>,
    /// How long it took.
    pub duration: Duration,
    /// What went wrong, if something did.
    pub error: Option<&'a str>,
}

/// Adds a webhook.
pub async fn insert(
    db: impl PgExecutor<'_>,
    url: &str,
    secret: &Sealed,
    format: WebhookFormat,
    events: &[String],
) -> Result<WebhookId, sqlx::Error> {
    sqlx::query_scalar(
        r"-- webhooks_insert
        insert into webhooks (id, url, secret_encrypted, format, events)
        values ($1, $2, $3, $4, $5)
        returning id",
    )
    .bind(WebhookId::fresh())
    .bind(url)
    .bind(secret)
    .bind(format)
    .bind(events)
    .fetch_one(db)
    .await
}

/// Every webhook, the oldest first.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Webhook>, sqlx::Error> {
    sqlx::query_as(
        r"-- webhooks_list
        select id, url, format, events, state, why from webhooks order by id",
    )
    .fetch_all(db)
    .await
}

/// The webhook with this id.
pub async fn by_id(
    db: impl PgExecutor<'_>,
    webhook: WebhookId,
) -> Result<Option<Webhook>, sqlx::Error> {
    sqlx::query_as(
        r"-- webhooks_by_id
        select id, url, format, events, state, why from webhooks where id = $1",
    )
    .bind(webhook)
    .fetch_optional(db)
    .await
}

/// Tells a webhook nothing more, for this reason, and drops what it was still to be told, also when it was
/// disabled before; `None` tells it again from now on. False when it stood so already.
pub async fn disable(
    db: impl PgExecutor<'_>,
    webhook: WebhookId,
    why: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let changed: i64 = sqlx::query_scalar(
        r"-- webhooks_disable
        with changed as (
            update webhooks
            set why = $2,
                state = case when $2::text is null then 'active' else 'disabled' end::webhook_state
            where id = $1
              and (state = 'active') <> ($2::text is null)
            returning id
        ),
        dropped as (
            update webhook_deliveries
            set state = 'dropped', ended_at = (select engine.now())
            where state = 'pending'
              and $2::text is not null
              and webhook_id = $1
            returning id
        )
        select count(*) + 0 * (select count(*) from dropped) from changed",
    )
    .bind(webhook)
    .bind(why.map(text::message))
    .fetch_one(db)
    .await?;
    Ok(changed > 0)
}

/// Takes a webhook away, with its log. False when there is none.
pub async fn remove(db: impl PgExecutor<'_>, webhook: WebhookId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- webhooks_remove
        delete from webhooks where id = $1",
    )
    .bind(webhook)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Something that a webhook is to be told because a person wants to see it arrive; none when there is no
/// such webhook, or it is told nothing.
pub async fn test(
    db: impl PgExecutor<'_>,
    webhook: WebhookId,
    data: &Value,
) -> Result<Option<DeliveryId>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- webhooks_test
        with told as (
            select id from webhooks where id = $1 and state = 'active'
        )
        insert into webhook_deliveries (webhook_id, event, at, data)
        select id, 'test', (select engine.now()), $2 from told
        returning id",
    )
    .bind(webhook)
    .bind(data)
    .fetch_optional(db)
    .await
}

/// A telling, with what it takes to send it.
pub async fn delivery(
    db: impl PgExecutor<'_>,
    delivery: DeliveryId,
) -> Result<Option<Delivery>, sqlx::Error> {
    sqlx::query_as(
        r"-- webhooks_delivery
        select delivery.id, delivery.webhook_id, webhook.url, webhook.secret_encrypted,
            webhook.format, webhook.state as webhook_state, delivery.event, delivery.at, delivery.data, delivery.state,
            delivery.attempts, engine.now() as now
        from webhook_deliveries as delivery
        join webhooks as webhook on webhook.id = delivery.webhook_id
        where delivery.id = $1",
    )
    .bind(delivery)
    .fetch_optional(db)
    .await
}

/// Drops what was noted for a webhook while somebody disabled it.
pub async fn forget(db: impl PgExecutor<'_>, delivery: DeliveryId) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- webhooks_forget
        update webhook_deliveries
        set state = 'dropped', ended_at = (select engine.now())
        where id = $1
          and state = 'pending'",
    )
    .bind(delivery)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes an attempt into the log, and what became of the delivery.
pub async fn tried(
    db: impl PgExecutor<'_>,
    delivery: DeliveryId,
    tried: &Tried<'_>,
    state: DeliveryState,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- webhooks_tried
        with now_at as (
            update webhook_deliveries
            set attempts = attempts + 1,
                state = $5::delivery_state,
                ended_at = case when $5::delivery_state = 'pending' then null else (select engine.now()) end
            where id = $1
              and state = 'pending'
            returning id, attempts
        )
        insert into webhook_attempts (delivery_id, attempt, at, status, duration_ms, error)
        select id, attempts, (select engine.now()), $2, $3, $4 from now_at",
    )
    .bind(delivery)
    .bind(tried.status.map(i32::from))
    .bind(i64::try_from(tried.duration.as_millis()).unwrap_or(i64::MAX))
    .bind(tried.error.map(text::message))
    .bind(state)
    .execute(db)
    .await?;
    Ok(())
}

/// The newest lines of a webhook's log.
pub async fn log(
    db: impl PgExecutor<'_>,
    webhook: WebhookId,
    limit: i64,
) -> Result<Vec<Logged>, sqlx::Error> {
    sqlx::query_as(
        r"-- webhooks_log
        select delivery.id, delivery.event, delivery.at, delivery.state, made.attempt,
            made.at as tried_at, made.status, made.duration_ms, made.error
        from webhook_deliveries as delivery
        left join webhook_attempts as made on made.delivery_id = delivery.id
        where delivery.webhook_id = $1
        order by delivery.at desc, delivery.id, made.attempt desc
        limit $2",
    )
    .bind(webhook)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Drops what was told, or given up, before so long. How many tellings.
pub async fn prune(db: impl PgExecutor<'_>, retention: Duration) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- webhooks_prune
        delete from webhook_deliveries
        where ended_at < (select engine.now()) - make_interval(secs => $1)",
    )
    .bind(retention.as_secs_f64())
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
