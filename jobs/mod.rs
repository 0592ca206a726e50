//! Every kind of job this product runs, one file each.
//!
//! ```text
//! collect_week ──▶ submit_execution ──▶ poll_status ──▶ fetch_result ──▶ (last week) aggregate_report
//!      ▲                  │ one place at AMC is held from here … until here │
//!      └──── again, when an execution ended badly or its job was discarded ─┘
//!
//! run_schedule ─▶ submit_execution ──▶ … the same way: one execution for each time a schedule fires
//! run_batch_member ─▶ submit_execution ──▶ … the same way: one execution for each instance of a batch
//!
//! check_version, sync_workflow ── have AMC compile a version, or save it, before it is first submitted
//!
//! tend_executions, tend_breakers, drop_expired ── asked for by schedulers again and again: what is stuck,
//! what is down, what is old
//!
//! refresh_token ── asked for by whoever meets an expired token; the others wait for it
//!
//! sync_instances ── takes over from AMC which instances a user may use
//! probe_instance ── asks a blocked instance whether it lets us in again
//! finish_plan ── notes that a plan has ended, when the last collection of it has
//! deliver_webhook ── tells a webhook what happened
//! ```
//!
//! `owner` is no job: it is what the three in the middle do for a week or for a run. Neither are `feed`,
//! which gives the weeks of a collection to the queue, a few at a time, `explain`, which says what a job
//! waits for, `wanted`, which says for whom it is done, and `entry`, which says whether Amazon lets somebody in.
//!
//! To add one, copy the file nearest to it, then name it twice below.

pub mod aggregate_report;
pub mod check_version;
pub mod collect_week;
pub mod deliver_webhook;
pub mod drop_expired;
pub mod entry;
pub mod explain;
pub mod feed;
pub mod fetch_result;
pub mod finish_plan;
pub mod owner;
pub mod poll_status;
pub mod probe_instance;
pub mod refresh_token;
pub mod run_batch_member;
pub mod run_schedule;
pub mod submit_execution;
pub mod sync_instances;
pub mod sync_workflow;
pub mod tend_breakers;
pub mod tend_executions;
pub mod wanted;

use crate::queue::Catalog;
use crate::tools::Tools;

/// The kinds of job, and the code that runs them.
pub fn catalog() -> Catalog<Tools> {
    Catalog::new()
        .add::<aggregate_report::AggregateReport>()
        .add::<check_version::CheckVersion>()
        .add::<collect_week::CollectWeek>()
        .add::<deliver_webhook::DeliverWebhook>()
        .add::<drop_expired::DropExpired>()
        .add::<fetch_result::FetchResult>()
        .add::<finish_plan::FinishPlan>()
        .add::<poll_status::PollStatus>()
        .add::<probe_instance::ProbeInstance>()
        .add::<refresh_token::RefreshToken>()
        .add::<run_batch_member::RunBatchMember>()
        .add::<run_schedule::RunSchedule>()
        .add::<submit_execution::SubmitExecution>()
        .add::<sync_instances::SyncInstances>()
        .add::<sync_workflow::SyncWorkflow>()
        .add::<tend_breakers::TendBreakers>()
        .add::<tend_executions::TendExecutions>()
}
