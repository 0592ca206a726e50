//! One installation: a database, an Amazon, a user with an instance and a workflow.

use super::installation::{add_instance, add_user, environment, installation};
use crate::harness::contract;
use crate::harness::database::TestDatabase;
use crate::harness::eventually::{DEADLINE, eventually, eventually_some};
use crate::harness::process::{Process, Program};
use recomamp::backfill::cut::Cut;
use recomamp::backfill::fingerprint::{Slice, fingerprint};
use recomamp::backfill::plan::{PlanRequest, plan};
use recomamp::backfill::week::Week;
use recomamp::config::Settings as _;
use recomamp::queue::dispatcher::Settings as WorkerSettings;
use recomamp::queue::postgres::{Mode, PgStore};
use recomamp::queue::{Catalog, Queue, worker};
use recomamp::simulator::{self, Counts, Fault, Simulator};
use recomamp::store::collections::{
    self, CollectionGrain, CollectionKind, CollectionStatus, NewCollection, NewWeek, Progress,
    Rules,
};
use recomamp::store::events::Because;
use recomamp::store::executions::SubmitMode;
use recomamp::store::{AccountUuid, CollectionUuid, InstanceUuid, UserId, WorkflowUuid};
use recomamp::store::{instances, versions};
use recomamp::tools::{self, Tools};
use recomamp::{clock, jobs};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
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
    pub environment: Vec<(String, String)>,
    account: AccountUuid,
    workflow: WorkflowUuid,
    _results: TempDir,
}

/// A backfill to be asked for.
pub struct Wish<'a> {
    pub weeks: u32,
    pub attempts: i32,
    pub rules: Rules,
    pub instance: InstanceUuid,
    pub user: UserId,
    pub sql: &'a str,
}

/// An Amazon that is done with an execution in less than half a second, and keeps what was said.
pub fn quick() -> simulator::Settings {
    simulator::Settings {
        speed: 100,
        run_time: simulator::RunTime::Fixed { seconds: 20 },
        record_bodies: true,
        ..simulator::Settings::demo()
    }
}

impl Site {
    pub async fn new(amazon: simulator::Settings) -> Self {
        Self::on(TestDatabase::new().await, amazon, &[]).await
    }

    /// One with settings of its own.
    pub async fn with(amazon: simulator::Settings, settings: &[(&str, &str)]) -> Self {
        Self::on(TestDatabase::new().await, amazon, settings).await
    }

    pub async fn on(
        db: TestDatabase,
        amazon: simulator::Settings,
        settings: &[(&str, &str)],
    ) -> Self {
        let amc = simulator::start(amazon).await.expect("the simulator starts");
        let results = tempfile::tempdir().expect("a folder");
        let mut environment = environment(&db, &amc, &results);
        for (name, value) in settings {
            environment.retain(|(known, _)| known != name);
            environment.push(((*name).to_owned(), (*value).to_owned()));
        }
        let lookup = environment.clone();
        let find = move |name: &str| {
            lookup.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let settings = tools::Settings::load(&find).expect("the settings are right");
        let tools = Tools::new(db.pool().clone(), Queue::new(), settings, jobs::refresh_token::job)
            .expect("tools");
        let (user, account, instance, workflow) = installation(&db, &amc, &tools).await;
        let tools = Arc::new(tools);
        Self { db, amc, tools, user, instance, environment, account, workflow, _results: results }
    }

    /// Plans the last weeks, and asks for all of them.
    pub async fn backfill(&self, weeks: u32) -> CollectionUuid {
        self.ask(&self.wish(weeks)).await
    }

    /// What [`Site::backfill`] asks for.
    pub fn wish(&self, weeks: u32) -> Wish<'static> {
        let rules = Rules::default();
        Wish { weeks, attempts: 5, rules, instance: self.instance, user: self.user, sql: SQL }
    }

    pub async fn ask(&self, wish: &Wish<'_>) -> CollectionUuid {
        let now = clock::now(self.db.pool()).await.expect("the time");
        let weeks = PlanRequest::Last(wish.weeks);
        let slices = plan(now, weeks, chrono_tz::UTC, 14, Cut::Weeks(chrono::Weekday::Mon))
            .expect("a plan")
            .slices;
        let mut transaction = self.db.pool().begin().await.expect("begun");
        let place = instances::by_id(&mut *transaction, wish.instance).await.expect("read");
        let place = place.expect("there is such an instance").instance_id;
        let version = versions::add(
            &mut *transaction,
            self.workflow,
            wish.sql,
            &json!([]),
            SubmitMode::Inline,
        )
        .await;
        let name = format!("{} weeks {}", wish.weeks, uuid::Uuid::new_v4());
        let new = NewCollection {
            collection_id: &name,
            name: &name,
            workflow_version_id: version.expect("a version"),
            instance_id: wish.instance,
            user_id: wish.user,
            kind: CollectionKind::Backfill,
            grain: CollectionGrain::Week,
            timezone: "UTC",
            lag_days: 14,
            week_starts_on: 1,
            parameters: &json!({}),
            max_attempts_per_week: wish.attempts,
            rules: wish.rules,
        };
        let weeks = new_weeks(&slices, &place, wish.sql);
        let (id, _) = collections::insert(&mut *transaction, &new, &weeks).await.expect("added");
        let begun = jobs::feed::top_up(&self.tools.queue, &mut transaction, id).await;
        begun.expect("begun");
        transaction.commit().await.expect("committed");
        id
    }

