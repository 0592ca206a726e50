//! A small installation for the store's own tests: a user, an instance and a workflow.

use chrono::{Days, NaiveDate};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::pin::pin;
use std::time::Duration;

use super::collections::{self, CollectionGrain, CollectionKind, NewCollection, NewWeek};
use super::executions::{self, Execution, ExecutionStatus, NewExecution, Origin, SubmitMode};
use super::ids::{
    CollectionUuid, ExecutionUuid, InstanceUuid, UserId, VersionId, WeekId, WorkflowUuid,
};
use super::results::{self, NewResult};
use super::submits::{self, Accepted, Intent};
use super::weeks::{self, WeekResult, WeekStatus};
use super::words::Region;
use super::{accounts, instances, users, versions, workflows};
use crate::harness::database::TestDatabase;

/// The first day of the first week of every collection here, a Monday.
pub const MONDAY: NaiveDate = NaiveDate::from_ymd_opt(2025, 1, 6).expect("a day of the calendar");

/// AMC's id of the instance.
pub const AMC_INSTANCE: &str = "amcibersblt";

/// A database with one of everything that a collection needs.
pub struct House {
    pub database: TestDatabase,
    pub user: UserId,
    pub instance: InstanceUuid,
    pub workflow: WorkflowUuid,
    pub version: VersionId,
    parameters: Value,
}

impl House {
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        let db = database.pool();
        let user = users::insert(db, "ana@shelf.example", "Ana", None).await.unwrap();
        let account = accounts::NewAccount {
            account_id: "ENTITY2NQX8M1",
            account_name: "Shelf",
            marketplace_id: "ATVPDKIKX0DER",
            region: Region::Na,
            user_id: user,
        };
        let account_id = accounts::insert(db, &account).await.unwrap();
        let instance = instances::NewInstance {
            instance_id: AMC_INSTANCE,
            instance_name: "Iber",
            account_id,
            endpoint_url: Some("http://127.0.0.1:8099"),
        };
        let instance = instances::insert(db, &instance).await.unwrap();
        let workflow = workflows::NewWorkflow {
            workflow_id: "wf_campaigns",
            name: "Campaigns",
            instance_id: instance,
            user_id: user,
        };
        let workflow = workflows::insert(db, &workflow).await.unwrap();
        let version =
            versions::add(db, workflow, "select 1", &json!([]), SubmitMode::Inline).await.unwrap();
        Self { database, user, instance, workflow, version, parameters: json!({}) }
    }

    pub fn db(&self) -> &PgPool {
        self.database.pool()
    }

    /// A collection of so many weeks. Two that begin with the same week ask the same question.
    pub async fn collection(&self, public_id: &str, weeks: u8) -> (CollectionUuid, Vec<WeekId>) {
        let weeks: Vec<_> = (0..weeks)
            .map(|n| NewWeek {
                start: MONDAY + Days::new(7 * u64::from(n)),
                end: MONDAY + Days::new(7 * u64::from(n) + 7),
                slice_key: [n; 32],
            })
            .collect();
        let collection = NewCollection {
            collection_id: public_id,
            name: "Campaigns",
            workflow_version_id: self.version,
            instance_id: self.instance,
            user_id: self.user,
            kind: CollectionKind::Backfill,
            grain: CollectionGrain::Week,
            timezone: "UTC",
            lag_days: 14,
            week_starts_on: 1,
            parameters: &json!({}),
            max_attempts_per_week: 5,
            rules: collections::Rules::default(),
        };
        collections::insert(self.db(), &collection, &weeks).await.unwrap()
    }

    /// What queues the next execution of a week.
    pub fn new_execution(&self, week: WeekId, attempt: i32) -> NewExecution<'_> {
        NewExecution {
            workflow_version_id: self.version,
            instance_id: self.instance,
            user_id: self.user,
            origin: Origin::Collection,
            week_id: Some(week),
            schedule_run_id: None,
            batch_member_id: None,
            attempt,
            parameters: &self.parameters,
            window_start: MONDAY.into(),
            window_end: (MONDAY + Days::new(7)).into(),
            window_tz: "UTC",
        }
    }

    /// The first execution of a week, which is started for it.
    pub async fn queued(&self, week: WeekId) -> ExecutionUuid {
        assert!(weeks::start(self.db(), week).await.unwrap());
        let execution =
            executions::insert_queued(self.db(), &self.new_execution(week, 1)).await.unwrap();
        assert!(weeks::set_current_execution(self.db(), week, execution).await.unwrap());
        execution
    }

    /// An execution that nobody's week waits for.
    pub async fn manual(&self) -> ExecutionUuid {
        let week = WeekId::fresh();
        let execution =
            NewExecution { origin: Origin::Manual, week_id: None, ..self.new_execution(week, 1) };
        executions::insert_queued(self.db(), &execution).await.unwrap()
    }

    /// When the execution was last sent.
    pub async fn sent_at(&self, execution: ExecutionUuid) -> chrono::DateTime<chrono::Utc> {
        self.execution(execution).await.submit_started_at.expect("it was sent")
    }

    pub async fn begin(&self, execution: ExecutionUuid) {
        let client_ref = format!("{execution}-1");
        assert!(
            submits::begin(self.db(), execution, &intent(&client_ref)).await.unwrap().is_some()
        );
    }

    pub async fn accept(&self, execution: ExecutionUuid) {
        let amc_id = format!("amc-{execution}");
        assert!(submits::accepted(self.db(), execution, &accepted(&amc_id)).await.unwrap());
    }

    /// Brings a queued execution to AMC.
    pub async fn submit(&self, execution: ExecutionUuid) {
        self.begin(execution).await;
        self.accept(execution).await;
    }

    /// Brings an execution that AMC has to its end, its result stored.
    pub async fn finish(&self, execution: ExecutionUuid) {
        let db = self.db();
        let hour = Duration::from_hours(1);
        assert!(executions::to_fetching(db, execution, "SUCCEEDED", hour).await.unwrap());
        assert!(results::insert(db, &result(execution, &json!([]))).await.unwrap());
        assert!(executions::succeed(db, execution).await.unwrap());
    }

    /// A week from its start to its success.
    pub async fn collect(&self, week: WeekId) {
        let execution = self.queued(week).await;
        self.submit(execution).await;
        self.finish(execution).await;
        assert!(
            weeks::succeed(self.db(), week, &week_result(&json!({"clicks": "12"}))).await.unwrap()
        );
    }

    pub async fn execution(&self, execution: ExecutionUuid) -> Execution {
        executions::by_id(self.db(), execution).await.unwrap().expect("it was inserted")
    }

    pub async fn status(&self, execution: ExecutionUuid) -> ExecutionStatus {
        self.execution(execution).await.status
    }

    pub async fn week_status(&self, week: WeekId) -> WeekStatus {
        weeks::by_id(self.db(), week).await.unwrap().expect("it was inserted").week.status
    }
}

