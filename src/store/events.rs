//! `events`: what happened, in order. Rows are only ever added.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};

use super::text;

/// The kinds of things that events happen to.
pub const ENTITIES: [&str; 13] = [
    "account",
    "batch",
    "collection",
    "execution",
    "instance",
    "plan",
    "resource",
    "schedule",
    "schedule_run",
    "user",
    "webhook",
    "workflow",
    "workflow_version",
];

/// A row of `events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct Event {
    /// Orders the events.
    pub id: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What kind of thing it happened to.
    pub entity: String,
    /// Which one.
    pub entity_id: String,
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
    /// What kind of thing it happened to, one of [`ENTITIES`].
    pub entity: &'a str,
    /// Which one.
    pub entity_id: &'a str,
    /// Where it stood before; none when that did not change.
    pub from_status: Option<&'a str>,
    /// Where it stands after; none when that did not change.
    pub to_status: Option<&'a str>,
    /// Who did it: a job kind, a program or a person.
    pub actor: &'a str,
    /// Why, in one sentence.
    pub reason: Option<&'a str>,
    /// What else is worth knowing, a JSON object.
    pub detail: &'a Value,
}

/// Who does something, and why.
#[derive(Debug, Clone, Copy)]
pub struct Because<'a> {
    /// A person, or a program.
    pub by: &'a str,
    /// Why, in one sentence.
    pub why: Option<&'a str>,
}

impl<'a> Because<'a> {
    /// The reason, if one is given.
    pub fn said(&self) -> Option<&'a str> {
        self.why.map(str::trim).filter(|why| !why.is_empty())
    }
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
        select id, at, entity, entity_id, from_status, to_status, actor, reason, detail
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

/// The things of a kind that stand so by the last event of each.
pub async fn standing(
    db: impl PgExecutor<'_>,
    entity: &str,
    status: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- events_standing
        select entity_id
        from (
            select distinct on (entity_id) entity_id, to_status
            from events
            where entity = $1
            order by entity_id, id desc
        ) as last
        where to_status = $2
        order by entity_id",
    )
    .bind(entity)
    .bind(status)
    .fetch_all(db)
    .await
}

/// The kind of thing that this word means.
///
/// # Errors
/// Nothing of this kind has events: a phrase that follows the name of the option or parameter.
pub fn entity(text: &str) -> Result<String, String> {
    if ENTITIES.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("is no kind of thing that has events: give one of {}", ENTITIES.join(", ")))
}

/// Which things' events, for those who look at the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Of {
    /// Their kind.
    pub entity: String,
    /// Which one alone; a user's is also their email.
    pub id: Option<String>,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of these things alone.
    pub of: Option<Of>,
    /// Of this moment and later.
    pub since: Option<DateTime<Utc>>,
    /// The page after the one that ended with this event.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// One page of the journal, the newest first.
pub async fn page(db: impl PgExecutor<'_>, filter: &Filter) -> Result<Vec<Event>, sqlx::Error> {
    sqlx::query_as(
        r"-- events_page
        select id, at, entity, entity_id, from_status, to_status, actor, reason, detail
        from events
        where ($1::text is null or entity = $1)
          and ($2::text is null or entity_id = coalesce(
              (select users.id::text from users where $1 = 'user' and email = lower($2)), $2
          ))
          and ($3::timestamptz is null or at >= $3)
          and ($4::bigint is null or id < $4)
        order by id desc
        limit $5",
    )
    .bind(filter.of.as_ref().map(|of| of.entity.as_str()))
    .bind(filter.of.as_ref().and_then(|of| of.id.as_deref()))
    .bind(filter.since)
    .bind(filter.before)
    .bind(filter.limit)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use std::time::Duration;

    use super::*;
    use crate::store::fixture::House;

    #[tokio::test]
    async fn the_journal_is_read_page_by_page_for_one_kind_one_thing_or_from_a_moment_on() {
        let house = House::new().await;
        let (db, user) = (house.db(), house.user.to_string());
        let note = async |entity, entity_id| {
            let event = NewEvent {
                entity,
                entity_id,
                from_status: None,
                to_status: None,
                actor: "ada",
                reason: None,
                detail: &json!({}),
            };
            append(db, &event).await.unwrap();
        };
        note("user", &user).await;
        note("user", "another").await;
        note("schedule", "monday").await;
        house.database.advance_clock(Duration::from_hours(2)).await;
        let later = crate::clock::now(db).await.unwrap();
        note("schedule", "tuesday").await;
        note("execution", "monday").await;

        let of = |entity: &str, id: Option<&str>| {
            Some(Of { entity: entity.to_owned(), id: id.map(str::to_owned) })
        };
        let all = Filter { limit: 9, ..Filter::default() };
        let ids = async |filter: &Filter| -> Vec<String> {
            page(db, filter).await.unwrap().into_iter().map(|event| event.entity_id).collect()
        };
        let newest = page(db, &Filter { limit: 2, ..all.clone() }).await.unwrap();
        let before = newest.last().map(|event| event.id);
        assert_eq!(newest[0].entity_id, "monday");
        assert_eq!(ids(&Filter { before, ..all.clone() }).await, ["monday", "another", &user]);
        let schedules = Filter { of: of("schedule", None), ..all.clone() };
        assert_eq!(ids(&schedules).await, ["tuesday", "monday"]);
        assert_eq!(ids(&Filter { since: Some(later), ..schedules }).await, ["tuesday"]);
        let monday = Filter { of: of("schedule", Some("monday")), ..all.clone() };
        assert_eq!(page(db, &monday).await.unwrap().len(), 1);
        for name in [user.as_str(), "Ana@shelf.example"] {
            let filter = Filter { of: of("user", Some(name)), ..all.clone() };
            assert_eq!(ids(&filter).await, [user.as_str()], "{name}");
        }
    }

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
