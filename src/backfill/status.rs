//! Where a backfill stands, as programs and people are told.

use super::progress::{Progress, Timing, WeekCounts};
use crate::store::CollectionUuid;
use crate::store::collections::{self, Collection, CollectionStatus, FeedOrder};
use crate::store::credentials;
use crate::store::instances::{self, InstanceStatus};
use crate::store::weeks::{self, Filter, WeekStatus};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;

/// Where a backfill stands. The names of its fields are a promise to programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Names it.
    pub collection_id: String,
    /// What it is called on a page.
    pub name: String,
    /// Where it stands.
    pub status: CollectionStatus,
    /// What it runs.
    pub workflow: String,
    /// Where it runs: AMC's id of the instance.
    pub instance: String,
    /// In whose name it runs.
    pub user: String,
    /// The first day it covers.
    pub start: NaiveDate,
    /// The first day after those it covers.
    pub end: NaiveDate,
    /// The IANA zone in which its days begin.
    pub timezone: String,
    /// How many days ago a week had to have ended.
    pub lag_days: i32,
    /// The first day of its weeks: 1 is Monday, 7 is Sunday.
    pub week_starts_on: i16,
    /// The values of the workflow's parameters.
    pub parameters: Value,
    /// How far it is.
    pub progress: Progress,
    /// Executions that AMC has, or may have, and has not finished.
    pub open_executions: i64,
    /// Rows of all weeks together.
    pub row_count: i64,
    /// In which order its weeks have their turn.
    pub feed_order: FeedOrder,
    /// Why it is paused, and what to do about it.
    pub pause_reason: Option<String>,
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// Whether the engine paused it by itself.
    pub auto_paused: bool,
    /// When it goes on by itself.
    pub resume_at: Option<DateTime<Utc>>,
    /// Why it does not go on, though it is not paused, and what to do about it: Amazon, or a gate, keeps it out.
    pub kept_out: Option<String>,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its first week began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last week ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Where one week of it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeekLine {
    /// The first day.
    pub start: NaiveDate,
    /// The first day after it.
    pub end: NaiveDate,
    /// Where it stands.
    pub status: WeekStatus,
    /// How many executions it has had.
    pub attempts: i32,
    /// Rows in its result.
    pub row_count: Option<i64>,
    /// Raised each time its rows are stored anew.
    pub data_version: i32,
    /// When it was last collected again, whether AMC had restated its data or not.
    pub last_checked_at: Option<DateTime<Utc>>,
    /// Why it failed, was skipped or is blocked.
    pub error: Option<String>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
}

/// A backfill and its weeks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detailed {
    /// Where it stands.
    #[serde(flatten)]
    pub status: Status,
    /// Its weeks, the earliest first.
    pub weeks: Vec<WeekLine>,
}

/// Where the backfill with this public id stands; none when there is none.
pub async fn of(
    connection: &mut PgConnection,
    collection_id: &str,
) -> Result<Option<Status>, sqlx::Error> {
    match collections::by_collection_id(&mut *connection, collection_id).await? {
        Some(collection) => told(connection, collection).await,
        None => Ok(None),
    }
}

/// The same, with every week.
pub async fn detailed(
    connection: &mut PgConnection,
    collection_id: &str,
) -> Result<Option<Detailed>, sqlx::Error> {
    let collection = collections::by_collection_id(&mut *connection, collection_id).await?;
    let Some(collection) = collection else { return Ok(None) };
    let id = collection.id;
    let Some(status) = told(&mut *connection, collection).await? else { return Ok(None) };
    let weeks = weeks::list(connection, id, &Filter::default()).await?;
    let weeks = weeks.into_iter().map(|week| WeekLine {
        start: week.week_start_date,
        end: week.week_end_date,
        status: week.status,
        attempts: week.attempts,
        row_count: week.row_count,
        data_version: week.data_version,
        last_checked_at: week.last_checked_at,
        error: week.error_message,
        completed_at: week.completed_at,
    });
    Ok(Some(Detailed { status, weeks: weeks.collect() }))
}

/// The newest backfills, at most `limit`, the newest first.
pub async fn newest(connection: &mut PgConnection, limit: i64) -> Result<Vec<Status>, sqlx::Error> {
    let mut told_of = Vec::new();
    for collection in collections::list(&mut *connection, limit).await? {
        told_of.extend(told(&mut *connection, collection).await?);
    }
    Ok(told_of)
}

async fn told(
    connection: &mut PgConnection,
    collection: Collection,
) -> Result<Option<Status>, sqlx::Error> {
    let names = collections::names(&mut *connection, collection.id).await?;
    let counted = collections::progress(&mut *connection, collection.id).await?;
    let (Some(names), Some(counted)) = (names, counted) else { return Ok(None) };
    let kept_out = match counted.status {
        CollectionStatus::Pending | CollectionStatus::Running => {
            kept_out(connection, &collection, &names.email).await?
        }
        _ => None,
    };
    Ok(Some(Status {
        collection_id: collection.collection_id,
        name: collection.name,
        // Read with the counts, so that a backfill is never done with weeks left to do.
        status: counted.status,
        workflow: names.workflow_id,
        instance: names.instance_id,
        user: names.email,
        start: collection.period_start,
        end: collection.period_end,
        timezone: collection.timezone,
        lag_days: collection.lag_days,
        week_starts_on: collection.week_starts_on,
        parameters: collection.parameters,
        progress: progress(&counted),
        open_executions: counted.open_executions,
        row_count: counted.row_count,
        feed_order: collection.feed_order,
        pause_reason: collection.pause_reason,
        paused_at: collection.paused_at,
        paused_by: collection.paused_by,
        auto_paused: collection.auto_paused,
        resume_at: collection.resume_at,
        kept_out,
        last_error: collection.last_error,
        created_at: collection.created_at,
        started_at: counted.started_at,
        finished_at: counted.finished_at,
    }))
}

