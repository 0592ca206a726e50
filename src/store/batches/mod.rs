//! `batch_executions` and `batch_members`: one workflow run once on many instances.
//!
//! ```text
//! pending ──start──▶ running ──succeed──▶ succeeded        failed, cancelled ──retry──▶ pending
//!    │                │   ▲
//!    │              block start     pending, running, blocked ──finish──▶ failed, cancelled
//!    │                ▼   │
//!    └────block────▶ blocked
//! ```

mod row;
mod steps;

pub use row::{
    Batch, BatchMember, Member, NewBatch, NewMember, blocked_on, by_batch_id, current_execution,
    insert, list, lock, lock_of_member, member, members,
};
pub use steps::{block, finish, finish_if_done, reopen, retry, start, succeed};
