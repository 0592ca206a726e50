//! Gathers what explains a job: a handful of indexed reads on one snapshot. Locks nothing.

use super::Queue;
use super::gates::Standings;
use crate::queue::error::Error;
use crate::queue::explain::{
    Explanation, Facts, LaneStanding, Process, Rank, Standing, Subject, explain as conclude,
};
use crate::queue::job::Use;
use crate::queue::state::State;
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};
use std::collections::BTreeMap;
use std::time::Duration;

/// A process that has been silent for longer is not counted as alive.
const ALIVE: Duration = Duration::from_secs(15);

impl Queue {
    /// Why the job is not running: everything that holds it, in order, as things stand now. `None`
    /// when there is no such job.
    pub async fn explain(&self, db: &PgPool, job_id: i64) -> Result<Option<Explanation>, Error> {
        let mut transaction = crate::transaction::begin_snapshot(db).await?;
        let facts = facts(&mut transaction, job_id).await?;
        transaction.rollback().await?;
        Ok(facts.map(|facts| conclude(&facts)))
    }
}

async fn facts(connection: &mut PgConnection, job_id: i64) -> Result<Option<Facts>, Error> {
    let Some(row) = job(connection, job_id).await? else { return Ok(None) };
    let (now, runner) = (row.now, row.runner.clone());
    let (needs, place) = (row.needs(), row.place());
    let job = row.subject();
    let mut facts = Facts {
        now,
        job,
        runner,
        lane: None,
        needs: Vec::new(),
        processes: Vec::new(),
        rank: None,
    };
    if let (State::Waiting, Some(place)) = (facts.job.state, place) {
        facts.lane = lane(connection, place.lane).await?;
        facts.needs = standings(connection, needs).await?;
        facts.processes = processes(connection).await?;
        facts.rank = Some(rank(connection, &facts, &place).await?);
    }
    Ok(Some(facts))
}

#[derive(FromRow)]
struct Row {
    now: DateTime<Utc>,
    id: i64,
    kind: String,
    queue: String,
    version: i16,
    state: State,
    run_at: Option<DateTime<Utc>>,
    due: bool,
    blocked_by: Option<String>,
    attempt: i16,
    max_attempts: i16,
    snoozes: i32,
    throttles: i16,
    rescues: i16,
    created_at: DateTime<Utc>,
    claimed_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
    uses: Option<Json<Vec<Use>>>,
    share: i16,
    priority: i16,
    lane: Option<i64>,
    runner: Option<String>,
}

/// Where a job stands among the others.
struct Place {
    share: i16,
    lane: i64,
    priority: i16,
    run_at: DateTime<Utc>,
}

impl Row {
    /// What it needs: its queue, its kind, and what it uses.
    fn needs(&self) -> Vec<Use> {
        let own = [format!("queue:{}", self.queue), format!("kind:{}", self.kind)];
        let own = own.map(|resource| Use { resource, cost: 1, hold: false });
        let used = self.uses.iter().flat_map(|Json(uses)| uses).cloned();
        own.into_iter().chain(used).collect()
    }

    fn place(&self) -> Option<Place> {
        Some(Place {
            share: self.share,
            lane: self.lane?,
            priority: self.priority,
            run_at: self.run_at?,
        })
    }

    fn subject(self) -> Subject {
        Subject {
            id: self.id,
            kind: self.kind,
            queue: self.queue,
            version: self.version,
            state: self.state,
            run_at: self.run_at,
            due: self.due,
            blocked_by: self.blocked_by,
            attempt: self.attempt,
            max_attempts: self.max_attempts,
            snoozes: self.snoozes,
            throttles: self.throttles,
            rescues: self.rescues,
            created_at: self.created_at,
            claimed_at: self.claimed_at,
            finished_at: self.finished_at,
            last_error: self.last_error,
        }
    }
}

async fn job(connection: &mut PgConnection, job_id: i64) -> Result<Option<Row>, Error> {
    let unfinished = sqlx::query_as(
        "-- explain_job
        select
            engine.now() as now, job.id, kind, queue, job.version, state, run_at, due, blocked_by,
            attempt, max_attempts, snoozes, throttles, rescues, created_at, claimed_at,
            null::timestamptz as finished_at, last_error, uses, share, priority, lane,
            session.host || ', pid ' || session.pid as runner
        from engine.jobs as job
        left join engine.sessions as session on session.id = job.session
        where job.id = $1",
    )
    .bind(job_id)
    .fetch_optional(&mut *connection)
    .await?;
    if unfinished.is_some() {
        return Ok(unfinished);
    }
    // Asked only now: the history has many partitions.
    let finished = sqlx::query_as(
        "-- explain_finished_job
        select
            engine.now() as now, id, kind, queue, version, state, null::timestamptz as run_at,
            true as due, null::text as blocked_by, attempt, max_attempts, snoozes, throttles,
            rescues, created_at, null::timestamptz as claimed_at, finished_at, last_error, uses,
            share, priority, null::bigint as lane, null::text as runner
        from engine.jobs_history
        where id = $1",
    )
    .bind(job_id)
    .fetch_optional(connection)
    .await?;
    Ok(finished)
}