async fn kept_out(
    connection: &mut PgConnection,
    collection: &Collection,
    email: &str,
) -> Result<Option<String>, sqlx::Error> {
    let instance = instances::by_id(&mut *connection, collection.instance_id).await?;
    if let Some(instance) = instance.filter(|one| one.status == InstanceStatus::Blocked) {
        let (id, remedy) = (&instance.instance_id, instance.remedy());
        let reason = instance.block_reason.as_deref().unwrap_or_default();
        return Ok(Some(format!("Amazon does not let us in to {id} ({reason}): {remedy}")));
    }
    let token = credentials::access_token(&mut *connection, collection.user_id).await?;
    if let Some((state, said)) = token.and_then(|token| Some((token.state, token.error?))) {
        let remedy = state.remedy(email);
        return Ok(Some(format!("Amazon refused the grant of {email} ({said}): {remedy}")));
    }
    let shut_by = shut_by(connection, collection.id).await?;
    Ok(shut_by.map(|(resource, gate)| {
        let what = match gate.as_str() {
            "breaker" => format!("the breaker of {resource} is open"),
            "quota" => format!("the daily quota of {resource} is used up"),
            _ => format!("{resource} is paused"),
        };
        format!("{what}: look at `recomamp gates show {resource}`")
    }))
}

/// A resource that keeps jobs of a collection's executions from starting for longer than a place takes to be
/// free, and which of its gates does: paused, breaker or quota.
async fn shut_by(
    connection: &mut PgConnection,
    collection: CollectionUuid,
) -> Result<Option<(String, String)>, sqlx::Error> {
    sqlx::query_as(
        "-- backfill_shut_by
        select lane.shut_by, lane.shut_gate
        from report_data_weeks week
        join workflow_executions execution on execution.week_id = week.id
        join engine.jobs job on job.unique_key in (
            'submit_execution:' || execution.id,
            'poll_status:' || execution.id,
            'fetch_result:' || execution.id
        )
        join engine.lanes lane on lane.id = job.lane
        where week.collection_id = $1
          and week.status = 'running'
          and execution.status in ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching')
          and job.state = 'waiting'
          and lane.shut_gate in ('paused', 'breaker', 'quota')
        order by lane.shut_gate desc, lane.shut_by
        limit 1",
    )
    .bind(collection)
    .fetch_optional(connection)
    .await
}

/// The counts as progress, paced by the time since it began or last went on. One that is paused has no pace.
pub(super) fn progress(counted: &collections::Progress) -> Progress {
    // Of the weeks that have begun most may wait for a place at AMC, and are not open there.
    let open = counted.open_executions.min(counted.running);
    let counts = WeekCounts {
        pending: count(counted.pending + counted.running - open),
        running: count(open),
        succeeded: count(counted.succeeded),
        failed: count(counted.failed),
        skipped: count(counted.skipped),
        blocked: count(counted.blocked),
        cancelled: count(counted.cancelled),
    };
    let until = counted.finished_at.unwrap_or(counted.now);
    let elapsed = counted.paced_from.and_then(|began| (until - began).to_std().ok());
    let settled_before = count(counted.settled_before);
    let timing = Timing { elapsed: elapsed.unwrap_or_default(), settled_before };
    let told = Progress::new(&counts, count(counted.retries), timing);
    let paused = counted.status == CollectionStatus::Paused;
    Progress { eta_seconds: told.eta_seconds.filter(|_| !paused), ..told }
}

pub(super) fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(status: CollectionStatus) -> collections::Progress {
        let time = DateTime::UNIX_EPOCH;
        collections::Progress {
            status,
            pending: 0,
            running: 40,
            succeeded: 12,
            failed: 0,
            skipped: 0,
            blocked: 0,
            cancelled: 0,
            open_executions: 10,
            retries: 0,
            row_count: 144,
            first_completed_at: None,
            last_completed_at: None,
            settled_before: 0,
            paced_from: Some(time),
            started_at: Some(time),
            finished_at: None,
            now: time + chrono::TimeDelta::seconds(12),
        }
    }

    #[test]
    fn a_week_that_waits_for_a_place_at_amc_is_not_open() {
        let told = progress(&counted(CollectionStatus::Running)).to_string();
        assert_eq!(told, "12 of 52 weeks done · 10 open · about 40 s left");
    }

    #[test]
    fn the_pace_is_that_since_it_last_went_on_and_a_paused_one_has_none() {
        let running = counted(CollectionStatus::Running);
        let went_on = collections::Progress { settled_before: 10, ..running };
        assert_eq!(progress(&went_on).eta_seconds, Some(240));
        assert_eq!(progress(&counted(CollectionStatus::Paused)).eta_seconds, None);
    }
}