/// Runs a statement of one transaction while another that stands in its way is open.
///
/// `release` begins once the statement waits for a lock, or has ended because it need not wait.
pub async fn while_it_waits<T>(
    db: &PgPool,
    statement: impl Future<Output = T>,
    release: impl Future<Output = ()>,
) -> T {
    let mut statement = pin!(statement);
    let waits = async {
        let waiting = "-- fixture_someone_waits
            select exists (
            select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'
        )";
        while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(db).await.unwrap() {}
    };
    tokio::select! {
        done = &mut statement => {
            release.await;
            return done;
        }
        () = waits => {}
    }
    tokio::join!(statement, release).0
}

pub fn intent(client_ref: &str) -> Intent<'_> {
    Intent { client_ref, fingerprint: [7; 32], body: &Value::Null }
}

pub fn accepted(amc_execution_id: &str) -> Accepted<'_> {
    Accepted {
        amc_execution_id,
        amc_status: "PENDING",
        amc_created_at: None,
        may_wait: Duration::from_hours(26),
        request_id: None,
    }
}

pub fn result(execution_id: ExecutionUuid, columns: &Value) -> NewResult<'_> {
    NewResult {
        execution_id,
        columns,
        schema_sha256: [1; 32],
        row_count: 3,
        byte_count: 61,
        file_count: 1,
        content_sha256: [2; 32],
        storage_uri: None,
        rows: None,
        truncated: false,
        suppressed_values: 1,
        quarantined_rows: 0,
        lossy_values: 0,
        nul_values: 0,
        unreadable_values: 0,
    }
}

pub fn week_result(metrics: &Value) -> WeekResult<'_> {
    WeekResult { row_count: 3, data_checksum: [2; 32], schema_checksum: [1; 32], metrics }
}
