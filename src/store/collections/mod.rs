//! `report_data_collections`: backfills, each one query over many slices of time.
//!
//! ```text
//! pending ──(first week starts)──▶ running ──finish_if_done──▶ completed, completed_with_errors, failed
//!    │                              │   ▲                          │
//!    ├────────────pause────────────▶│   │◀─────────reopen──────────┤
//!    │                            pause resume                     │
//!    │                              ▼   │                          │
//!    │                             paused ──cancel──▶ cancelled ───┘
//!    └──────────────cancel──────────────────────────────▲
//! ```
//!
//! Whoever changes a collection together with its weeks takes [`lock`] first. Rows are locked in this
//! order: the collection, executions, weeks, jobs.

mod lookup;
mod progress;
mod row;
mod rules;
mod steps;

pub use lookup::{Names, hungry, names, resuming, same_unfinished};
pub use progress::{Progress, finish_if_done, progress, progress_of_all};
pub use row::{
    Collection, CollectionGrain, CollectionKind, CollectionStatus, NewCollection, NewWeek,
    by_collection_id, by_id, insert, list, reuse_after, set_last_error,
};
pub use rules::{FeedOrder, Rules};
pub use steps::{
    Pause, cancel, count_failure, cover, lock, lock_of_week, lock_waiting_for, pause,
    pause_refused, reopen, resume,
};
