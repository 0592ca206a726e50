//! One installation: a database, an Amazon, a user with an instance and a workflow.

use crate::harness::database::TestDatabase;
use crate::harness::eventually::eventually_some;
use recomamp::backfill::fingerprint::{Slice, fingerprint};
use recomamp::backfill::plan::{PlanRequest, plan};
use recomamp::backfill::week::Week;
use recomamp::config::Settings as _;
use recomamp::queue::dispatcher::Settings as WorkerSettings;
use recomamp::queue::postgres::{Mode, PgStore};
use recomamp::queue::{Queue, worker};
use recomamp::simulator::{self, Simulator};
use recomamp::store::accounts::{self, NewAccount};
use recomamp::store::collections::{
    self, CollectionGrain, CollectionKind, CollectionStatus, NewCollection, NewWeek, Progress,
};
use recomamp::store::instances::{self, NewInstance};
use recomamp::store::workflows::{self, NewWorkflow};
use recomamp::store::{CollectionUuid, InstanceUuid, Region, UserId, VersionId};
use recomamp::store::{credentials, users, versions};
use recomamp::tools::{self, Tools, resources};
use recomamp::{clock, jobs};
use secrecy::SecretString;
use serde_json::json;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const SQL: &str = "select campaign, sum(impressions) as impressions
    from dsp_impressions group by campaign -- by campaign";

/// One installation.
pub struct Site {
    pub db: TestDatabase,
    pub amc: Simulator,
    pub tools: Arc<Tools>,
    pub user: UserId,
    pub instance: InstanceUuid,
    pub version: VersionId,
    pub environment: Vec<(String, String)>,
    _results: TempDir,
}

/// An Amazon whose executions take a second of AMC's time, which runs a hundred times as fast.
pub fn quick() -> simulator::Settings {
    simulator::Settings {
        speed: 100,
        run_time: simulator::RunTime::Fixed { seconds: 20 },
        ..simulator::Settings::demo()
    }
}

impl Site {
    pub async fn new(amazon: simulator::Settings) -> Self {
        Self::on(TestDatabase::new().await, amazon).await
    }

