//! A demonstration ends right in any weather, goes on after a stop, and leaves nothing behind.

use crate::harness::eventually::eventually;
use crate::harness::process::{Finished, Program};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::Permissions;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

/// Far longer than a storm lasts on a machine that runs every other test at the same time.
const PATIENCE: Duration = Duration::from_mins(5);

/// A place that the account of Postgres can enter, too.
fn place() -> TempDir {
    let open = Permissions::from_mode(0o755);
    tempfile::Builder::new().permissions(open).tempdir().expect("a folder can be made")
}

fn demo(place: &TempDir, more: &[&str]) -> Program {
    let folder = place.path().join("demo").display().to_string();
    Program::new(&[&["demo", "--folder", &folder], more].concat())
}

async fn ended(program: Program) -> Finished {
    program.start().await.finish_within(PATIENCE).await
}

fn assert_right(finished: &Finished, weeks: u64) {
    assert!(finished.status.success(), "{}", finished.stderr);
    let told: Value = serde_json::from_str(&finished.stdout).expect("it is JSON");
    assert_eq!(told["ok"], true, "{told}");
    assert_eq!((&told["weeks_done"], &told["weeks"]), (&weeks.into(), &weeks.into()));
    let totals = told["totals"].as_array().expect("a list");
    assert_eq!(totals.len(), 8);
    for total in totals {
        assert_eq!(total["stored"], total["formula"], "{told}");
    }
    assert_eq!(told["submits"]["accepted"], weeks);
    assert_eq!(told["submits"]["weeks_submitted_twice"], 0);
    assert!(told["submits"]["most_open_at_once"].as_u64() <= Some(10));
}

#[tokio::test]
async fn a_demonstration_needs_nothing_and_ends_with_the_totals_of_the_formula() {
    let place = place();
    let finished = ended(demo(&place, &["--weeks", "12", "--speed", "300", "--json"])).await;
    assert_right(&finished, 12);
    assert!(finished.stderr.contains("12 of 12 weeks done"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_storm_and_a_killed_worker_cost_no_week_and_no_second_submit() {
    let place = place();
    let finished = ended(demo(&place, &["--faults", "storm", "--speed", "300", "--json"])).await;
    assert_right(&finished, 52);
    assert!(finished.stderr.contains("The worker was killed (kill -9)"), "{}", finished.stderr);
    let told: Value = serde_json::from_str(&finished.stdout).expect("it is JSON");
    for kind in ["throttle", "server error", "reset", "revoke", "url expired"] {
        assert!(told["faults"][kind].as_u64() > Some(0), "no {kind}: {told}");
    }
}

#[tokio::test]
async fn a_demonstration_that_was_stopped_goes_on_where_it_stopped() {
    let place = place();
    // So slow that it does not end before it is stopped.
    let mut first = demo(&place, &["--weeks", "12", "--speed", "1"]).start().await;
    first.line("10 open").await;
    let second = demo(&place, &[]).run().await;
    assert!(!second.status.success());
    assert!(second.stderr.contains("is already running in"), "{}", second.stderr);

    first.signal(Signal::SIGINT);
    let stopped = first.finish_within(PATIENCE).await;
    assert_eq!(stopped.status.code(), Some(130));
    assert!(stopped.stderr.contains("goes on where this one stopped"), "{}", stopped.stderr);
    let other = demo(&place, &["--weeks", "13"]).run().await;
    assert!(other.stderr.contains("an unfinished backfill of 12 weeks"), "{}", other.stderr);

    let finished = ended(demo(&place, &["--resume", "--speed", "600", "--json"])).await;
    assert_right(&finished, 12);
    let again = demo(&place, &["--resume"]).run().await;
    assert!(again.stderr.contains("nothing is unfinished in"), "{}", again.stderr);
}

#[tokio::test]
async fn a_demonstration_that_is_killed_leaves_no_process_behind_and_starts_anew() {
    let place = place();
    let mut first = demo(&place, &["--weeks", "12", "--speed", "1"]).start().await;
    let line = first.line("the API answers at ").await;
    let api = line.rsplit("http://").next().expect("an address").trim_end_matches('.').to_owned();
    first.line("10 open").await;
    first.signal(Signal::SIGKILL);
    assert!(!first.finish().await.status.success());
    eventually("the API is gone", async || TcpStream::connect(&api).is_err()).await;
    let note = place.path().join("demo/postgres/data/postmaster.pid");
    eventually("Postgres is gone", async || !note.exists()).await;

    let finished = ended(demo(&place, &["--weeks", "2", "--speed", "600", "--json"])).await;
    assert_right(&finished, 2);
    assert!(finished.stderr.contains("was killed: starting anew"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_folder_with_other_things_in_it_is_left_alone() {
    let place = place();
    let folder = place.path().display().to_string();
    std::fs::write(place.path().join("letter"), "dear").expect("written");
    let refused = Program::new(&["demo", "--anew", "--folder", &folder]).run().await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("holds other things"), "{}", refused.stderr);
    assert!(place.path().join("letter").exists());
}
