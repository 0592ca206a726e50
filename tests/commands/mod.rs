//! The commands, as a person or a script runs them: the real program on a real Postgres.

mod backfill;
mod collections;
mod doctor;
mod end_to_end;
mod events;
mod gates;
pub mod help;
mod jobs;
mod migrate;
mod parameters;
mod reasons;
mod register;
mod schedules;
mod settings;
mod workflows;

use crate::harness::database::TestDatabase;
use crate::harness::process::{Finished, Program};
use serde_json::Value;
use tempfile::TempDir;

/// A key to encrypt with.
pub const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";

/// What every refresh token in these tests contains.
pub const SECRET: &str = "IwEBIJsecret";

/// An installation: a database and the settings that go with it.
pub struct Site {
    pub db: TestDatabase,
    results: TempDir,
    files: TempDir,
}

impl Site {
    /// One whose database is migrated, and empty.
    pub async fn new() -> Self {
        Self::on(TestDatabase::new().await)
    }

    /// One on this database.
    pub fn on(db: TestDatabase) -> Self {
        let folder = || tempfile::tempdir().expect("a folder can be made");
        Self { db, results: folder(), files: folder() }
    }

    /// A file to hand to a command: its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.files.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.display().to_string()
    }

    /// One with a user, an account, an instance and a workflow, all added by commands.
    pub async fn furnished() -> Self {
        let site = Self::new().await;
        let token = format!("Atzr|{SECRET}");
        let add = ["users", "add", "--email", "ana@example.com", "--name", "Ana", "--region", "na"];
        done(site.program(&add).input(&token).run().await);
        for words in [
            "accounts add --account-id ENTITY1 --name Shop --marketplace US --user ana@example.com",
            "instances add --instance-id amctest1 --name Shop --account ENTITY1",
        ] {
            done(site.run(words).await);
        }
        let declared = site.file(
            "campaigns.json",
            r#"[{"name":"brand","type":"string_list","required":false},{"name":"note","type":"string","required":false}]"#,
        );
        let words = "workflows add --workflow-id campaigns --name Campaigns --instance amctest1 --user ana@example.com --sql-file - --parameters-file";
        let mut words: Vec<&str> = words.split(' ').collect();
        words.push(&declared);
        done(site.program(&words).input("select campaign from t -- all of them\n").run().await);
        site
    }

    /// A command with all the settings it could want.
    pub fn program(&self, args: &[&str]) -> Program {
        Program::new(args)
            .env("DATABASE_URL", self.db.url())
            .env("RECOMAMP_ENCRYPTION_KEYS", KEY)
            .env("RECOMAMP_LWA_CLIENT_ID", "amzn1.application-oa2-client.test")
            .env("RECOMAMP_LWA_CLIENT_SECRET", "client secret")
            .env("RECOMAMP_RESULTS_URL", &self.results.path().display().to_string())
    }

    /// Runs a command given as words with single spaces between them.
    pub async fn run(&self, words: &str) -> Finished {
        self.program(&words.split(' ').collect::<Vec<_>>()).run().await
    }

    /// What a command that prints JSON says.
    pub async fn json(&self, words: &str) -> Value {
        json(&done(self.run(words).await))
    }

    pub async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(self.db.pool()).await.expect("the database answers");
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.pool()).await.expect("the database answers")
    }
}

/// A command that has to succeed.
pub fn done(finished: Finished) -> Finished {
    assert!(finished.status.success(), "{finished:?}");
    finished
}

/// A command that has to fail with this exit code; gives what it said to people, one line.
pub fn refused(finished: &Finished, code: i32) -> &str {
    assert_eq!(finished.status.code(), Some(code), "{finished:?}");
    assert_eq!(finished.stdout, "", "{finished:?}");
    let message = finished.stderr.strip_prefix("recomamp: ").expect("it says who speaks");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

/// What stands on standard output, which must be JSON and nothing else.
pub fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}
