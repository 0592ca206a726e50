//! A whole plan is paused, resumed, cancelled: every collection of it that has not ended, in one
//! transaction. Or what failed in any of its collections is taken up again.

use super::{Because, SteerError, Steered, cancelling, pause, resume, retry, weeks};
use crate::queue::Queue;
use crate::store::collections::CollectionStatus;
use crate::store::plans;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

/// What became of a plan that somebody steered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SteeredPlan {
    /// Which one.
    pub plan_id: String,
    /// How many of its collections changed.
    pub changed: usize,
    /// The answer in a sentence.
    pub said: String,
    /// The collections that were asked to: those that had not ended, or all.
    pub collections: Vec<Steered>,
}

/// Pauses every unfinished collection of a plan, for good or until a time.
pub async fn pause_plan(
    transaction: &mut PgConnection,
    plan_id: &str,
    resume_at: Option<DateTime<Utc>>,
    because: &Because<'_>,
) -> Result<SteeredPlan, SteerError> {
    because.reason()?;
    let mut steered = Vec::new();
    for id in unfinished(&mut *transaction, plan_id).await? {
        steered.push(pause(&mut *transaction, &id, resume_at, because).await?);
    }
    Ok(summed_up(plan_id, "paused", steered))
}

/// Lets every paused collection of a plan go on, but for those that Amazon keeps out, which stay paused.
pub async fn resume_plan(
    transaction: &mut PgConnection,
    queue: &Queue,
    plan_id: &str,
    because: &Because<'_>,
) -> Result<SteeredPlan, SteerError> {
    let (mut steered, mut kept_out) = (Vec::new(), Vec::new());
    for id in unfinished(&mut *transaction, plan_id).await? {
        match resume(&mut *transaction, queue, &id, because).await {
            Err(SteerError::KeptOut { id, reason }) => kept_out.push((id, reason)),
            resumed => steered.push(resumed?),
        }
    }
    let Some((id, reason)) = kept_out.first().cloned() else {
        return Ok(summed_up(plan_id, "going on", steered));
    };
    if !steered.iter().any(|one| one.changed) {
        return Err(SteerError::KeptOut { id, reason });
    }
    let stays = |(id, reason)| Steered {
        said: format!("{id} stays paused: {reason}"),
        collection_id: id,
        status: CollectionStatus::Paused,
        changed: false,
        weeks: 0,
    };
    let ids: Vec<_> = kept_out.iter().map(|(id, _)| id.clone()).collect();
    steered.extend(kept_out.into_iter().map(stays));
    let plan = summed_up(plan_id, "going on", steered);
    let stay = if ids.len() == 1 { "stays" } else { "stay" };
    let said = format!("{}; {} {stay} paused: {reason}", plan.said, ids.join(", "));
    Ok(SteeredPlan { said, ..plan })
}

/// Cancels every unfinished collection of a plan, at AMC too.
pub async fn cancel_plan(
    transaction: &mut PgConnection,
    queue: &Queue,
    plan_id: &str,
    because: &Because<'_>,
) -> Result<SteeredPlan, SteerError> {
    because.reason()?;
    let mut cancelled = Vec::new();
    for id in unfinished(&mut *transaction, plan_id).await? {
        cancelled.push(cancelling::end(&mut *transaction, &id, because).await?);
    }
    cancelling::follow(transaction, queue, &cancelled, because).await?;
    let steered = cancelled.into_iter().map(|one| one.steered).collect();
    Ok(summed_up(plan_id, "cancelled", steered))
}

/// Takes up the failed and the cancelled weeks of every collection of a plan, as if they had never been
/// tried. A collection that has ended goes on; one that a person has paused waits until it is resumed.
pub async fn retry_plan(
    transaction: &mut PgConnection,
    queue: &Queue,
    plan_id: &str,
    because: &Because<'_>,
) -> Result<SteeredPlan, SteerError> {
    let mut collections = Vec::new();
    for (id, _) in locked(&mut *transaction, plan_id).await? {
        collections.push(retry(&mut *transaction, queue, &id, None, because).await?);
    }
    let changed = collections.iter().filter(|one| one.changed).count();
    let taken_up = collections.iter().map(|one| one.weeks).sum();
    let said = match changed {
        0 => "no week of it has failed or was cancelled: nothing changed".to_owned(),
        _ => format!("{} of {changed} collections are taken up", weeks(taken_up)),
    };
    Ok(SteeredPlan { plan_id: plan_id.to_owned(), changed, said, collections })
}

/// The collections of a plan, and where they stand. All are locked before the first is steered, because
/// steering one locks jobs, and whoever holds a job may not wait for a collection.
async fn locked(
    transaction: &mut PgConnection,
    plan_id: &str,
) -> Result<Vec<(String, CollectionStatus)>, SteerError> {
    let plan = plans::by_plan_id(&mut *transaction, plan_id).await?;
    let plan = plan.ok_or_else(|| SteerError::UnknownPlan(plan_id.to_owned()))?;
    Ok(plans::lock_collections(transaction, plan.id).await?)
}

/// Those of them that have not ended.
async fn unfinished(
    transaction: &mut PgConnection,
    plan_id: &str,
) -> Result<Vec<String>, SteerError> {
    let all = locked(transaction, plan_id).await?.into_iter();
    Ok(all.filter(|(_, status)| !status.is_terminal()).map(|(id, _)| id).collect())
}

fn summed_up(plan_id: &str, word: &str, collections: Vec<Steered>) -> SteeredPlan {
    let changed = collections.iter().filter(|one| one.changed).count();
    let said = match (collections.len(), changed) {
        (0, _) => "all its collections have ended: nothing changed".to_owned(),
        (_, 0) => format!("its collections are {word} already: nothing changed"),
        (1, _) => format!("its 1 unfinished collection is {word} now"),
        (all, _) => format!("{changed} of {all} unfinished collections are {word} now"),
    };
    SteeredPlan { plan_id: plan_id.to_owned(), changed, said, collections }
}
