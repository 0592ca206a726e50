//! Groups are made, asked about, and forgotten.

use crate::queue::error::Error;
use crate::queue::group::{Made, NewGroup, Progress, Rule, Standing};
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use std::time::Duration;

/// So many groups are forgotten at once. The others are next time.
const FORGOTTEN_AT_ONCE: i64 = 100;

/// A group's row, without the jobs that follow.
#[derive(FromRow)]
pub(super) struct Row {
    id: i64,
    name: String,
    rule: String,
    at_least: Option<i32>,
    reopens: bool,
    sealed_at: Option<DateTime<Utc>>,
    deadline: Option<DateTime<Utc>>,
    state: Standing,
    why: Option<String>,
    decided_at: Option<DateTime<Utc>>,
    total: i64,
    open: i64,
    done: i64,
    discarded: i64,
    cancelled: i64,
    fired: i32,
    seen_done: i64,
    superseded: bool,
}

impl From<Row> for Progress {
    fn from(row: Row) -> Self {
        let rule = match (row.rule.as_str(), row.at_least) {
            (_, Some(wanted)) => Rule::AtLeast(u32::try_from(wanted).unwrap_or(0)),
            ("all_done", None) => Rule::AllDone,
            (_, None) => Rule::AllFinished,
        };
        Self {
            id: row.id,
            name: row.name,
            rule,
            reopens: row.reopens,
            sealed: row.sealed_at.is_some(),
            deadline: row.deadline,
            state: row.state,
            why: row.why,
            decided_at: row.decided_at,
            total: row.total,
            open: row.open,
            done: row.done,
            discarded: row.discarded,
            cancelled: row.cancelled,
            fired: row.fired,
            seen_done: row.seen_done,
            superseded: row.superseded,
        }
    }
}

/// Makes the group, unless there is one of its name.
pub(in crate::queue::postgres) async fn make(
    connection: &mut PgConnection,
    group: &NewGroup,
) -> Result<Made, Error> {
    // One of this name may be forgotten between our insert and our look: then insert again.
    for _ in 0..3 {
        if let Some(id) = insert(connection, group).await? {
            return Ok(Made::New(id));
        }
        if let Some(existing) = find(connection, &group.name).await? {
            return Ok(Made::Existing(existing.id));
        }
    }
    Err(Error::Database(sqlx::Error::RowNotFound))
}

async fn insert(connection: &mut PgConnection, group: &NewGroup) -> Result<Option<i64>, Error> {
    let at_least = match group.rule {
        Rule::AtLeast(wanted) => Some(i32::try_from(wanted).unwrap_or(i32::MAX)),
        Rule::AllDone | Rule::AllFinished => None,
    };
    let id = sqlx::query_scalar(
        "-- group_make
        insert into engine.groups (
            name, rule, at_least, reopens, made_at, deadline, follow_up, if_failed, feeds
        )
        select $1, $2, $3, $4, now, now + $5 * interval '1 millisecond', $6, $7, $8
        from (select engine.now() as now) as clock
        on conflict (name) do nothing
        returning id",
    )
    .bind(&group.name)
    .bind(group.rule.as_str())
    .bind(at_least)
    .bind(group.reopens)
    .bind(group.deadline_ms)
    .bind(Json(&group.follow_up))
    .bind(Json(&group.if_failed))
    .bind(group.feeds())
    .fetch_optional(connection)
    .await?;
    Ok(id)
}

/// How far the group is.
pub(in crate::queue::postgres) async fn read(
    connection: &mut PgConnection,
    group: i64,
) -> Result<Option<Progress>, Error> {
    let row: Option<Row> = sqlx::query_as(
        "-- group_read
        select * from engine.groups where id = $1",
    )
    .bind(group)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Progress::from))
}

/// How far the group of this name is.
pub(in crate::queue::postgres) async fn find(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<Progress>, Error> {
    let row: Option<Row> = sqlx::query_as(
        "-- group_find
        select * from engine.groups where name = $1",
    )
    .bind(name)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Progress::from))
}

/// Forgets groups that were decided longer ago than the retention, with their members: some of them,
/// if there are many. How many.
pub(in crate::queue::postgres) async fn forget(
    connection: &mut PgConnection,
    retention: Duration,
) -> Result<u64, Error> {
    let forgotten = sqlx::query_scalar::<_, i64>(
        "-- group_forget
        with old as (
            select id from engine.groups
            where decided_at < (select engine.now()) - $1 * interval '1 millisecond'
            order by decided_at
            limit $2
            for update skip locked
        ),
        gone as (
            delete from engine.groups where id in (select id from old) returning id
        ),
        members as (
            delete from engine.members where group_id in (select id from old)
        )
        select count(*) from gone",
    )
    .bind(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX))
    .bind(FORGOTTEN_AT_ONCE)
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(forgotten).unwrap_or(0))
}
