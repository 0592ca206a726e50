//! What an execution is: its row, how it is queued, and all that working on it takes.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};

use crate::store::collections::CollectionStatus;
use crate::store::ids::{
    BatchMemberId, CollectionUuid, ExecutionUuid, InstanceUuid, ScheduleRunUuid, UserId, VersionId,
    WeekId, WorkflowUuid,
};
use crate::store::instances::InstanceStatus;
use crate::store::words::{Region, Sha256, words};

words! {
    /// Where an execution stands.
    ExecutionStatus as "execution_status" {
        /// Not yet sent.
        Queued = "queued",
        /// The intent is written down; the request may be on the wire.
        Submitting = "submitting",
        /// Nobody knows whether AMC took it; never sent again before that is known.
        SubmitUnknown = "submit_unknown",
        /// AMC has it, and it waits there.
        Pending = "pending",
        /// AMC runs it.
        Running = "running",
        /// AMC has finished; the results are not stored yet.
        Fetching = "fetching",
        /// The results are stored.
        Succeeded = "succeeded",
        /// AMC or we could not do it.
        Failed = "failed",
        /// AMC refused it after it had taken it.
        Rejected = "rejected",
        /// Stopped by a person, here or at AMC.
        Cancelled = "cancelled",
        /// Past its deadline.
        TimedOut = "timed_out",
    }
}

impl ExecutionStatus {
    /// Whether nothing more will happen to the execution.
    pub fn is_terminal(self) -> bool {
        self >= Self::Succeeded
    }
}

words! {
    /// What asked for an execution.
    Origin as "execution_origin" {
        /// A person.
        Manual = "manual",
        /// A schedule's run.
        Schedule = "schedule",
        /// A week of a collection.
        Collection = "collection",
        /// One instance of a batch.
        Batch = "batch",
        /// A program.
        Api = "api",
    }
}

words! {
    /// How the query reaches AMC.
    SubmitMode as "submit_mode" {
        /// It travels with the request.
        Inline = "inline",
        /// The request names the copy that AMC keeps.
        Saved = "saved",
    }
}

/// An execution with all that submitting, polling and fetching it takes.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Execution {
    /// Names the execution here.
    pub id: ExecutionUuid,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// What asked for it.
    pub origin: Origin,
    /// The how-manieth execution for the same purpose it is.
    pub attempt: i32,
    /// In whose name it runs.
    pub user_id: UserId,

    /// Where it runs: our id.
    pub instance_id: InstanceUuid,
    /// Where it runs: AMC's id.
    pub amc_instance_id: String,
    /// Where that instance's API answers, when not at the region's host.
    pub endpoint_url: Option<String>,
    /// Whether work on the instance may start.
    pub instance_status: InstanceStatus,
    /// Why not, when it is blocked.
    pub block_reason: Option<String>,
    /// The user whose account owns the instance; another one's token may not reach it.
    pub account_user_id: UserId,
    /// Amazon's id of the account.
    pub entity_id: String,
    /// Amazon's id of the marketplace.
    pub marketplace_id: String,
    /// Which of Amazon's hosts answer.
    pub region: Region,

    /// The workflow it runs: our id.
    pub workflow_id: WorkflowUuid,
    /// The name of the copy that AMC keeps of its version, when there is one.
    pub amc_workflow_id: Option<String>,
    /// The version it runs.
    pub workflow_version_id: VersionId,
    /// The query.
    pub sql_query: String,
    /// The parameters the query declares.
    pub input_parameters: Value,
    /// Over the query and the declared parameters.
    pub version_sha256: Sha256,
    /// The values of the parameters.
    pub parameters: Value,
    /// How the query reaches AMC.
    pub submit_mode: SubmitMode,
    /// Where the window begins, on the clock of `window_tz`.
    pub window_start: NaiveDateTime,
    /// Where the window ends, exclusive, on the clock of `window_tz`.
    pub window_end: NaiveDateTime,
    /// The IANA zone of the window.
    pub window_tz: String,

    /// What we called it in the last request.
    pub client_ref: Option<String>,
    /// The body of the last request, as sent.
    pub request_body: Option<Value>,
    /// Over what makes the request this one and no other.
    pub request_fingerprint: Option<Sha256>,
    /// When the last intent was written down.
    pub submit_started_at: Option<DateTime<Utc>>,
    /// When we learned that AMC had taken it.
    pub submitted_at: Option<DateTime<Utc>>,
    /// AMC's id of it.
    pub amc_execution_id: Option<String>,
    /// AMC's own word for where it stands.
    pub amc_status: Option<String>,
    /// What AMC said about it.
    pub amc_status_reason: Option<String>,
    /// When AMC took it, by AMC's clock.
    pub amc_created_at: Option<DateTime<Utc>>,
    /// When AMC was last asked about it.
    pub last_polled_at: Option<DateTime<Utc>>,
    /// After this it is given up.
    pub deadline_at: Option<DateTime<Utc>>,
    /// Whether the deadline has passed, by the store's clock.
    pub is_overdue: bool,
    /// When somebody asked for it to be stopped.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What kind of trouble ended it.
    pub error_class: Option<String>,
    /// The code that came with the trouble.
    pub error_code: Option<String>,
    /// What the trouble was.
    pub error_message: Option<String>,

    /// The week it collects.
    pub week_id: Option<WeekId>,
    /// That week's first day.
    pub week_start_date: Option<NaiveDate>,
    /// The first day after that week.
    pub week_end_date: Option<NaiveDate>,
    /// That week's collection.
    pub collection_id: Option<CollectionUuid>,
    /// Where that collection stands.
    pub collection_status: Option<CollectionStatus>,
    /// The run of a schedule it belongs to.
    pub schedule_run_id: Option<ScheduleRunUuid>,
    /// The member of a batch it belongs to.
    pub batch_member_id: Option<BatchMemberId>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
}

