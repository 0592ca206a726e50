//! The scheduler's duties: what each does, and how often.

use super::Desk;
use crate::clock;
use crate::jobs::{
    deliver_webhook, drop_expired, feed, probe_instance, refresh_token, run_batch_member,
    run_schedule, sync_instances, tend_breakers, tend_executions,
};
use crate::queue::{NewJob, postgres};
use crate::steering;
use crate::store::instances::health;
use crate::store::{collections, credentials, webhooks};
use anyhow::Result;
use rand::Rng;
use std::time::Duration;

/// A token is renewed when it ends within this time.
const TOKEN_MARGIN: Duration = Duration::from_secs(900);
/// So many blocked instances are asked in one go.
const PROBES_AT_ONCE: i64 = 100;
/// So many deliveries get their jobs in one go.
const DELIVERIES_AT_ONCE: i64 = 1000;
/// How long a user's accounts and instances are taken to be what they were.
const SYNC_EVERY: Duration = Duration::from_secs(86_400);
/// A process that has not been heard of for this long is given up, should no worker be there to do it.
const PATIENCE: Duration = Duration::from_secs(9);

/// One thing that has to happen again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Ask for new tokens before the old ones end.
    RenewTokens,
    /// Make the history's next days, drop the old ones.
    Prune,
    /// Mend gates, and fail groups whose deadline has passed.
    Sweep,
    /// Take back the jobs of the dead.
    Rescue,
    /// Let paused collections go on whose time has come.
    ResumeCollections,
    /// Pick up weeks that no job works on, and those whose turn was missed.
    TendWeeks,
    /// Pick up runs of schedules that no job works on.
    TendRuns,
    /// Pick up members of batches that no job works on.
    TendBatches,
    /// Send what webhooks are to be told.
    TellWebhooks,
    /// Ask blocked instances whether they let us in again.
    ProbeInstances,
    /// Take over from AMC which instances there are, once a day for each user.
    SyncInstances,
    /// Ask for a look at executions that are stuck.
    TendExecutions,
    /// Ask for a look at what Amazon keeps down.
    TendBreakers,
    /// Ask that what has been kept long enough is dropped.
    DropExpired,
}

impl Duty {
    /// Every duty.
    pub const ALL: &[Self] = &[
        Self::RenewTokens,
        Self::Prune,
        Self::Sweep,
        Self::Rescue,
        Self::ResumeCollections,
        Self::TendWeeks,
        Self::TendRuns,
        Self::TendBatches,
        Self::TellWebhooks,
        Self::ProbeInstances,
        Self::SyncInstances,
        Self::TendExecutions,
        Self::TendBreakers,
        Self::DropExpired,
    ];

    /// The word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RenewTokens => "renew_tokens",
            Self::Prune => "prune",
            Self::Sweep => "sweep",
            Self::Rescue => "rescue",
            Self::ResumeCollections => "resume_collections",
            Self::TendWeeks => "tend_weeks",
            Self::TendRuns => "tend_runs",
            Self::TendBatches => "tend_batches",
            Self::TellWebhooks => "tell_webhooks",
            Self::ProbeInstances => "probe_instances",
            Self::SyncInstances => "sync_instances",
            Self::TendExecutions => "tend_executions",
            Self::TendBreakers => "tend_breakers",
            Self::DropExpired => "drop_expired",
        }
    }

    /// How often.
    pub fn every(self) -> Duration {
        match self {
            Self::RenewTokens | Self::ProbeInstances => Duration::from_secs(60),
            Self::Prune | Self::SyncInstances | Self::DropExpired => Duration::from_secs(3600),
            Self::Sweep | Self::ResumeCollections => Duration::from_secs(15),
            Self::Rescue | Self::TellWebhooks => Duration::from_secs(5),
            Self::TendWeeks
            | Self::TendRuns
            | Self::TendBatches
            | Self::TendExecutions
            | Self::TendBreakers => Duration::from_secs(300),
        }
    }

    /// Does it once. `steady` says that the store has answered the time before.
    pub async fn fulfil(self, desk: &Desk, steady: bool) -> Result<()> {
        match self {
            Self::RenewTokens => renew_tokens(desk).await,
            Self::Prune => prune(desk).await,
            Self::Sweep => sweep(desk).await,
            Self::Rescue if steady => rescue(desk).await,
            // Only to see whether the store answers.
            Self::Rescue => clock::now(&desk.db).await.map(|_| ()).map_err(Into::into),
            Self::ResumeCollections => {
                steering::resume_due(&desk.db, &desk.queue).await.map(|_| ()).map_err(Into::into)
            }
            Self::TendWeeks => tend_weeks(desk).await,
            Self::TendRuns => tend_runs(desk).await,
            Self::TendBatches => tend_batches(desk).await,
            Self::TellWebhooks => tell_webhooks(desk).await,
            Self::ProbeInstances => probe_instances(desk).await,
            Self::SyncInstances => sync_instances(desk).await,
            Self::TendExecutions => ask(desk, tend_executions::job()?).await,
            Self::TendBreakers => ask(desk, tend_breakers::job()?).await,
            Self::DropExpired => ask(desk, drop_expired::job()?).await,
        }
    }
}

