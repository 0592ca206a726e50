//! waiting → cancelled, at once; running → a word to the process that runs it, which stops the handler.
//!
//! The request stays with the running job, so that it ends as cancelled however the attempt ends, if it
//! would wait otherwise: see `ack`, `rescue` and `give_back`.

use super::{chosen, events};
use crate::queue::error::Error;
use crate::queue::session::SessionId;
use crate::queue::state::State;
use crate::queue::steer::{Because, Cancelled, Chosen, Unfinished};
use crate::queue::store::ToCancel;
use sqlx::{FromRow, PgConnection, PgPool};
use std::collections::HashMap;

/// Cancels these jobs. The answers are in their order.
pub(super) async fn cancel(
    connection: &mut PgConnection,
    ids: &[i64],
    because: &Because<'_>,
) -> Result<Vec<Cancelled>, Error> {
    let because = because.checked()?;
    let locked = chosen::lock(connection, ids).await?;
    let missing: Vec<i64> = ids.iter().filter(|id| !locked.contains_key(id)).copied().collect();
    let ended = chosen::ended(connection, &missing).await?;
    let (waiting, asked) = end(connection, &locked, because).await?;
    events::of_jobs(connection, &waiting, "cancelled", because).await?;
    events::of_jobs(connection, &asked, "cancel_requested", because).await?;
    let answer = |id: &i64| match (locked.get(id), ended.get(id)) {
        (Some(State::Running), _) => Cancelled::Requested,
        (Some(_), _) => Cancelled::Cancelled,
        (None, Some(state)) => Cancelled::AlreadyFinished(*state),
        (None, None) => Cancelled::Unknown,
    };
    Ok(ids.iter().map(answer).collect())
}

/// Cancels the jobs of this choice that there are now. How many waited, and how many are being stopped.
pub(super) async fn cancel_all(
    connection: &mut PgConnection,
    filter: &Unfinished,
    because: &Because<'_>,
) -> Result<Chosen, Error> {
    let because = because.checked()?;
    let found = chosen::unfinished(connection, filter).await?;
    let ids: Vec<i64> = found.iter().map(|job| job.id).collect();
    let mut locked = chosen::lock(connection, &ids).await?;
    // One that was claimed a moment ago is not chosen any more, if only waiting ones are.
    locked.retain(|_, state| filter.state.is_none_or(|wanted| *state == wanted));
    let (waiting, asked) = end(connection, &locked, because).await?;
    let subject = filter.to_string();
    events::of_choice(connection, &subject, "cancelled", waiting.len(), because).await?;
    events::of_choice(connection, &subject, "cancel_requested", asked.len(), because).await?;
    let running = locked.values().filter(|state| **state == State::Running).count();
    let count = |jobs: usize| u64::try_from(jobs).unwrap_or(u64::MAX);
    Ok(Chosen { waiting: count(waiting.len()), running: count(running) })
}

/// Ends those that wait, and asks those that run. The ids of both; of the latter only those that had
/// not been asked before.
async fn end(
    connection: &mut PgConnection,
    locked: &HashMap<i64, State>,
    because: &Because<'_>,
) -> Result<(Vec<i64>, Vec<i64>), Error> {
    let those = |wanted: State| -> Vec<i64> {
        locked.iter().filter(|(_, state)| **state == wanted).map(|(id, _)| *id).collect()
    };
    let asked = ask(connection, &those(State::Running), because).await?;
    let waiting = those(State::Waiting);
    let gone = chosen::end_waiting(connection, &waiting, State::Cancelled, because).await?;
    Ok((gone.iter().map(|job| job.id).collect(), asked))
}

async fn ask(
    connection: &mut PgConnection,
    ids: &[i64],
    because: &Because<'_>,
) -> Result<Vec<i64>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let asked = sqlx::query_scalar(
        "-- ask_to_cancel
        with asked as (
            update engine.jobs
            set cancel_asked_at = (select engine.now()), cancel_by = $2, cancel_why = $3
            where id = any($1) and cancel_asked_at is null
            returning id, session
        ),
        notified as (select pg_notify('engine_cancel', session::text) from asked group by session)
        select id from asked where (select count(*) from notified) >= 0 order by id",
    )
    .bind(ids)
    .bind(because.by)
    .bind(because.why)
    .fetch_all(connection)
    .await?;
    Ok(asked)
}

#[derive(FromRow)]
struct Asked {
    id: i64,
    fence: i32,
    cancel_by: String,
    cancel_why: String,
}

/// The session's jobs that were asked to end, and have not.
pub(super) async fn to_cancel(db: &PgPool, session: SessionId) -> Result<Vec<ToCancel>, Error> {
    let asked: Vec<Asked> = sqlx::query_as(
        "-- to_cancel
        select id, fence, cancel_by, cancel_why
        from engine.jobs
        where session = $1 and cancel_asked_at is not null",
    )
    .bind(session.0)
    .fetch_all(db)
    .await?;
    let said = |job: Asked| {
        let because = Because { by: &job.cancel_by, why: &job.cancel_why };
        ToCancel { job_id: job.id, fence: job.fence, said: because.said(State::Cancelled) }
    };
    Ok(asked.into_iter().map(said).collect())
}
