//! Members that have ended are taken up again, and with them the group, if it is one that reopens.

use super::lock;
use super::make::Row;
use crate::queue::error::Error;
use crate::queue::group::Progress;
use crate::queue::postgres::gates;
use sqlx::PgConnection;
use std::collections::BTreeSet;

/// Takes members up again that have ended. How many.
pub(in crate::queue::postgres) async fn reopen(
    connection: &mut PgConnection,
    group: i64,
    names: &[String],
) -> Result<u64, Error> {
    lock(connection, &BTreeSet::from([group])).await?;
    let Some((many, group)) = write(connection, group, names).await? else { return Ok(0) };
    if group.is_undecided_again() && undecide(connection, group.id).await? {
        let name = format!("group:{}", group.name);
        let why = format!("{} of {} members are taken up again", group.open, group.total);
        gates::note(connection, &name, "group_open_again", "engine", &why).await?;
    }
    Ok(many)
}

/// Under the group's lock.
async fn write(
    connection: &mut PgConnection,
    group: i64,
    names: &[String],
) -> Result<Option<(u64, Progress)>, Error> {
    #[derive(sqlx::FromRow)]
    struct Changed {
        many: i64,
        #[sqlx(flatten)]
        group: Row,
    }
    let changed: Option<Changed> = sqlx::query_as(
        "-- group_reopen_members
        with before as (
            select ctid as place, state from engine.members
            where group_id = $1 and name = any($2) and state is not null
        ),
        written as (
            update engine.members set state = null, ended_at = null
            where ctid = any(array(select place from before))
        ),
        counted as (
            select
                count(*) as many,
                count(*) filter (where state = 'done') as were_done,
                count(*) filter (where state = 'discarded') as were_discarded,
                count(*) filter (where state = 'cancelled') as were_cancelled
            from before
        )
        update engine.groups
        set open = open + many,
            done = done - were_done,
            discarded = discarded - were_discarded,
            cancelled = cancelled - were_cancelled,
            seen_done = least(seen_done, done - were_done)
        from counted
        where id = $1 and many > 0
        returning many, groups.*",
    )
    .bind(group)
    .bind(names)
    .fetch_optional(connection)
    .await?;
    Ok(changed.map(|row| (u64::try_from(row.many).unwrap_or(0), row.group.into())))
}

/// False when its deadline has passed.
async fn undecide(connection: &mut PgConnection, group: i64) -> Result<bool, Error> {
    let done = sqlx::query(
        "-- group_undecide
        update engine.groups
        set state = 'open', why = null, decided_at = null, seen_done = 0, superseded = false
        where id = $1 and coalesce(deadline > (select engine.now()), true)",
    )
    .bind(group)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
