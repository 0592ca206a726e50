//! What people do with backfills that are there already. Each verb is one transaction with its event, and
//! asking twice is asking once.
//!
//! | verb | what becomes of the weeks |
//! |---|---|
//! | [`pause`] | nothing new begins; what AMC has is finished and stored; the others are handed back |
//! | [`resume`] | they have their turns again |
//! | [`cancel`] | they are cancelled; what AMC has is stopped there |
//! | [`retry`] | the failed and the cancelled ones begin anew |
//! | [`recollect`] | the last ones are asked again, and keep their rows until the new ones are stored |
//! | [`widen`] | earlier or later ones are added |
//! | [`pause_plan`], [`resume_plan`], [`cancel_plan`], [`retry_plan`] | the same, for every collection of a plan |
//! | [`shrink`] | those outside that have not begun are skipped; [`widen`] takes them up again |

mod again;
mod batches;
mod cancelling;
mod error;
mod pausing;
mod plans;
mod range;

pub use again::{recollect, retry};
pub use batches::{BatchError, BatchRequest, SteeredBatch, cancel_batch, retry_batch, start_batch};
pub use cancelling::cancel;
pub use error::SteerError;
pub use pausing::{pause, resume, resume_due};
pub use plans::{SteeredPlan, cancel_plan, pause_plan, resume_plan, retry_plan};
pub use range::{Bounds, shrink, widen};

/// Who steers, and why.
pub use crate::store::events::Because;

use crate::store::collections::{self, Collection, CollectionStatus};
use crate::store::events::{self, NewEvent};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;

/// What became of a collection that somebody steered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Steered {
    /// Which one.
    pub collection_id: String,
    /// Where it stands now.
    pub status: CollectionStatus,
    /// Whether anything changed: false when it was as asked already.
    pub changed: bool,
    /// How many weeks changed with it.
    pub weeks: u64,
    /// The answer in a sentence.
    pub said: String,
}

impl Because<'_> {
    /// The reason for the journal: what is done, after why, if that is said.
    fn and(&self, what: &str) -> String {
        let why = self.why.map(str::trim).filter(|why| !why.is_empty());
        why.map_or_else(|| what.to_owned(), |why| format!("{why}; {what}"))
    }

    /// The reason, for verbs that need one.
    fn reason(&self) -> Result<&str, SteerError> {
        self.said().ok_or(SteerError::NoReason)
    }
}

async fn locked(
    transaction: &mut PgConnection,
    collection_id: &str,
) -> Result<Collection, SteerError> {
    let unknown = || SteerError::Unknown(collection_id.to_owned());
    let found = collections::by_collection_id(&mut *transaction, collection_id).await?;
    let id = found.ok_or_else(unknown)?.id;
    collections::lock(transaction, id).await?.ok_or_else(unknown)
}

/// The answer when everything was as asked already.
fn unchanged(collection: &Collection, said: impl Into<String>) -> Steered {
    Steered {
        collection_id: collection.collection_id.clone(),
        status: collection.status,
        changed: false,
        weeks: 0,
        said: format!("{} {}", collection.collection_id, said.into()),
    }
}

/// Writes down what was done, and says so.
async fn done(
    transaction: &mut PgConnection,
    collection: &Collection,
    because: &Because<'_>,
    (weeks, said): (u64, String),
    detail: Value,
) -> Result<Steered, SteerError> {
    let now = collections::by_id(&mut *transaction, collection.id).await?;
    let status = now.map_or(collection.status, |now| now.status);
    let mut all = json!({"weeks": weeks});
    if let (Some(all), Value::Object(detail)) = (all.as_object_mut(), detail) {
        all.extend(detail);
    }
    let event = NewEvent {
        entity: "collection",
        entity_id: &collection.collection_id,
        from_status: Some(collection.status.as_str()),
        to_status: Some(status.as_str()),
        actor: because.by,
        reason: because.said(),
        detail: &all,
    };
    events::append(transaction, &event).await?;
    let said = format!("{} {said}", collection.collection_id);
    Ok(Steered {
        collection_id: collection.collection_id.clone(),
        status,
        changed: true,
        weeks,
        said,
    })
}

/// A number of weeks, as people say it.
fn weeks(count: u64) -> String {
    crate::plural::counted(count, "week", "weeks")
}
