//! A backfill covers more weeks, or fewer.

use super::{Bounds, Site, SteerError, Verb};
use crate::backfill::site::{Wish, quick};
use chrono::Days;
use recomamp::backfill::completion;
use recomamp::store::collections::{Collection, CollectionStatus, Rules};

fn from(date: chrono::NaiveDate) -> Bounds {
    Bounds { from: Some(date), until: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn earlier_weeks_are_added_without_gap_or_overlap_and_the_report_covers_them() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(3).await;
    let working = site.work();
    site.assert_complete(collection, 3).await;
    let start = site.collection(collection).await.period_start;

    let wider = from(start - Days::new(14));
    assert_eq!(site.steered(collection, Verb::Widen(wider)).await.weeks, 2);
    site.assert_complete(collection, 5).await;
    working.stop().await;
    let now = site.collection(collection).await;
    assert_eq!((now.period_start, now.target_weeks), (start - Days::new(14), 5));
    let gaps = "select count(*) from report_data_weeks week where not exists (
        select from report_data_weeks next where next.week_start_date = week.week_end_date)";
    assert_eq!(site.count(gaps).await, 1, "only the last week has no next one");
    let summed = "select count(*) from report_data_aggregates where grain = 'week'";
    assert_eq!(site.count(summed).await, 5);

    let again = site.steer(collection, Verb::Widen(wider)).await.expect("answered");
    assert!(!again.changed, "{again:?}");
    for (bounds, named) in [
        (from(start + Days::new(7)), "NotWider"),
        (from(start - Days::new(15)), "NotABorder"),
        (Bounds { from: None, until: None }, "NoBounds"),
        (Bounds { from: None, until: Some(start + Days::new(700)) }, "TooRecent"),
    ] {
        let refused = site.steer(collection, Verb::Widen(bounds)).await.expect_err("refused");
        assert!(format!("{refused:?}").contains(named), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weeks_that_have_not_begun_are_skipped_with_who_and_why_and_can_be_taken_up_again() {
    let site = Site::new(quick()).await;
    let rules = Rules { max_queued_weeks: 2, ..Rules::default() };
    let collection = site.ask(&Wish { rules, ..site.wish(6) }).await;
    let start = site.collection(collection).await.period_start;
    let later = from(start + Days::new(28));
    assert_eq!(site.steered(collection, Verb::Shrink(later)).await.weeks, 4);
    let why = "select distinct error_message from report_data_weeks where status = 'skipped'";
    assert_eq!(site.text(why).await, "skipped by ana: a test");
    let working = site.work();
    let ended = site.ended(collection).await;
    assert_eq!((ended.status, ended.skipped, ended.succeeded), (CollectionStatus::Completed, 4, 2));
    site.assert_submitted_once(2).await;

    // One that was left out when the collection was made is nobody's to take up.
    sqlx::query(
        "update report_data_weeks set error_message = 'another collection has it'
        where week_start_date = (select min(week_start_date) from report_data_weeks)",
    )
    .execute(site.db.pool())
    .await
    .expect("left out");
    assert_eq!(site.steered(collection, Verb::Widen(from(start))).await.weeks, 3);
    site.assert_complete(collection, 5).await;
    working.stop().await;
    let all = from(start + Days::new(70));
    let refused = site.steer(collection, Verb::Shrink(all)).await;
    assert!(matches!(refused, Err(SteerError::NothingLeft)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_was_narrowed_covers_what_is_left_and_is_widened_only_where_it_is_asked() {
    let site = Site::new(quick()).await;
    let rules = Rules { max_queued_weeks: 2, ..Rules::default() };
    let collection = site.ask(&Wish { rules, ..site.wish(8) }).await;
    let pause = "update report_data_weeks set queued_at = null";
    sqlx::query(pause).execute(site.db.pool()).await.expect("none is in the queue");
    let Collection { period_start: start, period_end: end, .. } = site.collection(collection).await;
    let middle = Bounds { from: Some(start + Days::new(14)), until: Some(end - Days::new(14)) };
    assert_eq!(site.steered(collection, Verb::Shrink(middle)).await.weeks, 4);
    let period = async || {
        let Collection { period_start, period_end, .. } = site.collection(collection).await;
        (period_start, period_end)
    };
    assert_eq!(period().await, (start + Days::new(14), end - Days::new(14)));
    // One week more at one end; what was called off at the other stays so.
    let wider = from(start + Days::new(7));
    assert_eq!(site.steered(collection, Verb::Widen(wider)).await.weeks, 1);
    let working = site.work();
    let ended = site.ended(collection).await;
    working.stop().await;
    assert_eq!((ended.succeeded, ended.skipped), (5, 3));
    let id = site.collection(collection).await.collection_id;
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let report = completion::report(&mut connection, &id).await.expect("read").expect("there");
    assert!(report.complete && report.slices == 5, "{}", report.verdict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_ends_because_the_rest_is_not_needed_is_told_to_have_ended_once() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(3).await;
    sqlx::query(
        "update report_data_weeks
        set status = 'failed', error_message = 'no', completed_at = engine.now()
        where week_start_date = (select max(week_start_date) from report_data_weeks)",
    )
    .execute(site.db.pool())
    .await
    .expect("failed");
    let last = from(site.collection(collection).await.period_start + Days::new(14));
    let steered = site.steered(collection, Verb::Shrink(last)).await;
    assert_eq!((steered.status, steered.weeks), (CollectionStatus::Failed, 2));
    assert_eq!(site.became(collection, "failed").await, ["engine"]);
    assert_eq!(site.became(collection, "pending").await, ["ana"], "it was, when she did it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_of_which_nothing_would_be_left_is_not_narrowed() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(2).await;
    let inside = site.collection(collection).await.period_end - Days::new(6);
    let refused = site.steer(collection, Verb::Shrink(from(inside))).await;
    assert!(matches!(refused, Err(SteerError::NothingLeft)), "{refused:?}");
    let skipped = "select count(*) from report_data_weeks where status = 'skipped'";
    assert_eq!(site.count(skipped).await, 0);
}
