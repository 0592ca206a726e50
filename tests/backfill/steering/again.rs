//! Weeks are collected once more: those that failed, and those whose data AMC may have restated.

use super::{Site, Verb};
use crate::backfill::site::{Wish, quick};
use crate::harness::eventually::eventually;
use recomamp::simulator::{Effect, Ending, Fault, Kind, Operation as Op};
use recomamp::store::collections::{CollectionStatus, Rules};
use recomamp::store::weeks::{self, Filter, Week};

const SUMMED: &str =
    "select sum(row_count)::bigint from report_data_aggregates where grain = 'week'";

impl Site {
    async fn weeks(&self, collection: recomamp::store::CollectionUuid) -> Vec<Week> {
        weeks::list(self.db.pool(), collection, &Filter::default()).await.expect("asked")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_weeks_begin_anew_with_all_their_attempts_and_the_report_is_made_anew() {
    let site = Site::new(quick()).await;
    let broken = Kind::EndAs { status: Ending::Failed, reason: "Internal error".to_owned() };
    site.faults([Fault::new(broken.clone()).times(4)]);
    let rules = Rules { max_failed_weeks: None, max_queued_weeks: 1, ..Rules::default() };
    let collection = site.ask(&Wish { attempts: 2, rules, ..site.wish(5) }).await;
    let working = site.work();
    let ended = site.ended_without_pauses(collection).await;
    assert_eq!((ended.status, ended.failed), (CollectionStatus::CompletedWithErrors, 2));
    site.idle().await;
    assert_eq!(site.count(SUMMED).await, 3 * 12);

    // One more failure than it had left before: its attempts are whole again.
    site.faults([Fault::new(broken).times(1)]);
    assert_eq!(site.steered(collection, Verb::Retry).await.weeks, 2);
    let ended = site.ended_without_pauses(collection).await;
    assert_eq!((ended.status, ended.succeeded), (CollectionStatus::Completed, 5));
    site.idle().await;
    assert_eq!(site.count(SUMMED).await, 5 * 12);
    let nothing = site.steer(collection, Verb::Retry).await.expect("answered");
    assert!(!nothing.changed, "{nothing:?}");
    working.stop().await;
}

#[tokio::test]
async fn what_is_to_be_collected_again_waits_at_once_when_amazon_refuses_the_user() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(2).await;
    site.steered(collection, Verb::Cancel).await;
    sqlx::raw_sql("update lwa_credentials set token_state = 'needs_reauth', token_error = 'no'")
        .execute(site.db.pool())
        .await
        .expect("the store answers");
    let steered = site.steered(collection, Verb::Retry).await;
    assert!(steered.said.ends_with("2 weeks once Amazon lets it in: it is paused"), "{steered:?}");
    let waits = site.collection(collection).await;
    assert_eq!((waits.status, waits.auto_paused), (CollectionStatus::Paused, true));
    assert!(waits.pause_reason.expect("a reason").contains("users authorise"));
    let opens = waits.paused_for.expect("a resource");
    let mut tx = recomamp::transaction::begin(site.db.pool()).await.expect("begun");
    let queue = &site.tools.queue;
    recomamp::jobs::owner::opened(queue, &mut tx, &opens).await.expect("opened");
    tx.commit().await.expect("committed");
    assert_eq!(site.collection(collection).await.status, CollectionStatus::Pending);
    let queued = "select count(*) from report_data_weeks where queued_at is not null";
    assert_eq!(site.count(queued).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_amc_has_not_restated_stay_as_they_are_and_are_noted_as_checked() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(4).await;
    let working = site.work();
    site.assert_complete(collection, 4).await;
    let before = site.weeks(collection).await;
    let sums = "select string_agg(computed_at::text, ' ' order by id) from report_data_aggregates";
    let summed = site.text(sums).await;

    assert_eq!(site.steered(collection, Verb::Recollect(2)).await.weeks, 2);
    site.assert_completed(collection, 4).await;
    site.assert_nothing_is_left().await;
    working.stop().await;
    assert_eq!(site.amc.counts().accepted(), 6, "AMC was asked again, nothing was taken over");
    for (n, (then, now)) in before.iter().zip(site.weeks(collection).await).enumerate() {
        assert_eq!((now.data_version, now.data_checksum), (1, then.data_checksum));
        assert_eq!(now.last_checked_at.is_some(), n >= 2, "only the last two");
    }
    assert_eq!(site.text(sums).await, summed, "nothing is summed anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restated_rows_are_a_new_version_and_the_old_ones_are_there_until_it_is_stored() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(4).await;
    let working = site.work();
    site.assert_complete(collection, 4).await;
    assert_eq!(site.count(SUMMED).await, 4 * 12);
    site.faults([Fault::new(Kind::EmptyResult).times(1)]);
    let hold = site
        .amc
        .set_fault(Fault::new(Kind::Hold { effect: Effect::Before }).on([Op::DownloadUrls]));
    site.steered(collection, Verb::Recollect(1)).await;
    site.until_met(hold, 1).await;
    let held = site.progress(collection).await;
    assert_eq!((held.status, held.running, held.succeeded), (CollectionStatus::Running, 1, 3));
    assert_eq!(site.weeks(collection).await[3].row_count, Some(12), "the old rows are there");
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let told = weeks::summaries(&mut *connection, collection).await.expect("asked");
    assert_eq!(told.len(), 4, "and are summed with the others");

    site.amc.lift_fault(hold);
    site.assert_completed(collection, 4).await;
    site.assert_nothing_is_left().await;
    working.stop().await;
    let week = site.weeks(collection).await.remove(3);
    assert_eq!((week.row_count, week.data_version), (Some(0), 2));
    assert_eq!(site.count(SUMMED).await, 3 * 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_that_cannot_be_collected_again_keeps_its_rows() {
    let site = Site::new(quick()).await;
    let collection = site.ask(&Wish { attempts: 1, ..site.wish(3) }).await;
    let working = site.work();
    site.assert_complete(collection, 3).await;
    let before = site.weeks(collection).await.remove(2);
    let broken = Kind::EndAs { status: Ending::Failed, reason: "Internal error".to_owned() };
    site.faults([
        Fault::new(broken).times(1),
        Fault::new(Kind::RunFor { seconds: 20_000 }).after(1),
    ]);
    site.steered(collection, Verb::Recollect(1)).await;
    site.ended_without_pauses(collection).await;
    let after = site.weeks(collection).await.remove(2);
    assert_eq!(
        (after.status, after.workflow_execution_id),
        (before.status, before.workflow_execution_id)
    );
    assert_eq!((after.data_version, after.row_count), (1, Some(12)));
    assert!(after.error_message.is_some_and(|why| why.contains("Internal error")));
    assert_eq!(site.collection(collection).await.failures, 0, "nothing is missing");

    // So does one that is called off meanwhile.
    site.steered(collection, Verb::Recollect(1)).await;
    eventually("it is at AMC", async || site.progress(collection).await.open_executions == 1).await;
    let cancelled = site.steered(collection, Verb::Cancel).await;
    let said = "stays complete, and 1 week will not be collected again; 1 execution is being stopped at AMC";
    assert!(cancelled.said.ends_with(said), "{cancelled:?}");
    site.assert_nothing_is_left().await;
    working.stop().await;
    let now = site.collection(collection).await;
    assert_eq!(now.status, CollectionStatus::Completed, "nothing is missing");
    assert_eq!(now.last_error, None);
    let after = site.weeks(collection).await.remove(2);
    assert_eq!(
        (after.status, after.workflow_execution_id),
        (before.status, before.workflow_execution_id)
    );
}
