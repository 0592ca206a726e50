//! A finished job is done again, by a new one that knows which it was.
//!
//! The new job begins anew: all its counters are zero, and it is due in its turn. Of the old one it has
//! everything else, with the arguments changed if so asked. The old one notes who does it again, so
//! that the same choice, replayed twice, is done again once.

use super::{chosen, events};
use crate::queue::error::Error;
use crate::queue::retry::MAX_RESCUES;
use crate::queue::state::State;
use crate::queue::steer::{Because, Finished, Replay, Replayable, Replayed, Replays};
use sqlx::{FromRow, PgConnection};
use std::collections::HashMap;

/// A finished job, as far as it matters here.
#[derive(Debug, FromRow)]
struct Past {
    id: i64,
    state: State,
    is_poison: bool,
    replayed_as: Option<i64>,
}

impl Past {
    fn is_left_out(&self, how: &Replay) -> bool {
        self.replayed_as.is_some() || (self.is_poison && !how.force)
    }
}

/// Replays one job.
pub(super) async fn replay(
    connection: &mut PgConnection,
    id: i64,
    how: &Replay,
    because: &Because<'_>,
) -> Result<Replayed, Error> {
    let (because, how) = (because.checked()?, how.checked()?);
    // Of two who ask at once, the second one sees what the first one has done, and a job that had the
    // key may have finished meanwhile.
    for _ in 0..3 {
        let Some(past) = past(connection, id).await? else { break };
        match past {
            Past { replayed_as: Some(new), .. } => return Ok(Replayed::AlreadyReplayed(new)),
            Past { is_poison: true, .. } if !how.force => return Ok(Replayed::Poison),
            Past { state: State::Done, .. } if !how.done => return Ok(Replayed::Done),
            _ => {}
        }
        match again(connection, &[id], how).await?.pop() {
            Some(Again { new_id: Some(new), .. }) => {
                events::of_jobs(connection, &[id], "replayed", because).await?;
                return Ok(Replayed::Replayed(new));
            }
            Some(Again { unique_key: Some(key), .. }) => {
                if let Some(other) = chosen::with_key(connection, &key).await? {
                    return Ok(Replayed::Existing(other));
                }
            }
            _ => {}
        }
    }
    let unfinished = chosen::lock(connection, &[id]).await?.remove(&id);
    Ok(unfinished.map_or(Replayed::Unknown, Replayed::Unfinished))
}

/// Replays the jobs of this choice.
pub(super) async fn replay_all(
    connection: &mut PgConnection,
    filter: &Finished,
    how: &Replay,
    because: &Because<'_>,
) -> Result<Replays, Error> {
    let (because, how) = (because.checked()?, how.checked()?);
    let found = finished(connection, filter).await?;
    let ids: Vec<i64> =
        found.iter().filter(|past| !past.is_left_out(how)).map(|past| past.id).collect();
    let mut replays = Replays::default();
    for again in again(connection, &ids, how).await? {
        match again.new_id {
            Some(new) => replays.replayed.push((again.id, new)),
            None => replays.existing.push(again.id),
        }
    }
    let count = replays.replayed.len();
    events::of_choice(connection, &filter.to_string(), "replayed", count, because).await?;
    Ok(replays)
}

/// What a replay of this choice would do.
pub(super) async fn replayable(
    connection: &mut PgConnection,
    filter: &Finished,
    how: &Replay,
) -> Result<Replayable, Error> {
    let how = how.checked()?;
    let mut count = Replayable::default();
    for past in finished(connection, filter).await? {
        if past.replayed_as.is_some() {
            count.already += 1;
        } else if past.is_left_out(how) {
            count.poison += 1;
        } else {
            count.jobs += 1;
        }
    }
    Ok(count)
}

async fn past(connection: &mut PgConnection, id: i64) -> Result<Option<Past>, Error> {
    let past = sqlx::query_as(
        "-- find_past
        select id, state, state = 'discarded' and rescues >= $2 as is_poison, replayed_as
        from engine.jobs_history
        where id = $1",
    )
    .bind(id)
    .bind(MAX_RESCUES)
    .fetch_optional(connection)
    .await?;
    Ok(past)
}

