//! Members join a group, and end. Both cost the group's row one update, however many they are.

use super::decide::decide;
use super::lock;
use super::make::Row;
use crate::queue::error::Error;
use crate::queue::gate::invalid::Invalid;
use crate::queue::group::Progress;
use crate::queue::state::State;
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};

/// How a job is named that is a member itself.
pub(super) fn of_job(job_id: i64) -> String {
    format!("job:{job_id}")
}

/// Adds members that no job stands for. Those that are there already stay as they are. How many were new.
pub(in crate::queue::postgres) async fn add(
    connection: &mut PgConnection,
    group: i64,
    names: &[String],
) -> Result<u64, Error> {
    lock(connection, &BTreeSet::from([group])).await?;
    insert(connection, group, names).await
}

/// Under the group's lock. A group that was forgotten gets no members.
pub(super) async fn insert(
    connection: &mut PgConnection,
    group: i64,
    names: &[String],
) -> Result<u64, Error> {
    let added: Option<i64> = sqlx::query_scalar(
        "-- group_add_members
        with added as (
            insert into engine.members (group_id, name)
            select $1, name from unnest($2::text[]) as name
            where exists (select from engine.groups where id = $1)
            on conflict (group_id, name) do nothing
            returning name
        ),
        counted as (select count(*) as many from added)
        update engine.groups set total = total + many, open = open + many
        from counted
        where id = $1 and many > 0
        returning many",
    )
    .bind(group)
    .bind(names)
    .fetch_optional(connection)
    .await?;
    Ok(u64::try_from(added.unwrap_or(0)).unwrap_or(0))
}

/// Ends members, whatever jobs work in their names. How many were not as they are now.
pub(in crate::queue::postgres) async fn end(
    connection: &mut PgConnection,
    group: i64,
    ends: &[(String, State)],
) -> Result<u64, Error> {
    if let Some((_, state)) = ends.iter().find(|(_, state)| !state.is_final()) {
        let remedy = format!("a member ends done, discarded or cancelled, not {}", state.as_str());
        return Err(Invalid::new("state", remedy).into());
    }
    lock(connection, &BTreeSet::from([group])).await?;
    let ends = ends.iter().map(|(name, state)| (group, name.clone(), *state)).collect();
    let (changed, groups) = write(connection, ends, Whose::Theirs).await?;
    decide(connection, groups, false).await?;
    Ok(changed)
}

/// Ends the members whose last job has ended, under the lock on their groups. Gives the queues that
/// got new jobs.
pub(super) async fn jobs_ended(
    connection: &mut PgConnection,
    ends: Vec<(i64, String, State)>,
) -> Result<BTreeSet<String>, Error> {
    let (_, groups) = write(connection, ends, Whose::TheirJobs).await?;
    decide(connection, groups, false).await
}

/// Who says that members have ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Somebody, of the members themselves.
    Theirs,
    /// Jobs: then another job in the name of a member keeps it open.
    TheirJobs,
}

/// Gives how many members changed, and the groups that they are of.
async fn write(
    connection: &mut PgConnection,
    ends: Vec<(i64, String, State)>,
    whose: Whose,
) -> Result<(u64, Vec<Progress>), Error> {
    // Of several ends of one member the last one counts, unless there was a good one.
    let mut last: BTreeMap<(i64, String), State> = BTreeMap::new();
    for (group, name, state) in ends {
        let kept = last.entry((group, name)).or_insert(state);
        if *kept != State::Done {
            *kept = state;
        }
    }
    let mut changed = 0;
    let mut groups = BTreeMap::new();
    for state in [State::Done, State::Discarded, State::Cancelled] {
        let names: Vec<_> =
            last.iter().filter(|(_, ended)| **ended == state).map(|(name, _)| name).collect();
        if names.is_empty() {
            continue;
        }
        for (many, group) in write_as(connection, state, &names, whose).await? {
            changed += u64::try_from(many).unwrap_or(0);
            groups.insert(group.id, group);
        }
    }
    Ok((changed, groups.into_values().collect()))
}

#[derive(sqlx::FromRow)]
struct Changed {
    many: i64,
    #[sqlx(flatten)]
    group: Row,
}

/// Each member is looked up by its name, and written where it was found: the batches are large, and
/// so is the table. A member that is done stays done.
async fn write_as(
    connection: &mut PgConnection,
    state: State,
    names: &[&(i64, String)],
    whose: Whose,
) -> Result<Vec<(i64, Progress)>, Error> {
    let changed: Vec<Changed> = sqlx::query_as(
        "-- group_end_members
        with before as (
            select member.place, member.group_id, member.state
            from unnest($1::bigint[], $2::text[]) as ended (group_id, name)
            cross join lateral (
                select ctid as place, group_id, state from engine.members
                where group_id = ended.group_id and name = ended.name
                  and state is distinct from $3 and state is distinct from 'done'
                offset 0
            ) as member
            where not $4 or not exists (
                select from engine.jobs as job
                where job.group_id = ended.group_id and job.member = ended.name
            )
        ),
        written as (
            update engine.members set state = $3, ended_at = (select engine.now())
            where ctid = any(array(select place from before))
        ),
        counted as (
            select
                group_id, count(*) as many,
                count(*) filter (where state is null) as were_open,
                count(*) filter (where state = 'discarded') as were_discarded,
                count(*) filter (where state = 'cancelled') as were_cancelled
            from before
            group by group_id
        )
        update engine.groups as the_group
        set open = open - were_open,
            done = done + case when $3 = 'done' then many else 0 end,
            discarded = discarded - were_discarded + case when $3 = 'discarded' then many else 0 end,
            cancelled = cancelled - were_cancelled + case when $3 = 'cancelled' then many else 0 end
        from counted
        where the_group.id = counted.group_id
        returning many, the_group.*",
    )
    .bind(names.iter().map(|(group, _)| *group).collect::<Vec<_>>())
    .bind(names.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>())
    .bind(state)
    .bind(whose == Whose::TheirJobs)
    .fetch_all(connection)
    .await?;
    Ok(changed.into_iter().map(|row| (row.many, row.group.into())).collect())
}
