//! A waiting job runs at another time, or before or after others.

use super::{chosen, events, gates};
use crate::queue::error::Error;
use crate::queue::job::Use;
use crate::queue::state::State;
use crate::queue::steer::{Because, Edit, Edited, RunAt, Unfinished};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeSet, HashMap};

/// Changes these jobs, if they wait. The answers are in their order.
pub(super) async fn edit(
    connection: &mut PgConnection,
    ids: &[i64],
    change: &Edit,
    because: &Because<'_>,
) -> Result<Vec<Edited>, Error> {
    let (because, change) = (because.checked()?, change.checked()?);
    let locked = chosen::lock(connection, ids).await?;
    let missing: Vec<i64> = ids.iter().filter(|id| !locked.contains_key(id)).copied().collect();
    let ended = chosen::ended(connection, &missing).await?;
    let changed = write(connection, &locked, change).await?;
    let touched: Vec<i64> = changed.keys().copied().collect();
    events::of_jobs(connection, &touched, "edited", because).await?;
    let answer = |id: &i64| match (changed.get(id), locked.get(id), ended.get(id)) {
        (Some(Some(credential)), _, _) if change.run_at.is_some() => {
            Edited::Blocked(credential.clone())
        }
        (Some(_), _, _) => Edited::Edited,
        (None, Some(_), _) => Edited::Running,
        (None, None, Some(state)) => Edited::AlreadyFinished(*state),
        (None, None, None) => Edited::Unknown,
    };
    Ok(ids.iter().map(answer).collect())
}

/// Changes the waiting jobs of this choice that there are now. How many.
pub(super) async fn edit_all(
    connection: &mut PgConnection,
    filter: &Unfinished,
    change: &Edit,
    because: &Because<'_>,
) -> Result<u64, Error> {
    let (because, change) = (because.checked()?, change.checked()?);
    let found = chosen::unfinished(connection, filter).await?;
    let ids: Vec<i64> = found.iter().map(|job| job.id).collect();
    let locked = chosen::lock(connection, &ids).await?;
    let changed = write(connection, &locked, change).await?;
    events::of_choice(connection, &filter.to_string(), "edited", changed.len(), because).await?;
    Ok(u64::try_from(changed.len()).unwrap_or(u64::MAX))
}

#[derive(FromRow)]
struct Changed {
    id: i64,
    blocked_by: Option<String>,
    queue: String,
    kind: String,
    uses: Option<Json<Vec<Use>>>,
}

/// Changes those that wait, and wakes their queues. Which credential each of them waits for, if any.
async fn write(
    connection: &mut PgConnection,
    locked: &HashMap<i64, State>,
    change: &Edit,
) -> Result<HashMap<i64, Option<String>>, Error> {
    let waiting: Vec<i64> =
        locked.iter().filter(|(_, state)| **state == State::Waiting).map(|(id, _)| *id).collect();
    if waiting.is_empty() {
        return Ok(HashMap::new());
    }
    let at = match change.run_at {
        Some(RunAt::At(at)) => Some(at),
        Some(RunAt::Now) | None => None,
    };
    let changed: Vec<Changed> = sqlx::query_as(
        "-- edit
        with changed as (
            update engine.jobs as job
            -- The time of one that waits for a credential is when it looks by itself.
            set run_at = case when job.blocked_by is not null then job.run_at
                              when $2 then clock.now
                              else coalesce($3, job.run_at) end,
                due = case when job.blocked_by is not null then job.due
                           when $2 then true
                           else coalesce($3 <= clock.now, job.due) end,
                priority = coalesce($4, job.priority)
            from (select engine.now() as now) as clock
            where job.id = any($1)
            returning job.id, job.blocked_by, job.queue, job.kind, job.uses
        ),
        notified as (select pg_notify('engine_wake', queue) from changed group by queue)
        select * from changed where (select count(*) from notified) >= 0",
    )
    .bind(waiting)
    .bind(change.run_at == Some(RunAt::Now))
    .bind(at)
    .bind(change.priority.map(|priority| priority as i16))
    .fetch_all(&mut *connection)
    .await?;
    if at.is_some() {
        // A place that was free for one of them is free for the next.
        let used: BTreeSet<String> = changed.iter().flat_map(Changed::resources).collect();
        gates::pass_turns_on(connection, &used).await?;
    }
    Ok(changed.into_iter().map(|job| (job.id, job.blocked_by)).collect())
}

impl Changed {
    fn resources(&self) -> impl Iterator<Item = String> {
        let named = self.uses.iter().flat_map(|Json(uses)| uses).map(|used| used.resource.clone());
        named.chain([format!("queue:{}", self.queue), format!("kind:{}", self.kind)])
    }
}