/// Asks for a job that workers do, unless it is asked for already.
async fn ask(desk: &Desk, job: NewJob) -> Result<()> {
    let mut connection = desk.db.acquire().await?;
    desk.queue.enqueue(&mut connection, &[job]).await?;
    Ok(())
}

async fn renew_tokens(desk: &Desk) -> Result<()> {
    let mut connection = desk.db.acquire().await?;
    for user_id in credentials::expiring_before(&mut *connection, TOKEN_MARGIN).await? {
        let Some(token) = credentials::access_token(&mut *connection, user_id).await? else {
            continue;
        };
        let job = refresh_token::job(user_id, token.generation)?;
        desk.queue.enqueue(&mut connection, &[job]).await?;
    }
    Ok(())
}

/// The database has noted who is to be told of what; a delivery that has its job already is left to it.
async fn tell_webhooks(desk: &Desk) -> Result<()> {
    let mut connection = desk.db.acquire().await?;
    let pending = deliver_webhook::forgotten(&mut connection, DELIVERIES_AT_ONCE).await?;
    let jobs = pending.into_iter().map(deliver_webhook::job).collect::<Result<Vec<_>, _>>()?;
    desk.queue.enqueue(&mut connection, &jobs).await?;
    Ok(())
}

async fn probe_instances(desk: &Desk) -> Result<()> {
    let mut connection = desk.db.acquire().await?;
    let due = health::due_probes(&mut *connection, PROBES_AT_ONCE).await?;
    let jobs = due.into_iter().map(probe_instance::job).collect::<Result<Vec<_>, _>>()?;
    desk.queue.enqueue(&mut connection, &jobs).await?;
    Ok(())
}

async fn sync_instances(desk: &Desk) -> Result<()> {
    let mut connection = desk.db.acquire().await?;
    let mut jobs = Vec::new();
    for user in credentials::unsynced_since(&mut *connection, SYNC_EVERY).await? {
        // Spread, so that many users do not ask at once.
        let later = Duration::from_secs(3600).mul_f64(rand::rng().random_range(0.0..1.0));
        jobs.push(sync_instances::job(user)?.after(later));
    }
    desk.queue.enqueue(&mut connection, &jobs).await?;
    Ok(())
}

async fn prune(desk: &Desk) -> Result<()> {
    let mut connection = desk.db.acquire().await?;
    let pruned = desk.queue.prune(&mut connection, desk.retention).await?;
    let told = webhooks::prune(&mut *connection, desk.retention).await?;
    tracing::debug!(told, "old deliveries of webhooks were dropped");
    tracing::info!(made = pruned.made, dropped = pruned.dropped, "the history was pruned");
    Ok(())
}

async fn sweep(desk: &Desk) -> Result<()> {
    let mut transaction = crate::transaction::begin(&desk.db).await?;
    let mended = desk.queue.sweep(&mut transaction).await?;
    transaction.commit().await?;
    if mended > 0 {
        tracing::warn!(mended, "gates were mended: this should not be needed");
    }
    // A transaction of its own: nobody waits for both a gate and a group because of it.
    let mut transaction = crate::transaction::begin(&desk.db).await?;
    let overdue = desk.queue.end_overdue_groups(&mut transaction).await?;
    transaction.commit().await?;
    if overdue > 0 {
        tracing::warn!(overdue, "groups were not decided by their deadline: they failed");
    }
    Ok(())
}

