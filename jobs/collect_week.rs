//! Brings one week of a collection forward: begins its execution, begins another one when that ended
//! badly, and gives the week up when its attempts are spent or trying again is hopeless.
//!
//! It runs when the week has its turn, when an execution ended without a result, and when a job that
//! worked on an execution was discarded. What to do it reads from the week and its execution, so it
//! may run at any time, and twice. Nothing begins in a collection that is paused: the week is handed back,
//! and has its turn again when the collection goes on.

use super::{feed, owner, run_batch_member, submit_execution};
use crate::backfill::week::Week;
use crate::queue::{Attempt, Failure, Job, Outcome, Queue, Share};
use crate::store::collections::{self, CollectionStatus};
use crate::store::events::{self, Because, NewEvent};
use crate::store::executions::{self, Execution, ExecutionStatus, NewExecution, Origin};
use crate::store::instances::InstanceStatus;
use crate::store::weeks::{self, WeekInCollection, WeekStatus};
use crate::store::{ExecutionUuid, InstanceUuid, WeekId, checks, instances};
use crate::tools::{Tools, resources};
use chrono::NaiveDateTime;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use std::time::Duration;

/// How long another week that asks the same question, or an execution that is being stopped, is left alone.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The pause before a week looks again whether its last execution has been stopped.
const STOPPING: Duration = Duration::from_secs(5);

/// Brings one week forward.
#[derive(Debug, Serialize, Deserialize)]
pub struct CollectWeek {
    /// Which week.
    pub week_id: WeekId,
    /// Set when a job of this kind, working on this execution, was discarded.
    #[serde(default)]
    pub given_up: Option<(ExecutionUuid, String)>,
}

impl Job for CollectWeek {
    type Tools = Tools;
    const KIND: &'static str = "collect_week";
    const QUEUE: &'static str = "amc";
    const SHARE: Share = Share::Backfill;
    /// Nobody else looks after the week: this job does not give up for want of a database or Amazon.
    const MAX_ATTEMPTS: i16 = i16::MAX;

    fn unique_key(&self) -> Option<String> {
        // One that reports a discarded job is not the same as one that was asked for anyhow.
        let why = self.given_up.as_ref().map_or("", |(_, kind)| kind);
        Some(format!("{} {why}", self.week_id))
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(week) = weeks::by_id(&tools.db, self.week_id).await? else {
            return Err(Failure::permanent(anyhow::anyhow!("there is no such week")));
        };
        let open = executions::open_of_week(&tools.db, self.week_id).await?;
        let current = match open.or(week.week.workflow_execution_id) {
            Some(id) => executions::by_id(&tools.db, id).await?,
            None => None,
        };
        match current {
            Some(execution) if !execution.status.is_terminal() => {
                self.tend(tools, attempt, &week, &execution).await
            }
            _ if is_over(&week) => self.leave(tools, attempt, &week).await,
            Some(execution) if week.week.status == WeekStatus::Running => {
                self.after(tools, attempt, &week, &execution).await
            }
            _ => self.begin(tools, attempt, &week).await,
        }
    }
}

/// Lets work on an instance go on once Amazon lets us in again: whoever waits to ask about an
/// execution asks, and its blocked weeks begin again and the schedules that waited
/// for it go on. How many weeks, members of batches, collections and schedules; none when it is not
/// blocked, and nothing waits for it either.
pub async fn unblock(
    queue: &Queue,
    connection: &mut PgConnection,
    instance: InstanceUuid,
    because: &Because<'_>,
) -> Result<Option<usize>, crate::queue::Error> {
    let Some(found) = instances::by_id(&mut *connection, instance).await? else { return Ok(None) };
    let was_blocked = instances::unblock(&mut *connection, instance).await?;
    let access = resources::access(&found.instance_id);
    let resumed = owner::opened(queue, &mut *connection, &access).await?;
    checks::wait_anew(&mut *connection, instance).await?;
    let woken = queue.open(&mut *connection, &access).await?;
    let members = run_batch_member::opened(queue, &mut *connection, instance).await?;
    let weeks = weeks::blocked_on(&mut *connection, instance).await?;
    feed::look_after(queue, &mut *connection, &weeks).await?;
    let begun = weeks.len() + members + resumed;
    if !was_blocked && begun == 0 && woken == 0 {
        return Ok(None);
    }
    let status = |status: InstanceStatus| was_blocked.then_some(status.as_str());
    let event = NewEvent {
        entity: "instance",
        entity_id: &found.instance_id,
        from_status: status(InstanceStatus::Blocked),
        to_status: status(InstanceStatus::Active),
        actor: because.by,
        reason: because.said(),
        detail: &json!({"weeks": begun}),
    };
    events::append(connection, &event).await?;
    Ok(Some(begun))
}

