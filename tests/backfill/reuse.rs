//! What AMC has just answered is not asked again, if that is wanted.

use super::site::{Site, quick};
use recomamp::jobs::tend_executions;
use recomamp::store::executions::{self, ExecutionStatus};
use recomamp::store::results;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_question_within_the_hour_takes_over_the_answer() {
    let site = Site::with(quick(), &[("RECOMAMP_REUSE_RESULTS", "1h")]).await;
    let working = site.work();
    let collection = site.backfill(1).await;
    site.assert_complete(collection, 1).await;
    let ask = async || {
        let execution = site.by_hand().await;
        site.have_done(tend_executions::job().unwrap()).await;
        site.idle().await;
        let ended = executions::by_id(site.db.pool(), execution).await.unwrap().unwrap();
        assert_eq!(ended.status, ExecutionStatus::Succeeded);
        ended
    };
    let first = ask().await;
    assert_eq!(site.amc.counts().accepted(), 2);
    let second = ask().await;
    assert_eq!(site.amc.counts().accepted(), 2, "nothing was sent");
    assert_eq!(second.amc_execution_id, None);
    let result = async |id| results::by_execution(site.db.pool(), id).await.unwrap();
    let (of_first, of_second) = (result(first.id).await, result(second.id).await);
    assert!(of_first.is_some());
    assert_eq!(of_first, of_second);

    site.db.advance_clock(Duration::from_hours(2)).await;
    ask().await;
    assert_eq!(site.amc.counts().accepted(), 3, "the answer was too old");
    assert_eq!(site.places().await, (0, 0));
    working.stop().await;
}
