//! Brings one week of a collection forward: begins its execution, begins another one when that ended
//! badly, and gives the week up when its attempts are spent or trying again is hopeless.
//!
//! It runs when a collection begins, when an execution ended without a result, and when a job that
//! worked on an execution was discarded. What to do it reads from the week and its execution, so it
//! may run at any time, and twice.

use super::aggregate_report::AggregateReport;
use super::{owner, run_schedule, submit_execution};
use crate::backfill::group;
use crate::backfill::week::Week;
use crate::metrics;
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Queue, Share};
use crate::store::collections::{self, CollectionStatus};
use crate::store::executions::{
    self, Execution, ExecutionStatus, NewExecution, Origin, SubmitMode,
};
use crate::store::instances::InstanceStatus;
use crate::store::weeks::{self, WeekInCollection, WeekStatus};
use crate::store::{CollectionUuid, ExecutionUuid, InstanceUuid, WeekId, instances};
use crate::tools::{Tools, resources};
use chrono::NaiveDateTime;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::time::Duration;

/// How long a paused collection, or another week that asks the same question, is left alone.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

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
        if week.week.status.is_terminal() || week.collection_status.is_terminal() {
            return Ok(Outcome::Done);
        }
        if week.collection_status == CollectionStatus::Paused {
            return Ok(Outcome::Snooze(LOOK_AGAIN));
        }
        let current = match week.week.workflow_execution_id {
            Some(id) => executions::by_id(&tools.db, id).await?,
            None => None,
        };
        match current {
            Some(execution) if !execution.status.is_terminal() => {
                self.tend(tools, attempt, &week, &execution).await
            }
            Some(execution) if week.week.status != WeekStatus::Blocked => {
                self.try_again(tools, attempt, &week, &execution).await
            }
            _ => self.begin(tools, attempt, &week).await,
        }
    }
}

/// Begins a collection that was just created: its weeks' jobs, and the report that follows the last week.
pub async fn begin(
    queue: &Queue,
    connection: &mut PgConnection,
    collection: CollectionUuid,
    weeks: &[WeekId],
) -> Result<(), crate::queue::Error> {
    let report = NewJob::of(&AggregateReport { collection_id: collection })?;
    group::make(queue, &mut *connection, collection, weeks, report).await?;
    queue.enqueue(connection, &for_weeks(weeks)?).await?;
    Ok(())
}

/// The jobs that begin these weeks.
pub fn for_weeks(weeks: &[WeekId]) -> Result<Vec<NewJob>, crate::queue::Error> {
    weeks
        .iter()
        .map(|week_id| NewJob::of(&CollectWeek { week_id: *week_id, given_up: None }))
        .collect()
}

/// Lets work on an instance go on once Amazon lets us in again: whoever waits to ask about an
/// execution asks, and its blocked weeks begin again and the schedules that waited
/// for it go on. Harmless when it is not blocked. How many weeks.
pub async fn unblock(
    queue: &Queue,
    connection: &mut PgConnection,
    instance: InstanceUuid,
) -> Result<usize, crate::queue::Error> {
    let Some(found) = instances::by_id(&mut *connection, instance).await? else { return Ok(0) };
    instances::unblock(&mut *connection, instance).await?;
    let access = resources::access(&found.instance_id);
    queue.open(connection, &access).await?;
    run_schedule::opened(&mut *connection, &access).await?;
    let weeks = weeks::blocked_on(&mut *connection, instance).await?;
    let jobs = for_weeks(&weeks)?;
    queue.enqueue(&mut *connection, &jobs).await?;
    // One that waits out the pause after the last refusal need not any more.
    for week_id in &weeks {
        let job = CollectWeek { week_id: *week_id, given_up: None };
        let key = job.unique_key().unwrap_or_default();
        queue.hasten(&mut *connection, CollectWeek::KIND, &key).await?;
    }
    Ok(weeks.len())
}

/// The weeks that are to be collected and that no job works on. There should be none: this is the net
/// under all that may go wrong.
pub async fn forgotten(connection: &mut PgConnection) -> Result<Vec<WeekId>, sqlx::Error> {
    sqlx::query_scalar(
        "-- forgotten_weeks
        select week.id
        from report_data_weeks as week
        join report_data_collections as collection on collection.id = week.collection_id
        where week.status in ('pending', 'running')
          and collection.status in ('pending', 'running')
          and not exists (
              select from engine.jobs
              where unique_key in (
                  'collect_week:' || week.id || ' ',
                  'collect_week:' || week.id || ' submit_execution',
                  'collect_week:' || week.id || ' poll_status',
                  'collect_week:' || week.id || ' fetch_result',
                  'submit_execution:' || week.workflow_execution_id,
                  'poll_status:' || week.workflow_execution_id,
                  'fetch_result:' || week.workflow_execution_id
              )
          )
        order by week.week_start_date, week.id
        limit 10000",
    )
    .fetch_all(connection)
    .await
}

