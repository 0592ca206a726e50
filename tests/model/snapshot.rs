//! What the store has come to, read in a few questions.

use chrono::{DateTime, Utc};
use recomamp::queue::gate::breaker::Breaker;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use std::collections::BTreeMap;

#[derive(Debug, Clone, FromRow)]
pub struct JobRow {
    pub id: i64,
    pub state: String,
    pub fence: i32,
    pub attempt: i16,
    pub snoozes: i32,
    pub throttles: i16,
    pub denials: i16,
    pub rescues: i16,
    pub interruptions: i16,
    pub run_at: Option<DateTime<Utc>>,
    pub blocked_by: Option<String>,
    pub session: Option<i64>,
    pub parent_id: Option<i64>,
    pub slots: Vec<String>,
    pub gated: bool,
    pub due: bool,
    pub wants_hold: bool,
    pub lane: i64,
    pub name: String,
}

#[derive(Debug, Clone, FromRow)]
pub struct ResourceRow {
    pub name: String,
    pub held: i32,
    pub running: i32,
    pub not_before: Option<DateTime<Utc>>,
    pub opened_at: Option<DateTime<Utc>>,
    pub paused_until: Option<DateTime<Utc>>,
    pub breaker: Option<Json<Breaker>>,
    pub holders: Vec<String>,
}

#[derive(Debug, Clone, FromRow)]
pub struct LaneRow {
    pub id: i64,
    pub shut_by: Option<String>,
    pub shut_gate: Option<String>,
    pub opens_at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
pub struct Snapshot {
    pub now: DateTime<Utc>,
    pub jobs: BTreeMap<i64, JobRow>,
    pub finished: i64,
    pub resources: Vec<ResourceRow>,
}

/// Unfinished jobs, and those of these that have finished.
pub async fn read(db: &mut PgConnection, ids: &[i64]) -> Result<Snapshot, sqlx::Error> {
    let jobs: Vec<JobRow> = sqlx::query_as(
        "select
            id, state::text as state, fence, attempt, snoozes, throttles, denials, rescues,
            interruptions, run_at, blocked_by, session, parent_id,
            coalesce(slots, '{}') as slots, gated, due,
            coalesce(jsonb_path_exists(uses, '$[*].hold ? (@ == true)'), false) as wants_hold,
            lane, args ->> 'name' as name
        from engine.jobs
        union all
        select
            id, state::text, 0, attempt, snoozes, throttles, denials, rescues,
            interruptions, null, null, null, parent_id, '{}', false, false, false, 0,
            args ->> 'name'
        from engine.jobs_history where id = any($1)",
    )
    .bind(ids)
    .fetch_all(&mut *db)
    .await?;
    let resources = sqlx::query_as(
        "select
            name, held, running, not_before, opened_at, paused_until, breaker,
            array(select holder from engine.holds where resource = name order by holder) as holders
        from engine.resources",
    )
    .fetch_all(&mut *db)
    .await?;
    let (now, finished) =
        sqlx::query_as("select engine.now(), (select count(*) from engine.jobs_history)")
            .fetch_one(&mut *db)
            .await?;
    let jobs = jobs.into_iter().map(|job| (job.id, job)).collect();
    Ok(Snapshot { now, jobs, finished, resources })
}

pub async fn lanes(db: &mut PgConnection) -> Result<BTreeMap<i64, LaneRow>, sqlx::Error> {
    let lanes: Vec<LaneRow> =
        sqlx::query_as("select id, shut_by, shut_gate, opens_at from engine.lanes")
            .fetch_all(db)
            .await?;
    Ok(lanes.into_iter().map(|lane| (lane.id, lane)).collect())
}
