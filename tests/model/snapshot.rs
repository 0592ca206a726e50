//! What the store has come to, read in a few questions.

use chrono::{DateTime, Utc};
use recomamp::queue::gate::breaker::Breaker;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use std::collections::BTreeMap;
use std::sync::Arc;

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
    pub finished_at: Option<DateTime<Utc>>,
    pub blocked_by: Option<String>,
    pub session: Option<i64>,
    pub parent_id: Option<i64>,
    pub replay_of: Option<i64>,
    pub cancel_asked: bool,
    pub slots: Vec<String>,
    pub gated: bool,
    pub due: bool,
    pub wants_hold: Vec<String>,
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

/// A lane that waits for its turn.
#[derive(Debug, Clone, FromRow)]
pub struct Turn {
    pub id: i64,
    pub shut_by: String,
    pub opens_at: DateTime<Utc>,
}

/// What there is, whenever it was read.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub now: DateTime<Utc>,
    /// Unfinished jobs, and those that have finished since the last look.
    pub jobs: BTreeMap<i64, Arc<JobRow>>,
    /// Those among them that are not as they were at the last look.
    pub changed: Vec<Arc<JobRow>>,
    /// How many there are.
    pub unfinished: i64,
    pub finished: i64,
    pub resources: Vec<ResourceRow>,
}

/// Looks at the store again and again, and reads only what has changed in between.
#[derive(Debug, Default)]
pub struct Reader {
    unfinished: BTreeMap<i64, Arc<JobRow>>,
    /// All older transactions have been seen.
    transaction: i64,
}

impl Reader {
    /// In which lane the unfinished job waits.
    pub fn lane(&self, id: i64) -> Option<i64> {
        self.unfinished.get(&id).map(|row| row.lane)
    }

    /// What there is now; what has finished, from `since` on.
    pub async fn read(
        &mut self,
        db: &mut PgConnection,
        since: DateTime<Utc>,
    ) -> Result<Snapshot, sqlx::Error> {
        let (now, unfinished, finished, transaction) = sqlx::query_as(
            "select
                engine.now(),
                (select count(*) from engine.jobs),
                (select count(*) from engine.jobs_history),
                pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
        )
        .fetch_one(&mut *db)
        .await?;
        let changed: Vec<JobRow> = sqlx::query_as(
            "select
                id, state::text as state, fence, attempt, snoozes, throttles, denials, rescues,
                interruptions, run_at, null::timestamptz as finished_at, blocked_by, session,
                parent_id, replay_of, cancel_asked_at is not null as cancel_asked,
                coalesce(slots, '{}') as slots, gated, due,
                array(select jsonb_path_query(uses, '$[*] ? (@.hold == true).resource') #>> '{}')
                    as wants_hold,
                lane, args ->> 'name' as name
            from engine.jobs where xmin::text::bigint >= $1
            union all
            select
                id, state::text, 0, attempt, snoozes, throttles, denials, rescues,
                interruptions, null, finished_at, null, null, parent_id, replay_of, false, '{}',
                false, false, '{}', 0, args ->> 'name'
            from engine.jobs_history where finished_at >= $2",
        )
        .bind(self.transaction)
        .bind(since)
        .fetch_all(&mut *db)
        .await?;
        self.transaction = transaction;
        let changed: Vec<Arc<JobRow>> = changed.into_iter().map(Arc::new).collect();
        let with_id = |row: &Arc<JobRow>| (row.id, Arc::clone(row));
        let (finished_now, others): (Vec<_>, Vec<_>) =
            changed.iter().map(with_id).partition(|(_, row)| row.finished_at.is_some());
        self.unfinished.extend(others);
        for (id, _) in &finished_now {
            self.unfinished.remove(id);
        }
        let mut jobs = self.unfinished.clone();
        jobs.extend(finished_now);
        Ok(Snapshot { now, jobs, changed, unfinished, finished, resources: resources(db).await? })
    }
}

async fn resources(db: &mut PgConnection) -> Result<Vec<ResourceRow>, sqlx::Error> {
    sqlx::query_as(
        "select
            name, held, running, not_before, opened_at, paused_until, breaker,
            array(select holder from engine.holds where resource = name order by holder) as holders
        from engine.resources",
    )
    .fetch_all(db)
    .await
}

/// When each lane opens that waits for its turn under a rate, and how many lanes there are.
pub async fn turns(db: &mut PgConnection) -> Result<(BTreeMap<i64, Turn>, i32), sqlx::Error> {
    let turns: Vec<Turn> = sqlx::query_as(
        "select id, shut_by, opens_at from engine.lanes
        where shut_gate = 'rate' and opens_at is not null",
    )
    .fetch_all(&mut *db)
    .await?;
    let lanes = sqlx::query_scalar("select count(*)::int from engine.lanes").fetch_one(db).await?;
    Ok((turns.into_iter().map(|turn| (turn.id, turn)).collect(), lanes))
}

/// Every lane as it stands, for the story of a failure.
pub async fn lane_rows(db: &mut PgConnection) -> Result<BTreeMap<i64, String>, sqlx::Error> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("select id, to_jsonb(lanes)::text from engine.lanes").fetch_all(db).await?;
    Ok(rows.into_iter().collect())
}
