//! The database goes away and comes back while a backfill is under way.

use crate::backfill::site::{Site, quick};
use crate::harness::database::TestDatabase;
use crate::harness::server::PrivatePostgres;
use nix::sys::signal::Signal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_loses_nothing_when_postgres_is_restarted_and_then_killed() {
    const WEEKS: u32 = 20;
    let mut server = PrivatePostgres::start().await;
    let lookup = [("RECOMAMP_SUBMIT_LOOKUP", "4s")];
    let site = Site::on(TestDatabase::on(server.url()).await, quick(), &lookup).await;
    let worker = site.start_worker().await;
    let working = site.work();
    let collection = site.backfill(WEEKS).await;

    site.until(|counts| counts.accepted() >= 5).await;
    server.stop().await;
    server.start_again().await;
    site.until(|counts| counts.accepted() >= 12).await;
    server.kill();
    server.start_again().await;

    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    worker.signal(Signal::SIGTERM);
    assert!(worker.finish().await.status.success());
}