fn is_over(week: &WeekInCollection) -> bool {
    week.week.status.is_terminal() || week.collection_status.is_terminal()
}

impl CollectWeek {
    /// There is nothing to do. Whoever takes the week up again meanwhile waits at its collection, and then
    /// finds no such job as this one under way.
    async fn leave(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        week: &WeekInCollection,
    ) -> Result<Outcome, Failure> {
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        collections::lock(&mut transaction, week.week.collection_id).await?;
        let now = weeks::by_id(&mut *transaction, self.week_id).await?;
        if now.is_some_and(|now| !is_over(&now)) {
            return Ok(Outcome::Snooze(Duration::ZERO));
        }
        let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
        transaction.commit().await?;
        Ok(outcome)
    }

    /// An execution is under way. Whoever should be working on it is asked to, once more if need be;
    /// unless that very job was discarded.
    async fn tend(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        week: &WeekInCollection,
        execution: &Execution,
    ) -> Result<Outcome, Failure> {
        let discarded = self.given_up.as_ref().filter(|(id, _)| *id == execution.id);
        if let Some((_, kind)) = discarded {
            return owner::give_up(tools, attempt, execution, kind).await;
        }
        if execution.cancel_requested_at.is_some() && !week.week.status.is_terminal() {
            // Asked for again while its last execution is being stopped, which may end at any moment: by a
            // job that there is, but for one that was lost.
            let stops = owner::working_job(tools, execution)?;
            let mut connection = tools.db.acquire().await?;
            tools.queue.enqueue(&mut connection, &[stops]).await?;
            return Ok(Outcome::Snooze(STOPPING));
        }
        let blocked = week.week.status == WeekStatus::Blocked;
        if blocked && !weeks::go_on(&tools.db, week.week.id).await? {
            // The same slice is being collected by another week.
            return Ok(Outcome::Snooze(LOOK_AGAIN));
        }
        Ok(Outcome::then(owner::working_job(tools, execution)?))
    }

    /// The current execution has ended. One that succeeded ends its week itself.
    async fn after(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        week: &WeekInCollection,
        execution: &Execution,
    ) -> Result<Outcome, Failure> {
        let why = execution.error_message.as_deref().unwrap_or("no reason was given");
        let hopeless = execution.error_class.as_deref() == Some("permanent");
        let spent = week.week.spent();
        match execution.status {
            ExecutionStatus::Succeeded => Ok(Outcome::Done),
            ExecutionStatus::Cancelled => {
                let message = format!("cancelled at AMC: {why}");
                self.end(tools, attempt, week, (WeekStatus::Cancelled, &message)).await
            }
            _ if hopeless || spent >= week.max_attempts_per_week => {
                let message = owner::given_up(execution, spent.into());
                self.end(tools, attempt, week, (WeekStatus::Failed, &message)).await
            }
            _ => self.begin(tools, attempt, week).await,
        }
    }

    /// Ends the week without a result.
    async fn end(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        week: &WeekInCollection,
        (outcome, message): (WeekStatus, &str),
    ) -> Result<Outcome, Failure> {
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        collections::lock(&mut transaction, week.week.collection_id).await?;
        let ended = match outcome {
            WeekStatus::Cancelled => {
                weeks::cancel(&mut *transaction, self.week_id, message).await?
            }
            _ => weeks::fail(&mut *transaction, self.week_id, message).await?,
        };
        if ended {
            tracing::error!(week = %self.week_id, %outcome, message, "the week gave no result");
            let why = Some(message);
            feed::after_week(&tools.queue, &mut transaction, self.week_id, outcome, why).await?;
        }
        let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
        transaction.commit().await?;
        Ok(outcome)
    }

