//! Looks for executions that nobody works on, that have been under way for too long, and for places at
//! AMC that nobody has any more. There should be none: this is the net under all that may go wrong.
//!
//! What can be mended is mended, and an event says so. What hangs all the same needs a person: its event is
//! one that webhooks are told of, once. The scheduler asks for it every five minutes.

use super::{owner, poll_status::PollStatus, submit_execution::SubmitExecution};
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Priority};
use crate::store::ExecutionUuid;
use crate::store::events::{self, NewEvent};
use crate::store::executions;
use crate::tools::Tools;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

/// An execution is under way for too long when it should have moved on this long ago, in seconds.
const TOO_LONG: f64 = 3600.0;

/// Where an event says that an execution stands which hangs, whatever its own status.
const STUCK: &str = "stuck";

/// Looks after the executions that are under way.
#[derive(Debug, Serialize, Deserialize)]
pub struct TendExecutions {}

impl Job for TendExecutions {
    type Tools = Tools;
    const KIND: &'static str = "tend_executions";
    const QUEUE: &'static str = "amc";
    const PRIORITY: Priority = Priority::Live;
    const MAX_ATTEMPTS: i16 = 5;

    fn unique_key(&self) -> Option<String> {
        Some("all".to_owned())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        for id in abandoned(&mut transaction).await? {
            if let Some(execution) = executions::by_id(&mut *transaction, id).await? {
                let job = owner::working_job(tools, &execution)?;
                tools.queue.enqueue(&mut transaction, &[job]).await?;
                tracing::warn!(execution = %id, "an execution that no job worked on goes on");
            }
        }
        for stuck in overdue(&mut transaction).await? {
            note(&mut transaction, &stuck).await?;
            for kind in [SubmitExecution::KIND, PollStatus::KIND] {
                tools.queue.hasten(&mut transaction, kind, &stuck.id.to_string()).await?;
            }
        }
        transaction.commit().await?;
        // A transaction of its own: places are locked in their own order.
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        for holder in leaked(&mut transaction).await? {
            tools.queue.release(&mut transaction, &holder).await?;
            tracing::error!(holder, "places at AMC that nobody had any more are given back");
            note_leak(&mut transaction, &holder).await?;
        }
        let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
        transaction.commit().await?;
        Ok(outcome)
    }
}

/// The job.
pub fn job() -> Result<NewJob, crate::queue::Error> {
    NewJob::of(&TendExecutions {})
}

/// Executions under way that no job works on, and of which no week, run or batch takes care.
async fn abandoned(connection: &mut PgConnection) -> Result<Vec<ExecutionUuid>, sqlx::Error> {
    sqlx::query_scalar(
        "-- abandoned_executions
        select execution.id
        from workflow_executions as execution
        where status in
                  ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching')
          and week_id is null
          and schedule_run_id is null
          and batch_member_id is null
          and not exists (
              select from engine.jobs
              where unique_key in (
                  'submit_execution:' || execution.id,
                  'poll_status:' || execution.id,
                  'fetch_result:' || execution.id
              )
          )
        order by created_at, id
        limit 1000",
    )
    .fetch_all(connection)
    .await
}

/// An execution that should have moved on long ago.
#[derive(Debug, sqlx::FromRow)]
struct Stuck {
    id: ExecutionUuid,
    status: executions::ExecutionStatus,
    amc_instance_id: String,
    amc_execution_id: Option<String>,
    job_id: Option<i64>,
    hours: i64,
}

/// Executions of which nobody has known for long whether AMC has them, and those that are long past
/// their deadline; each once for each place where it is stuck.
async fn overdue(connection: &mut PgConnection) -> Result<Vec<Stuck>, sqlx::Error> {
    sqlx::query_as(
        "-- overdue_executions
        select id, status, amc_instance_id, amc_execution_id,
            (
                select min(job.id) from engine.jobs as job
                where unique_key in (
                    'submit_execution:' || execution.id,
                    'poll_status:' || execution.id,
                    'fetch_result:' || execution.id
                )
            ) as job_id,
            (extract(epoch from (select engine.now()) - since) / 3600)::bigint as hours
        from (
            select id, status, amc_instance_id, amc_execution_id, case
                when status in ('submitting', 'submit_unknown') then submit_started_at
                else deadline_at
            end as since
            from workflow_executions
            where status in ('submitting', 'submit_unknown', 'pending', 'running', 'fetching')
        ) as execution
        where since < (select engine.now()) - make_interval(secs => $1)
          and not exists (
              select
              from events
              where entity = 'execution'
                and entity_id = execution.id::text
                and actor = $2
                and from_status = execution.status::text
          )
        order by since
        limit 100",
    )
    .bind(TOO_LONG)
    .bind(TendExecutions::KIND)
    .fetch_all(connection)
    .await
}

async fn note(connection: &mut PgConnection, stuck: &Stuck) -> Result<(), sqlx::Error> {
    let look = match stuck.job_id {
        Some(job_id) => format!("jobs explain {job_id}"),
        None => format!("jobs list --kind {}", working_kind(stuck.status)),
    };
    let reason = format!(
        "it has been {} for {} h longer than it should: look at `recomamp {look}`",
        stuck.status, stuck.hours
    );
    tracing::error!(execution = %stuck.id, reason, "an execution is stuck");
    let event = NewEvent {
        entity: "execution",
        entity_id: &stuck.id.to_string(),
        from_status: Some(stuck.status.as_str()),
        to_status: Some(STUCK),
        actor: TendExecutions::KIND,
        reason: Some(&reason),
        detail: &json!({
            "instance": stuck.amc_instance_id, "amc_execution_id": stuck.amc_execution_id,
        }),
    };
    events::append(connection, &event).await
}

fn working_kind(status: executions::ExecutionStatus) -> &'static str {
    use executions::ExecutionStatus::{Fetching, Pending, Running};
    match status {
        Pending | Running => PollStatus::KIND,
        Fetching => super::fetch_result::FetchResult::KIND,
        _ => SubmitExecution::KIND,
    }
}

/// Who holds places for an execution that has ended, or is none.
async fn leaked(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "-- leaked_holders
        select distinct holder
        from engine.holds
        where starts_with(holder, 'execution:')
          and not exists (
              select
              from workflow_executions
              where id = case
                      when holder ~ '^execution:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                      then substr(holder, 11)::uuid
                  end
                and finished_at is null
          )
          -- Its claim may have come after its end; then its job gives the place back.
          and not exists (select from engine.jobs where id = job_id and state = 'running')
        order by holder
        limit 1000",
    )
    .fetch_all(connection)
    .await
}

async fn note_leak(connection: &mut PgConnection, holder: &str) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity: "execution",
        entity_id: holder.trim_start_matches("execution:"),
        from_status: None,
        to_status: None,
        actor: TendExecutions::KIND,
        reason: Some("it had ended and still held places at AMC: they are given back"),
        detail: &json!({"leaked": true}),
    };
    events::append(connection, &event).await
}
