//! Jobs as people look at them: pages of them, and one with everything.

use super::{AttemptRow, attempts};
use crate::queue::job::Use;
use crate::queue::state::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In this state; without one, those that have not finished.
    pub state: Option<State>,
    /// The page after the one that ended with this job.
    pub after: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct Listed {
    /// The job.
    pub id: i64,
    /// The queue.
    pub queue: String,
    /// The kind.
    pub kind: String,
    /// Where it stands.
    pub state: State,
    /// Attempts spent.
    pub attempt: i16,
    /// Not claimed before, if it waits.
    pub run_at: Option<DateTime<Utc>>,
    /// The credential it waits for.
    pub blocked_by: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// What the last failed attempt said.
    pub last_error: Option<String>,
}

/// One page of jobs, the newest first.
pub async fn page(
    connection: &mut PgConnection,
    filter: &Filter,
) -> Result<Vec<Listed>, sqlx::Error> {
    if filter.state.is_some_and(State::is_final) {
        return finished(connection, filter).await;
    }
    sqlx::query_as(
        "-- list_jobs
        select
            id, queue, kind, state, attempt,
            case when state = 'waiting' then run_at end as run_at,
            blocked_by, created_at, null::timestamptz as finished_at, last_error
        from engine.jobs
        where ($1::text is null or queue = $1)
          and ($2::text is null or kind = $2)
          and ($3::engine.job_state is null or state = $3)
          and ($4::bigint is null or id < $4)
        order by id desc
        limit $5",
    )
    .bind(filter.queue.as_deref())
    .bind(filter.kind.as_deref())
    .bind(filter.state)
    .bind(filter.after)
    .bind(filter.limit)
    .fetch_all(connection)
    .await
}

async fn finished(
    connection: &mut PgConnection,
    filter: &Filter,
) -> Result<Vec<Listed>, sqlx::Error> {
    sqlx::query_as(
        "-- list_finished_jobs
        select
            id, queue, kind, state, attempt, null::timestamptz as run_at, null as blocked_by,
            created_at, finished_at, last_error
        from engine.jobs_history
        where ($1::text is null or queue = $1)
          and ($2::text is null or kind = $2)
          and state = $3
          and ($4::bigint is null or id < $4)
        order by id desc
        limit $5",
    )
    .bind(filter.queue.as_deref())
    .bind(filter.kind.as_deref())
    .bind(filter.state)
    .bind(filter.after)
    .bind(filter.limit)
    .fetch_all(connection)
    .await
}

/// A job with everything that is known of it.
#[derive(Debug, Clone, Serialize, FromRow)]
pub struct Whole {
    /// The job.
    pub id: i64,
    /// The queue.
    pub queue: String,
    /// The kind.
    pub kind: String,
    /// The version of its arguments.
    pub version: i16,
    /// Where it stands.
    pub state: State,
    /// The typed arguments.
    pub args: serde_json::Value,
    /// At most one unfinished job has this key.
    pub unique_key: Option<String>,
    /// What goes first: 0 to 3.
    pub priority: i16,
    /// The part of a process's slots it comes out of: 0 live, 1 backfill, 2 maintenance.
    pub share: i16,
    /// What it takes of which outside things.
    pub uses: Option<Json<Vec<Use>>>,
    /// The holder in whose name it takes places.
    pub hold_as: Option<String>,
    /// Attempts spent.
    pub attempt: i16,
    /// Attempts it may spend.
    pub max_attempts: i16,
    /// How long one attempt may take, in milliseconds.
    pub timeout_ms: i32,
    /// Times it asked to run again later.
    pub snoozes: i32,
    /// Times the outside asked it to slow down.
    pub throttles: i16,
    /// Times its credential was refused.
    pub denials: i16,
    /// Times its process died under it.
    pub rescues: i16,
    /// Times a stopping process handed it back.
    pub interruptions: i16,
    /// Not claimed before, if it is unfinished.
    pub run_at: Option<DateTime<Utc>>,
    /// The credential it waits for.
    pub blocked_by: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When its current or last attempt was claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// When it finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// The process that runs it, or ran it last.
    pub process: Option<String>,
    /// The job that asked for it.
    pub parent_id: Option<i64>,
    /// The finished job that it does again.
    pub replay_of: Option<i64>,
    /// The job that does it again.
    pub replayed_as: Option<i64>,
    /// What the last failed attempt said.
    pub last_error: Option<String>,
    /// How far it has come, if it says so.
    pub progress: Option<serde_json::Value>,
    /// Its attempts that did not simply go well, the first one first.
    #[sqlx(skip)]
    pub log: Vec<AttemptRow>,
}

/// The job with this id, wherever it is.
pub async fn whole(
    connection: &mut PgConnection,
    job_id: i64,
) -> Result<Option<Whole>, sqlx::Error> {
    let job: Option<Whole> = sqlx::query_as(
        "-- show_job
        select job.*, session.host || ', pid ' || session.pid as process
        from (
            select
                id, queue, kind, version, state, args, unique_key, priority, share, uses, hold_as,
                attempt, max_attempts, timeout_ms, snoozes, throttles, denials, rescues,
                interruptions, run_at, blocked_by, created_at, claimed_at,
                null::timestamptz as finished_at, parent_id, replay_of,
                null::bigint as replayed_as, last_error, progress, session
            from engine.jobs where id = $1
            union all
            select
                id, queue, kind, version, state, args, unique_key, priority, share, uses, hold_as,
                attempt, max_attempts, timeout_ms, snoozes, throttles, denials, rescues,
                interruptions, null, null, created_at, claimed_at, finished_at, parent_id, replay_of,
                replayed_as, last_error, progress, session
            from engine.jobs_history where id = $1
            limit 1
        ) as job
        left join engine.sessions as session on session.id = job.session",
    )
    .bind(job_id)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(mut job) = job else { return Ok(None) };
    job.log = attempts(connection, job_id).await?;
    Ok(Some(job))
}