    /// Begins an execution, unless another week has the answer already or is about to.
    async fn begin(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        week: &WeekInCollection,
    ) -> Result<Outcome, Failure> {
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        let collection = collections::lock(&mut transaction, week.week.collection_id).await?;
        let status = collection.map_or(CollectionStatus::Cancelled, |found| found.status);
        if status == CollectionStatus::Paused {
            weeks::hand_back(&mut *transaction, self.week_id, 0).await?;
            let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
            transaction.commit().await?;
            return Ok(outcome);
        }
        if status.is_terminal() {
            let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
            transaction.commit().await?;
            return Ok(outcome);
        }
        let first = week.week.status != WeekStatus::Running;
        let again = week.week.previous_execution_id.is_some();
        instances::hold_still(&mut *transaction, week.instance_id).await?;
        if let Some(instance) = instances::by_id(&mut *transaction, week.instance_id).await?
            && instance.status != InstanceStatus::Active
        {
            let reason = instance.block_reason.unwrap_or_else(|| "the instance is disabled".into());
            weeks::block(&mut *transaction, week.week.id, &reason, 0).await?;
            let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
            transaction.commit().await?;
            return Ok(outcome);
        }
        if first
            && !again
            && let Some(outcome) = self.reuse(tools, attempt, &mut transaction).await?
        {
            transaction.commit().await?;
            return Ok(outcome);
        }
        if first && !weeks::start(&mut *transaction, week.week.id).await? {
            // The same slice is being collected by another week.
            return Ok(Outcome::Snooze(LOOK_AGAIN));
        }
        let execution = insert_execution(&mut transaction, week).await?;
        if !weeks::set_current_execution(&mut *transaction, week.week.id, execution).await? {
            // It has changed since it was read: look again.
            return Ok(Outcome::Snooze(Duration::ZERO));
        }
        let row = executions::by_id(&mut *transaction, execution).await?;
        let row = row.ok_or(sqlx::Error::RowNotFound)?;
        let next = Outcome::then(submit_execution::job(tools, &row)?);
        let outcome = attempt.complete_in(&mut transaction, next).await?;
        transaction.commit().await?;
        Ok(outcome)
    }

    /// The same slice of the same query is not asked twice: its answer is taken over, or waited for. It
    /// comes even when the other collection is paused: what AMC has goes on, all else is handed back.
    async fn reuse(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        transaction: &mut PgConnection,
    ) -> Result<Option<Outcome>, Failure> {
        let Some(same) = weeks::same_slice(&mut *transaction, self.week_id).await? else {
            return Ok(None);
        };
        if same.status != WeekStatus::Succeeded {
            return Ok(Some(Outcome::Snooze(LOOK_AGAIN)));
        }
        if !weeks::reuse(&mut *transaction, self.week_id, same.id).await? {
            return Ok(None);
        }
        let succeeded = WeekStatus::Succeeded;
        feed::after_week(&tools.queue, transaction, self.week_id, succeeded, None).await?;
        Ok(Some(attempt.complete_in(transaction, Outcome::Done).await?))
    }
}

async fn insert_execution(
    connection: &mut PgConnection,
    week: &WeekInCollection,
) -> Result<ExecutionUuid, Failure> {
    let days = Week { start: week.week.week_start_date, end: week.week.week_end_date };
    let (window_start, window_end) = window(days, &week.timezone)?;
    let execution = NewExecution {
        workflow_version_id: week.workflow_version_id,
        instance_id: week.instance_id,
        user_id: week.user_id,
        origin: Origin::Collection,
        week_id: Some(week.week.id),
        schedule_run_id: None,
        batch_member_id: None,
        attempt: week.week.attempts + 1,
        parameters: &week.parameters,
        window_start,
        window_end,
        window_tz: &week.timezone,
    };
    Ok(executions::insert_queued(connection, &execution).await?)
}

/// Where a window of whole days begins and ends on the clock of a zone, as AMC is told.
pub fn window(days: Week, zone: &str) -> Result<(NaiveDateTime, NaiveDateTime), Failure> {
    let zone: Tz = zone
        .parse()
        .map_err(|_| Failure::permanent(anyhow::anyhow!("{zone:?} is no IANA time zone")))?;
    let window = days.wire_window(zone);
    let local = |text: &str| {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").map_err(Failure::permanent)
    };
    Ok((local(&window.start)?, local(&window.end)?))
}
