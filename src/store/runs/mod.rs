//! `schedule_runs`: each time a schedule fired, and how the work of it gets done.
//!
//! ```text
//! pending ──start──▶ running ──finish──▶ succeeded, failed
//!    └────────────────────┴────finish──▶ cancelled
//! skipped, missed: written down as they are, never to run
//! ```

mod row;
mod steps;

pub use row::{NewRun, Run, RunKind, RunStatus, by_id, insert, insert_unfired, list, unfinished};
pub use steps::{
    current_execution, earlier_unfinished, finish, lock, next_waiting, note, spent, start,
};
