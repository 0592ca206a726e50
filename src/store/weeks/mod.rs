//! `report_data_weeks`: the slices of a collection, and how each of them gets done.
//!
//! ```text
//! pending ──start──▶ running ──succeed, reuse──▶ succeeded
//!    │                │   ▲
//!    │              block start
//!    │                ▼   │
//!    ├────block────▶ blocked            pending, running, blocked ──fail──▶ failed
//! ```
//!
//! Every change names the statuses it starts from and says whether it happened; what has ended stays
//! as it is.

mod row;
mod slices;
mod steps;

pub use row::{
    Filter, Summary, Week, WeekInCollection, WeekStatus, blocked_on, by_id, list, summaries,
    unfinished_count,
};
pub use slices::{SameSlice, reuse, same_slice};
pub use steps::{WeekResult, block, fail, set_current_execution, start, succeed};
