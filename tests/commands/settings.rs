//! A missing or wrong setting is one clear line that names the remedy, and an exit code.

use super::{KEY, Site, done, refused};
use crate::harness::database::TestDatabase;
use crate::harness::process::Program;
use crate::harness::server::PrivatePostgres;
use url::Url;

/// Commands that a new installation meets first, and the processes of the Procfile.
const COMMANDS: [&[&str]; 4] = [&["status"], &["serve"], &["work"], &["users", "list"]];

/// With every setting but the database's.
fn program(args: &[&str]) -> Program {
    Program::new(args)
        .env("RECOMAMP_ENCRYPTION_KEYS", KEY)
        .env("RECOMAMP_LWA_CLIENT_ID", "us")
        .env("RECOMAMP_LWA_CLIENT_SECRET", "secret")
}

#[tokio::test]
async fn without_a_database_every_command_says_what_to_set() {
    for args in COMMANDS {
        let finished = program(args).run().await;
        assert!(refused(&finished, 2).starts_with("DATABASE_URL is not set: it is the Postgres"));
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_named_with_its_place_and_without_its_password() {
    for args in COMMANDS {
        let url = "postgres://ana:hunter2@127.0.0.1:1/recomamp";
        let finished = program(args).env("DATABASE_URL", url).run().await;
        let message = refused(&finished, 1);
        assert!(message.starts_with("the database at 127.0.0.1:1 cannot be reached"), "{message}");
        assert!(message.ends_with("start it or correct DATABASE_URL"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database_are_told_apart() {
    let server = PrivatePostgres::start().await;
    let mut url = Url::parse(server.url()).expect("an address");
    url.set_path("/nowhere");
    let finished = program(&["status"]).env("DATABASE_URL", url.as_str()).run().await;
    let message = refused(&finished, 1);
    assert!(message.contains("has no database \"nowhere\": create it"), "{message}");

    url.set_password(Some("hunter2")).expect("an address with a password");
    let finished = program(&["status"]).env("DATABASE_URL", url.as_str()).run().await;
    let message = refused(&finished, 1);
    assert!(
        message.contains("refuses the password of") && !message.contains("hunter2"),
        "{message}"
    );
}

#[tokio::test]
async fn a_database_that_is_not_migrated_is_refused_with_the_command_that_does_it() {
    let site = Site::on(TestDatabase::unmigrated().await);
    for args in COMMANDS {
        let finished = site.program(args).run().await;
        let message = refused(&finished, 1);
        assert!(message.starts_with("the database is not migrated"), "{message}");
        assert!(message.ends_with("run `recomamp migrate`"), "{message}");
    }
}

#[tokio::test]
async fn without_an_encryption_key_no_token_is_taken_and_no_worker_starts() {
    let db = TestDatabase::new().await;
    let add: &[&str] = &["users", "add", "--email", "a@b.c", "--name", "A", "--region", "na"];
    for args in [add, &["work"]] {
        let finished = Program::new(args)
            .env("DATABASE_URL", db.url())
            .env("RECOMAMP_LWA_CLIENT_ID", "us")
            .env("RECOMAMP_LWA_CLIENT_SECRET", "secret")
            .input("Atzr|token")
            .run()
            .await;
        let message = refused(&finished, 2);
        assert!(message.starts_with("RECOMAMP_ENCRYPTION_KEYS is not set"), "{message}");
        assert!(message.contains("recomamp keys generate"), "{message}");
    }
}

#[tokio::test]
async fn what_was_given_wrong_ends_with_2_and_what_is_refused_as_things_stand_with_1() {
    let site = Site::furnished().await;
    done(site.run("backfill --workflow campaigns --weeks 2").await);
    for (words, code) in [
        // By the command line, by ourselves, by what the workflow declares, by a file: change it.
        ("backfill", 2),
        ("backfill --workflow campaigns --weeks 3 --mode stale", 2),
        ("backfill --workflow campaigns --weeks 0", 2),
        ("backfill --workflow campaigns --param brnd=x", 2),
        ("collections pause x --until never --why y", 2),
        (
            "schedules add --schedule-id s --workflow campaigns --every-days 400 --from 2025-01-06",
            2,
        ),
        (
            "schedules add --schedule-id s --workflow campaigns --every-days 1 --from 2025-01-06 --max-attempts 0",
            2,
        ),
        (
            "batches add --workflow campaigns --instance amctest1 --from 2025-01-06 --until 2025-01-06",
            2,
        ),
        ("workflows update campaigns --sql-file /no/such/file", 2),
        ("webhooks add --url http://hooks.example.com/", 2),
        ("webhooks show zzz", 2),
        ("gates pause misspelt: --why x", 2),
        // There is nothing of the name, it is there already, it is not so: look.
        ("backfill --workflow nothing", 1),
        ("backfill --workflow campaigns --weeks 2", 1),
        ("collections cancel nothing --why y", 1),
        ("plans show nothing", 1),
        ("batches retry nothing", 1),
        ("schedules resume nothing", 1),
        ("jobs show 4711", 1),
        ("gates resume host:x", 1),
        ("webhooks show 019e1f5c-6a52-7c31-8a3f-6f1c9d2b7a10", 1),
    ] {
        let finished = site.run(words).await;
        assert_eq!(finished.status.code(), Some(code), "{words}: {finished:?}");
        assert_eq!(finished.stdout, "", "{words}");
    }
    let help = done(Program::new(&["help"]).run().await).stdout;
    for line in ["  1    it is refused as things stand", "  2    what was given is wrong"] {
        assert!(help.contains(line), "{help}");
    }
}

#[tokio::test]
async fn a_misspelt_setting_is_an_error_and_so_is_a_misspelt_command() {
    let site = Site::new().await;
    for command in ["status", "work", "serve", "schedule", "migrate", "doctor"] {
        let finished = site.program(&[command]).env("RECOMAMP_LOGG", "info").run().await;
        let told = "RECOMAMP_LOGG is not a setting: did you mean RECOMAMP_LOG?";
        if command == "doctor" {
            assert!(finished.stdout.contains(told), "{finished:?}");
        } else {
            assert_eq!(refused(&finished, 2), told, "{command}");
        }
    }
    assert_eq!(site.run("statsu").await.status.code(), Some(2));
}