    /// Another instance of the account.
    pub async fn add_instance(&self, instance_id: &str) -> InstanceUuid {
        let mut tx = self.db.pool().begin().await.expect("begun");
        let instance = add_instance(&mut tx, &self.tools, self.account, instance_id).await;
        tx.commit().await.expect("committed");
        instance
    }

    /// Another user, who has granted this refresh token.
    pub async fn add_user(&self, email: &str, refresh_token: &str) -> UserId {
        let mut tx = self.db.pool().begin().await.expect("begun");
        let user = add_user(&mut tx, &self.tools, email, refresh_token).await;
        tx.commit().await.expect("committed");
        user
    }

    pub fn amc_instance_id(&self) -> String {
        self.amc.settings().accounts[0].instances[0].instance_id.clone()
    }

    pub fn refresh_token(&self) -> String {
        self.amc.settings().users[0].refresh_token.clone()
    }

    /// Sets faults.
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.amc.set_fault(fault);
        }
    }

    /// Every fault with a count has met as many calls.
    pub fn assert_faults_met(&self) {
        for set in self.amc.state().faults {
            assert_eq!(Some(set.met), set.fault.count, "{:?}", set.fault);
        }
    }

    pub async fn progress(&self, collection: CollectionUuid) -> Progress {
        let progress = collections::progress(self.db.pool(), collection).await;
        progress.expect("the store answers").expect("there is such a collection")
    }

    /// Waits until the collection has ended.
    pub async fn ended(&self, collection: CollectionUuid) -> Progress {
        eventually_some("the collection has ended", async || {
            let progress = self.progress(collection).await;
            progress.status.is_terminal().then_some(progress)
        })
        .await
    }

    /// The same, but nobody waits out the pauses between two executions of a week.
    pub async fn ended_without_pauses(&self, collection: CollectionUuid) -> Progress {
        eventually_some("the collection has ended", async || {
            self.skip_pauses("collect_week").await;
            let progress = self.progress(collection).await;
            progress.status.is_terminal().then_some(progress)
        })
        .await
    }

    /// As a person does who has mended what kept us out. How many weeks begin again.
    pub async fn unblock(&self, instance: InstanceUuid) -> usize {
        let mut tx = self.db.pool().begin().await.expect("begun");
        let because = Because { by: "ana", why: None };
        let begun =
            jobs::collect_week::unblock(&self.tools.queue, &mut tx, instance, &because).await;
        tx.commit().await.expect("committed");
        begun.expect("the store answers").unwrap_or(0)
    }

    /// Amazon refuses the user's grant, and still does when that is looked at again.
    pub async fn refusal_confirmed(&self) {
        let refused = "select count(*) from lwa_credentials where grant_refused_at is not null";
        eventually("it is refused", async || self.count(refused).await > 0).await;
        let stopped = "select count(*) from lwa_credentials where token_state = 'needs_reauth'";
        assert_eq!(self.count(stopped).await, 0, "one refusal may be a mistake");
        self.db.advance_clock(Duration::from_mins(11)).await;
        eventually("a person has to act", async || {
            self.skip_pauses("refresh_token").await;
            self.count(stopped).await > 0
        })
        .await;
    }

    /// Makes every waiting job of this kind due.
    pub async fn skip_pauses(&self, kind: &str) {
        sqlx::query(
            "with due as (
                update engine.jobs set run_at = engine.now()
                where kind = $1 and state = 'waiting' and run_at > engine.now()
                returning queue
            )
            select pg_notify('engine_wake', queue) from due",
        )
        .bind(kind)
        .execute(self.db.pool())
        .await
        .expect("the store answers");
    }

    /// Makes everything due that waits between two calls of a week.
    pub async fn skip_all_pauses(&self) {
        for kind in ["submit_execution", "poll_status", "fetch_result"] {
            self.skip_pauses(kind).await;
        }
    }

    /// Makes tokens that somebody waits to renew old enough for it.
    pub async fn age_tokens(&self) {
        sqlx::query(
            "update lwa_credentials set token_refreshed_at = token_refreshed_at - interval '1 hour'
            where exists (
                select from engine.jobs where kind = 'refresh_token' and state = 'waiting'
            )",
        )
        .execute(self.db.pool())
        .await
        .expect("the store answers");
    }

    /// Waits until Amazon has counted what is wished for, but not for ever.
    pub async fn until(&self, wish: impl Fn(&Counts) -> bool) {
        let come_true = tokio::time::timeout(DEADLINE, self.amc.until(wish)).await;
        assert!(come_true.is_ok(), "waited in vain: {:?}", self.amc.counts());
    }

    /// Waits until a fault has met this many calls, but not for ever.
    pub async fn until_met(&self, fault: u64, calls: u32) {
        let met = tokio::time::timeout(DEADLINE, self.amc.until_met(fault, calls)).await;
        assert!(met.is_ok(), "waited in vain for {calls} calls to meet fault {fault}");
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

    pub async fn text(&self, sql: &'static str) -> String {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.expect("the store answers")
    }

    /// A worker in this process.
    pub fn work(&self) -> Working {
        self.work_with(16, jobs::catalog())
    }

    /// A worker in this process that runs so many jobs of each queue at once.
    pub fn work_with(&self, slots: usize, catalog: Catalog<Tools>) -> Working {
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let queues = catalog.queues().into_iter().map(|queue| (queue.to_owned(), slots));
        let store = PgStore::new(self.db.pool().clone(), Mode::Listen);
        let settings = WorkerSettings::new(queues);
        let (soft2, hard2) = (soft.clone(), hard.clone());
        let task =
            tokio::spawn(worker::run(store, catalog, self.tools.clone(), settings, soft2, hard2));
        Working { soft, hard, task }
    }

    /// A worker of its own: `recomamp work`, not yet started.
    pub fn worker(&self) -> Program {
        let mut program = Program::new(&["work"]).env("RECOMAMP_CONCURRENCY", "8");
        for (name, value) in &self.environment {
            program = program.env(name, value);
        }
        program
    }

    /// A worker of its own that works.
    pub async fn start_worker(&self) -> Process {
        let mut process = self.worker().start().await;
        process.line("working").await;
        process
    }

    /// What every successful backfill looks like, whatever happened on the way: each week was asked
    /// for once.
    pub async fn assert_complete(&self, collection: CollectionUuid, weeks: u32) {
        self.assert_completed(collection, weeks).await;
        self.assert_submitted_once(weeks).await;
    }

    pub async fn assert_completed(&self, collection: CollectionUuid, weeks: u32) {
        let progress = self.ended(collection).await;
        assert_eq!(progress.status, CollectionStatus::Completed, "{progress:?}");
        assert_eq!(progress.succeeded, i64::from(weeks));
    }

    /// All collections together had so many executions, each for a week of its own.
    pub async fn assert_submitted_once(&self, weeks: u32) {
        let counts = self.amc.counts();
        assert_eq!(counts.accepted(), u64::from(weeks), "one submit a week");
        assert!(counts.repeated().is_empty(), "no week was submitted twice: {counts:?}");
        self.assert_nothing_is_left().await;
    }

    /// No job and no place is left, AMC was never asked for too much, and every word was in order.
    pub async fn assert_nothing_is_left(&self) {
        self.idle().await;
        let counts = self.amc.counts();
        let most_open = counts.max_open.values().max().copied().unwrap_or(0);
        assert!(most_open <= 10, "{most_open} executions were open at once");
        assert_eq!(self.places().await, (0, 0), "no place is leaked");
        assert_eq!((counts.wrong_headers, counts.trailing_z), (0, 0));
        assert_eq!(counts.authorization_to_storage, 0);
        for exchange in self.amc.exchanges() {
            let checked = contract::check_exchange(&exchange);
            assert_eq!(checked, Ok(()), "{} {}", exchange.method, exchange.path);
        }
    }

    /// The places that are taken, and what the resources say about them.
    pub async fn places(&self) -> (i64, i64) {
        (
            self.count("select count(*) from engine.holds").await,
            self.count("select coalesce(sum(held), 0)::bigint from engine.resources").await,
        )
    }

    /// No job had to be tried a second time.
    pub async fn assert_no_attempt_was_burnt(&self) {
        let most = "select coalesce(max(attempt), 0)::bigint from engine.jobs_history";
        assert_eq!(self.count(most).await, 1);
    }
}

fn new_weeks(slices: &[Week], amc_instance_id: &str, sql: &str) -> Vec<NewWeek> {
    let key = |week: Week| {
        fingerprint(&Slice {
            amc_instance_id,
            sql_sha256: &Sha256::digest(sql).into(),
            parameters: &json!({}),
            week,
            zone: chrono_tz::UTC,
        })
    };
    slices.iter().map(|w| NewWeek { start: w.start, end: w.end, slice_key: key(*w) }).collect()
}

/// A worker that runs beside the test.
pub struct Working {
    soft: CancellationToken,
    hard: CancellationToken,
    task: JoinHandle<Result<(), recomamp::queue::Error>>,
}

impl Working {
    /// Lets what runs finish.
    pub async fn stop(self) {
        self.soft.cancel();
        self.task.await.expect("it does not panic").expect("it ends well");
    }

    /// Hands back what runs.
    pub async fn stop_at_once(self) {
        self.soft.cancel();
        self.hard.cancel();
        self.stop().await;
    }
}