/// The jobs of this choice, in the order in which they finished.
async fn finished(connection: &mut PgConnection, filter: &Finished) -> Result<Vec<Past>, Error> {
    let filter = filter.checked()?;
    let found = sqlx::query_as(
        "-- choose_finished
        select id, state, state = 'discarded' and rescues >= $7 as is_poison, replayed_as
        from engine.jobs_history
        where state = any($1)
          and ($2::text is null or queue = $2)
          and ($3::text is null or kind = $3)
          and finished_at >= coalesce($4, '-infinity'::timestamptz)
          and finished_at < coalesce($5, 'infinity'::timestamptz)
          and ($6::text is null or position($6 in last_error) > 0)
        order by finished_at, id",
    )
    .bind(filter.states())
    .bind(&filter.queue)
    .bind(&filter.kind)
    .bind(filter.finished_after)
    .bind(filter.finished_before)
    .bind(&filter.error)
    .bind(MAX_RESCUES)
    .fetch_all(connection)
    .await?;
    Ok(found)
}

/// An old job and the new one, if there is one.
#[derive(Debug, FromRow)]
struct Again {
    id: i64,
    unique_key: Option<String>,
    new_id: Option<i64>,
}

/// Enqueues these finished jobs again, in this order; none that has been replayed already.
///
/// A job that holds a place takes none twice: where its holder still has one, it needs no other.
async fn again(
    connection: &mut PgConnection,
    ids: &[i64],
    how: &Replay,
) -> Result<Vec<Again>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let answers: Vec<Again> = sqlx::query_as(
        "-- replay
        with past as materialized (
            select * from engine.jobs_history
            where id = any($1) and replayed_as is null
            order by id
            for update
        ),
        due as (
            select
                past.id,
                clock.now + coalesce(row_number() over (order by wanted.nth) - 1, 0)
                    * coalesce(1 / $3::float8, 0) * interval '1 second' as run_at,
                clock.now
            from past
            join unnest($1::bigint[]) with ordinality as wanted (id, nth) on wanted.id = past.id
            cross join (select engine.now() as now) as clock
        ),
        new as (
            insert into engine.jobs (
                run_at, created_at, parent_id, timeout_ms, priority, max_attempts, queue, kind,
                args, unique_key, uses, hold_as, if_discarded, share, version, due, replay_of,
                group_id, member
            )
            select
                due.run_at, due.now, past.parent_id, past.timeout_ms, past.priority,
                past.max_attempts, past.queue, past.kind,
                case when $2::jsonb is null then past.args
                     else engine.merge_patch(past.args, $2) end,
                past.unique_key,
                (
                    select jsonb_agg(
                        jsonb_set(needed, '{hold}', to_jsonb(
                            past.hold_as is not null and not exists (
                                select from engine.holds
                                where holder = past.hold_as and resource = needed ->> 'resource'
                            )
                        ))
                        order by nth
                    )
                    from jsonb_array_elements(past.uses) with ordinality as used (needed, nth)
                ),
                past.hold_as, past.if_discarded, past.share, past.version,
                due.run_at <= due.now, past.id, past.group_id,
                -- In the name of the old one, so that a good end is its late success.
                case when past.group_id is not null
                     then coalesce(past.member, 'job:' || past.id) end
            from past
            join due on due.id = past.id
            order by due.run_at, past.id
            on conflict (unique_key) where unique_key is not null do nothing
            returning id, replay_of, queue
        ),
        marked as (
            update engine.jobs_history as history set replayed_as = new.id
            from new
            join past on past.id = new.replay_of
            where history.id = past.id and history.finished_at = past.finished_at
        ),
        notified as (select pg_notify('engine_wake', queue) from new group by queue)
        select past.id, past.unique_key, new.id as new_id
        from past
        left join new on new.replay_of = past.id
        where (select count(*) from notified) >= 0",
    )
    .bind(ids)
    .bind(&how.patch)
    .bind(how.per_second)
    .fetch_all(connection)
    .await?;
    let mut by_id: HashMap<i64, Again> = answers.into_iter().map(|row| (row.id, row)).collect();
    Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
}