/// An execution to be queued.
#[derive(Debug, Clone, Copy)]
pub struct NewExecution<'a> {
    /// What it runs.
    pub workflow_version_id: VersionId,
    /// Where it runs.
    pub instance_id: InstanceUuid,
    /// In whose name it runs.
    pub user_id: UserId,
    /// What asked for it.
    pub origin: Origin,
    /// The week it collects; given exactly when a collection asked.
    pub week_id: Option<WeekId>,
    /// The run it belongs to; given exactly when a schedule asked.
    pub schedule_run_id: Option<ScheduleRunUuid>,
    /// The member it belongs to; given exactly when a batch asked.
    pub batch_member_id: Option<BatchMemberId>,
    /// The how-manieth execution for the same purpose it is, from 1.
    pub attempt: i32,
    /// The values of the parameters, a JSON object.
    pub parameters: &'a Value,
    /// Where the window begins, on the clock of `window_tz`.
    pub window_start: NaiveDateTime,
    /// Where the window ends, exclusive, on the clock of `window_tz`.
    pub window_end: NaiveDateTime,
    /// The IANA zone of the window.
    pub window_tz: &'a str,
}

/// Queues an execution, with what its instance and account are called at Amazon today.
///
/// `RowNotFound` when there is no such instance or version. A week that has an execution under way, or has had
/// this attempt, is a unique violation.
pub async fn insert_queued(
    db: impl PgExecutor<'_>,
    execution: &NewExecution<'_>,
) -> Result<ExecutionUuid, sqlx::Error> {
    sqlx::query_scalar(
        r"-- executions_insert_queued
        insert into workflow_executions
            (id, workflow_version_id, instance_id, user_id, origin, week_id, schedule_run_id, attempt,
             submit_mode, parameters, window_start, window_end, window_tz,
             batch_member_id, amc_instance_id, entity_id, marketplace_id, region)
        select $1, version.id, instance.id, $4, $5, $6, $7, $8,
            version.submit_mode, $9, $10, $11, $12, $13,
            instance.instance_id, account.account_id, account.marketplace_id, account.region
        from amc_instances instance
        join amc_accounts account on account.id = instance.account_id
        join workflow_versions version on version.id = $2
        where instance.id = $3
        returning id",
    )
    .bind(ExecutionUuid::fresh())
    .bind(execution.workflow_version_id)
    .bind(execution.instance_id)
    .bind(execution.user_id)
    .bind(execution.origin)
    .bind(execution.week_id)
    .bind(execution.schedule_run_id)
    .bind(execution.attempt)
    .bind(execution.parameters)
    .bind(execution.window_start)
    .bind(execution.window_end)
    .bind(execution.window_tz)
    .bind(execution.batch_member_id)
    .fetch_one(db)
    .await
}