async fn rescue(desk: &Desk) -> Result<()> {
    let rescued = postgres::rescue(&desk.db, PATIENCE).await?;
    if rescued.requeued + rescued.poisoned > 0 {
        let (requeued, discarded) = (rescued.requeued, rescued.poisoned);
        tracing::warn!(requeued, discarded, "took back the jobs of dead processes");
    }
    Ok(())
}

async fn tend_weeks(desk: &Desk) -> Result<()> {
    let mut transaction = crate::transaction::begin(&desk.db).await?;
    let weeks = feed::forgotten(&mut transaction).await?;
    feed::look_after(&desk.queue, &mut transaction, &weeks).await?;
    transaction.commit().await?;
    if !weeks.is_empty() {
        tracing::warn!(weeks = weeks.len(), "weeks that no job worked on go on");
    }
    for collection in collections::hungry(&desk.db).await? {
        let mut transaction = crate::transaction::begin(&desk.db).await?;
        let weeks = feed::top_up(&desk.queue, &mut transaction, collection).await?;
        transaction.commit().await?;
        if weeks > 0 {
            tracing::warn!(%collection, weeks, "weeks whose turn was missed go on");
        }
    }
    Ok(())
}

async fn tend_batches(desk: &Desk) -> Result<()> {
    let mut transaction = crate::transaction::begin(&desk.db).await?;
    let members = run_batch_member::forgotten(&mut transaction).await?;
    run_batch_member::look_after(&desk.queue, &mut transaction, &members).await?;
    transaction.commit().await?;
    if !members.is_empty() {
        tracing::warn!(members = members.len(), "members of batches that no job worked on go on");
    }
    Ok(())
}

async fn tend_runs(desk: &Desk) -> Result<()> {
    let mut transaction = crate::transaction::begin(&desk.db).await?;
    let runs = run_schedule::forgotten(&mut transaction).await?;
    let jobs = runs.iter().map(|run| run_schedule::job(*run)).collect::<Result<Vec<_>, _>>()?;
    desk.queue.enqueue(&mut transaction, &jobs).await?;
    transaction.commit().await?;
    if !runs.is_empty() {
        tracing::warn!(runs = runs.len(), "runs that no job worked on go on");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::database::TestDatabase;
    use crate::store::UserId;
    use std::collections::BTreeMap;

    /// How many seconds before the end of their tokens users are first asked to renew them.
    async fn renewed(database: &TestDatabase) -> BTreeMap<UserId, u32> {
        let mut first = BTreeMap::new();
        for left in (14 * 60..=24 * 60).rev().step_by(10) {
            sqlx::query(
                "update engine.clock
                set moved_by = expires_at - clock_timestamp() - make_interval(secs => $1)
                from (select max(access_token_expires_at) as expires_at from lwa_credentials) as token",
            )
            .bind(f64::from(left))
            .execute(database.pool())
            .await
            .unwrap();
            for user in credentials::expiring_before(database.pool(), TOKEN_MARGIN).await.unwrap() {
                first.entry(user).or_insert(left);
            }
        }
        first
    }

    #[tokio::test]
    async fn tokens_that_end_together_are_renewed_apart_and_each_always_at_the_same_moment() {
        let database = TestDatabase::new().await;
        // The moments follow from the names, which are such that no step is close to one.
        sqlx::raw_sql(
            "insert into users (id, email, name) values
                ('01900000-0000-7000-8000-000000000002', 'ada@shelf.example', 'Ada'),
                ('01900000-0000-7000-8000-000000000003', 'bob@shelf.example', 'Bob');
            insert into lwa_credentials (user_id, region, refresh_token_encrypted,
                access_token_encrypted, access_token_expires_at, token_generation)
            select id, 'na', 'gAAAAABnrefresh', 'gAAAAABnaccess', now() + interval '1 hour', 1
            from users",
        )
        .execute(database.pool())
        .await
        .unwrap();
        let moments = renewed(&database).await;
        let left: Vec<u32> = moments.values().copied().collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.iter().all(|left| (15 * 60..=23 * 60).contains(left)), "{left:?}");
        assert_ne!(left[0], left[1]);
        assert_eq!(renewed(&database).await, moments);
    }
}
