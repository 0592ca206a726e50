//! `report_data_weeks`: the slices of a collection, and how each of them gets done.
//!
//! ```text
//! pending ──start──▶ running ──succeed, reuse──▶ succeeded ──collect_again──▶ pending
//!    │ ▲              │   ▲
//!    │ └──hand_back───┤   │                      failed, cancelled ──retry──▶ pending
//!    │              block start, go_on
//!    │                ▼   │            pending, running, blocked ──fail──▶ failed
//!    ├────block────▶ blocked                                   ──cancel──▶ cancelled
//!    └─skip, skip_outside─▶ skipped
//! ```
//!
//! Every change names the statuses it starts from and says whether it happened; what has ended stays
//! as it is, until a person asks for it again. A pending week is in the queue or waits for its turn
//! ([`take_turns`]). One that is collected again keeps its rows meanwhile, and ends with them when that
//! comes to nothing.

mod evidence;
mod known;
mod many;
mod row;
mod slices;
mod steps;
mod turns;

pub use evidence::{Evidence, evidence};
pub use known::{Known, known, skip};
pub(super) use many::SKIPPED_BY;
pub use many::{add, any_left, cancel_all, collect_again, retry, skip_outside};
pub use row::{
    Filter, Summary, Week, WeekInCollection, WeekStatus, blocked_on, by_id, list, summaries,
    unfinished_count,
};
pub use slices::{SameSlice, reuse, same_slice};
pub use steps::{WeekResult, block, cancel, fail, go_on, set_current_execution, start, succeed};
pub use turns::{hand_back, take_turns};
