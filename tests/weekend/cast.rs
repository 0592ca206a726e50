//! Who is there: Ada, Bob and Carol, their schedules and backfills, the processes that work for them.

use super::incidents::START;
use crate::harness::database::TestDatabase;
use crate::harness::process::{Finished, Process, Program};
use crate::harness::server::PrivatePostgres;
use recomamp::queue::Queue;
use recomamp::simulator::{self, RunTime, Settings, Simulator, User};
use serde_json::Value;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;
use std::time::Instant;
use tempfile::TempDir;

const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
const SQL: &str = "select campaign, sum(impressions) as impressions from t group by campaign";
const ADAS_TOKEN: &str = "Atzr|simulator-demo";
pub const BOBS_TOKEN: &str = "Atzr|simulator-second";
const CAROLS_TOKEN: &str = "Atzr|simulator-carol";

/// How many jobs of each queue a worker runs at once.
pub const SLOTS: usize = 8;
/// How many workers there are.
pub const WORKERS: usize = 2;

/// Everything that is there on Friday evening.
pub struct House {
    pub amc: Simulator,
    pub workers: Vec<Process>,
    pub schedulers: Vec<Process>,
    /// The processes that were killed.
    pub dead: Vec<i64>,
    pub queue: Queue,
    /// The three backfills, by instance.
    pub collections: BTreeMap<&'static str, String>,
    pub began: Instant,
    pub steps: usize,
    environment: Vec<(&'static str, String)>,
    // Dropped in this order: the database before its server.
    pub db: TestDatabase,
    pub postgres: PrivatePostgres,
    _results: TempDir,
}

impl House {
    /// Sets everything up by commands, as people do.
    pub async fn open(weeks: u32) -> Self {
        let began = Instant::now();
        let postgres = PrivatePostgres::start().await;
        let db = TestDatabase::on(postgres.url()).await;
        let amc = simulator::start(amazon()).await.expect("the simulator starts");
        let results = tempfile::tempdir().expect("a folder");
        let environment = environment(&db, &amc, &results);
        let mut house = Self {
            amc,
            workers: Vec::new(),
            schedulers: Vec::new(),
            dead: Vec::new(),
            queue: Queue::new(),
            collections: BTreeMap::new(),
            began,
            steps: 0,
            environment,
            db,
            postgres,
            _results: results,
        };
        house.move_to(START).await;
        house.furnish().await;
        house.start_processes().await;
        for (workflow, instance) in
            [("ada", "amcdemous01"), ("ada", "amcdemous02"), ("bob", "amcdemosbx1")]
        {
            let words =
                format!("backfill --workflow {workflow} --instance {instance} --weeks {weeks}");
            let id = house.command(&words, "").await.stdout.trim().to_owned();
            house.collections.insert(instance, id);
        }
        house
    }

    async fn furnish(&self) {
        let people = [("ada", ADAS_TOKEN), ("bob", BOBS_TOKEN), ("carol", CAROLS_TOKEN)];
        for (name, token) in people {
            let region = if name == "carol" { "eu" } else { "na" };
            let add =
                format!("users add --email {name}@example.com --name {name} --region {region}");
            self.command(&add, token).await;
        }
        let settings = self.amc.settings();
        for (account, user) in settings.accounts.iter().zip(["ada", "carol"]) {
            let (id, place) = (&account.account_id, &account.marketplace_id);
            let add = format!(
                "accounts add --account-id {id} --name {user} --marketplace {place} --user {user}@example.com"
            );
            self.command(&add, "").await;
            for instance in &account.instances {
                let instance = &instance.instance_id;
                let add = format!(
                    "instances add --instance-id {instance} --name {instance} --account {id}"
                );
                self.command(&add, "").await;
            }
        }
        let lives = [
            ("ada", "amcdemous01", "7 * * * *"),
            ("bob", "amcdemosbx1", "9 * * * *"),
            ("carol", "amcdemouk01", "11 * * * *"),
        ];
        for (user, instance, cron) in lives {
            let add = format!(
                "workflows add --workflow-id {user} --name {user} --instance {instance} --user {user}@example.com --sql-file -"
            );
            self.command(&add, SQL).await;
            let schedule = format!("{user}-hourly");
            let add = ["schedules", "add", "--schedule-id", &schedule, "--workflow", user];
            self.run(self.program(&[&add[..], &["--cron", cron]].concat())).await;
        }
    }

    /// Two workers and two schedulers.
    pub async fn start_processes(&mut self) {
        for _ in 0..WORKERS {
            let worker = self.start_worker().await;
            self.workers.push(worker);
            let mut scheduler = self.program(&["schedule"]).start().await;
            scheduler.line("scheduling").await;
            self.schedulers.push(scheduler);
        }
    }

    pub async fn start_worker(&self) -> Process {
        let slots = SLOTS.to_string();
        let mut worker = self.program(&["work"]).env("RECOMAMP_CONCURRENCY", &slots).start().await;
        worker.line("working").await;
        worker
    }

    fn program(&self, args: &[&str]) -> Program {
        let program = Program::new(args);
        self.environment.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    /// A command that succeeds, in words with single spaces between them.
    pub async fn command(&self, words: &str, input: &str) -> Finished {
        let words: Vec<&str> = words.split(' ').collect();
        self.run(self.program(&words).input(input)).await
    }

    /// What a command that prints JSON says.
    pub async fn json(&self, words: &str) -> Value {
        let said = self.command(words, "").await;
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    async fn run(&self, program: Program) -> Finished {
        let finished = program.run().await;
        assert!(finished.status.success(), "{finished:?}");
        finished
    }

    /// The only row of this question.
    pub async fn ask<T>(&self, question: &'static str) -> T
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        sqlx::query_as(question).fetch_one(self.db.pool()).await.expect("the store answers")
    }

    pub async fn count(&self, question: &'static str) -> i64 {
        self.ask::<(i64,)>(question).await.0
    }
}

/// An Amazon whose time stands still until it is moved. Executions take one to ten minutes.
fn amazon() -> Settings {
    let mut settings = Settings {
        speed: 0,
        started_at: Some(START),
        run_time: RunTime::Between { from: 60, to: 600 },
        ..Settings::default()
    };
    settings.users.push(User { refresh_token: CAROLS_TOKEN.to_owned(), accounts: Vec::new() });
    settings
}

/// Europe is the same machine under another name, as the gates see it.
fn environment(
    db: &TestDatabase,
    amc: &Simulator,
    results: &TempDir,
) -> Vec<(&'static str, String)> {
    let settings = amc.settings();
    let europe = |url: String| url.replace("127.0.0.1", "localhost");
    vec![
        ("DATABASE_URL", db.url().to_owned()),
        ("RECOMAMP_ENCRYPTION_KEYS", KEY.to_owned()),
        ("RECOMAMP_LWA_CLIENT_ID", settings.client_id),
        ("RECOMAMP_LWA_CLIENT_SECRET", settings.client_secret),
        ("RECOMAMP_AMC_URL_NA", amc.base_url()),
        ("RECOMAMP_LWA_TOKEN_URL_NA", amc.token_url()),
        ("RECOMAMP_AMC_URL_EU", europe(amc.base_url())),
        ("RECOMAMP_LWA_TOKEN_URL_EU", europe(amc.token_url())),
        ("RECOMAMP_RESULTS_URL", results.path().display().to_string()),
        ("RECOMAMP_LOG", "warn,recomamp::commands=info,recomamp::queue=info".to_owned()),
    ]
}
