//! Gives the weeks of a collection to the queue, a few at a time: the next one when one has ended. The
//! last one ends the collection, which then has its report; one failure too many pauses it.
//!
//! No job itself: what begins, tends and steers collections shares it with the jobs.

use super::aggregate_report::AggregateReport;
use super::collect_week::CollectWeek;
use super::finish_plan;
use crate::backfill::budget;
use crate::backfill::start::Created;
use crate::metrics;
use crate::queue::{Enqueued, Error, Failure, Job, NewJob, Queue};
use crate::store::collections::{self, Collection, CollectionStatus, Pause};
use crate::store::events::{self, NewEvent};
use crate::store::weeks::{self, WeekStatus};
use crate::store::{CollectionUuid, UserId, WeekId};
use serde_json::json;
use sqlx::PgConnection;

/// Who did it, when the engine did.
pub const ENGINE: &str = "engine";

/// Gives a collection as many weeks to the queue as it may have there. Call it in the transaction that
/// made the collection, or that let it go on, and as often as you like. How many.
pub async fn top_up(
    queue: &Queue,
    connection: &mut PgConnection,
    collection: CollectionUuid,
) -> Result<usize, Error> {
    collections::lock(&mut *connection, collection).await?;
    let weeks = weeks::take_turns(&mut *connection, collection).await?;
    look_after(queue, connection, &weeks).await?;
    Ok(weeks.len())
}

/// Begins all that a request made, in the transaction that made it.
pub async fn begin(
    queue: &Queue,
    connection: &mut PgConnection,
    created: &Created,
) -> Result<(), Error> {
    if let Some(plan_id) = &created.plan_id {
        finish_plan::begin(queue, &mut *connection, plan_id).await?;
    }
    for one in &created.collections {
        top_up(queue, &mut *connection, one.collection).await?;
    }
    Ok(())
}

/// Asks for the jobs of these weeks, at once.
pub async fn look_after(
    queue: &Queue,
    connection: &mut PgConnection,
    weeks: &[WeekId],
) -> Result<(), Error> {
    let looks = |week_id: &WeekId| CollectWeek { week_id: *week_id, given_up: None };
    let jobs = weeks.iter().map(|week| NewJob::of(&looks(week))).collect::<Result<Vec<_>, _>>()?;
    let answers = queue.enqueue(&mut *connection, &jobs).await?;
    // One that waits out a pause after a failure, or for another week, need not any more.
    for (week, _) in
        weeks.iter().zip(answers).filter(|(_, answer)| matches!(answer, Enqueued::Existing(_)))
    {
        let key = looks(week).unique_key().unwrap_or_default();
        queue.hasten(&mut *connection, CollectWeek::KIND, &key).await?;
    }
    Ok(())
}

/// What follows from the end of a week, in the transaction that ended it. `why` says what went wrong.
pub async fn after_week(
    queue: &Queue,
    connection: &mut PgConnection,
    week_id: WeekId,
    outcome: WeekStatus,
    why: Option<&str>,
) -> Result<(), Failure> {
    metrics::week_finished(outcome.as_str());
    let Some(week) = weeks::by_id(&mut *connection, week_id).await? else { return Ok(()) };
    let collection = week.week.collection_id;
    let Some(found) = collections::lock(&mut *connection, collection).await? else {
        return Ok(());
    };
    // One that was collected again in vain kept its rows: nothing is missing, so it is no failure.
    let failures = match (week.week.status, why) {
        (WeekStatus::Failed, why) => {
            let why = why.unwrap_or("no reason was given");
            let why = format!("{}: {why}", week.week.week_start_date);
            let failed = collections::count_failure(&mut *connection, collection, &why).await?;
            Some((failed, why))
        }
        _ => None,
    };
    if finish_if_done(queue, &mut *connection, &found).await? {
        return Ok(());
    }
    if let Some((failed, why)) = failures
        && let Some(reason) = budget::spent(&found, failed, &why)
    {
        return Ok(auto_pause(connection, &found, &reason, None).await?);
    }
    top_up(queue, connection, collection).await?;
    Ok(())
}

/// Ends a collection that has nothing left to do, and asks for its report. Whether it has ended.
pub async fn finish_if_done(
    queue: &Queue,
    connection: &mut PgConnection,
    collection: &Collection,
) -> Result<bool, Error> {
    let Some(status) = collections::finish_if_done(&mut *connection, collection.id).await? else {
        return Ok(false);
    };
    ended(queue, connection, collection.id, status).await?;
    tracing::info!(collection = collection.collection_id, %status, "the collection has ended");
    note(connection, collection, status, ENGINE, None).await?;
    Ok(true)
}

