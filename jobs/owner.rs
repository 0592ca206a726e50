//! For whom an execution runs: a week of a collection, a run of a schedule, or a member of a batch. What happens to them when
//! it ends well, when it ends badly, when Amazon does not let us in, and when a job that worked on it
//! was discarded.
//!
//! No job itself: what `submit_execution`, `poll_status` and `fetch_result` share.

use super::collect_week::CollectWeek;
use super::feed;
use super::poll_status::PollStatus;
use super::run_batch_member::{self, RunBatchMember};
use super::run_schedule::{self, RunSchedule};
use super::submit_execution::{SubmitExecution, resources_of};
use super::{fetch_result, poll_status, submit_execution};
use crate::metrics;
use crate::plural::counted;
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Priority, Queue, Share};
use crate::store::executions::{self, Ending, Execution, ExecutionStatus, Trouble};
use crate::store::runs::RunStatus;
use crate::store::weeks::{self, WeekResult, WeekStatus};
use crate::store::{
    BatchMemberId, ExecutionUuid, ScheduleRunUuid, UserId, WeekId, batches, collections,
};
use crate::tools::{Tools, resources};
use sqlx::PgConnection;
use std::time::Duration;

/// The pause before the second execution for the same purpose; doubled for each further one.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(900);
/// How soon AMC is asked again to stop what it does not show yet.
const SHOWN_SOON: Duration = Duration::from_secs(5);

/// For whom an execution runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A week of a collection: the past, by the thousand.
    Week(WeekId),
    /// A run of a schedule: somebody waits for it.
    Run(ScheduleRunUuid),
    /// A member of a batch: a workflow on one of many instances.
    BatchMember(BatchMemberId),
    /// Nobody looks after it but whoever asked for it.
    Nobody,
}

impl Owner {
    /// Whose this execution is.
    pub fn of(execution: &Execution) -> Self {
        match (execution.week_id, execution.schedule_run_id, execution.batch_member_id) {
            (Some(week), _, _) => Self::Week(week),
            (None, Some(run), _) => Self::Run(run),
            (None, None, Some(member)) => Self::BatchMember(member),
            (None, None, None) => Self::Nobody,
        }
    }

    fn share(self) -> Share {
        match self {
            Self::Week(_) => Share::Backfill,
            Self::Run(_) | Self::BatchMember(_) | Self::Nobody => Share::Live,
        }
    }

    fn priority(self) -> Priority {
        match self {
            Self::Week(_) | Self::BatchMember(_) => Priority::Normal,
            Self::Run(_) | Self::Nobody => Priority::Live,
        }
    }

    /// The job that looks what there is to do next, told of a job that was discarded.
    fn looks(self, given_up: Option<(ExecutionUuid, String)>) -> Result<Option<NewJob>, Failure> {
        Ok(match self {
            Self::Week(week_id) => Some(NewJob::of(&CollectWeek { week_id, given_up })?),
            Self::Run(run_id) => Some(NewJob::of(&RunSchedule { run_id, given_up })?),
            Self::BatchMember(member_id) => {
                Some(NewJob::of(&RunBatchMember { member_id, given_up })?)
            }
            Self::Nobody => None,
        })
    }

    /// Locks what the result will be written into, before the execution: everybody does so in this order.
    pub async fn lock(self, connection: &mut PgConnection) -> Result<(), Failure> {
        match self {
            Self::Week(week) => collections::lock_of_week(connection, week).await.map(drop)?,
            Self::BatchMember(member) => batches::lock_of_member(connection, member).await?,
            Self::Run(_) | Self::Nobody => {}
        }
        Ok(())
    }

    /// Amazon does not let us in, which ends when `opens` is opened; or, without it, nobody knows how the
    /// execution stands and a person has to look. The execution does not count as an attempt.
    pub async fn block(
        self,
        connection: &mut PgConnection,
        reason: &str,
        opens: Option<&str>,
    ) -> Result<(), Failure> {
        match self {
            Self::Week(week) => drop(weeks::block(connection, week, reason, 1).await?),
            Self::Run(run) => run_schedule::block(connection, run, reason, opens).await?,
            Self::BatchMember(member) => {
                batches::block(connection, member, reason, 1).await?;
            }
            Self::Nobody => {}
        }
        Ok(())
    }

