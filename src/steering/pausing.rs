//! A backfill stops, and goes on: by a person, or at a time.

use super::{Because, SteerError, Steered, done, locked, unchanged};
use crate::clock;
use crate::jobs::{entry, feed};
use crate::queue::Queue;
use crate::store::collections::{self, Collection, CollectionStatus, Pause};
use crate::store::credentials;
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

/// Pauses a collection, for good or until a time: one row changes. What AMC has is finished and stored;
/// nothing new begins. What the engine has paused by itself is from then on paused by whoever asks.
pub async fn pause(
    transaction: &mut PgConnection,
    collection_id: &str,
    resume_at: Option<DateTime<Utc>>,
    because: &Because<'_>,
) -> Result<Steered, SteerError> {
    let collection = locked(transaction, collection_id).await?;
    let reason = because.reason()?;
    if collection.status.is_terminal() {
        let id = collection.collection_id;
        return Err(SteerError::Ended { id, status: collection.status });
    }
    if let Some(at) = resume_at
        && at <= clock::now(&mut *transaction).await?
    {
        return Err(SteerError::ResumesTooEarly);
    }
    let pause = Pause { reason, by: because.by, auto: false, paused_for: None, resume_at };
    if !collections::pause(&mut *transaction, collection.id, &pause).await? {
        return Ok(unchanged(&collection, "is paused already"));
    }
    let detail = json!({"resume_at": resume_at});
    done(transaction, &collection, because, (0, "is paused".to_owned()), detail).await
}

/// Lets a paused collection go on. Failed weeks are counted anew. One whose user Amazon refuses would only
/// stand still, and stays paused.
pub async fn resume(
    transaction: &mut PgConnection,
    queue: &Queue,
    collection_id: &str,
    because: &Because<'_>,
) -> Result<Steered, SteerError> {
    let collection = locked(transaction, collection_id).await?;
    if collection.status.is_terminal() {
        let id = collection.collection_id;
        return Err(SteerError::Ended { id, status: collection.status });
    }
    if collection.status != CollectionStatus::Paused {
        return Ok(unchanged(&collection, "is not paused"));
    }
    if let Some(kept_out) = entry::of_user(&mut *transaction, collection.user_id).await? {
        return Err(SteerError::KeptOut { id: collection.collection_id, reason: kept_out.reason });
    }
    go_on(transaction, queue, &collection, because).await
}

async fn go_on(
    transaction: &mut PgConnection,
    queue: &Queue,
    collection: &Collection,
    because: &Because<'_>,
) -> Result<Steered, SteerError> {
    collections::resume(&mut *transaction, collection.id).await?;
    feed::top_up(queue, &mut *transaction, collection.id).await?;
    let detail = json!({"was": collection.pause_reason});
    done(transaction, collection, because, (0, "goes on".to_owned()), detail).await
}

/// Lets the collections go on whose time has come. How many. Those whose user Amazon refuses wait from now on
/// for the user's credential.
pub async fn resume_due(db: &PgPool, queue: &Queue) -> Result<usize, SteerError> {
    let mut resumed = 0;
    for collection_id in collections::resuming(db).await? {
        let mut transaction = crate::transaction::begin(db).await?;
        // Somebody may have paused it anew since it was found.
        let collection = locked(&mut transaction, &collection_id).await?;
        let now = clock::now(&mut *transaction).await?;
        if collection.status != CollectionStatus::Paused
            || collection.resume_at.is_none_or(|at| at > now)
        {
            continue;
        }
        let user = collection.user_id;
        // Whoever takes the credential again finds what waits for it.
        credentials::hold_still(&mut *transaction, user).await?;
        if let Some(kept_out) = entry::of_user(&mut transaction, user).await? {
            let (reason, opens) = (&kept_out.reason, &kept_out.opens);
            feed::wait(&mut transaction, &collection, reason, opens).await?;
            transaction.commit().await?;
            continue;
        }
        let because = Because { by: feed::ENGINE, why: Some("its time to go on has come") };
        go_on(&mut transaction, queue, &collection, &because).await?;
        transaction.commit().await?;
        resumed += 1;
    }
    Ok(resumed)
}