/// The execution with this id, and all that working on it takes.
pub async fn by_id(
    db: impl PgExecutor<'_>,
    execution: ExecutionUuid,
) -> Result<Option<Execution>, sqlx::Error> {
    sqlx::query_as(
        r"-- executions_by_id
        select execution.id, execution.status, origin, attempt, execution.user_id,
            execution.instance_id, amc_instance_id, endpoint_url, instance.status as instance_status,
            block_reason, account.user_id as account_user_id, entity_id, execution.marketplace_id, execution.region,
            version.workflow_id, copy.amc_workflow_id, execution.workflow_version_id, sql_query,
            input_parameters, version.sha256 as version_sha256, execution.parameters, execution.submit_mode, window_start, window_end, window_tz,
            client_ref, request_body, request_fingerprint, submit_started_at, submitted_at,
            amc_execution_id, amc_status, amc_status_reason, amc_created_at, last_polled_at, deadline_at,
            coalesce(deadline_at < (select engine.now()), false) as is_overdue,
            cancel_requested_at, execution.finished_at, error_class, error_code, execution.error_message,
            week_id, week_start_date, week_end_date, week.collection_id,
            collection.status as collection_status, schedule_run_id, batch_member_id,
            execution.created_at
        from workflow_executions execution
        join amc_instances instance on instance.id = execution.instance_id
        join amc_accounts account on account.id = instance.account_id
        join workflow_versions version on version.id = execution.workflow_version_id
        left join saved_copies copy on copy.workflow_version_id = version.id
            and copy.instance_id = execution.instance_id
            and copy.status = 'synced'
        left join report_data_weeks week on week.id = week_id
        left join report_data_collections collection on collection.id = week.collection_id
        where execution.id = $1",
    )
    .bind(execution)
    .fetch_optional(db)
    .await
}

/// The week's execution that has not ended; there is at most one.
pub async fn open_of_week(
    db: impl PgExecutor<'_>,
    week: WeekId,
) -> Result<Option<ExecutionUuid>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- executions_open_of_week
        select id
        from workflow_executions
        where week_id = $1
          and status in
              ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching')",
    )
    .bind(week)
    .fetch_optional(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{AMC_INSTANCE, House, MONDAY};
    use crate::store::instances;

    #[tokio::test]
    async fn an_execution_carries_all_that_working_on_it_takes() {
        let house = House::new().await;
        let (collection, week_ids) = house.collection("col_1", 1).await;
        let id = house.queued(week_ids[0]).await;
        let execution = house.execution(id).await;
        assert_eq!((execution.status, execution.is_overdue), (ExecutionStatus::Queued, false));
        assert_eq!(execution.amc_instance_id, AMC_INSTANCE);
        assert_eq!(execution.endpoint_url.as_deref(), Some("http://127.0.0.1:8099"));
        assert_eq!(execution.entity_id, "ENTITY2NQX8M1");
        assert_eq!(execution.marketplace_id, "ATVPDKIKX0DER");
        assert_eq!((execution.region, execution.user_id), (Region::Na, house.user));
        assert_eq!(execution.account_user_id, house.user);
        assert_eq!(
            (execution.sql_query.as_str(), execution.workflow_id),
            ("select 1", house.workflow)
        );
        assert_eq!(
            (execution.week_id, execution.collection_id),
            (Some(week_ids[0]), Some(collection))
        );
        assert_eq!(execution.week_start_date, Some(MONDAY));
    }

    #[tokio::test]
    async fn a_block_shows_in_executions_that_were_queued_before() {
        let house = House::new().await;
        let id = house.manual().await;
        instances::block(house.db(), house.instance, "terms").await.unwrap();
        let execution = house.execution(id).await;
        assert_eq!(execution.instance_status, InstanceStatus::Blocked);
        assert_eq!(execution.block_reason.as_deref(), Some("terms"));
    }

    #[tokio::test]
    async fn a_week_never_has_two_executions_under_way() {
        let house = House::new().await;
        let (_, week_ids) = house.collection("col_1", 1).await;
        house.queued(week_ids[0]).await;
        let second = house.new_execution(week_ids[0], 2);
        let error = insert_queued(house.db(), &second).await.unwrap_err();
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some("workflow_executions_one_per_week"));
    }

    #[tokio::test]
    async fn an_execution_needs_an_instance() {
        let house = House::new().await;
        let execution = NewExecution {
            origin: Origin::Manual,
            week_id: None,
            instance_id: InstanceUuid::fresh(),
            ..house.new_execution(WeekId::fresh(), 1)
        };
        let error = insert_queued(house.db(), &execution).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::RowNotFound), "{error}");
        assert_eq!(by_id(house.db(), ExecutionUuid::fresh()).await.unwrap(), None);
    }

    #[test]
    fn the_last_five_words_are_final() {
        let is_final: Vec<_> = ExecutionStatus::ALL.iter().map(|word| word.is_terminal()).collect();
        assert_eq!(is_final, [vec![false; 6], vec![true; 5]].concat());
    }
}