    /// The result is stored: so the week or the run has succeeded.
    pub async fn succeed(
        self,
        tools: &Tools,
        connection: &mut PgConnection,
        result: &WeekResult<'_>,
    ) -> Result<(), Failure> {
        match self {
            Self::Week(week) => {
                if weeks::succeed(&mut *connection, week, result).await? {
                    let (queue, succeeded) = (&tools.queue, WeekStatus::Succeeded);
                    feed::after_week(queue, connection, week, succeeded, None).await?;
                }
            }
            Self::Run(run) => {
                let succeeded = RunStatus::Succeeded;
                run_schedule::finish(&tools.queue, connection, run, succeeded, None).await?;
            }
            Self::BatchMember(member) => {
                run_batch_member::succeed(connection, member, result).await?;
            }
            Self::Nobody => {}
        }
        Ok(())
    }
}

/// Pauses what belongs to users whose credentials Amazon refuses: their collections and schedules, until
/// they are good again. Those that are paused already stay as they are.
pub async fn refused(
    connection: &mut PgConnection,
    users: &[UserId],
    reason: &str,
) -> Result<(), sqlx::Error> {
    feed::refused(&mut *connection, users, reason).await?;
    run_schedule::refused(connection, users, reason).await
}

/// Lets the collections and schedules go on that waited for this resource. Call it before the resource is
/// opened: everybody locks in this order. How many.
pub async fn opened(
    queue: &Queue,
    connection: &mut PgConnection,
    resource: &str,
) -> Result<usize, crate::queue::Error> {
    let collections = feed::opened(queue, &mut *connection, resource).await?;
    Ok(collections + run_schedule::opened(connection, resource).await?)
}

/// A job that works on this execution: it uses what the execution needs, comes out of its owner's share,
/// and its owner looks after the execution should it be discarded.
pub fn job<J: Job>(tools: &Tools, execution: &Execution, job: &J) -> Result<NewJob, Failure> {
    let owner = Owner::of(execution);
    let job = NewJob::of(job)?
        .using(resources_of(tools, execution)?)
        .with_share(owner.share())
        .with_priority(owner.priority());
    Ok(match owner.looks(Some((execution.id, J::KIND.to_owned())))? {
        Some(next) => job.if_discarded(next),
        None => job,
    })
}

/// The job that should be working on an execution that is under way.
pub fn working_job(tools: &Tools, execution: &Execution) -> Result<NewJob, Failure> {
    match execution.status {
        ExecutionStatus::Pending | ExecutionStatus::Running => poll_status::job(tools, execution),
        ExecutionStatus::Fetching => fetch_result::job(tools, execution),
        _ => submit_execution::job(tools, execution),
    }
}

/// Ends an execution that gave no result: lets go of its places at AMC and lets its owner try again.
/// False when somebody else has ended it before.
pub async fn end_execution(
    tools: &Tools,
    connection: &mut PgConnection,
    execution: &Execution,
    trouble: &Trouble<'_>,
) -> Result<bool, Failure> {
    if !close(tools, &mut *connection, execution, trouble).await? {
        return Ok(false);
    }
    look_again(tools, connection, execution).await?;
    Ok(true)
}

/// Lets the owner of an execution that has ended without a result look what there is to do next.
pub async fn look_again(
    tools: &Tools,
    connection: &mut PgConnection,
    execution: &Execution,
) -> Result<(), Failure> {
    let owner = Owner::of(execution);
    if let (Owner::Week(week), Some(_)) = (owner, execution.cancel_requested_at) {
        // Whoever has asked for the week again waits for this.
        feed::look_after(&tools.queue, connection, &[week]).await?;
    } else if let Some(job) = owner.looks(None)? {
        tools.queue.enqueue(connection, &[job.after(pause_after(execution.attempt))]).await?;
    }
    Ok(())
}

/// Ends an execution that gave no result, and lets go of its places at AMC. False when somebody else has
/// ended it before.
pub async fn close(
    tools: &Tools,
    connection: &mut PgConnection,
    execution: &Execution,
    trouble: &Trouble<'_>,
) -> Result<bool, Failure> {
    if !executions::finish_unsuccessfully(&mut *connection, execution.id, trouble).await? {
        return Ok(false);
    }
    tools.queue.release(connection, &resources::holder(execution.id)).await?;
    let outcome = trouble.ending.status().as_str();
    metrics::execution_finished(outcome);
    tracing::warn!(
        execution = %execution.id,
        outcome,
        class = trouble.class,
        why = trouble.message,
        "the execution gave no result"
    );
    Ok(true)
}

