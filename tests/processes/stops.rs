//! Workers that are told to stop: by a deploy, once or twice.

use super::{held, site};
use nix::sys::signal::Signal;
use recomamp::simulator::{Effect, Operation as Op};

const WEEKS: u32 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploys_in_the_middle_of_a_backfill_burn_no_attempt() {
    let site = site().await;
    let collection = site.backfill(WEEKS).await;
    // Each of them is stopped while a call of another kind does not come back.
    for (operation, effect, after) in [
        (Op::CreateExecution, Effect::After, 3),
        (Op::CreateExecution, Effect::Before, 0),
        (Op::ListExecutions, Effect::Before, 0),
        (Op::DownloadUrls, Effect::Before, 0),
    ] {
        let worker = site.worker().env("RECOMAMP_SHUTDOWN_GRACE", "300ms").start().await;
        let call = site.amc.set_fault(held(operation, effect, after));
        site.until_met(call, 1).await;
        worker.signal(Signal::SIGTERM);
        let ended = worker.finish().await;
        assert!(ended.status.success(), "{}", ended.stdout);
        site.amc.lift_faults();
    }
    let working = site.work();
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    site.assert_no_attempt_was_burnt().await;
    let handed_back = "select sum(interruptions)::bigint from engine.jobs_history";
    assert!(site.count(handed_back).await >= 4);
    let rescued = "select sum(rescues)::bigint from engine.jobs_history";
    assert_eq!(site.count(rescued).await, 0);
    let ends = "select count(*) from engine.sessions where end_reason = 'stopped'";
    assert_eq!(site.count(ends).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_log_nobody_reads_any_more_stops_when_it_is_told_to() {
    let site = site().await;
    let mut worker = site.worker().start().await;
    worker.line("\"working\"").await;
    worker.stop_reading().await;
    let collection = site.backfill(2).await;
    site.assert_complete(collection, 2).await;
    worker.signal(Signal::SIGTERM);
    assert!(worker.finish().await.status.success());
    let ends = "select count(*) from engine.sessions where end_reason = 'stopped'";
    assert_eq!(site.count(ends).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_hands_back_at_once() {
    let site = site().await;
    let collection = site.backfill(4).await;
    // Nothing but the second signal can end the wait for this call.
    let mut worker = site.worker().env("RECOMAMP_SHUTDOWN_GRACE", "1d").start().await;
    let call = site.amc.set_fault(held(Op::GetExecution, Effect::Before, 0));
    site.until_met(call, 1).await;
    worker.signal(Signal::SIGTERM);
    worker.line("a second signal stops at once").await;
    worker.signal(Signal::SIGTERM);
    worker.line("handed back").await;
    assert!(worker.finish().await.status.success());
    site.amc.lift_faults();
    assert_eq!(site.count("select count(*) from engine.jobs where state = 'running'").await, 0);

    let working = site.work();
    site.assert_complete(collection, 4).await;
    working.stop().await;
    site.assert_no_attempt_was_burnt().await;
}
