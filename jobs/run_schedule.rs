//! Brings one run of a schedule forward: waits for its turn, begins its execution, begins another one
//! when that ended badly, and fails the run when its attempts are spent or trying again is hopeless.
//!
//! Like `collect_week` it reads what to do from the run and its execution, so it may run at any time,
//! and twice. A run has succeeded when its result is stored, not before. A run that Amazon does not let
//! in waits, and its schedule is paused meanwhile.

use super::{collect_week, owner, submit_execution};
use crate::backfill::week::Week;
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Priority, Queue};
use crate::store::events::{self, NewEvent};
use crate::store::executions::{self, Execution, ExecutionStatus, NewExecution, Origin};
use crate::store::instances::{self, InstanceStatus};
use crate::store::runs::{self, Run, RunStatus};
use crate::store::schedules::{self, Pause, Schedule, ScheduleStatus};
use crate::store::{ExecutionUuid, ScheduleRunUuid, UserId, users};
use crate::tools::{Tools, resources};
use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use std::time::Duration;

/// How long a run that waits for another one, or for an answer, is left alone.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Brings one run forward.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunSchedule {
    /// Which run.
    pub run_id: ScheduleRunUuid,
    /// Set when a job of this kind, working on this execution, was discarded.
    #[serde(default)]
    pub given_up: Option<(ExecutionUuid, String)>,
}

impl Job for RunSchedule {
    type Tools = Tools;
    const KIND: &'static str = "run_schedule";
    const QUEUE: &'static str = "amc";
    const PRIORITY: Priority = Priority::Live;
    /// Nobody else looks after the run: this job does not give up for want of a database or Amazon.
    const MAX_ATTEMPTS: i16 = i16::MAX;

    fn unique_key(&self) -> Option<String> {
        // One that reports a discarded job is not the same as one that was asked for anyhow.
        let why = self.given_up.as_ref().map_or("", |(_, kind)| kind);
        Some(key(self.run_id, why))
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(run) = runs::by_id(&tools.db, self.run_id).await? else {
            return Err(Failure::permanent(anyhow!("there is no such run")));
        };
        let current = match runs::current_execution(&tools.db, run.id).await? {
            Some(id) => executions::by_id(&tools.db, id).await?,
            None => None,
        };
        if run.status.is_terminal() {
            return match current {
                Some(execution) if !execution.status.is_terminal() => {
                    let why = run.error_summary.as_deref().unwrap_or("its run was cancelled");
                    owner::stop(tools, attempt, &execution, why).await
                }
                _ => Ok(Outcome::Done),
            };
        }
        match current {
            Some(execution) if !execution.status.is_terminal() => {
                let discarded = self.given_up.as_ref().filter(|(id, _)| *id == execution.id);
                match discarded {
                    Some((_, kind)) => owner::give_up(tools, attempt, &execution, kind).await,
                    None => go_on(tools, attempt, &run, &execution).await,
                }
            }
            Some(execution) => try_again(tools, attempt, &run, &execution).await,
            None if runs::earlier_unfinished(&tools.db, run.id).await? => {
                Ok(Outcome::Snooze(LOOK_AGAIN))
            }
            None => begin(tools, attempt, &run).await,
        }
    }
}

/// The job that begins this run.
pub fn job(run_id: ScheduleRunUuid) -> Result<NewJob, crate::queue::Error> {
    NewJob::of(&RunSchedule { run_id, given_up: None })
}

fn key(run: ScheduleRunUuid, why: &str) -> String {
    format!("{run} {why}")
}

