//! Brings one member of a batch forward: begins its execution, begins another one when that ended badly,
//! and fails the member when its attempts are spent or trying again is hopeless.
//!
//! Like `collect_week` it reads what to do from the member and its execution, so it may run at any time,
//! and twice. A member has succeeded when its result is stored; its batch ends with the last of them.

use super::{collect_week, owner, submit_execution};
use crate::backfill::week::Week;
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Queue};
use crate::store::batches::{self, BatchMember};
use crate::store::events::{self, NewEvent};
use crate::store::executions::{self, Execution, ExecutionStatus, NewExecution, Origin};
use crate::store::instances::{self, InstanceStatus};
use crate::store::weeks::{WeekResult, WeekStatus};
use crate::store::{BatchMemberId, BatchUuid, ExecutionUuid, InstanceUuid};
use crate::tools::Tools;
use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use std::time::Duration;

/// Brings one member forward.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunBatchMember {
    /// Which member.
    pub member_id: BatchMemberId,
    /// Set when a job of this kind, working on this execution, was discarded.
    #[serde(default)]
    pub given_up: Option<(ExecutionUuid, String)>,
}

impl Job for RunBatchMember {
    type Tools = Tools;
    const KIND: &'static str = "run_batch_member";
    const QUEUE: &'static str = "amc";
    /// Nobody else looks after the member: this job does not give up for want of a database or Amazon.
    const MAX_ATTEMPTS: i16 = i16::MAX;

    fn unique_key(&self) -> Option<String> {
        // One that reports a discarded job is not the same as one that was asked for anyhow.
        let why = self.given_up.as_ref().map_or("", |(_, kind)| kind);
        Some(format!("{} {why}", self.member_id))
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(member) = batches::member(&tools.db, self.member_id).await? else {
            return Err(Failure::permanent(anyhow!("there is no such member")));
        };
        let current = match batches::current_execution(&tools.db, member.id).await? {
            Some((id, _)) => executions::by_id(&tools.db, id).await?,
            None => None,
        };
        match current {
            Some(execution) if !execution.status.is_terminal() => {
                if member.status.is_terminal() {
                    let why = member.error_message.as_deref().unwrap_or("its batch was cancelled");
                    return owner::stop(tools, attempt, &execution, why).await;
                }
                let discarded = self.given_up.as_ref().filter(|(id, _)| *id == execution.id);
                if let Some((_, kind)) = discarded {
                    return owner::give_up(tools, attempt, &execution, kind).await;
                }
                let next = Outcome::then(owner::working_job(tools, &execution)?);
                end(tools, attempt, &member, next).await
            }
            _ if member.status.is_terminal() => end(tools, attempt, &member, Outcome::Done).await,
            Some(execution) if member.status == WeekStatus::Running => {
                try_again(tools, attempt, &member, &execution).await
            }
            _ => begin(tools, attempt, &member).await,
        }
    }
}

/// The job that begins this member.
pub fn job(member_id: BatchMemberId) -> Result<NewJob, crate::queue::Error> {
    NewJob::of(&RunBatchMember { member_id, given_up: None })
}

/// Asks for the jobs of these members, at once.
pub async fn look_after(
    queue: &Queue,
    connection: &mut PgConnection,
    members: &[BatchMemberId],
) -> Result<(), crate::queue::Error> {
    let jobs = members.iter().map(|member| job(*member)).collect::<Result<Vec<_>, _>>()?;
    queue.enqueue(&mut *connection, &jobs).await?;
    // One that waits out a pause after a failure need not any more.
    for member in members {
        queue.hasten(&mut *connection, RunBatchMember::KIND, &format!("{member} ")).await?;
    }
    Ok(())
}

/// Lets the members on an instance go on once Amazon lets us in again.
pub async fn opened(
    queue: &Queue,
    connection: &mut PgConnection,
    instance: InstanceUuid,
) -> Result<usize, crate::queue::Error> {
    let members = batches::blocked_on(&mut *connection, instance).await?;
    look_after(queue, connection, &members).await?;
    Ok(members.len())
}

/// The members that are unfinished, or whose executions are to be stopped, and that no job works on. There
/// should be none: this is the net under all that may go wrong.
pub async fn forgotten(connection: &mut PgConnection) -> Result<Vec<BatchMemberId>, sqlx::Error> {
    sqlx::query_scalar(
        "-- forgotten_batch_members
        with member as (
            select member.id, execution.id as execution_id
            from batch_members as member
            left join lateral (
                select id
                from workflow_executions
                where batch_member_id = member.id
                order by attempt desc
                limit 1
            ) as execution on true
            where member.status in ('pending', 'running')
            union
            select member.id, execution.id
            from workflow_executions as execution
            join batch_members as member on member.id = execution.batch_member_id
            where (execution.cancel_requested_at is not null or member.completed_at is not null)
              and execution.status in
                  ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching')
        )
        select id
        from member
        where not exists (
              select from engine.jobs
              where unique_key in (
                  'run_batch_member:' || member.id || ' ',
                  'run_batch_member:' || member.id || ' submit_execution',
                  'run_batch_member:' || member.id || ' poll_status',
                  'run_batch_member:' || member.id || ' fetch_result',
                  'submit_execution:' || execution_id,
                  'poll_status:' || execution_id,
                  'fetch_result:' || execution_id
              )
          )
        order by id
        limit 10000",
    )
    .fetch_all(connection)
    .await
}

