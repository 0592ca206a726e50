//! The store on Postgres: one file per verb of a job's life.

mod ack;
mod cancel;
mod chosen;
mod claim;
mod counts;
mod discard;
mod edit;
mod enqueue;
mod events;
mod gates;
pub mod inspect;
mod prune;
mod queue;
mod renew;
mod replay;
mod rescue;
mod steering;
mod store;
mod wake;

pub(super) use ack::complete_in;
pub use counts::fold as fold_counts;
pub use prune::Pruned;
pub use queue::Queue;
pub use rescue::rescue;
pub use store::{Mode, PgStore};
