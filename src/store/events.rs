//! `events`: what happened, in order. Rows are only ever added.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};

use super::text;

/// A row of `events`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Event {
    /// Orders the events.
    pub id: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Where the thing stood before; none when that did not change.
    pub from_status: Option<String>,
    /// Where it stood after; none when that did not change.
    pub to_status: Option<String>,
    /// Who did it.
    pub actor: String,
    /// Why, in one sentence.
    pub reason: Option<String>,
    /// What else is worth knowing.
    pub detail: Value,
}

/// An event to be written down.
#[derive(Debug, Clone, Copy)]
pub struct NewEvent<'a> {
    /// What kind of thing it happened to: `execution`, `week`, `collection`, `instance`, `user`…
    pub entity: &'a str,
    /// Which one.
    pub entity_id: &'a str,
    /// Where it stood before; none when that did not change.
    pub from_status: Option<&'a str>,
    /// Where it stands after; none when that did not change.
    pub to_status: Option<&'a str>,
    /// Who did it: a job kind, a command or a person.
    pub actor: &'a str,
    /// Why, in one sentence.
    pub reason: Option<&'a str>,
    /// What else is worth knowing, a JSON object.
    pub detail: &'a Value,
}

/// Writes an event down. Do it in the transaction of what happened.
pub async fn append(db: impl PgExecutor<'_>, event: &NewEvent<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- events_append
        insert into events (at, entity, entity_id, from_status, to_status, actor, reason, detail)
        values ((select engine.now()), $1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(event.entity)
    .bind(event.entity_id)
    .bind(event.from_status)
    .bind(event.to_status)
    .bind(event.actor)
    .bind(event.reason.map(text::message))
    .bind(event.detail)
    .execute(db)
    .await?;
    Ok(())
}

/// What happened to one thing, the first first.
pub async fn of(
    db: impl PgExecutor<'_>,
    entity: &str,
    entity_id: &str,
) -> Result<Vec<Event>, sqlx::Error> {
    sqlx::query_as(
        r"-- events_of
        select id, at, from_status, to_status, actor, reason, detail
        from events
        where entity = $1
          and entity_id = $2
        order by id",
    )
    .bind(entity)
    .bind(entity_id)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::fixture::House;

    #[tokio::test]
    async fn the_journal_keeps_the_order_and_never_changes() {
        let house = House::new().await;
        let detail = json!({"amc_status": "PENDING"});
        for (from, to) in [("queued", "submitting"), ("submitting", "pending")] {
            let event = NewEvent {
                entity: "execution",
                entity_id: "e-1",
                from_status: Some(from),
                to_status: Some(to),
                actor: "submit_execution",
                reason: None,
                detail: &detail,
            };
            append(house.db(), &event).await.unwrap();
        }
        let events = of(house.db(), "execution", "e-1").await.unwrap();
        let to: Vec<_> = events.iter().filter_map(|event| event.to_status.as_deref()).collect();
        assert_eq!((to, &events[1].detail), (vec!["submitting", "pending"], &detail));

        for change in ["update events set actor = 'nobody'", "delete from events"] {
            let error = sqlx::raw_sql(change).execute(house.db()).await.unwrap_err();
            assert!(error.to_string().contains("never changes"), "{error}");
        }
    }
}