/// The result is stored: the member has succeeded.
pub async fn succeed(
    connection: &mut PgConnection,
    member: BatchMemberId,
    result: &WeekResult<'_>,
) -> Result<(), sqlx::Error> {
    let Some(found) = batches::member(&mut *connection, member).await? else { return Ok(()) };
    let (rows, checksum) = (result.row_count, result.data_checksum);
    if batches::succeed(&mut *connection, member, rows, checksum).await? {
        after_member(connection, found.batch_id).await?;
    }
    Ok(())
}

/// What follows when a member has ended, however it did: its batch ends with the last one, once.
pub async fn after_member(
    connection: &mut PgConnection,
    batch: BatchUuid,
) -> Result<(), sqlx::Error> {
    let ended = batches::finish_if_done(&mut *connection, batch).await?;
    let Some((batch_id, status)) = ended else { return Ok(()) };
    tracing::info!(batch = batch_id, %status, "the batch has ended");
    let event = NewEvent {
        entity: "batch",
        entity_id: &batch_id,
        from_status: Some("running"),
        to_status: Some(status.as_str()),
        actor: RunBatchMember::KIND,
        reason: None,
        detail: &json!({}),
    };
    events::append(connection, &event).await
}

/// Ends this job, if the member is still over, or still not, as it was when it was read. Whoever cancels the
/// batch, or takes the member up again, meanwhile waits at the batch's row, and then finds no such job as
/// this one under way.
async fn end(
    tools: &Tools,
    attempt: &Attempt,
    member: &BatchMember,
    next: Outcome,
) -> Result<Outcome, Failure> {
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    batches::lock_of_member(&mut *transaction, member.id).await?;
    let now = batches::member(&mut *transaction, member.id).await?;
    let was_over = member.status.is_terminal();
    // One that is gone is over.
    if now.is_none_or(|now| now.status.is_terminal()) != was_over {
        return Ok(Outcome::Snooze(Duration::ZERO));
    }
    let outcome = attempt.complete_in(&mut transaction, next).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// The current execution has ended. One that succeeded ends its member itself.
async fn try_again(
    tools: &Tools,
    attempt: &Attempt,
    member: &BatchMember,
    execution: &Execution,
) -> Result<Outcome, Failure> {
    let why = execution.error_message.as_deref().unwrap_or("no reason was given");
    let spent = member.attempts;
    let (status, why) = match execution.status {
        ExecutionStatus::Succeeded => return Ok(Outcome::Done),
        ExecutionStatus::Cancelled => (WeekStatus::Cancelled, format!("cancelled at AMC: {why}")),
        _ if execution.error_class.as_deref() != Some("permanent")
            && spent < member.max_attempts =>
        {
            return begin(tools, attempt, member).await;
        }
        _ => (WeekStatus::Failed, owner::given_up(execution, spent.into())),
    };
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    batches::lock_of_member(&mut *transaction, member.id).await?;
    if batches::finish(&mut *transaction, member.id, status, &why).await? {
        tracing::error!(member = %member.id, why, "the member of a batch has no result");
        after_member(&mut transaction, member.batch_id).await?;
    }
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// Begins an execution, if Amazon lets us in.
async fn begin(tools: &Tools, attempt: &Attempt, member: &BatchMember) -> Result<Outcome, Failure> {
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    batches::lock_of_member(&mut *transaction, member.id).await?;
    instances::hold_still(&mut *transaction, member.instance_id).await?;
    let next = if let Some(instance) =
        instances::by_id(&mut *transaction, member.instance_id).await?
        && instance.status != InstanceStatus::Active
    {
        let reason = instance.block_reason.unwrap_or_else(|| "the instance is disabled".into());
        batches::block(&mut *transaction, member.id, &reason, 0).await?;
        Outcome::Done
    } else if batches::start(&mut *transaction, member.id).await? {
        let execution = insert_execution(&mut transaction, member).await?;
        let row = executions::by_id(&mut *transaction, execution).await?;
        let row = row.ok_or(sqlx::Error::RowNotFound)?;
        Outcome::then(submit_execution::job(tools, &row)?)
    } else {
        // It was cancelled meanwhile.
        Outcome::Done
    };
    let outcome = attempt.complete_in(&mut transaction, next).await?;
    transaction.commit().await?;
    Ok(outcome)
}

async fn insert_execution(
    connection: &mut PgConnection,
    member: &BatchMember,
) -> Result<ExecutionUuid, Failure> {
    let days = Week { start: member.window_start, end: member.window_end };
    let (window_start, window_end) = collect_week::window(days, &member.window_tz)?;
    let before = batches::current_execution(&mut *connection, member.id).await?;
    let execution = NewExecution {
        workflow_version_id: member.workflow_version_id,
        instance_id: member.instance_id,
        user_id: member.user_id,
        origin: Origin::Batch,
        week_id: None,
        schedule_run_id: None,
        batch_member_id: Some(member.id),
        // A member that was retried counts its attempts anew; its executions are numbered through.
        attempt: before.map_or(0, |(_, attempt)| attempt) + 1,
        parameters: &member.parameters,
        window_start,
        window_end,
        window_tz: &member.window_tz,
    };
    Ok(executions::insert_queued(connection, &execution).await?)
}
