//! The jobs that somebody wants to steer: chosen, and locked in the order of their ids.

use crate::queue::error::Error;
use crate::queue::job::{NewJob, Use};
use crate::queue::postgres::{gates, groups};
use crate::queue::state::State;
use crate::queue::steer::{Because, Unfinished};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeSet, HashMap};

/// An unfinished job and its state.
#[derive(Debug, Clone, Copy, FromRow)]
pub(super) struct Chosen {
    pub(super) id: i64,
    pub(super) state: State,
}

/// The unfinished jobs of this choice. Not locked: they may be in another state in a moment.
pub(super) async fn unfinished(
    connection: &mut PgConnection,
    filter: &Unfinished,
) -> Result<Vec<Chosen>, Error> {
    let filter = filter.checked()?;
    let chosen = sqlx::query_as(
        "-- choose_unfinished
        select id, state
        from engine.jobs
        where ($1::text is null or queue = $1)
          and ($2::text is null or kind = $2)
          and ($3::smallint is null or share = $3)
          and ($4::text is null
              or uses @> jsonb_build_array(jsonb_build_object('resource', $4))
              or 'queue:' || queue = $4
              or 'kind:' || kind = $4)
          and ($5::engine.job_state is null or state = $5)
          and ($6::timestamptz is null or created_at >= $6)
          and ($7::timestamptz is null or created_at < $7)
        order by id",
    )
    .bind(&filter.queue)
    .bind(&filter.kind)
    .bind(filter.share.map(|share| share as i16))
    .bind(&filter.resource)
    .bind(filter.state)
    .bind(filter.created_after)
    .bind(filter.created_before)
    .fetch_all(connection)
    .await?;
    Ok(chosen)
}

/// Locks those of these jobs that have not finished. Their states stay what they are until the
/// caller's transaction ends.
pub(super) async fn lock(
    connection: &mut PgConnection,
    ids: &[i64],
) -> Result<HashMap<i64, State>, Error> {
    let locked: Vec<Chosen> = sqlx::query_as(
        "-- lock_jobs
        select id, state from engine.jobs where id = any($1) order by id for update",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    Ok(locked.into_iter().map(|job| (job.id, job.state)).collect())
}

/// How those of these jobs ended that are in the history. Asked after [`lock`], which would have
/// found them otherwise.
pub(super) async fn ended(
    connection: &mut PgConnection,
    ids: &[i64],
) -> Result<HashMap<i64, State>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ended: Vec<Chosen> = sqlx::query_as(
        "-- find_ended
        select id, state from engine.jobs_history where id = any($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    Ok(ended.into_iter().map(|job| (job.id, job.state)).collect())
}

/// The unfinished job with this key.
pub(super) async fn with_key(
    connection: &mut PgConnection,
    key: &str,
) -> Result<Option<i64>, Error> {
    let id = sqlx::query_scalar(
        "-- find_by_key
        select id from engine.jobs where unique_key = $1",
    )
    .bind(key)
    .fetch_optional(connection)
    .await?;
    Ok(id)
}

/// A waiting job that has been ended.
#[derive(Debug, FromRow)]
pub(super) struct Gone {
    pub(super) id: i64,
    queue: String,
    kind: String,
    uses: Option<Json<Vec<Use>>>,
    if_discarded: Option<Json<NewJob>>,
    #[sqlx(flatten)]
    membership: groups::Membership,
}

/// Ends locked jobs that wait. Whoever waits behind them for a place comes next; what is to follow one
/// that is discarded does, and groups hear of it.
pub(super) async fn end_waiting(
    connection: &mut PgConnection,
    ids: &[i64],
    state: State,
    because: &Because<'_>,
) -> Result<Vec<Gone>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let gone: Vec<Gone> = sqlx::query_as(
        "-- end_waiting
        select
            id, queue, kind, uses, group_id, member,
            case when $2 = 'discarded' then if_discarded end as if_discarded
        from engine.finish($1, $2, array[$3::text])
        order by id",
    )
    .bind(ids)
    .bind(state)
    .bind(because.said(state))
    .fetch_all(&mut *connection)
    .await?;
    let used: BTreeSet<String> = gone.iter().flat_map(Gone::resources).collect();
    gates::pass_turns_on(connection, &used).await?;
    let next: Vec<(i64, &[NewJob])> = gone
        .iter()
        .filter_map(|job| Some((job.id, std::slice::from_ref(&job.if_discarded.as_ref()?.0))))
        .collect();
    let ended = gone.iter().map(|job| (job.id, job.membership.clone(), state));
    groups::follow(connection, ended, &next).await?;
    Ok(gone)
}

impl Gone {
    fn resources(&self) -> impl Iterator<Item = String> {
        let named = self.uses.iter().flat_map(|Json(uses)| uses).map(|used| used.resource.clone());
        named.chain([format!("queue:{}", self.queue), format!("kind:{}", self.kind)])
    }
}
