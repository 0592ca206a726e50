//! `recomamp migrate` brings any database up to date, or says why it must not.

use super::{Site, done, json, refused};
use crate::harness::database::TestDatabase;
use crate::harness::eventually::eventually;

async fn empty() -> Site {
    Site::on(TestDatabase::unmigrated().await)
}

#[tokio::test]
async fn an_empty_database_is_migrated_once_and_left_alone_from_then_on() {
    let site = empty().await;
    let before = site.run("migrate --status --json").await;
    assert_eq!(before.status.code(), Some(3), "{before:?}");
    assert_eq!(json(&before)["steps"][0]["applied"], false);

    let first = site.json("migrate --json").await;
    let steps = first["steps"].as_array().expect("a list").len();
    assert_eq!(first["applied_now"], steps);
    let second = site.json("migrate --json").await;
    assert_eq!((&second["applied_now"], &second["up_to_date"]), (&0.into(), &true.into()));
    done(site.run("migrate --status").await);
    done(site.run("status").await);
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_left_alone() {
    let site = Site::new().await;
    site.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', true, '', 0)",
    )
    .await;
    for words in ["migrate", "status"] {
        let finished = site.run(words).await;
        let message = refused(&finished, 1);
        assert!(message.starts_with("the database was migrated by a newer recomamp"), "{message}");
        assert!(message.contains("9999"), "{message}");
    }
}

#[tokio::test]
async fn of_two_who_migrate_at_once_one_waits_says_so_and_finds_it_done() {
    let site = empty().await;
    // As `recomamp migrate` takes it.
    let mut other = site.db.pool().acquire().await.expect("a connection");
    let lock: i64 = 0x6d69_6772_6174_6500;
    sqlx::query("select pg_advisory_lock($1)").bind(lock).execute(&mut *other).await.expect("ours");
    let mut waiting = site.program(&["migrate"]).start().await;
    waiting.line("is at work on this database").await;
    eventually("it waits for the lock", async || {
        site.count("select count(*) from pg_locks where locktype = 'advisory' and not granted")
            .await
            == 1
    })
    .await;
    site_migrated_by_someone_else(&site).await;
    sqlx::query("select pg_advisory_unlock($1)")
        .bind(lock)
        .execute(&mut *other)
        .await
        .expect("ours");
    let finished = done(waiting.finish().await);
    assert!(finished.stdout.starts_with("nothing to do"), "{finished:?}");
}

async fn site_migrated_by_someone_else(site: &Site) {
    recomamp::schema::MIGRATIONS.run(site.db.pool()).await.expect("it migrates");
}
