//! waiting → running: a process takes leases on jobs that are due and that no gate keeps back.

use super::{gates, groups};
use crate::queue::error::Error;
use crate::queue::retry::Limits;
use crate::queue::session::SessionId;
use crate::queue::share::{Share, Slots};
use crate::queue::state::State;
use crate::queue::store::{Ask, Claimed, Lease};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A claim looks this often for lanes that could fill its slots before it hands over what it has.
const PASSES: usize = 4;

/// Whose turn it is, by queue and share. Each process goes round on its own, from a place of its own,
/// so that the lanes' order favours none: see [`share`](crate::queue::share) for what that promises.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<(String, Share), Turn>>>);

/// The lane that was served last, and how many of its jobs may still start in that turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    lane: i64,
    left: i32,
}

impl Turns {
    fn of(&self, queue: &str, share: Share) -> Turn {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let anywhere = || Turn { lane: rand::random(), left: 0 };
        *turns.entry((queue.to_owned(), share)).or_insert_with(anywhere)
    }

    fn set(&self, queue: &str, share: Share, turn: Turn) {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.insert((queue.to_owned(), share), turn);
    }
}

/// A job that was leased.
#[derive(Debug, Clone, FromRow)]
pub(super) struct Taken {
    id: i64,
    fence: i32,
    kind: String,
    args: serde_json::Value,
    attempt: i16,
    max_attempts: i16,
    timeout_ms: i32,
    snoozes: i32,
    throttles: i16,
    denials: i16,
    interruptions: i16,
    created_at: DateTime<Utc>,
    claimed_at: DateTime<Utc>,
    priority: i16,
    run_at: DateTime<Utc>,
    share: i16,
}

/// What one look at the lanes gave.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) leases: Vec<Taken>,
    /// Gated lanes, and how many of their jobs could start.
    pub(super) gated: Vec<(i64, i32)>,
    /// Whether another look may find more.
    pub(super) more: bool,
    pub(super) next_due_in: Option<Duration>,
}

pub(super) async fn claim(
    db: &PgPool,
    turns: &Turns,
    session: SessionId,
    ask: &Ask<'_>,
) -> Result<Claimed, Error> {
    let mut slots = ask.slots;
    let mut claimed = Claimed::default();
    for _ in 0..PASSES {
        let mut pass = look(db, turns, session, ask, &slots).await?;
        if !pass.gated.is_empty() {
            let admitted = gates::admit(db, session, &pass.gated).await?;
            pass.leases.extend(admitted.leases);
            pass.more |= admitted.more;
            pass.next_due_in = pass.next_due_in.into_iter().chain(admitted.next_due_in).min();
        }
        claimed.next_due_in = pass.next_due_in;
        for taken in pass.leases {
            slots.take(Share::from_code(taken.share));
            claimed.leases.push(taken.into_lease(ask.queue));
        }
        claimed.more = pass.more || slots.free() == 0;
        if !pass.more || slots.free() == 0 {
            break;
        }
    }
    Ok(claimed)
}

