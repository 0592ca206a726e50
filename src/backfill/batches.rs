//! Where a batch stands, as programs and people are told.

use crate::store::batches::{self, Batch, Member};
use crate::store::collections::CollectionStatus;
use crate::store::weeks::WeekStatus;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;

/// Where a batch stands. The names of its fields are a promise to programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchStatus {
    /// Names it.
    pub batch_id: String,
    /// What it is called on a page.
    pub name: String,
    /// Where it stands.
    pub status: CollectionStatus,
    /// What it runs.
    pub workflow: String,
    /// The first day of its window.
    pub start: NaiveDate,
    /// The first day after it.
    pub end: NaiveDate,
    /// The IANA zone in which its days begin.
    pub timezone: String,
    /// The values of the workflow's parameters that all members share.
    pub parameters: Value,
    /// Members.
    pub total: usize,
    /// Members whose rows are stored.
    pub succeeded: usize,
    /// Members that were given up.
    pub failed: usize,
    /// Who asked for it.
    pub asked_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its first member began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last member ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its members, by instance.
    pub members: Vec<MemberLine>,
}

/// Where one member of it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberLine {
    /// Where it runs: AMC's id of the instance.
    pub instance: String,
    /// The values of the workflow's parameters.
    pub parameters: Value,
    /// Where it stands.
    pub status: WeekStatus,
    /// How many executions it has had since it was asked for, or last retried.
    pub attempts: i32,
    /// Rows in its result.
    pub row_count: Option<i64>,
    /// Why it failed, was cancelled or is blocked.
    pub error: Option<String>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
}

/// Where the batch with this public id stands; none when there is none.
pub async fn of(
    connection: &mut PgConnection,
    batch_id: &str,
) -> Result<Option<BatchStatus>, sqlx::Error> {
    let Some(batch) = batches::by_batch_id(&mut *connection, batch_id).await? else {
        return Ok(None);
    };
    let members = batches::members(connection, batch.id).await?;
    Ok(Some(told(batch, members)))
}

/// The newest batches, at most `limit`, the newest first.
pub async fn newest(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<BatchStatus>, sqlx::Error> {
    let mut told_of = Vec::new();
    for batch in batches::list(&mut *connection, limit).await? {
        let members = batches::members(&mut *connection, batch.id).await?;
        told_of.push(told(batch, members));
    }
    Ok(told_of)
}

fn told(batch: Batch, members: Vec<Member>) -> BatchStatus {
    let count = |status| members.iter().filter(|member| member.status == status).count();
    BatchStatus {
        batch_id: batch.batch_id,
        name: batch.name,
        status: batch.status,
        workflow: batch.workflow_id,
        start: batch.window_start,
        end: batch.window_end,
        timezone: batch.window_tz,
        parameters: batch.parameters,
        total: members.len(),
        succeeded: count(WeekStatus::Succeeded),
        failed: count(WeekStatus::Failed),
        asked_by: batch.asked_by,
        created_at: batch.created_at,
        started_at: batch.started_at,
        finished_at: batch.finished_at,
        members: members.into_iter().map(line).collect(),
    }
}

fn line(member: Member) -> MemberLine {
    MemberLine {
        instance: member.instance_id,
        parameters: member.parameters,
        status: member.status,
        attempts: member.attempts,
        row_count: member.row_count,
        error: member.error_message,
        completed_at: member.completed_at,
    }
}