/// The runs that are unfinished, or whose executions are to be stopped, and that no job works on. There
/// should be none: this is the net under all that may go wrong.
pub async fn forgotten(connection: &mut PgConnection) -> Result<Vec<ScheduleRunUuid>, sqlx::Error> {
    sqlx::query_scalar(
        "-- forgotten_runs
        with run as (
            select run.id, execution.id as execution_id, run.created_at
            from schedule_runs as run
            left join lateral (
                select id
                from workflow_executions
                where schedule_run_id = run.id
                order by attempt desc
                limit 1
            ) as execution on true
            where run.status in ('pending', 'running')
              and run.workflow_version_id is not null
            union
            select run.id, execution.id, run.created_at
            from workflow_executions as execution
            join schedule_runs as run on run.id = execution.schedule_run_id
            where (execution.cancel_requested_at is not null or run.finished_at is not null)
              and execution.status in
                  ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching')
        )
        select id
        from run
        where not exists (
              select from engine.jobs
              where unique_key in (
                  'run_schedule:' || run.id || ' ',
                  'run_schedule:' || run.id || ' submit_execution',
                  'run_schedule:' || run.id || ' poll_status',
                  'run_schedule:' || run.id || ' fetch_result',
                  'submit_execution:' || execution_id,
                  'poll_status:' || execution_id,
                  'fetch_result:' || execution_id
              )
          )
        order by created_at, id
        limit 10000",
    )
    .fetch_all(connection)
    .await
}

/// Ends a run, with all that follows for its schedule, in the caller's transaction: a success forgets
/// the failures before it, a failure is counted and may pause the schedule, and the run that waits next
/// has its turn. False when the run has ended before.
///
/// What is counted is runs. That AMC throttles, is down, or that we deploy never ends a run; one that
/// was cancelled is no failure.
pub async fn finish(
    queue: &Queue,
    connection: &mut PgConnection,
    run: ScheduleRunUuid,
    status: RunStatus,
    why: Option<&str>,
) -> Result<bool, Failure> {
    let Some(found) = runs::by_id(&mut *connection, run).await? else { return Ok(false) };
    let Some(schedule) = schedules::lock(&mut *connection, found.schedule_id).await? else {
        return Ok(false);
    };
    if !runs::finish(&mut *connection, run, status, why).await? {
        return Ok(false);
    }
    note(connection, &found, status, "run_schedule", why).await?;
    match status {
        RunStatus::Succeeded => schedules::forget_failures(&mut *connection, schedule.id).await?,
        RunStatus::Failed => count_failure(connection, &schedule, why.unwrap_or_default()).await?,
        _ => {}
    }
    next_turn(queue, connection, &schedule).await?;
    tracing::info!(schedule = schedule.schedule_id, run = %run, %status, why, "the run has ended");
    Ok(true)
}

/// Cancels a run in the caller's transaction, which has locked its schedule: its execution, if it has
/// one, is stopped at AMC by its job. False when it has ended before.
pub async fn cancel(
    queue: &Queue,
    connection: &mut PgConnection,
    run: &Run,
    actor: &str,
    why: &str,
) -> Result<bool, crate::queue::Error> {
    if !runs::finish(&mut *connection, run.id, RunStatus::Cancelled, Some(why)).await? {
        return Ok(false);
    }
    note(connection, run, RunStatus::Cancelled, actor, Some(why)).await?;
    queue.enqueue(&mut *connection, &[job(run.id)?]).await?;
    queue.hasten(&mut *connection, RunSchedule::KIND, &key(run.id, "")).await?;
    Ok(true)
}

/// The schedule's next run need not wait for its next look.
pub async fn next_turn(
    queue: &Queue,
    connection: &mut PgConnection,
    schedule: &Schedule,
) -> Result<(), crate::queue::Error> {
    if let Some(next) = runs::next_waiting(&mut *connection, schedule.id).await? {
        queue.hasten(connection, RunSchedule::KIND, &key(next, "")).await?;
    }
    Ok(())
}

/// Amazon does not let the run in: it waits, and its schedule is paused at once, until the resource is
/// opened again. Without one, nobody knows how it stands, and a person has to look.
pub async fn block(
    connection: &mut PgConnection,
    run: ScheduleRunUuid,
    reason: &str,
    opens: Option<&str>,
) -> Result<(), Failure> {
    let Some(found) = runs::by_id(&mut *connection, run).await? else { return Ok(()) };
    let Some(schedule) = schedules::lock(&mut *connection, found.schedule_id).await? else {
        return Ok(());
    };
    runs::note(&mut *connection, run, reason).await?;
    let reason = if opens.is_some() {
        let instance = instances::by_id(&mut *connection, found.instance_id).await?;
        let remedy = instance.ok_or(sqlx::Error::RowNotFound)?.remedy();
        format!("Amazon does not let it run ({reason}): {remedy}")
    } else {
        let remedy = "look at AMC, then run `recomamp schedules resume`";
        format!("a run cannot go on ({reason}): {remedy} {}", schedule.schedule_id)
    };
    auto_pause(connection, &schedule, &reason, opens).await
}

