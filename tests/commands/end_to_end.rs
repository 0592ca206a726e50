//! A new installation, step by step as a person sets it up, to its first backfill.

use super::{KEY, done, json};
use crate::harness::database::TestDatabase;
use crate::harness::process::Program;
use nix::sys::signal::Signal;
use recomamp::simulator::{self, RunTime, Simulator};
use serde_json::json;
use tempfile::TempDir;

struct Installation {
    db: TestDatabase,
    amazon: Simulator,
    results: TempDir,
}

impl Installation {
    async fn new() -> Self {
        let quick = simulator::Settings {
            speed: 100,
            run_time: RunTime::Fixed { seconds: 20 },
            ..simulator::Settings::demo()
        };
        let amazon = simulator::start(quick).await.expect("the simulator starts");
        let db = TestDatabase::unmigrated().await;
        Self { db, amazon, results: tempfile::tempdir().expect("a folder") }
    }

    fn program(&self, args: &[&str]) -> Program {
        let settings = self.amazon.settings();
        Program::new(args)
            .env("DATABASE_URL", self.db.url())
            .env("RECOMAMP_ENCRYPTION_KEYS", KEY)
            .env("RECOMAMP_LWA_CLIENT_ID", &settings.client_id)
            .env("RECOMAMP_LWA_CLIENT_SECRET", &settings.client_secret)
            .env("RECOMAMP_AMC_URL_NA", &self.amazon.base_url())
            .env("RECOMAMP_LWA_TOKEN_URL_NA", &self.amazon.token_url())
            .env("RECOMAMP_RESULTS_URL", &self.results.path().display().to_string())
            .env("RECOMAMP_POLL_FIRST", "100ms")
            .env("RECOMAMP_POLL_MAX", "500ms")
    }

    async fn run(&self, words: &str, input: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        done(self.program(&words).input(input).run().await);
    }
}

#[tokio::test]
async fn a_new_installation_comes_to_its_first_backfill_by_commands_alone() {
    let site = Installation::new().await;
    let amazon = site.amazon.settings();
    let (token, account) = (&amazon.users[0].refresh_token, &amazon.accounts[0]);
    let (entity, instance) = (&account.account_id, &account.instances[0].instance_id);
    site.run("migrate", "").await;
    site.run("users add --email ada@example.com --name Ada --region na", token).await;
    let add = format!(
        "accounts add --account-id {entity} --name Acme --marketplace {} --region na --user ada@example.com",
        account.marketplace_id
    );
    site.run(&add, "").await;
    let add = format!("instances add --instance-id {instance} --name Acme --account {entity}");
    site.run(&add, "").await;
    let add = format!(
        "workflows add --workflow-id weekly --name Weekly --instance {instance} --user ada@example.com --sql-file -"
    );
    site.run(&add, "select campaign, sum(impressions) as impressions from t group by campaign")
        .await;

    let worker = site.program(&["work"]).start().await;
    let backfill = ["backfill", "--workflow", "weekly", "--weeks", "6", "--watch", "--json"];
    let watched = done(site.program(&backfill).run().await);
    let status = json(&watched);
    assert_eq!((&status["status"], &status["progress"]["done"]), (&json!("completed"), &json!(6)));
    assert!(status["row_count"].as_i64() > Some(0), "{status}");
    assert!(watched.stderr.contains("6 of 6 weeks done"), "{watched:?}");
    assert_eq!(site.amazon.counts().accepted(), 6, "one submit a week");

    worker.signal(Signal::SIGTERM);
    done(worker.finish().await);
}
