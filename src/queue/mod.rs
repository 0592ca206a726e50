//! The queue: jobs that outlive the process that asked for them.
//!
//! ```text
//!             enqueue                claim                    ack
//!   (caller) ────────► waiting ───────────────► running ───────────────► done
//!                        ▲  ▲   run_at passed,     │ │ │                 discarded
//!                        │  │   no gate shut       │ │ └───────────────► cancelled
//!                        │  └── snooze, retry, ────┘ │
//!                        │      throttle, denial     │
//!                        └────── rescue: its process died
//!
//!   cancel: waiting, running → cancelled      discard: waiting → discarded
//!   replay: done, discarded, cancelled → a new job that waits
//! ```
//!
//! The promises, each kept by a test in `tests/`:
//!
//! - A job and the data it belongs to are enqueued in one transaction, or not at all.
//! - Each claim raises the job's fence; a write that carries an older fence is refused.
//! - An attempt's outcome and the jobs it asks for are written in one transaction.
//! - Only failures that are the job's own spend attempts. See [`retry`].
//! - A cursor that was saved is there for the next attempt, whatever became of this one. See [`notes`].
//! - A dead process's jobs run again within seconds; a job that kills its process is discarded.
//! - A job that must wait for a resource waits in the store, spends nothing and delays nobody.
//! - What follows a [`group`] of jobs is enqueued once, in the transaction of the end that decides it.
//! - The store's clock decides what is due.
//!
//! Nothing in here knows what the jobs are about.

pub mod catalog;
pub mod dispatcher;
pub mod error;
pub mod explain;
pub mod gate;
pub mod group;
pub mod job;
pub mod notes;
pub mod outcome;
pub mod postgres;
pub mod retry;
pub mod session;
pub mod share;
pub mod state;
pub mod steer;
pub mod store;
pub mod worker;

pub use catalog::Catalog;
pub use error::{Error, Failure};
pub use group::NewGroup;
pub use job::{Attempt, Enqueued, Job, NewJob, Priority, Use};
pub use notes::Progress;
pub use outcome::Outcome;
pub use postgres::Queue;
pub use retry::Limits;
pub use share::Share;
pub use state::State;
