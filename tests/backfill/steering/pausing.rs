//! A paused backfill begins nothing, loses nothing, and keeps nobody waiting.

use super::{ANA, Site, Verb};
use crate::backfill::site::quick;
use crate::harness::eventually::{eventually, eventually_some};
use recomamp::backfill::status;
use recomamp::queue::{Queue, steer};
use recomamp::simulator::{Effect, Fault, Kind, Operation as Op};
use recomamp::steering::{self, Because, SteerError};
use recomamp::store::collections::CollectionStatus;
use recomamp::tools::resources;
use std::time::Duration;

const WEEKS: u32 = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_amc_has_is_stored_nothing_new_begins_and_after_a_resume_nothing_was_lost() {
    let site = Site::new(quick()).await;
    let hold = site.hold_looks();
    let collection = site.backfill(WEEKS).await;
    let working = site.work();
    site.until(|counts| counts.accepted() == 10).await;
    site.steered(collection, Verb::Pause).await;
    site.amc.lift_fault(hold);
    // No job goes round and round meanwhile, and no place is kept.
    site.idle().await;
    assert_eq!(site.places().await, (0, 0));
    let progress = site.progress(collection).await;
    assert_eq!((progress.succeeded, progress.pending, progress.running), (10, 20, 0));
    assert_eq!(site.amc.counts().accepted(), 10);

    site.steered(collection, Verb::Resume).await;
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
    assert_eq!(site.progress(collection).await.retries, 0, "what was never sent is no retry");
    assert_eq!(site.became(collection, "paused").await, ["ana"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_is_paused_before_it_began_asks_amc_for_nothing() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(WEEKS).await;
    site.steered(collection, Verb::Pause).await;
    let working = site.work();
    site.idle().await;
    assert_eq!(site.amc.counts().calls_of(Op::CreateExecution), 0);
    let queued = "select count(*) from report_data_weeks where queued_at is not null";
    assert_eq!(site.count(queued).await, 0, "every week was handed back");
    site.steered(collection, Verb::Resume).await;
    site.assert_complete(collection, WEEKS).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_week_that_amc_may_have_is_looked_up_and_stored_also_while_its_backfill_is_paused()
 {
    let site = Site::new(quick()).await;
    let lost = Fault::new(Kind::Reset { effect: Effect::After }).on([Op::CreateExecution]).times(1);
    site.faults([lost]);
    let collection = site.backfill(1).await;
    let working = site.work();
    let unknown = "select count(*) from workflow_executions where status = 'submit_unknown'";
    eventually("the answer was lost", async || site.count(unknown).await == 1).await;
    // Its job still runs for a moment after that is written down, and cannot be discarded then.
    let waits = "select count(*) from engine.jobs
        where kind = 'submit_execution' and state = 'waiting'";
    eventually("its job waits", async || site.count(waits).await == 1).await;
    let mut tx = recomamp::transaction::begin(site.db.pool()).await.expect("begun");
    let looks = "select id from engine.jobs where kind = 'submit_execution'";
    let because = steer::Because { by: "ana", why: "a mistake" };
    let job = site.count(looks).await;
    Queue::new().discard(&mut tx, &[job], &because).await.expect("discarded");
    tx.commit().await.expect("committed");
    eventually("a person has to look", async || site.progress(collection).await.blocked == 1).await;
    site.steered(collection, Verb::Pause).await;

    assert_eq!(site.unblock(site.instance).await, 1);
    eventually("nothing is left to do", async || {
        site.skip_pauses("submit_execution").await;
        site.count("select count(*) from engine.jobs").await == 0
    })
    .await;
    assert_eq!(site.progress(collection).await.succeeded, 1);
    assert_eq!(site.amc.counts().accepted(), 1, "it was not sent again");
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_is_collected_by_another_backfill_when_the_one_that_had_begun_it_is_paused() {
    let site = Site::new(quick()).await;
    let hold = site.hold_looks();
    let first = site.backfill(15).await;
    let working = site.work();
    // Ten of its weeks are at AMC, five wait for a place there.
    site.until(|counts| counts.accepted() == 10).await;
    let running = async || site.progress(first).await.running;
    eventually("all have begun", async || running().await == 15).await;
    site.steered(first, Verb::Pause).await;
    let second = site.backfill(15).await;
    site.amc.lift_fault(hold);
    site.ended_without_pauses(second).await;
    site.assert_completed(second, 15).await;
    assert_eq!(site.collection(first).await.status, CollectionStatus::Paused);
    assert_eq!(site.progress(first).await.succeeded, 10);
    site.steered(first, Verb::Resume).await;
    site.assert_complete(first, 15).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_goes_on_at_the_time_it_was_paused_until_and_not_before() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(3).await;
    let id = site.collection(collection).await.collection_id;
    let hour = chrono::TimeDelta::hours(1);
    let until = recomamp::clock::now(site.db.pool()).await.expect("the time") + hour;
    let mut tx = recomamp::transaction::begin(site.db.pool()).await.expect("begun");
    steering::pause(&mut tx, &id, Some(until), &ANA).await.expect("paused");
    tx.commit().await.expect("committed");

    let due =
        async || steering::resume_due(site.db.pool(), &site.tools.queue).await.expect("asked");
    assert_eq!(due().await, 0);
    site.db.advance_clock(Duration::from_hours(1)).await;
    assert_eq!((due().await, due().await), (1, 0));
    let working = site.work();
    site.assert_complete(collection, 3).await;
    working.stop().await;
    assert_eq!(site.became(collection, "pending").await, ["engine"]);
}

#[tokio::test]
async fn what_amazon_refuses_when_its_time_has_come_waits_for_the_credential_and_goes_on_then() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(3).await;
    let id = site.collection(collection).await.collection_id;
    let until =
        recomamp::clock::now(site.db.pool()).await.expect("the time") + chrono::TimeDelta::hours(1);
    let mut tx = recomamp::transaction::begin(site.db.pool()).await.expect("begun");
    steering::pause(&mut tx, &id, Some(until), &ANA).await.expect("paused");
    tx.commit().await.expect("committed");
    let state = async |state: &str| {
        sqlx::query("update lwa_credentials set token_state = $1::token_state, token_error = 'no'")
            .bind(state)
            .execute(site.db.pool())
            .await
            .expect("the store answers");
    };
    state("needs_reauth").await;
    site.db.advance_clock(Duration::from_hours(1)).await;
    let due =
        async || steering::resume_due(site.db.pool(), &site.tools.queue).await.expect("asked");
    assert_eq!((due().await, due().await), (0, 0));
    let waits = site.collection(collection).await;
    assert!(waits.auto_paused && waits.resume_at.is_none(), "{waits:?}");
    assert!(waits.pause_reason.expect("a reason").contains("users authorise"));
    assert_eq!(site.became(collection, "paused").await, ["ana", "engine"]);

    state("active").await;
    let opens = waits.paused_for.expect("a resource");
    let mut tx = recomamp::transaction::begin(site.db.pool()).await.expect("begun");
    let queue = &site.tools.queue;
    recomamp::jobs::owner::opened(queue, &mut tx, &opens).await.expect("opened");
    tx.commit().await.expect("committed");
    assert_eq!(site.collection(collection).await.status, CollectionStatus::Pending);
}

#[tokio::test]
async fn asking_twice_is_asking_once_and_what_makes_no_sense_is_refused() {
    let site = Site::new(quick()).await;
    let collection = site.backfill(2).await;
    let again = site.steer(collection, Verb::Resume).await.expect("answered");
    assert!(!again.changed && again.said.ends_with("is not paused"), "{again:?}");
    site.steered(collection, Verb::Pause).await;
    let again = site.steer(collection, Verb::Pause).await.expect("answered");
    assert!(!again.changed && again.said.ends_with("is paused already"), "{again:?}");

    site.steered(collection, Verb::Cancel).await;
    let again = site.steer(collection, Verb::Cancel).await.expect("answered");
    assert!(!again.changed && again.said.ends_with("is cancelled already"), "{again:?}");
    for verb in [Verb::Pause, Verb::Resume] {
        let refused = site.steer(collection, verb).await;
        assert!(matches!(refused, Err(SteerError::Ended { .. })), "{refused:?}");
    }
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let silent = Because { by: "ana", why: Some("  ") };
    let id = site.collection(collection).await.collection_id;
    let refused = steering::pause(&mut connection, &id, None, &silent).await;
    assert!(matches!(refused, Err(SteerError::NoReason)), "{refused:?}");
    let refused = steering::pause(&mut connection, "none", None, &ANA).await;
    assert!(matches!(refused, Err(SteerError::Unknown(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_a_shut_gate_holds_up_says_which() {
    let site = Site::new(quick()).await;
    let gate = resources::instance(&site.amc_instance_id());
    let mut tx = recomamp::transaction::begin(site.db.pool()).await.expect("begun");
    Queue::new().pause(&mut tx, &gate, "ana", "forgotten", None).await.expect("paused");
    tx.commit().await.expect("committed");
    site.backfill(2).await;
    let working = site.work();
    let kept_out = eventually_some("it says so", async || {
        let mut connection = site.db.pool().acquire().await.expect("a connection");
        status::newest(&mut connection, 1).await.expect("the store answers").remove(0).kept_out
    })
    .await;
    assert_eq!(kept_out, format!("{gate} is paused: look at `recomamp gates show {gate}`"));
    working.stop().await;
}
