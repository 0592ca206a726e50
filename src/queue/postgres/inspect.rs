//! Read-only questions, for people, pages and metrics.

pub mod gates;
pub mod jobs;

pub use super::attempts::{AttemptRow, attempts};
use crate::queue::notes::Progress;
use crate::queue::state::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};

/// How many unfinished jobs of a kind are in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct Count {
    /// The queue.
    pub queue: String,
    /// The kind.
    pub kind: String,
    /// waiting or running.
    pub state: State,
    /// How many.
    pub jobs: i64,
    /// How many of them are blocked by a resource.
    pub blocked: i64,
    /// When the first of those that are due and not blocked became due.
    pub oldest_due_at: Option<DateTime<Utc>>,
}

/// The unfinished jobs, counted.
pub async fn counts(connection: &mut PgConnection) -> Result<Vec<Count>, sqlx::Error> {
    sqlx::query_as(
        "-- count_jobs
        select
            queue, kind, state, count(*) as jobs, count(blocked_by) as blocked,
            min(run_at) filter (
                where state = 'waiting' and blocked_by is null
                  and run_at <= (select engine.now())
            ) as oldest_due_at
        from engine.jobs
        group by queue, kind, state
        order by queue, kind, state",
    )
    .fetch_all(connection)
    .await
}

/// A job, finished or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct JobRow {
    /// The job.
    pub id: i64,
    /// The kind.
    pub kind: String,
    /// The queue.
    pub queue: String,
    /// Where it stands.
    pub state: State,
    /// The typed arguments.
    pub args: serde_json::Value,
    /// Attempts spent.
    pub attempt: i16,
    /// Snoozes.
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
    /// The resource that keeps it from being claimed.
    pub blocked_by: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When its current or last attempt was claimed.
    pub claimed_at: Option<DateTime<Utc>>,
    /// When it finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// The job that asked for it.
    pub parent_id: Option<i64>,
    /// What the last failed attempt said.
    pub last_error: Option<String>,
    /// How far it has come, if it tells.
    pub progress: Option<Json<Progress>>,
}

/// The job with this id, wherever it is.
pub async fn job(
    connection: &mut PgConnection,
    job_id: i64,
) -> Result<Option<JobRow>, sqlx::Error> {
    sqlx::query_as(
        "-- find_job
        select
            id, kind, queue, state, args, attempt, snoozes, throttles, denials, rescues,
            interruptions, run_at, blocked_by, created_at, claimed_at,
            null::timestamptz as finished_at, parent_id, last_error, progress
        from engine.jobs where id = $1
        union all
        select
            id, kind, queue, state, args, attempt, snoozes, throttles, denials, rescues,
            interruptions, null, null, created_at, claimed_at, finished_at, parent_id, last_error,
            progress
        from engine.jobs_history where id = $1
        limit 1",
    )
    .bind(job_id)
    .fetch_optional(connection)
    .await
}

/// Who has a place on a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct ResourceRow {
    /// The resource.
    pub name: String,
    /// How many may have a place.
    pub max_holds: Option<i32>,
    /// How many have one.
    pub held: i32,
    /// How many jobs wait for one.
    pub blocked: i64,
    /// Not to be used before this time, if that is still to come.
    pub not_before: Option<DateTime<Utc>>,
    /// Why not.
    pub reason: Option<String>,
}

/// The resources with a limit, or a pause that is not over.
pub async fn resources(connection: &mut PgConnection) -> Result<Vec<ResourceRow>, sqlx::Error> {
    sqlx::query_as(
        "-- list_resources
        select
            name, max_holds, held,
            (select count(*) from engine.jobs where blocked_by = name) as blocked,
            case when not_before > (select engine.now()) then not_before end as not_before,
            case when not_before > (select engine.now()) then reason end as reason
        from engine.resources
        where max_holds is not null
           or not_before > (select engine.now())
           or exists (select 1 from engine.jobs where blocked_by = name)
        order by name",
    )
    .fetch_all(connection)
    .await
}

/// A process that runs jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub struct SessionRow {
    /// The process start.
    pub id: i64,
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: i32,
    /// The build.
    pub version: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was last heard of.
    pub seen_at: DateTime<Utc>,
    /// The jobs it runs now.
    pub running: i64,
}

/// The processes that have not ended.
pub async fn sessions(connection: &mut PgConnection) -> Result<Vec<SessionRow>, sqlx::Error> {
    sqlx::query_as(
        "-- list_sessions
        select
            id, host, pid, version, started_at, seen_at,
            (
                select count(*) from engine.jobs
                where session = sessions.id and state = 'running'
            ) as running
        from engine.sessions
        where ended_at is null
        order by id",
    )
    .fetch_all(connection)
    .await
}
