//! `workflow_executions`: each row is one run at AMC, from the queue to the stored result.
//!
//! ```text
//! queued ──▶ submitting ──▶ submit_unknown         (see `submits`)
//!                 └──────┬───────┘
//!                     pending ──observe──▶ running ──to_fetching──▶ fetching ──succeed──▶ succeeded
//!
//! queued, fetching ──ask_to_cancel──▶ cancelled     (the others: when AMC says so)
//! queued ──reuse──▶ succeeded                       (with the result of another execution)
//! all but submitting ──finish_unsuccessfully──▶ failed, rejected, cancelled, timed_out
//! ```
//!
//! Every change names the statuses it starts from and says whether it happened. What has ended stays
//! as it is, and what runs never waits again, in whatever order answers arrive.

mod at_amc;
mod pace;
mod reuse;
mod row;
mod steps;
mod stopping;

pub use at_amc::{OpenExecution, bound_amc_ids, mark_polled, open_on_instance};
pub use pace::{Pace, paces};
pub use reuse::{Answered, answered, reuse};
pub use row::{
    Execution, ExecutionStatus, NewExecution, Origin, SubmitMode, by_id, insert_queued,
    open_of_week,
};
pub use steps::{
    Ending, Observation, Trouble, finish_unsuccessfully, not_ready, observe, succeed, to_fetching,
};
pub use stopping::{Stopping, ask_to_cancel, ask_to_stop};