    pub async fn on(db: TestDatabase, amazon: simulator::Settings) -> Self {
        let amc = simulator::start(amazon).await.expect("the simulator starts");
        let results = tempfile::tempdir().expect("a folder");
        let environment = environment(&db, &amc, &results);
        let lookup = environment.clone();
        let find = move |name: &str| {
            lookup.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let settings = tools::Settings::load(&find).expect("the settings are right");
        let tools = Tools::new(db.pool().clone(), Queue::new(), settings, jobs::refresh_token::job)
            .expect("tools");
        let (user, instance, version) = installation(&db, &amc, &tools).await;
        let tools = Arc::new(tools);
        Self { db, amc, tools, user, instance, version, environment, _results: results }
    }

    /// Plans the last weeks, and asks for all of them.
    pub async fn backfill(&self, weeks: u32) -> CollectionUuid {
        let now = clock::now(self.db.pool()).await.expect("the time");
        let slices = plan(now, PlanRequest::Last(weeks), chrono_tz::UTC, 14, chrono::Weekday::Mon)
            .expect("a plan")
            .slices;
        let mut transaction = self.db.pool().begin().await.expect("begun");
        let name = format!("backfill of {weeks} weeks {}", uuid::Uuid::new_v4());
        let new = NewCollection {
            collection_id: &name,
            name: &name,
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
        };
        let (id, week_ids) = collections::insert(&mut *transaction, &new, &self.weeks(&slices))
            .await
            .expect("added");
        let jobs = jobs::collect_week::for_weeks(&week_ids).expect("jobs");
        self.tools.queue.enqueue(&mut transaction, &jobs).await.expect("enqueued");
        transaction.commit().await.expect("committed");
        id
    }

    fn weeks(&self, slices: &[Week]) -> Vec<NewWeek> {
        let key = |week: Week| {
            fingerprint(&Slice {
                amc_instance_id: &self.amc_instance_id(),
                sql_sha256: &[7; 32],
                parameters: &json!({}),
                week,
                zone: chrono_tz::UTC,
            })
        };
        slices.iter().map(|w| NewWeek { start: w.start, end: w.end, slice_key: key(*w) }).collect()
    }

    pub fn amc_instance_id(&self) -> String {
        self.amc.settings().accounts[0].instances[0].instance_id.clone()
    }

    pub async fn progress(&self, collection: CollectionUuid) -> Progress {
        let progress = collections::progress(self.db.pool(), collection).await;
        progress.expect("the store answers").expect("there is such a collection")
    }

    /// Waits until the collection has ended.
    pub async fn ended(&self, collection: CollectionUuid) -> Progress {
        let ended: [CollectionStatus; 3] = [
            CollectionStatus::Completed,
            CollectionStatus::CompletedWithErrors,
            CollectionStatus::Failed,
        ];
        eventually_some("the collection has ended", async || {
            let progress = self.progress(collection).await;
            ended.contains(&progress.status).then_some(progress)
        })
        .await
    }

    /// Waits until no job is left, not even one that waits.
    pub async fn idle(&self) {
        eventually_some("nothing is left to do", async || {
            let left: i64 = sqlx::query_scalar("select count(*) from engine.jobs")
                .fetch_one(self.db.pool())
                .await
                .ok()?;
            (left == 0).then_some(())
        })
        .await;
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.expect("the store answers")
    }

    /// A worker in this process.
    pub fn work(&self) -> Working {
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let catalog = jobs::catalog();
        let queues = catalog.queues().into_iter().map(|queue| (queue.to_owned(), 16));
        let store = PgStore::new(self.db.pool().clone(), Mode::Listen);
        let settings = WorkerSettings::new(queues);
        let (soft2, hard2) = (soft.clone(), hard);
        let task =
            tokio::spawn(worker::run(store, catalog, self.tools.clone(), settings, soft2, hard2));
        Working { soft, task }
    }

    /// What every successful backfill looks like, whatever happened on the way.
    pub async fn assert_complete(&self, collection: CollectionUuid, weeks: i64) {
        let progress = self.ended(collection).await;
        assert_eq!(progress.status, CollectionStatus::Completed, "{progress:?}");
        assert_eq!(progress.succeeded, weeks);
        self.idle().await;
        let counts = self.amc.counts();
        assert_eq!(i64::try_from(counts.accepted()).expect("few"), weeks, "one submit a week");
        assert!(counts.repeated().is_empty(), "no week was submitted twice: {counts:?}");
        let most_open = counts.max_open.values().max().copied().unwrap_or(0);
        assert!(most_open <= 10, "{most_open} executions were open at once");
        assert_eq!(self.count("select count(*) from engine.holds").await, 0, "no place is leaked");
        assert_eq!(
            self.count("select coalesce(sum(held), 0)::bigint from engine.resources").await,
            0,
            "no place is leaked"
        );
    }
}

/// A worker that runs beside the test.
pub struct Working {
    soft: CancellationToken,
    task: JoinHandle<Result<(), recomamp::queue::Error>>,
}

impl Working {
    pub async fn stop(self) {
        self.soft.cancel();
        self.task.await.expect("it does not panic").expect("it ends well");
    }
}

fn environment(db: &TestDatabase, amc: &Simulator, results: &TempDir) -> Vec<(String, String)> {
    let settings = amc.settings();
    let pairs = [
        ("DATABASE_URL", db.url().to_owned()),
        ("RECOMAMP_ENCRYPTION_KEYS", "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=".to_owned()),
        ("RECOMAMP_LWA_CLIENT_ID", settings.client_id.clone()),
        ("RECOMAMP_LWA_CLIENT_SECRET", settings.client_secret.clone()),
        ("RECOMAMP_AMC_URL_NA", amc.base_url().clone()),
        ("RECOMAMP_LWA_TOKEN_URL_NA", amc.token_url().clone()),
        ("RECOMAMP_RESULTS_URL", results.path().display().to_string()),
        ("RECOMAMP_POLL_FIRST", "100ms".to_owned()),
        ("RECOMAMP_POLL_MAX", "500ms".to_owned()),
        ("RECOMAMP_SUBMIT_LOOKUP", "1s".to_owned()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

async fn installation(
    db: &TestDatabase,
    amc: &Simulator,
    tools: &Tools,
) -> (UserId, InstanceUuid, VersionId) {
    let amazon = amc.settings();
    let (login, place) = (&amazon.users[0], &amazon.accounts[0]);
    let mut tx = db.pool().begin().await.expect("begun");
    let user = users::insert(&mut *tx, "ada@example.com", "Ada", None).await.expect("a user");
    let token = tools.seal(&SecretString::from(login.refresh_token.clone()));
    credentials::authorise(&mut *tx, user, Region::Na, None, &token).await.expect("authorised");
    let account = NewAccount {
        account_id: &place.account_id,
        account_name: &place.name,
        marketplace_id: &place.marketplace_id,
        region: Region::Na,
        user_id: user,
    };
    let account = accounts::insert(&mut *tx, &account).await.expect("an account");
    let instance = NewInstance {
        instance_id: &place.instances[0].instance_id,
        instance_name: &place.instances[0].name,
        account_id: account,
        endpoint_url: None,
    };
    let limited = [
        (resources::instance(instance.instance_id), 10),
        (resources::account(&place.account_id), 200),
    ];
    let instance = instances::insert(&mut *tx, &instance).await.expect("an instance");
    for (resource, limit) in limited {
        tools.queue.limit(&mut tx, &resource, Some(limit)).await.expect("limited");
    }
    let workflow = NewWorkflow {
        workflow_id: "weekly-campaigns",
        name: "Weekly campaigns",
        instance_id: instance,
        user_id: user,
    };
    let workflow = workflows::insert(&mut *tx, &workflow).await.expect("a workflow");
    let version = versions::add(&mut *tx, workflow, SQL, &json!([])).await.expect("a version");
    tx.commit().await.expect("committed");
    (user, instance, version)
}
