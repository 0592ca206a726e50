//! A collection has a few of its weeks in the queue, and the next one when one has ended.

use super::{Site, Verb};
use crate::backfill::site::{Wish, quick};
use crate::harness::eventually::eventually;
use recomamp::jobs::feed;
use recomamp::simulator::{Fault, Kind};
use recomamp::store::collections::{self, FeedOrder, Rules};

const JOBS: &str = "select count(*) from engine.jobs";

fn few(max_queued_weeks: i32) -> Rules {
    Rules { max_queued_weeks, ..Rules::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_weeks_are_in_the_queue_than_the_collection_may_have_there() {
    let site = Site::new(quick()).await;
    let collection = site.ask(&Wish { rules: few(3), ..site.wish(12) }).await;
    assert_eq!(site.count(JOBS).await, 3);
    let mut tx = recomamp::transaction::begin(site.db.pool()).await.expect("begun");
    let more = feed::top_up(&site.tools.queue, &mut tx, collection).await.expect("asked");
    tx.commit().await.expect("committed");
    assert_eq!(more, 0, "asking again changes nothing");
    let working = site.work();
    site.assert_complete(collection, 12).await;
    working.stop().await;
    let most_open = site.amc.counts().max_open.into_values().max();
    assert!(most_open <= Some(3), "{most_open:?} were open at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weeks_have_their_turns_from_the_end_that_was_asked_for() {
    let turns = [
        (FeedOrder::OldestFirst, [0, 1, 2, 3, 4]),
        (FeedOrder::NewestFirst, [4, 3, 2, 1, 0]),
        (FeedOrder::Interleaved, [0, 4, 1, 3, 2]),
    ];
    for (feed_order, expected) in turns {
        let site = Site::new(quick()).await;
        let rules = Rules { feed_order, ..few(1) };
        let collection = site.ask(&Wish { rules, ..site.wish(5) }).await;
        let working = site.work();
        site.assert_complete(collection, 5).await;
        working.stop().await;
        let submitted: Vec<i64> = sqlx::query_scalar(
            "select (week_start_date - min(week_start_date) over ()) / 7::bigint
            from report_data_weeks week
            join workflow_executions execution on execution.week_id = week.id
            order by submitted_at",
        )
        .fetch_all(site.db.pool())
        .await
        .expect("the store answers");
        assert_eq!(submitted, expected, "{feed_order}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_refuses_us_blocks_no_more_weeks_than_are_in_the_queue() {
    let site = Site::new(quick()).await;
    let terms = site.amc.set_fault(Fault::new(Kind::TermsNotAccepted));
    let collection = site.ask(&Wish { rules: few(4), ..site.wish(12) }).await;
    let working = site.work();
    eventually("four weeks are blocked", async || site.progress(collection).await.blocked == 4)
        .await;
    site.idle().await;
    assert_eq!(site.progress(collection).await.pending, 8);
    site.amc.lift_fault(terms);
    assert_eq!(site.unblock(site.instance).await, 4);
    site.ended_without_pauses(collection).await;
    site.assert_completed(collection, 12).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weeks_whose_turn_was_missed_are_found_and_those_of_a_paused_collection_are_left_alone() {
    let site = Site::new(quick()).await;
    let collection = site.ask(&Wish { rules: few(2), ..site.wish(6) }).await;
    let paused = site.ask(&Wish { rules: few(2), ..site.wish(5) }).await;
    site.steered(paused, Verb::Pause).await;
    assert_eq!(collections::hungry(site.db.pool()).await.expect("asked"), []);
    sqlx::query("update report_data_weeks set queued_at = null")
        .execute(site.db.pool())
        .await
        .expect("forgotten");
    assert_eq!(collections::hungry(site.db.pool()).await.expect("asked"), [collection]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_backfills_of_ten_years_are_a_few_jobs_and_are_paused_resumed_and_cancelled_at_once()
{
    const BACKFILLS: i64 = 20;
    const WEEKS: i64 = 520;
    let site = Site::new(quick()).await;
    let mut all = Vec::new();
    for n in 0..BACKFILLS {
        let sql = format!("select {n} from dsp_impressions");
        let weeks = u32::try_from(WEEKS).expect("few");
        all.push(site.ask(&Wish { sql: &sql, ..site.wish(weeks) }).await);
    }
    let weeks = "select count(*) from report_data_weeks";
    assert_eq!(site.count(weeks).await, BACKFILLS * WEEKS);
    assert_eq!(site.count(JOBS).await, BACKFILLS * 20);

    let touched = "select count(*) from report_data_weeks where updated_at > queued_at";
    let untouched = site.count(touched).await;
    for collection in &all {
        site.steered(*collection, Verb::Pause).await;
    }
    assert_eq!(site.count(touched).await, untouched, "a pause changes one row");
    for collection in &all {
        site.steered(*collection, Verb::Resume).await;
    }
    assert_eq!(site.count(JOBS).await, BACKFILLS * 20, "nothing was queued twice");
    for collection in &all {
        let steered = site.steered(*collection, Verb::Cancel).await;
        assert_eq!(steered.weeks, WEEKS.unsigned_abs());
    }
    let left = "select count(*) from engine.jobs where kind <> 'aggregate_report'";
    assert_eq!(site.count(left).await, 0);
    let cancelled = "select count(*) from report_data_weeks where status = 'cancelled'";
    assert_eq!(site.count(cancelled).await, BACKFILLS * WEEKS);
}
