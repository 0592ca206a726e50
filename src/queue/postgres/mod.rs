//! The store on Postgres: one file per verb of a job's life.

mod ack;
mod attempts;
mod cancel;
mod chosen;
mod claim;
mod discard;
mod edit;
mod enqueue;
mod events;
mod explain;
mod gates;
mod groups;
pub mod inspect;
mod notes;
mod prune;
mod queue;
mod renew;
mod replay;
mod rescue;
mod steering;
mod store;
mod wake;

pub(super) use ack::complete_in;
pub(super) use notes::{cursor_in, save_cursor_in};
pub use prune::Pruned;
pub use queue::Queue;
pub use rescue::rescue;
pub use store::{Mode, PgStore};
