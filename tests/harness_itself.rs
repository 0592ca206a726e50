//! The tools of the tests keep their own promises.

use crate::harness::database::TestDatabase;
use crate::harness::eventually::{eventually, eventually_some};
use crate::harness::process::Program;
use crate::harness::server::PrivatePostgres;
use nix::sys::signal::Signal;
use recomamp::clock;
use sqlx::{Connection, PgConnection, PgPool};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

async fn run(pool: &PgPool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.expect("the database answers");
}

#[tokio::test]
async fn a_test_has_a_database_of_its_own() {
    let (one, other) = tokio::join!(TestDatabase::new(), TestDatabase::new());
    run(one.pool(), "create table mine ()").await;
    run(other.pool(), "create table mine ()").await;
    let mut outsider = PgConnection::connect(one.url()).await.expect("others come in by its URL");
    sqlx::raw_sql("select from mine").execute(&mut outsider).await.expect("and see the same");
}

#[tokio::test]
async fn a_database_goes_with_its_test() {
    let witness = TestDatabase::new().await;
    let database = TestDatabase::new().await;
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(database.pool())
        .await
        .expect("a name");
    let count = "select count(*) from pg_database where datname = $1";
    let there = async || -> i64 {
        sqlx::query_scalar(count).bind(&name).fetch_one(witness.pool()).await.expect("a count")
    };
    assert_eq!(there().await, 1);
    drop(database);
    assert_eq!(there().await, 0);
}

#[tokio::test]
async fn a_test_moves_the_clock_of_its_own_database_alone() {
    let (moved, other) = tokio::join!(TestDatabase::new(), TestDatabase::new());
    moved.advance_clock(Duration::from_hours(24)).await;
    moved.advance_clock(Duration::from_hours(24)).await;
    let there = clock::now(moved.pool()).await.expect("a time");
    let here = clock::now(other.pool()).await.expect("a time");
    assert!((there - here).num_hours() >= 47, "{there} and {here}");
}

#[tokio::test]
async fn a_test_may_bring_its_own_server_and_restart_it() {
    let mut server = PrivatePostgres::start().await;
    let database = TestDatabase::on(server.url()).await;
    run(database.pool(), "create table kept ()").await;
    server.stop().await;
    server.start_again().await;
    eventually("the pool has found the server again", async || {
        sqlx::raw_sql("select from kept").execute(database.pool()).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_program_has_the_environment_and_the_input_that_the_test_gives_and_no_other() {
    let script = "echo \"$GREETING, $(cat)$RUST_BACKTRACE$CARGO\"; echo oops >&2; exit 3";
    let finished = Program::at("/bin/sh", &["-c", script])
        .env("GREETING", "Hello")
        .input("reader")
        .run()
        .await;
    assert_eq!(finished.stdout, "Hello, reader");
    assert_eq!(finished.stderr, "oops");
    assert_eq!(finished.status.code(), Some(3));
}

#[tokio::test]
async fn our_own_program_is_found_and_ends_well_when_asked_for_help() {
    let finished = Program::new(&["--help"]).run().await;
    assert!(finished.status.success(), "{}", finished.stderr);
}

#[tokio::test]
async fn a_line_is_waited_for_and_a_signal_arrives() {
    let script = "trap 'echo stopping; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let mut process = Program::at("/bin/sh", &["-c", script]).start().await;
    assert_eq!(process.line("read").await, "ready");
    assert_eq!(process.count_lines("stopping"), 0);
    process.signal(Signal::SIGTERM);
    process.line_where("its farewell", |line| line == "stopping").await;
    assert_eq!(process.log(), "ready\nstopping");
    assert!(process.finish().await.status.success());

    let killed = Program::at("/bin/sh", &["-c", "echo $$; exec sleep 1000"]).start().await;
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.finish().await.status.signal(), Some(9));
}

#[tokio::test]
#[should_panic(expected = "without a line with \"never\":\nonly this")]
async fn a_program_that_ends_without_the_line_fails_the_test_and_shows_what_it_said() {
    Program::at("/bin/sh", &["-c", "echo only this"]).start().await.line("never").await;
}

#[tokio::test]
async fn a_condition_is_asked_until_it_holds() {
    let mut asked = 0;
    let answer = eventually_some("it was asked three times", async || {
        asked += 1;
        (asked == 3).then_some("yes")
    })
    .await;
    assert_eq!((answer, asked), ("yes", 3));
}