/// Ends the week in its collection's group, which asks for the report when it was the last one; and the
/// collection itself. The locks are taken in this order: the collection, then its group.
pub async fn after_week(
    tools: &Tools,
    connection: &mut PgConnection,
    week_id: WeekId,
    outcome: WeekStatus,
) -> Result<(), Failure> {
    metrics::week_finished(outcome.as_str());
    let Some(week) = weeks::by_id(&mut *connection, week_id).await? else { return Ok(()) };
    let collection = week.week.collection_id;
    let finished = collections::finish_if_done(&mut *connection, collection).await?;
    if let Some(status) = finished {
        tracing::info!(%collection, %status, "the collection has ended");
    }
    let Some(group) = group::find(&tools.queue, &mut *connection, collection).await? else {
        // It began before there were groups.
        if finished.is_some() {
            tools.queue.enqueue(connection, &[AggregateReport::job(collection)?]).await?;
        }
        return Ok(());
    };
    let ended = [(week_id, outcome)];
    let open = group::end_weeks(&tools.queue, &mut *connection, group.id, ended).await?;
    if finished.is_some() && open {
        // Weeks that ended by another hand than ours.
        let all = weeks::list(&mut *connection, collection, &weeks::Filter::default()).await?;
        let all = all.into_iter().map(|week| (week.id, week.status));
        group::end_weeks(&tools.queue, connection, group.id, all).await?;
    }
    Ok(())
}

impl CollectWeek {
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
        let blocked = week.week.status == WeekStatus::Blocked;
        if blocked && !weeks::start(&tools.db, week.week.id).await? {
            return Ok(Outcome::Snooze(LOOK_AGAIN));
        }
        Ok(Outcome::then(owner::working_job(tools, execution)?))
    }

    /// The current execution has ended. One that succeeded ends its week itself.
    async fn try_again(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        week: &WeekInCollection,
        execution: &Execution,
    ) -> Result<Outcome, Failure> {
        if execution.status == ExecutionStatus::Succeeded {
            return Ok(Outcome::Done);
        }
        let hopeless = execution.error_class.as_deref() == Some("permanent")
            || execution.status == ExecutionStatus::Cancelled;
        if !hopeless && week.week.attempts < week.max_attempts_per_week {
            return self.begin(tools, attempt, week).await;
        }
        let why = execution.error_message.as_deref().unwrap_or("no reason was given");
        let message =
            format!("{} after {} executions: {why}", execution.status, week.week.attempts);
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        if weeks::fail(&mut *transaction, week.week.id, &message).await? {
            tracing::error!(week = %week.week.id, message, "the week failed");
            after_week(tools, &mut transaction, week.week.id, WeekStatus::Failed).await?;
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
        let first = week.week.status != WeekStatus::Running;
        if let Some(instance) = instances::by_id(&mut *transaction, week.instance_id).await?
            && instance.status != InstanceStatus::Active
        {
            let reason = instance.block_reason.unwrap_or_else(|| "the instance is disabled".into());
            weeks::block(&mut *transaction, week.week.id, &reason).await?;
            let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
            transaction.commit().await?;
            return Ok(outcome);
        }
        if first && let Some(outcome) = self.reuse(tools, attempt, &mut transaction).await? {
            transaction.commit().await?;
            return Ok(outcome);
        }
        if first && !weeks::start(&mut *transaction, week.week.id).await? {
            // The collection was paused, or the same slice has just been started by another week.
            return Ok(Outcome::Snooze(LOOK_AGAIN));
        }
        let execution = insert_execution(&mut transaction, week).await?;
        weeks::set_current_execution(&mut *transaction, week.week.id, execution).await?;
        let row = executions::by_id(&mut *transaction, execution).await?;
        let row = row.ok_or(sqlx::Error::RowNotFound)?;
        let next = Outcome::then(submit_execution::job(tools, &row)?);
        let outcome = attempt.complete_in(&mut transaction, next).await?;
        transaction.commit().await?;
        Ok(outcome)
    }

    /// The same slice of the same query is not asked twice: its answer is taken over, or waited for.
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
        after_week(tools, transaction, self.week_id, WeekStatus::Succeeded).await?;
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
        attempt: week.week.attempts + 1,
        submit_mode: SubmitMode::Inline,
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