/// Lets the schedules go on that waited for this resource, each with its event.
pub async fn opened(connection: &mut PgConnection, resource: &str) -> Result<usize, sqlx::Error> {
    let resumed = schedules::resume_waiting_for(&mut *connection, resource).await?;
    for schedule in &resumed {
        let event = NewEvent {
            entity: "schedule",
            entity_id: &schedule.schedule_id,
            from_status: Some(ScheduleStatus::AutoPaused.as_str()),
            to_status: Some(ScheduleStatus::Active.as_str()),
            actor: "engine",
            reason: Some("what it waited for is open again"),
            detail: &json!({"resource": resource}),
        };
        events::append(&mut *connection, &event).await?;
    }
    Ok(resumed.len())
}

/// Pauses the schedules of these users, whose credentials are refused, each with its event, until they are
/// good again. What is under way waits.
pub async fn refused(
    connection: &mut PgConnection,
    users: &[UserId],
    reason: &str,
) -> Result<(), sqlx::Error> {
    for schedule in schedules::pause_refused(&mut *connection, users, reason).await? {
        let event = NewEvent {
            entity: "schedule",
            entity_id: &schedule.schedule_id,
            from_status: Some(ScheduleStatus::Active.as_str()),
            to_status: Some(ScheduleStatus::AutoPaused.as_str()),
            actor: "engine",
            reason: Some(reason),
            detail: &json!({}),
        };
        events::append(&mut *connection, &event).await?;
    }
    Ok(())
}

/// Writes down what became of a run, of which schedule it is and in whose name it ran.
async fn note(
    connection: &mut PgConnection,
    run: &Run,
    status: RunStatus,
    actor: &str,
    why: Option<&str>,
) -> Result<(), sqlx::Error> {
    let email = users::by_id(&mut *connection, run.user_id).await?.map(|user| user.email);
    let event = NewEvent {
        entity: "schedule_run",
        entity_id: &run.id.to_string(),
        from_status: Some(run.status.as_str()),
        to_status: Some(status.as_str()),
        actor,
        reason: why,
        detail: &json!({
            "schedule": run.schedule, "email": email, "scheduled_for": run.scheduled_for,
        }),
    };
    events::append(connection, &event).await
}

async fn count_failure(
    connection: &mut PgConnection,
    schedule: &Schedule,
    why: &str,
) -> Result<(), Failure> {
    let failures = schedules::count_failure(&mut *connection, schedule.id).await?;
    if !schedule.auto_pause_on_failure || failures < schedule.failure_threshold {
        return Ok(());
    }
    let how_many = match failures {
        1 => "a run failed".to_owned(),
        many => format!("{many} runs in a row failed"),
    };
    let id = &schedule.schedule_id;
    let reason = format!(
        "{how_many}, the last because of this ({why}): mend it, then run `recomamp schedules resume {id}`"
    );
    auto_pause(connection, schedule, &reason, None).await
}

async fn auto_pause(
    connection: &mut PgConnection,
    schedule: &Schedule,
    reason: &str,
    paused_for: Option<&str>,
) -> Result<(), Failure> {
    let status = ScheduleStatus::AutoPaused;
    let pause = Pause { status, reason, resume_at: None, paused_for };
    if !schedules::pause(&mut *connection, schedule.id, &pause).await? {
        return Ok(());
    }
    tracing::error!(schedule = schedule.schedule_id, reason, "the schedule is paused");
    let event = NewEvent {
        entity: "schedule",
        entity_id: &schedule.schedule_id,
        from_status: Some(schedule.status.as_str()),
        to_status: Some(status.as_str()),
        actor: "engine",
        reason: Some(reason),
        detail: &json!({"waits_for": paused_for}),
    };
    Ok(events::append(connection, &event).await?)
}