/// Leases jobs of lanes without gates, and finds the gated lanes whose turn it is.
async fn look(
    db: &PgPool,
    turns: &Turns,
    session: SessionId,
    ask: &Ask<'_>,
    slots: &Slots,
) -> Result<Pass, Error> {
    let allotted = slots.allot();
    let turn_of = allotted.map(|(share, _)| turns.of(ask.queue, share));
    let to_int = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let answers = sqlx::query(
        "-- claim
        select * from engine.claim($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(session.0)
    .bind(ask.queue)
    .bind(allotted.map(|(share, _)| share as i16).to_vec())
    .bind(allotted.map(|(_, most)| to_int(most)).to_vec())
    .bind(turn_of.map(|turn| turn.lane).to_vec())
    .bind(turn_of.map(|turn| turn.left).to_vec())
    .bind(to_int(slots.free()))
    .bind(ask.kinds.map(|kinds| kinds.iter().map(|(kind, _)| *kind).collect::<Vec<_>>()))
    .bind(ask.kinds.map(|kinds| kinds.iter().map(|(_, version)| *version).collect::<Vec<_>>()))
    .fetch_all(db)
    .await?;
    let mut pass = Pass::default();
    let mut leases: Vec<(i32, Taken)> = Vec::new();
    for answer in answers {
        match answer.try_get("what")? {
            "job" => leases.push((answer.try_get("turn")?, Taken::from_row(&answer)?)),
            "gated" => {
                let (lane, many): (i64, i32) =
                    (answer.try_get("lane_id")?, answer.try_get("many")?);
                match pass.gated.iter_mut().find(|(other, _)| *other == lane) {
                    // Offered once from its own part, and once from what was lent.
                    Some((_, already)) => *already += many,
                    None => pass.gated.push((lane, many)),
                }
            }
            "more" => pass.more = true,
            "cursor" => {
                let share = Share::from_code(answer.try_get("share")?);
                let turn = Turn { lane: answer.try_get("lane_id")?, left: answer.try_get("many")? };
                turns.set(ask.queue, share, turn);
            }
            _ => {
                let seconds: Option<f64> = answer.try_get("seconds")?;
                pass.next_due_in =
                    seconds.map(|s| Duration::try_from_secs_f64(s).unwrap_or_default());
            }
        }
    }
    // An update gives its rows in no order.
    leases.sort_by_key(|(turn, job)| (*turn, job.priority, job.run_at, job.id));
    pass.leases = leases.into_iter().map(|(_, job)| job).collect();
    Ok(pass)
}

impl Taken {
    fn into_lease(self, queue: &str) -> Lease {
        let waited = (self.claimed_at - self.run_at).to_std().unwrap_or_default();
        Lease {
            job_id: self.id,
            fence: self.fence,
            kind: self.kind,
            queue: queue.to_owned(),
            args: self.args,
            attempt: self.attempt,
            max_attempts: self.max_attempts,
            timeout: Duration::from_millis(u64::try_from(self.timeout_ms).unwrap_or(0)),
            share: Share::from_code(self.share),
            snoozes: self.snoozes,
            throttles: self.throttles,
            denials: self.denials,
            interruptions: self.interruptions,
            created_at: self.created_at,
            claimed_at: self.claimed_at,
            waited,
            limits: Limits::DEFAULT,
        }
    }
}

/// Puts back the session's jobs of a queue that were claimed so long ago, and whose attempt, (job, fence),
/// is not among the known ones; those that are to be cancelled end.
pub(super) async fn give_back(
    db: &PgPool,
    session: SessionId,
    queue: &str,
    known: &[(i64, i32)],
    for_at_least: Duration,
) -> Result<u64, Error> {
    let mut transaction = crate::transaction::begin(db).await?;
    let (asked, others): (Vec<Unknown>, Vec<Unknown>) = sqlx::query_as(
        "-- give_back_lock
        select id, cancel_asked_at is not null as is_to_cancel
        from engine.jobs
        where session = $1
          and state = 'running'
          and queue = $2
          and (id, fence) not in (select * from unnest($3::bigint[], $4::int[]))
          and claimed_at <= (select engine.now()) - $5 * interval '1 millisecond'
        order by id
        for update",
    )
    .bind(session.0)
    .bind(queue)
    .bind(known.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(known.iter().map(|(_, fence)| *fence).collect::<Vec<_>>())
    .bind(i64::try_from(for_at_least.as_millis()).unwrap_or(i64::MAX))
    .fetch_all(&mut *transaction)
    .await?
    .into_iter()
    .partition(|job: &Unknown| job.is_to_cancel);
    let ids = |jobs: Vec<Unknown>| jobs.into_iter().map(|job| job.id).collect::<Vec<_>>();
    let mut given: Vec<GivenBack> = sqlx::query_as(
        "-- give_back
        update engine.jobs
        set state = 'waiting', session = null, attempt = attempt - 1
        where id = any($1)
        returning id, fence, queue, kind, uses, slots, claimed_at, gated",
    )
    .bind(ids(others))
    .fetch_all(&mut *transaction)
    .await?;
    let cancelled: Vec<GivenBack> = sqlx::query_as(
        "-- give_back_cancelled
        select id, fence, queue, kind, uses, slots, claimed_at, gated, group_id, member
        from engine.finish($1, 'cancelled')",
    )
    .bind(ids(asked))
    .fetch_all(&mut *transaction)
    .await?;
    let ended: Vec<_> = cancelled
        .iter()
        .map(|job| (job.attempt.job_id(), job.membership.clone(), State::Cancelled))
        .collect();
    given.extend(cancelled);
    let gated = given.iter().filter(|job| job.gated);
    let gated: Vec<_> = gated.map(|job| (&job.attempt, None)).collect();
    gates::settle(&mut transaction, &gated, &BTreeMap::new(), &BTreeSet::new()).await?;
    groups::follow(&mut transaction, ended, &[]).await?;
    transaction.commit().await?;
    Ok(u64::try_from(given.len()).unwrap_or(u64::MAX))
}

#[derive(FromRow)]
struct Unknown {
    id: i64,
    is_to_cancel: bool,
}

#[derive(FromRow)]
struct GivenBack {
    #[sqlx(flatten)]
    attempt: gates::Ended,
    gated: bool,
    #[sqlx(flatten)]
    membership: groups::Membership,
}

/// Which of these queues have a job that is due and not blocked.
pub(super) async fn due_queues(db: &PgPool, queues: &[String]) -> Result<Vec<String>, Error> {
    let due = sqlx::query_scalar(
        "-- due_queues
        select name
        from unnest($1::text[]) as name
        -- The order says which index: by it the first one is found, or that there is none.
        where (
                select lane from engine.jobs
                where queue = name and state = 'waiting' and due and blocked_by is null
                order by share, lane
                limit 1
            ) is not null
            or (
                select run_at from engine.jobs
                where queue = name and state = 'waiting' and not due and blocked_by is null
                order by run_at
                limit 1
            ) <= (select engine.now())",
    )
    .bind(queues)
    .fetch_all(db)
    .await?;
    Ok(due)
}
