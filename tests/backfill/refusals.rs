//! Refusals that do not say why: a token that is too old, or an instance where we are not wanted.

use super::site::{Site, quick};
use crate::harness::eventually::eventually;
use recomamp::simulator::{Effect, Fault, Kind, Operation as Op};
use recomamp::store::executions::SubmitMode;
use serde_json::json;
use std::time::Duration;

impl Site {
    fn refuse(&self, calls: impl IntoIterator<Item = Op>) -> u64 {
        self.amc.set_fault(Fault::new(Kind::Forbidden).on(calls))
    }

    fn bought(&self) -> u64 {
        self.amc.counts().refreshes.get(&self.refresh_token()).map_or(0, |tokens| tokens.granted)
    }

    /// Waits until the instance is blocked; nobody waits out pauses meanwhile, nor until a token may be
    /// renewed.
    async fn is_blocked(&self) {
        let blocked = "select count(*) from amc_instances where block_reason = 'Forbidden'";
        eventually("the instance is blocked", async || {
            self.age_tokens().await;
            self.skip_pauses("refresh_token").await;
            self.skip_all_pauses().await;
            self.count(blocked).await == 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_refused_with_a_new_token_too_blocks_the_instance_and_goes_on_when_that_ends() {
    for calls in [[Op::CreateExecution], [Op::GetExecution], [Op::DownloadUrls]] {
        let site = Site::new(quick()).await;
        let refused = site.refuse(calls);
        let collection = site.backfill(2).await;
        let working = site.work();
        site.is_blocked().await;
        // One to begin with, one for the refusal, and one that the other week may ask for.
        assert!(site.bought() <= 3, "{calls:?}: {} tokens", site.bought());
        site.amc.lift_fault(refused);
        site.unblock(site.instance).await;
        site.ended_without_pauses(collection).await;
        site.assert_complete(collection, 2).await;
        working.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_list_blocks_the_instance_though_one_list_answers_for_all() {
    // So long that nobody lists again because the last list is old.
    let seldom = [("RECOMAMP_POLL_FIRST", "1h"), ("RECOMAMP_POLL_MAX", "1h")];
    let site = Site::with(quick(), &seldom).await;
    let refused = site.refuse([Op::ListExecutions]);
    let collection = site.backfill(8).await;
    let working = site.work();
    let open = "select count(*) from workflow_executions where status = 'pending'";
    eventually("AMC has all of them", async || site.count(open).await == 8).await;
    site.is_blocked().await;
    assert_eq!(site.places().await.0, 2 * 8, "each is open at AMC, for all we know");
    // The one list that is asked for when it opens finds all of them done.
    site.amc.advance(Duration::from_mins(10));
    site.amc.lift_fault(refused);
    site.unblock(site.instance).await;
    eventually("all is collected", async || {
        site.skip_all_pauses().await;
        site.progress(collection).await.status.is_terminal()
    })
    .await;
    site.assert_complete(collection, 8).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_may_not_be_saved_blocks_its_instance_and_is_saved_when_that_ends() {
    let site = Site::new(quick()).await;
    let refused = site.refuse([Op::CreateWorkflow]);
    let sql =
        "select campaign, sum(impressions) as impressions from dsp_impressions group by campaign";
    let collection = site.ask_as(SubmitMode::Saved, sql, &json!([]), json!({})).await;
    let working = site.work();
    site.is_blocked().await;
    assert!(site.bought() <= 2, "{} tokens", site.bought());
    site.amc.lift_fault(refused);
    site.unblock(site.instance).await;
    eventually("all is collected", async || {
        site.skip_all_pauses().await;
        site.progress(collection).await.status.is_terminal()
    })
    .await;
    site.assert_complete(collection, 2).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_a_new_token_cures_blocks_nothing() {
    let site = Site::new(quick()).await;
    let once = Fault::new(Kind::Forbidden).on([Op::GetExecution, Op::ListExecutions]).times(1);
    site.amc.set_fault(once);
    let collection = site.backfill(2).await;
    let working = site.work();
    eventually("all is collected", async || {
        site.age_tokens().await;
        site.skip_pauses("refresh_token").await;
        site.progress(collection).await.status.is_terminal()
    })
    .await;
    site.assert_complete(collection, 2).await;
    working.stop().await;
    site.assert_faults_met();
    assert_eq!(site.bought(), 2);
    assert_eq!(site.count("select count(*) from events where entity = 'instance'").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_blocks_nothing_however_long_no_other_can_be_bought() {
    let site = Site::new(quick()).await;
    let refused = site.refuse([Op::GetExecution, Op::ListExecutions]);
    let collection = site.backfill(2).await;
    let working = site.work();
    let open = "select count(*) from workflow_executions where status = 'pending'";
    eventually("AMC has all of them", async || site.count(open).await == 2).await;
    let down = Kind::ServerError { status: 503, effect: Effect::Before };
    let down = site.amc.set_fault(Fault::new(down).on([Op::Token]));
    // Whoever was refused looks by itself now and then, whether there is another token or not.
    let denied = "select count(*) from engine.jobs where kind = 'poll_status' and denials >= 3";
    eventually("the same token is refused again and again", async || {
        site.skip_pauses("poll_status").await;
        let mut connection = site.db.pool().acquire().await.expect("a connection");
        site.tools.queue.sweep(&mut connection).await.expect("swept");
        site.count(denied).await > 0
    })
    .await;
    assert_eq!(site.count("select count(*) from events where entity = 'instance'").await, 0);
    assert_eq!(site.bought(), 1);
    for fault in [refused, down] {
        site.amc.lift_fault(fault);
    }
    eventually("all is collected", async || {
        site.age_tokens().await;
        site.skip_pauses("refresh_token").await;
        site.skip_all_pauses().await;
        site.progress(collection).await.status.is_terminal()
    })
    .await;
    site.assert_complete(collection, 2).await;
    working.stop().await;
    assert_eq!(site.count("select count(*) from events where entity = 'instance'").await, 0);
}