/// Nobody wants its result any more, though it is under way. One that AMC does not have, or has finished,
/// ends at once; the others are stopped by the job that works on them, behind the gates.
pub async fn stop(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    why: &str,
) -> Result<Outcome, Failure> {
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    Owner::of(execution).lock(&mut transaction).await?;
    match executions::ask_to_stop(&mut *transaction, execution.id, why).await? {
        None => {}
        Some(ExecutionStatus::Queued | ExecutionStatus::Fetching) => {
            let trouble = Trouble {
                ending: Ending::Cancelled,
                class: "cancelled",
                code: None,
                message: why,
                amc_status: None,
            };
            end_execution(tools, &mut transaction, execution, &trouble).await?;
            // Somebody may have taken it up again, and have found this job under way: it looks once more.
            let next = Outcome::Snooze(Duration::ZERO);
            let outcome = attempt.complete_in(&mut transaction, next).await?;
            transaction.commit().await?;
            return Ok(outcome);
        }
        Some(status) => {
            let now = Execution { status, ..execution.clone() };
            tools.queue.enqueue(&mut transaction, &[working_job(tools, &now)?]).await?;
            hasten(&tools.queue, &mut transaction, execution.id).await?;
        }
    }
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// Whichever job stops what AMC has, or may have, of an execution need not wait for its next look.
pub async fn hasten(
    queue: &Queue,
    connection: &mut PgConnection,
    execution: ExecutionUuid,
) -> Result<(), crate::queue::Error> {
    let key = execution.to_string();
    for kind in [SubmitExecution::KIND, PollStatus::KIND] {
        queue.hasten(&mut *connection, kind, &key).await?;
    }
    Ok(())
}

/// The job of this kind that worked on the execution was discarded, so nobody does: it ends, unless AMC
/// may have it without our knowing it.
pub async fn give_up(
    tools: &Tools,
    attempt: &Attempt,
    execution: &Execution,
    kind: &str,
) -> Result<Outcome, Failure> {
    if matches!(execution.status, ExecutionStatus::Pending | ExecutionStatus::Running) {
        // It may run on at AMC, where its place is about to be given to another.
        let who = tools.sign_in(attempt, execution).await?;
        if !poll_status::cancel(tools, execution, &who).await? {
            return Ok(Outcome::Snooze(SHOWN_SOON));
        }
    }
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    let message = format!("its {kind} job was discarded; the job's last error says why");
    let may_be_open =
        matches!(execution.status, ExecutionStatus::Submitting | ExecutionStatus::SubmitUnknown);
    if may_be_open {
        // It may run at AMC. Nothing is sent again, and its place stays taken, until a person looks.
        let instance = &execution.amc_instance_id;
        let looks = match Owner::of(execution) {
            Owner::Week(_) | Owner::BatchMember(_) => {
                format!("; `recomamp instances unblock {instance}` has it looked for")
            }
            Owner::Run(_) | Owner::Nobody => String::new(),
        };
        let reason = format!("nobody knows whether AMC has the execution: {message}{looks}");
        Owner::of(execution).block(&mut transaction, &reason, None).await?;
        tracing::error!(execution = %execution.id, reason, "a person has to look");
    } else {
        let trouble = Trouble {
            ending: Ending::Failed,
            class: "discarded",
            code: None,
            message: &message,
            amc_status: None,
        };
        end_execution(tools, &mut transaction, execution, &trouble).await?;
    }
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// Why nothing more is tried for the same purpose after so many executions, of which this is the last.
pub fn given_up(execution: &Execution, spent: i64) -> String {
    let (status, why) = (execution.status, execution.error_message.as_deref());
    let why = why.unwrap_or("no reason was given");
    if spent == 1 && execution.submit_started_at.is_none() {
        return format!("{status}, and nothing was sent: {why}");
    }
    format!("{status} after {}: {why}", counted(spent, "execution", "executions"))
}

fn pause_after(attempt: i32) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(10);
    PAUSE.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_for_the_same_purpose_are_ever_further_apart() {
        let pauses: Vec<u64> = (1..=9).map(|n| pause_after(n).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 900, 900]);
    }
}
