//! Two collections that ask for the same slices of the same query.

use super::site::{Site, quick};
use crate::harness::eventually::eventually;
use recomamp::simulator::{Fault, Kind};
use recomamp::store::collections::CollectionStatus;

const WEEKS: u32 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_slice_is_not_collected_twice_not_even_at_the_same_time() {
    let site = Site::new(quick()).await;
    let (one, other) = (site.backfill(WEEKS).await, site.backfill(WEEKS).await);
    let working = site.work();
    eventually("both have ended", async || {
        site.skip_pauses("collect_week").await;
        let (one, other) = (site.progress(one).await, site.progress(other).await);
        one.status.is_terminal() && other.status.is_terminal()
    })
    .await;
    // Longer than those before: it reuses what is there and asks for the rest.
    let longer = site.backfill(WEEKS + 3).await;
    site.assert_complete(longer, WEEKS + 3).await;
    working.stop().await;
    for collection in [one, other] {
        let progress = site.progress(collection).await;
        assert_eq!(progress.status, CollectionStatus::Completed);
        assert_eq!(progress.succeeded, i64::from(WEEKS));
    }
    let different = "select count(*) from (
            select from report_data_weeks group by slice_key
            having count(distinct data_checksum) > 1 or count(distinct workflow_execution_id) > 1
        ) as slice";
    assert_eq!(site.count(different).await, 0, "all of them have the same rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_slice_is_not_collected_twice_after_both_were_blocked_either() {
    let site = Site::new(quick()).await;
    let terms = site.amc.set_fault(Fault::new(Kind::TermsNotAccepted));
    let (one, other) = (site.backfill(3).await, site.backfill(3).await);
    let working = site.work();
    eventually("all weeks are blocked", async || {
        site.skip_pauses("collect_week").await;
        site.progress(one).await.blocked + site.progress(other).await.blocked == 6
    })
    .await;
    site.amc.lift_fault(terms);
    site.unblock(site.instance).await;
    eventually("both have ended", async || {
        site.skip_all_pauses().await;
        site.skip_pauses("collect_week").await;
        let (one, other) = (site.progress(one).await, site.progress(other).await);
        one.status.is_terminal() && other.status.is_terminal()
    })
    .await;
    working.stop().await;
    assert_eq!(site.progress(one).await.succeeded + site.progress(other).await.succeeded, 6);
    assert_eq!(site.amc.counts().accepted(), 3, "each slice was asked for once");
}