/// What follows when a collection has ended, however it did.
pub async fn ended(
    queue: &Queue,
    connection: &mut PgConnection,
    collection_id: CollectionUuid,
    status: CollectionStatus,
) -> Result<(), Error> {
    let report = NewJob::of(&AggregateReport { collection_id })?;
    queue.enqueue(&mut *connection, &[report]).await?;
    finish_plan::collection_ended(queue, connection, collection_id, status).await
}

/// Writes down where a collection stands now.
async fn note(
    connection: &mut PgConnection,
    collection: &Collection,
    status: CollectionStatus,
    actor: &str,
    reason: Option<&str>,
) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity: "collection",
        entity_id: &collection.collection_id,
        from_status: Some(collection.status.as_str()),
        to_status: Some(status.as_str()),
        actor,
        reason,
        detail: &json!({}),
    };
    events::append(connection, &event).await
}

/// Amazon does not let the week's collection in: nothing further of it begins until this resource is opened.
pub async fn keep_out(
    connection: &mut PgConnection,
    week: WeekId,
    reason: &str,
    opens: &str,
) -> Result<(), Failure> {
    let Some(week) = weeks::by_id(&mut *connection, week).await? else { return Ok(()) };
    let collection = collections::by_id(&mut *connection, week.week.collection_id).await?;
    match collection {
        Some(collection) => Ok(auto_pause(connection, &collection, reason, Some(opens)).await?),
        None => Ok(()),
    }
}

/// A collection is to go on, paused or not, and Amazon does not let it in: from now on the engine keeps it
/// paused, until this resource is opened.
pub async fn wait(
    connection: &mut PgConnection,
    collection: &Collection,
    reason: &str,
    opens: &str,
) -> Result<(), sqlx::Error> {
    collections::resume(&mut *connection, collection.id).await?;
    auto_pause(connection, collection, reason, Some(opens)).await
}

/// Nothing further begins until a person has looked, or until this resource is opened. What AMC has goes on.
async fn auto_pause(
    connection: &mut PgConnection,
    collection: &Collection,
    reason: &str,
    paused_for: Option<&str>,
) -> Result<(), sqlx::Error> {
    let pause = Pause { reason, by: ENGINE, auto: true, paused_for, resume_at: None };
    if !collections::pause(&mut *connection, collection.id, &pause).await? {
        return Ok(());
    }
    metrics::collection_auto_paused();
    tracing::error!(collection = collection.collection_id, reason, "the collection is paused");
    note(connection, collection, CollectionStatus::Paused, ENGINE, Some(reason)).await
}

/// Pauses the collections of these users, whose credentials are refused, until they are good again. What is
/// under way waits.
pub async fn refused(
    connection: &mut PgConnection,
    users: &[UserId],
    reason: &str,
) -> Result<(), sqlx::Error> {
    for (id, status) in collections::pause_refused(&mut *connection, users, reason, ENGINE).await? {
        metrics::collection_auto_paused();
        if let Some(found) = collections::by_id(&mut *connection, id).await? {
            let was = Collection { status, ..found };
            let paused = CollectionStatus::Paused;
            note(&mut *connection, &was, paused, ENGINE, Some(reason)).await?;
        }
    }
    Ok(())
}

/// Lets the collections go on that waited for this resource. How many.
pub async fn opened(
    queue: &Queue,
    connection: &mut PgConnection,
    resource: &str,
) -> Result<usize, Error> {
    let waiting = collections::lock_waiting_for(&mut *connection, resource).await?;
    for id in &waiting {
        let Some(found) = collections::by_id(&mut *connection, *id).await? else { continue };
        collections::resume(&mut *connection, *id).await?;
        let reason = "what it waited for is open again";
        let running = CollectionStatus::Running;
        note(&mut *connection, &found, running, ENGINE, Some(reason)).await?;
        top_up(queue, &mut *connection, *id).await?;
    }
    Ok(waiting.len())
}

/// The weeks that are to be collected, or whose executions are to be stopped, and that no job works on.
/// There should be none: this is the net under all that may go wrong.
pub async fn forgotten(connection: &mut PgConnection) -> Result<Vec<WeekId>, sqlx::Error> {
    sqlx::query_scalar(
        "-- forgotten_weeks
        with week as (
            select week.id, week.workflow_execution_id, week_start_date
            from report_data_weeks as week
            join report_data_collections as collection on collection.id = week.collection_id
            where week.status in ('pending', 'running')
              and week.queued_at is not null
              and collection.status in ('pending', 'running', 'paused')
            union
            select week.id, execution.id, week_start_date
            from workflow_executions as execution
            join report_data_weeks as week on week.id = execution.week_id
            where execution.cancel_requested_at is not null
              and execution.status in
                  ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching')
        )
        select id
        from week
        where not exists (
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
        order by week_start_date, id
        limit 10000",
    )
    .fetch_all(connection)
    .await
}
