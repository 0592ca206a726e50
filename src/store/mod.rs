//! The domain's tables, one file each: what a row looks like, and every statement that touches it.
//!
//! ```text
//! users ── lwa_credentials
//!   └─ amc_accounts ── amc_instances
//!                           └─ workflows ── workflow_versions ── version_checks, saved_copies
//!                                 └─ workflow_schedules ── schedule_runs ── workflow_executions
//!                                 └─ batch_executions ── batch_members ── workflow_executions
//!                                                └─ report_data_collections ── report_data_aggregates
//!                                                            │   └─ collection_plans
//!                                                            └─ report_data_weeks
//!                                                                    └─ workflow_executions
//!                                                                          ├─ submit_attempts
//!                                                                          └─ execution_results
//! ```
//!
//! - No function here opens a connection or begins a transaction: the caller says what belongs
//!   together.
//! - A change of status names the statuses it starts from and returns whether it happened. Whoever
//!   comes too late learns so and does nothing.
//! - The time is the store's, `engine.now()`, but for what AMC says of its own.
//! - Every statement begins with its name.

pub mod accounts;
pub mod aggregates;
pub mod batches;
pub mod checks;
pub mod collections;
pub mod copies;
pub mod credentials;
pub mod duties;
pub mod events;
pub mod executions;
pub mod ids;
pub mod instances;
pub mod plans;
pub mod results;
pub mod retention;
pub mod runs;
pub mod schedules;
pub mod sealed;
pub mod submits;
pub mod unexpected_answers;
pub mod users;
pub mod versions;
pub mod webhooks;
pub mod weeks;
pub mod words;
pub mod workflows;

mod text;

pub use ids::{
    AccountUuid, BatchMemberId, BatchUuid, CollectionUuid, DeliveryId, ExecutionUuid, InstanceUuid,
    PlanUuid, ScheduleRunUuid, ScheduleUuid, UserId, VersionId, WebhookId, WeekId, WorkflowUuid,
};
pub use words::{Region, Sealed, Sha256};

#[cfg(test)]
mod fixture;