#[derive(FromRow)]
struct LaneRow {
    shut_by: Option<String>,
    shut_gate: Option<String>,
    shut_since: Option<DateTime<Utc>>,
    opens_at: Option<DateTime<Utc>>,
}

async fn lane(connection: &mut PgConnection, lane: i64) -> Result<Option<LaneStanding>, Error> {
    let row: Option<LaneRow> = sqlx::query_as(
        "-- explain_lane
        select shut_by, shut_gate, shut_since, opens_at from engine.lanes where id = $1",
    )
    .bind(lane)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| LaneStanding {
        shut: row
            .shut_by
            .zip(row.shut_gate)
            .zip(row.shut_since)
            .map(|((by, gate), at)| (by, gate, at)),
        opens_at: row.opens_at,
    }))
}

async fn standings(connection: &mut PgConnection, needs: Vec<Use>) -> Result<Vec<Standing>, Error> {
    let names: Vec<String> = needs.iter().map(|needed| needed.resource.clone()).collect();
    let mut found = Standings::look(connection, &names).await?;
    Ok(needs.into_iter().map(|needed| found.of(needed)).collect())
}

#[derive(FromRow)]
struct ProcessRow {
    name: String,
    queues: Option<Json<BTreeMap<String, i64>>>,
    kinds: Option<Json<BTreeMap<String, i16>>>,
}

async fn processes(connection: &mut PgConnection) -> Result<Vec<Process>, Error> {
    let rows: Vec<ProcessRow> = sqlx::query_as(
        "-- explain_processes
        select host || ', pid ' || pid as name, queues, kinds
        from engine.sessions
        where ended_at is null and seen_at > (select engine.now()) - $1 * interval '1 second'
        order by id",
    )
    .bind(i64::try_from(ALIVE.as_secs()).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    let process = |row: ProcessRow| Process {
        name: row.name,
        queues: row.queues.map(|Json(queues)| queues),
        kinds: row.kinds.map(|Json(kinds)| kinds),
    };
    Ok(rows.into_iter().map(process).collect())
}

/// Counted as far as [`Rank::MOST`]: nobody reads further, and a lane may be long.
async fn rank(connection: &mut PgConnection, facts: &Facts, place: &Place) -> Result<Rank, Error> {
    let (ahead, lanes, running): (i64, i64, i64) = sqlx::query_as(
        "-- explain_rank
        with recursive ready (lane) as (
            (
                select lane from engine.jobs
                where queue = $1 and share = $2 and state = 'waiting' and due
                  and blocked_by is null
                order by lane
                limit 1
            )
            union all
            select (
                select next.lane from engine.jobs as next
                where next.queue = $1 and next.share = $2 and next.lane > ready.lane
                  and next.state = 'waiting' and next.due and next.blocked_by is null
                order by next.lane
                limit 1
            )
            from ready
            where ready.lane is not null
        )
        select
            (
                select count(*) from (
                    select from engine.jobs
                    where queue = $1 and share = $2 and lane = $3 and state = 'waiting' and due
                      and blocked_by is null and (priority, run_at, id) < ($4, $5, $6)
                    limit $7
                ) as first
            ),
            (
                select count(*) from (select lane from ready limit $7) as counted
                left join engine.lanes on lanes.id = counted.lane
                where counted.lane is not null and counted.lane <> $3
                  and (lanes.shut_by is null or lanes.opens_at <= (select engine.now()))
            ),
            (select count(*) from engine.jobs where state = 'running' and queue = $1)",
    )
    .bind(&facts.job.queue)
    .bind(place.share)
    .bind(place.lane)
    .bind(place.priority)
    .bind(place.run_at)
    .bind(facts.job.id)
    .bind(Rank::MOST)
    .fetch_one(connection)
    .await?;
    let working = facts.processes.iter().filter(|process| process.works_on(&facts.job.queue));
    let slots = working.map(|process| {
        process.queues.as_ref().and_then(|queues| queues.get(&facts.job.queue).copied())
    });
    Ok(Rank { ahead, lanes, slots: slots.sum(), running })
}
