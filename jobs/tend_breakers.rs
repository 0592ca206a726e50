//! Looks for breakers that have not closed for long: an instance, a host or the token service of Amazon's is
//! down. Nothing is lost by that and nobody has to act, but somebody will ask why nothing moves: it is told
//! once, and once more when the breaker has closed.
//!
//! The scheduler asks for it every five minutes. What was told last stands in the journal, and is read and
//! written by one job at a time.

use crate::clock;
use crate::queue::gate::breaker::{Breaker, State};
use crate::queue::postgres::inspect::gates;
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Priority};
use crate::store::events::{self, NewEvent};
use crate::tools::Tools;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;

/// What is over sooner is a hiccup: Amazon has those every day, and by then a breaker has asked half a dozen
/// times whether its resource is back.
const LONG: TimeDelta = TimeDelta::minutes(15);

/// Where events say that a resource stands.
const DOWN: &str = "auto_paused";
const UP: &str = "active";

/// Tells of breakers that have not closed for long, and of those that have closed after all.
#[derive(Debug, Serialize, Deserialize)]
pub struct TendBreakers {}

impl Job for TendBreakers {
    type Tools = Tools;
    const KIND: &'static str = "tend_breakers";
    const QUEUE: &'static str = "amc";
    const PRIORITY: Priority = Priority::Live;
    const MAX_ATTEMPTS: i16 = 5;

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        let now = clock::now(&mut *transaction).await?;
        let unclosed = gates::unclosed(&mut transaction).await?;
        let told = events::standing(&mut *transaction, "resource", DOWN).await?;
        for (resource, breaker) in &unclosed {
            if !told.contains(resource) {
                tell_down(&mut transaction, resource, breaker, now).await?;
            }
        }
        for resource in told.iter().filter(|told| !unclosed.iter().any(|(name, _)| name == *told)) {
            tell_up(&mut transaction, resource).await?;
        }
        let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
        transaction.commit().await?;
        Ok(outcome)
    }
}

/// The job.
pub fn job() -> Result<NewJob, crate::queue::Error> {
    NewJob::of(&TendBreakers {})
}

/// Tells of an outage that has lasted long. One that a person has begun is no news.
async fn tell_down(
    connection: &mut PgConnection,
    resource: &str,
    breaker: &Breaker,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let Some(outage) = breaker.outage().filter(|outage| now - outage.since >= LONG) else {
        return Ok(());
    };
    let remedy = if matches!(breaker.state(), State::Open { until: None, .. }) {
        format!("nothing is lost, and what waits goes on after `recomamp gates resume {resource}`")
    } else {
        "nothing is lost, and what waits goes on by itself when it answers again".to_owned()
    };
    let since = outage.since.to_rfc3339_opts(SecondsFormat::Secs, true);
    let reason = format!(
        "it has failed since {since}, the last time because of this ({}): {remedy}; look at \
         `recomamp gates show {resource}`",
        outage.last
    );
    tracing::error!(resource, reason, "a resource is down");
    note(connection, resource, (UP, DOWN), &reason, &json!({"since": outage.since})).await
}

async fn tell_up(connection: &mut PgConnection, resource: &str) -> Result<(), sqlx::Error> {
    tracing::info!(resource, "a resource is back");
    let reason = "nothing keeps it shut any more, and what waited for it goes on";
    note(connection, resource, (DOWN, UP), reason, &json!({})).await
}

async fn note(
    connection: &mut PgConnection,
    resource: &str,
    (from, to): (&str, &str),
    reason: &str,
    detail: &Value,
) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity: "resource",
        entity_id: resource,
        from_status: Some(from),
        to_status: Some(to),
        actor: "engine",
        reason: Some(reason),
        detail,
    };
    events::append(connection, &event).await
}
