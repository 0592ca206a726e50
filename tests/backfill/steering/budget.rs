//! Too many failed weeks pause a backfill; what is not a week's own failure never does.

use super::{Site, Verb};
use crate::backfill::site::{Wish, quick};
use crate::harness::eventually::eventually;
use recomamp::simulator::{Effect, Ending, Fault, Kind, Operation as Op};
use recomamp::store::collections::{CollectionStatus, Rules};
use std::time::Duration;

fn failing() -> Fault {
    Fault::new(Kind::EndAs { status: Ending::Failed, reason: "Internal error".to_owned() })
}

fn careful(max_failed_weeks: i32) -> Rules {
    Rules { max_failed_weeks: Some(max_failed_weeks), max_queued_weeks: 1, ..Rules::default() }
}

impl Site {
    async fn until_auto_paused(&self, collection: recomamp::store::CollectionUuid) -> String {
        eventually("it is paused", async || {
            self.skip_pauses("collect_week").await;
            self.collection(collection).await.auto_paused
        })
        .await;
        self.collection(collection).await.pause_reason.expect("a reason")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_third_failed_week_pauses_a_backfill_with_the_reason_and_the_remedy() {
    let site = Site::new(quick()).await;
    let broken = site.amc.set_fault(failing());
    let wish = Wish { attempts: 2, rules: careful(3), ..site.wish(8) };
    let collection = site.ask(&wish).await;
    let working = site.work();
    let reason = site.until_auto_paused(collection).await;
    let id = site.collection(collection).await.collection_id;
    assert!(
        reason.starts_with("3 of 8 weeks failed, the budget is 3; the last one said: "),
        "{reason}"
    );
    assert!(reason.contains("failed after 2 executions: Internal error"), "{reason}");
    assert!(reason.contains(&format!("`recomamp collections retry {id}`")), "{reason}");
    site.idle().await;
    assert_eq!(site.amc.counts().accepted(), 6, "three weeks, two executions each");
    assert_eq!(site.became(collection, "paused").await, ["engine"]);

    // A person lets it go on without them: the count begins anew.
    site.steered(collection, Verb::Resume).await;
    site.until_auto_paused(collection).await;
    assert_eq!(site.progress(collection).await.failed, 6);
    assert_eq!(site.collection(collection).await.failures, 3);

    // A person has mended it, and takes everything up.
    site.amc.lift_fault(broken);
    site.steered(collection, Verb::Retry).await;
    site.assert_completed(collection, 8).await;
    site.assert_nothing_is_left().await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_of_failed_weeks_pauses_it_too_and_the_last_week_ends_it_instead() {
    let site = Site::new(quick()).await;
    site.faults([failing()]);
    let rules = Rules { max_failed_weeks: None, max_failed_percent: Some(50), ..careful(1) };
    let half = site.ask(&Wish { attempts: 1, rules, ..site.wish(6) }).await;
    // Those that nobody asks for count for nothing.
    let skip = "update report_data_weeks
        set status = 'skipped', error_message = 'out', completed_at = engine.now()
        where turn > 4";
    sqlx::query(skip).execute(site.db.pool()).await.expect("the store answers");
    let working = site.work();
    let reason = site.until_auto_paused(half).await;
    assert!(reason.starts_with("2 of 4 weeks failed, the budget is 50 %"), "{reason}");

    let sql = "select 2 from dsp_impressions";
    let last = site.ask(&Wish { attempts: 1, rules: careful(2), sql, ..site.wish(2) }).await;
    let ended = site.ended_without_pauses(last).await;
    assert_eq!(ended.status, CollectionStatus::Failed, "nothing was left to pause");
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weeks_that_somebody_cancels_at_amc_spend_nothing_of_the_budget() {
    let site = Site::new(quick()).await;
    let by_hand = Kind::EndAs { status: Ending::Cancelled, reason: "by hand".to_owned() };
    site.faults([Fault::new(by_hand).times(3)]);
    let collection = site.ask(&Wish { rules: careful(1), ..site.wish(6) }).await;
    let working = site.work();
    let ended = site.ended_without_pauses(collection).await;
    working.stop().await;
    assert_eq!(ended.status, CollectionStatus::CompletedWithErrors);
    assert_eq!((ended.succeeded, ended.cancelled, ended.failed), (3, 3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_days_spends_no_execution_and_nothing_of_the_budget() {
    let site = Site::new(quick()).await;
    let rules = Rules { max_failed_weeks: Some(1), ..Rules::default() };
    let collection = site.ask(&Wish { attempts: 1, rules, ..site.wish(15) }).await;
    let hold = site.hold_looks();
    let working = site.work();
    site.until(|counts| counts.accepted() == 10).await;
    let everything =
        [Op::CreateExecution, Op::GetExecution, Op::ListExecutions, Op::DownloadUrls, Op::Download];
    let down = Kind::ServerError { status: 500, effect: Effect::Before };
    let down = site.amc.set_fault(Fault::new(down).on(everything));
    site.amc.lift_fault(hold);
    for _ in 0..12 {
        site.db.advance_clock(Duration::from_hours(4)).await;
        let before = site.met(down);
        eventually("two more calls have met it", async || {
            site.skip_all_pauses().await;
            site.met(down) >= before + 2
        })
        .await;
    }
    site.amc.lift_fault(down);
    eventually("it has ended", async || {
        site.skip_all_pauses().await;
        site.progress(collection).await.status.is_terminal()
    })
    .await;
    site.assert_complete(collection, 15).await;
    working.stop().await;
    assert_eq!(site.collection(collection).await.failures, 0);
}
