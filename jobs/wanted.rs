//! Who wants what a job does, and would have it begun again were it cancelled.
//!
//! No job itself: people cancel jobs, and this says what they mean to cancel instead.

use super::collect_week::CollectWeek;
use super::fetch_result::FetchResult;
use super::poll_status::PollStatus;
use super::run_batch_member::RunBatchMember;
use super::run_schedule::RunSchedule;
use super::submit_execution::SubmitExecution;
use crate::queue::Job;
use sqlx::PgConnection;

/// The kinds of jobs that a week, a run of a schedule or a member of a batch has done until it has ended.
const KINDS: [&str; 6] = [
    CollectWeek::KIND,
    RunSchedule::KIND,
    RunBatchMember::KIND,
    SubmitExecution::KIND,
    PollStatus::KIND,
    FetchResult::KIND,
];

/// Why no job of this kind is cancelled by itself, and what to do instead.
pub fn refusal_of_kind(kind: &str) -> Option<String> {
    KINDS.contains(&kind).then(|| {
        format!(
            "a {kind} job that is cancelled is begun again for the week, run or member that wants it: call that \
             off with `recomamp collections cancel`, `recomamp schedules cancel` or `recomamp batches cancel`"
        )
    })
}

/// Why a job is not cancelled by itself that this command calls off.
pub fn refusal(job_id: i64, command: &str) -> String {
    format!("job {job_id} would be begun again by whoever wants what it does: run `{command}`")
}

/// Of these unfinished jobs, those that somebody wants: each with the command that calls that off.
pub async fn by(
    connection: &mut PgConnection,
    job_ids: &[i64],
) -> Result<Vec<(i64, String)>, sqlx::Error> {
    sqlx::query_as(
        r"-- jobs_wanted_by
        select job.id, 'recomamp ' || coalesce(
            'collections cancel ' || collection.collection_id || ' --why …',
            'schedules cancel ' || schedule.schedule_id,
            'batches cancel ' || batch.batch_id || ' --why …'
        )
        from (
            select id, kind, (
                -- One that cannot be read is nobody's.
                regexp_match(
                    coalesce(args ->> 'execution_id', args ->> 'week_id', args ->> 'run_id', args ->> 'member_id'),
                    '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                )
            )[1]::uuid as wants
            from engine.jobs
            where id = any($1)
              and kind = any($2)
        ) as job
        left join workflow_executions as execution
            on job.kind in ('submit_execution', 'poll_status', 'fetch_result')
            and execution.id = wants
        left join report_data_weeks as week
            on week.id = coalesce(execution.week_id, case job.kind when 'collect_week' then wants end)
            and week.status in ('pending', 'running', 'blocked')
        left join report_data_collections as collection
            on collection.id = week.collection_id
            and collection.status in ('pending', 'running', 'paused')
        left join schedule_runs as run
            on run.id = coalesce(execution.schedule_run_id, case job.kind when 'run_schedule' then wants end)
            and run.status in ('pending', 'running')
        left join workflow_schedules as schedule on schedule.id = run.schedule_id
        left join batch_members as member
            on member.id = coalesce(execution.batch_member_id, case job.kind when 'run_batch_member' then wants end)
        left join batch_executions as batch
            on batch.id = member.batch_id
            and batch.status in ('pending', 'running', 'paused')
        where coalesce(collection.id, schedule.id, batch.id) is not null
        order by job.id",
    )
    .bind(job_ids)
    .bind(KINDS.as_slice())
    .fetch_all(connection)
    .await
}
