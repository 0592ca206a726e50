//! Mistakes of the product's first version that no other test would have caught. All of them, each with
//! its test, stand in `docs/first-version.md`.

use super::site::{Site, Wish, quick};
use crate::harness::eventually::eventually;
use recomamp::simulator::{Effect, Fault, Kind, Operation, RunTime, Settings};
use recomamp::store::Sealed;
use secrecy::ExposeSecret;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_3_every_file_of_a_result_is_read() {
    let site = Site::new(Settings { result_files: Some(5), ..quick() }).await;
    let collection = site.backfill(2).await;
    let working = site.work();
    site.assert_complete(collection, 2).await;
    working.stop().await;
    let week = "select min(week_start_date)::text from report_data_weeks";
    let first = site.text(week).await.parse().expect("a date");
    let expected = site.amc.facts(&site.amc_instance_id()).totals(first, 2);
    let rows = site.count("select sum(row_count)::bigint from report_data_weeks").await;
    assert_eq!(rows, expected.rows);
    assert_eq!(site.count("select min(file_count)::bigint from execution_results").await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_5_an_execution_that_runs_for_hours_is_followed_to_its_end() {
    let hours = RunTime::Fixed { seconds: 5 * 3600 };
    let site =
        Site::new(Settings { run_time: hours, record_bodies: true, ..Settings::manual() }).await;
    let collection = site.backfill(1).await;
    let working = site.work();
    site.until(|counts| counts.accepted() == 1).await;
    for hour in 1..=5 {
        let looks = site.amc.counts().calls_of(Operation::GetExecution);
        site.amc.advance(Duration::from_hours(1));
        site.db.advance_clock(Duration::from_hours(1)).await;
        if hour < 5 {
            eventually("somebody looks", async || {
                site.skip_pauses("poll_status").await;
                site.amc.counts().calls_of(Operation::GetExecution) > looks
            })
            .await;
            assert_eq!(site.progress(collection).await.running, 1, "after {hour} hours");
        }
    }
    site.amc.advance(Duration::from_mins(1));
    eventually("the collection has ended", async || {
        site.skip_pauses("poll_status").await;
        site.progress(collection).await.status.is_terminal()
    })
    .await;
    site.assert_complete(collection, 1).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_18_a_refusal_takes_nobodys_token_away() {
    let site = Site::new(quick()).await;
    // It belongs to another account: Amazon answers 403 to everything.
    let foreign = site.add_instance("amcdemouk01").await;
    let stored = "select refresh_token_encrypted from lwa_credentials";
    let refused = site.ask(&Wish { instance: foreign, ..site.wish(2) }).await;
    let working = site.work();
    eventually("both weeks wait for a person", async || site.progress(refused).await.blocked == 2)
        .await;
    let mine = site.backfill(2).await;
    site.assert_completed(mine, 2).await;
    working.stop().await;
    let stored = site.tools.unseal(&Sealed::new(site.text(stored).await)).expect("it opens");
    assert_eq!(stored.expose_secret(), site.refresh_token());
    assert_eq!(site.text("select token_state::text from lwa_credentials").await, "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_30_a_call_that_hangs_holds_up_nobody_else() {
    let site = Site::new(quick()).await;
    let hangs = Fault::new(Kind::Hold { effect: Effect::Before });
    let hangs = site.amc.set_fault(hangs.on([Operation::CreateExecution]).times(1));
    let collection = site.backfill(6).await;
    let working = site.work();
    eventually("the others are done", async || site.progress(collection).await.succeeded == 5)
        .await;
    site.amc.lift_fault(hangs);
    site.assert_complete(collection, 6).await;
    working.stop().await;
}
