//! `workflow_schedules`: what runs by itself, and whether it may.
//!
//! ```text
//!            ┌──── pause (a person) ────▶ paused ───────┐
//! active ────┤                                          ├── resume ──▶ active
//!            └─ auto-pause (the engine) ▶ auto_paused ──┘
//! ```
//!
//! Lock order: a schedule before its runs, its runs before jobs. Whoever fires a schedule or ends one
//! of its runs locks the schedule first.

mod change;
mod firing;
mod pausing;
mod row;

pub use change::{Rules, keep_runs, notify, retime, set_rules};
pub use firing::{claim_due, claim_resuming, next_look, overdue, settle};
pub use pausing::{
    Pause, Paused, count_failure, forget_failures, pause, pause_refused, remove, resume,
    resume_waiting_for,
};
pub use row::{
    CatchUp, NewSchedule, OverlapPolicy, Schedule, ScheduleStatus, ScheduleType, Timing,
    WindowAnchor, by_schedule_id, insert, list, lock,
};
