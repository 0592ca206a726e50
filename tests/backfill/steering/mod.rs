//! Backfills that are steered while they run: fed, paused, called off, taken up again.

mod again;
mod budget;
mod cancelling;
mod feeding;
mod pausing;
mod range;

use super::site::Site;
use recomamp::queue::Queue;
use recomamp::simulator::{Effect, Fault, Kind, Operation as Op};
use recomamp::steering::{self, Because, Bounds, SteerError, Steered};
use recomamp::store::CollectionUuid;
use recomamp::store::collections::{self, Collection};
use recomamp::store::events;

const ANA: Because<'_> = Because { by: "ana", why: Some("a test") };

/// A verb of a person.
enum Verb {
    Pause,
    Resume,
    Cancel,
    Retry,
    Recollect(u32),
    Widen(Bounds),
    Shrink(Bounds),
}

impl Site {
    async fn steer(&self, collection: CollectionUuid, verb: Verb) -> Result<Steered, SteerError> {
        let id = self.collection(collection).await.collection_id;
        let (queue, id) = (Queue::new(), id.as_str());
        let mut tx = recomamp::transaction::begin(self.db.pool()).await.expect("begun");
        let steered = match verb {
            Verb::Pause => steering::pause(&mut tx, id, None, &ANA).await,
            Verb::Resume => steering::resume(&mut tx, &queue, id, &ANA).await,
            Verb::Cancel => steering::cancel(&mut tx, &queue, id, &ANA).await,
            Verb::Retry => steering::retry(&mut tx, &queue, id, None, &ANA).await,
            Verb::Recollect(weeks) => steering::recollect(&mut tx, &queue, id, weeks, &ANA).await,
            Verb::Widen(bounds) => steering::widen(&mut tx, &queue, id, bounds, &ANA).await,
            Verb::Shrink(bounds) => steering::shrink(&mut tx, &queue, id, bounds, &ANA).await,
        };
        tx.commit().await.expect("committed");
        steered
    }

    /// Steers, and it is done.
    async fn steered(&self, collection: CollectionUuid, verb: Verb) -> Steered {
        let steered = self.steer(collection, verb).await.expect("it is done");
        assert!(steered.changed, "{steered:?}");
        steered
    }

    async fn collection(&self, collection: CollectionUuid) -> Collection {
        let found = collections::by_id(self.db.pool(), collection).await;
        found.expect("the store answers").expect("it exists")
    }

    /// Nobody is told how an execution stands before this is lifted.
    fn hold_looks(&self) -> u64 {
        let looks = [Op::GetExecution, Op::ListExecutions];
        self.amc.set_fault(Fault::new(Kind::Hold { effect: Effect::Before }).on(looks))
    }

    /// How many calls a fault has met.
    fn met(&self, fault: u64) -> u32 {
        let faults = self.amc.state().faults;
        faults.iter().find(|set| set.id == fault).map_or(0, |set| set.met)
    }

    /// How often it became this, and by whom, as the journal tells it.
    async fn became(&self, collection: CollectionUuid, status: &str) -> Vec<String> {
        let id = self.collection(collection).await.collection_id;
        let all = events::of(self.db.pool(), "collection", &id).await.expect("the store answers");
        let these = all.into_iter().filter(|event| event.to_status.as_deref() == Some(status));
        these.map(|event| event.actor).collect()
    }
}