/// An execution is under way: whoever should be working on it is asked to. Whoever cancels the run
/// meanwhile waits at its row, and then finds no such job as this one under way.
async fn go_on(
    tools: &Tools,
    attempt: &Attempt,
    run: &Run,
    execution: &Execution,
) -> Result<Outcome, Failure> {
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    if runs::lock(&mut *transaction, run.id).await?.is_none_or(RunStatus::is_terminal) {
        return Ok(Outcome::Snooze(Duration::ZERO));
    }
    let next = Outcome::then(owner::working_job(tools, execution)?);
    let outcome = attempt.complete_in(&mut transaction, next).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// The current execution has ended. One that succeeded ends its run itself.
async fn try_again(
    tools: &Tools,
    attempt: &Attempt,
    run: &Run,
    execution: &Execution,
) -> Result<Outcome, Failure> {
    let why = execution.error_message.as_deref().unwrap_or("no reason was given");
    let spent = runs::spent(&tools.db, run.id).await?;
    let (status, why) = match execution.status {
        ExecutionStatus::Succeeded => (RunStatus::Succeeded, None),
        ExecutionStatus::Cancelled => (RunStatus::Cancelled, Some(why.to_owned())),
        _ if execution.error_class.as_deref() != Some("permanent")
            && spent < i64::from(run.max_attempts) =>
        {
            return begin(tools, attempt, run).await;
        }
        _ => (RunStatus::Failed, Some(owner::given_up(execution, spent))),
    };
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    finish(&tools.queue, &mut transaction, run.id, status, why.as_deref()).await?;
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
    transaction.commit().await?;
    Ok(outcome)
}

/// Begins an execution, if Amazon lets us in.
async fn begin(tools: &Tools, attempt: &Attempt, run: &Run) -> Result<Outcome, Failure> {
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    instances::hold_still(&mut *transaction, run.instance_id).await?;
    if let Some(instance) = instances::by_id(&mut *transaction, run.instance_id).await?
        && instance.status != InstanceStatus::Active
    {
        let reason = instance.block_reason.unwrap_or_else(|| "the instance is disabled".into());
        let opens = resources::access(&instance.instance_id);
        block(&mut transaction, run.id, &reason, Some(&opens)).await?;
        transaction.commit().await?;
        return Err(Failure::unauthorized(anyhow!(reason), opens));
    }
    if !runs::start(&mut *transaction, run.id).await? {
        return Ok(Outcome::Done);
    }
    let execution = insert_execution(&mut transaction, run).await?;
    let row = executions::by_id(&mut *transaction, execution).await?;
    let row = row.ok_or(sqlx::Error::RowNotFound)?;
    let next = Outcome::then(submit_execution::job(tools, &row)?);
    let outcome = attempt.complete_in(&mut transaction, next).await?;
    transaction.commit().await?;
    Ok(outcome)
}

async fn insert_execution(
    connection: &mut PgConnection,
    run: &Run,
) -> Result<ExecutionUuid, Failure> {
    let (Some(version), Some(start), Some(end), Some(zone)) =
        (run.workflow_version_id, run.window_start, run.window_end, run.window_tz.as_deref())
    else {
        return Err(Failure::permanent(anyhow!("the run never was to run: it has no window")));
    };
    let (window_start, window_end) = collect_week::window(Week { start, end }, zone)?;
    let before = match runs::current_execution(&mut *connection, run.id).await? {
        Some(id) => executions::by_id(&mut *connection, id).await?.map_or(0, |last| last.attempt),
        None => 0,
    };
    let execution = NewExecution {
        workflow_version_id: version,
        instance_id: run.instance_id,
        user_id: run.user_id,
        origin: Origin::Schedule,
        week_id: None,
        schedule_run_id: Some(run.id),
        batch_member_id: None,
        attempt: before + 1,
        parameters: &run.parameters,
        window_start,
        window_end,
        window_tz: zone,
    };
    Ok(executions::insert_queued(connection, &execution).await?)
}
