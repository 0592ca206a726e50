//! AMC is down for days: few calls are wasted, nothing is given up, and work goes on when it is back.

use super::site::{Site, Wish, quick};
use crate::harness::eventually::eventually;
use recomamp::queue::gate::breaker::{Rule, Trip};
use recomamp::queue::{Attempt, Failure, Job, NewJob, Outcome, gate};
use recomamp::schedule::Desk;
use recomamp::schedule::duties::Duty;
use recomamp::simulator::{Counts, Effect, Fault, Kind, Operation as Op};
use recomamp::steering::{self, Because};
use recomamp::tools::{Tools, resources};
use recomamp::{jobs, transaction};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const WEEKS: u32 = 6;
const SLOTS: usize = 4;
const STEPS: u32 = 6;
/// Of the host's breaker, which is the first to open when all instances are down at once.
const THRESHOLD: u64 = 20;

const OPERATIONS: [Op; 5] = [
    Op::CreateExecution,
    Op::GetExecution,
    Op::ListExecutions,
    Op::DownloadUrls,
    Op::CancelExecution,
];

/// What a dead AMC answers to every call.
fn down() -> Fault {
    Fault::new(Kind::ServerError { status: 503, effect: Effect::Before }).on(OPERATIONS)
}

fn calls(counts: &Counts) -> u64 {
    OPERATIONS.into_iter().map(|operation| counts.calls_of(operation)).sum()
}

impl Site {
    /// As a worker does when it starts.
    async fn guard(&self) {
        let mut tx = self.db.pool().begin().await.expect("begun");
        self.tools.guard(&mut tx).await.expect("guarded");
        tx.commit().await.expect("committed");
    }

    /// Time passes, and workers notice.
    async fn pass(&self, time: Duration) {
        self.db.advance_clock(time).await;
        sqlx::query(
            "select pg_notify('engine_wake', name) from unnest(array['amc', 'results']) as name",
        )
        .execute(self.db.pool())
        .await
        .expect("the store answers");
    }

    async fn probes(&self) -> u64 {
        let probes = "select count(*) from engine.events where what = 'breaker_half_opened'";
        u64::try_from(self.count(probes).await).expect("a count")
    }

    async fn nobody_runs(&self) {
        eventually("nobody runs", async || {
            self.count("select count(*) from engine.jobs where state = 'running'").await == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_days_of_dead_amc_cost_no_more_calls_than_threshold_workers_and_probes() {
    let site = Site::new(quick()).await;
    let instance = site.add_instance("amcdemous02").await;
    let other = Wish { instance, ..site.wish(WEEKS) };
    let asked = [site.backfill(WEEKS).await, site.ask(&other).await];
    site.guard().await;
    let working = site.work_with(SLOTS, jobs::catalog());
    site.until(|counts| counts.accepted() >= 2).await;
    let dead = site.amc.set_fault(down());
    let before = calls(&site.amc.counts());
    let opened = "select count(*) from engine.resources
        where name like 'host:%' and breaker -> 'state' ->> 'is' = 'open'";
    eventually("the host is left alone", async || {
        // Whoever waits out the pause after a failure, or an execution's next look, comes at once.
        site.skip_all_pauses().await;
        site.count(opened).await == 1
    })
    .await;
    // Two days, in steps longer than any cool-down.
    for _ in 0..STEPS {
        // A probe that found nothing to ask leaves its turn to the next.
        eventually("the host is left alone", async || site.count(opened).await == 1).await;
        let seen = site.probes().await;
        site.pass(Duration::from_hours(48) / STEPS).await;
        eventually("somebody asks whether it is back", async || site.probes().await > seen).await;
    }
    site.nobody_runs().await;
    let wasted = calls(&site.amc.counts()) - before;
    let (slots, probes) = (3 * SLOTS as u64, site.probes().await);
    assert!(wasted <= THRESHOLD + slots + probes, "{wasted} calls, {probes} probes");
    assert!(probes >= u64::from(STEPS), "{probes} probes");
    // Whoever waited has spent nothing.
    let spent = "select coalesce(sum(attempt), 0)::bigint from engine.jobs";
    assert!(site.count(spent).await <= i64::try_from(wasted).expect("few"));

    site.amc.lift_fault(dead);
    let shut = "select count(*) from engine.resources where breaker -> 'state' ->> 'is' = 'open'";
    eventually("all is collected", async || {
        // No further than it has to: Amazon's own time goes on as ever.
        if site.count(shut).await > 0 {
            site.pass(Duration::from_mins(6)).await;
        }
        site.skip_all_pauses().await;
        let mut left = 0;
        for collection in &asked {
            left += usize::from(!site.progress(*collection).await.status.is_terminal());
        }
        left == 0
    })
    .await;
    for collection in asked {
        site.assert_completed(collection, WEEKS).await;
    }
    site.assert_submitted_once(2 * WEEKS).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_down_alone_keeps_no_other_waiting() {
    let site = Site::new(quick()).await;
    let theirs = site.add_instance("amcdemous02").await;
    site.guard().await;
    let mut fault = down();
    fault.instance = Some(site.amc_instance_id());
    site.amc.set_fault(fault);
    let mine = site.backfill(WEEKS).await;
    let working = site.work_with(SLOTS, jobs::catalog());
    let opened = "select count(*) from engine.resources
        where name like 'amc_instance:%' and breaker -> 'state' ->> 'is' = 'open'";
    eventually("the instance is left alone", async || {
        site.skip_pauses("submit_execution").await;
        site.count(opened).await == 1
    })
    .await;
    let others = site.ask(&Wish { instance: theirs, ..site.wish(WEEKS) }).await;
    site.assert_completed(others, WEEKS).await;
    assert_eq!(site.count(opened).await, 1);
    assert_eq!(site.progress(mine).await.failed, 0);
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_finds_nothing_to_ask_does_not_show_that_amc_is_back() {
    let site = Site::new(quick()).await;
    site.guard().await;
    let (queue, instance) = (&site.tools.queue, resources::instance(&site.amc_instance_id()));
    let mut tx = transaction::begin(site.db.pool()).await.expect("begun");
    queue.trip(&mut tx, &instance, "ana", "a test").await.expect("opened");
    tx.commit().await.expect("committed");
    site.backfill(WEEKS).await;
    let working = site.work_with(SLOTS, jobs::catalog());
    let queued = "select count(*) from workflow_executions where status = 'queued'";
    eventually("every week waits to be sent", async || site.count(queued).await == 6).await;
    let collection = site.text("select collection_id from report_data_collections").await;
    let because = Because { by: "ana", why: Some("a test") };
    let mut tx = transaction::begin(site.db.pool()).await.expect("begun");
    steering::pause(&mut tx, &collection, None, &because).await.expect("paused");
    assert!(queue.resume(&mut tx, &instance, "ana").await.expect("half-open"));
    tx.commit().await.expect("committed");
    // All of them give way, one after the other, as probes.
    eventually("nobody waits to be sent", async || site.count(queued).await == 0).await;
    let state = "select breaker -> 'state' ->> 'is' from engine.resources
        where name like 'amc_instance:%'";
    assert_eq!(site.text(state).await, "half_open");
    assert_eq!(calls(&site.amc.counts()), 0);
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_that_a_person_has_set_stays_and_the_missing_ones_are_given_once() {
    let site = Site::new(quick()).await;
    let mut tx = site.db.pool().begin().await.expect("begun");
    let mine = resources::instance(&site.amc_instance_id());
    let rule = recomamp::queue::gate::breaker::Rule { trips: Vec::new(), ..Default::default() };
    let rule = recomamp::queue::gate::Rule::Breaker(Some(rule));
    site.tools.queue.set_gate(&mut tx, &mine, rule).await.expect("set");
    // Three hosts, of which two are the same here or not, and the token service.
    let given = site.tools.guard(&mut tx).await.expect("guarded");
    assert!(given >= 2, "{given}");
    assert_eq!(site.tools.guard(&mut tx).await.expect("guarded"), 0);
    let (trips,): (i32,) = sqlx::query_as(
        "select jsonb_array_length(breaker -> 'rule' -> 'trips') from engine.resources where name = $1",
    )
    .bind(&mine)
    .fetch_one(&mut *tx)
    .await
    .expect("read");
    assert_eq!(trips, 0);
}

/// Asks a resource once, which answers or does not.
#[derive(Serialize, Deserialize)]
struct Ask {
    is_up: bool,
}

impl Job for Ask {
    type Tools = Tools;
    const KIND: &'static str = "ask";
    const QUEUE: &'static str = "amc";
    const MAX_ATTEMPTS: i16 = 1;

    async fn run(&self, _: &Tools, _: &Attempt) -> Result<Outcome, Failure> {
        if self.is_up {
            Ok(Outcome::Done)
        } else {
            Err(Failure::transient(anyhow::anyhow!("gateway timeout")))
        }
    }
}

impl Site {
    async fn asked(&self, resource: &str, is_up: bool) {
        let ask = NewJob::of(&Ask { is_up }).expect("JSON").using([resource.to_owned()]);
        self.have_done(ask).await;
    }

    /// Time passes, and two schedulers do their duty.
    async fn looked_at_after(&self, minutes: u64) {
        self.db.advance_clock(Duration::from_mins(minutes)).await;
        let retention = Duration::from_hours(24);
        let desk = Desk { db: self.db.pool().clone(), queue: self.tools.queue.clone(), retention };
        let twice = tokio::join!(
            Duty::TendBreakers.fulfil(&desk, true),
            Duty::TendBreakers.fulfil(&desk, true)
        );
        twice.0.and(twice.1).expect("done");
        self.idle().await;
    }

    /// What somebody was told of resources.
    async fn told(&self) -> String {
        self.text(
            "select coalesce(string_agg(event, ' ' order by at), '')
            from webhook_deliveries
            where data ->> 'entity' = 'resource' and data ->> 'entity_id' = 'amc_instance:amcdemous01'",
        )
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_lasts_is_told_once_and_its_end_too_and_so_is_the_next() {
    let site = Site::new(quick()).await;
    site.told_everything().await;
    let instance = resources::instance(&site.amc_instance_id());
    let rule = Rule { trips: vec![Trip::Consecutive { k: 1 }], ..Rule::default() };
    let rule = Rule { cool_downs_s: vec![60], ..rule };
    let mut tx = transaction::begin(site.db.pool()).await.expect("begun");
    let queue = &site.tools.queue;
    queue.set_gate(&mut tx, &instance, gate::Rule::Breaker(Some(rule))).await.expect("set");
    // Whoever keeps something shut knows it.
    queue.trip(&mut tx, "host:example.com", "ana", "a test").await.expect("opened");
    tx.commit().await.expect("committed");
    let working = site.work_with(SLOTS, jobs::catalog().add::<Ask>());

    site.asked(&instance, false).await;
    site.looked_at_after(10).await;
    site.asked(&instance, false).await;
    assert_eq!(site.told().await, "", "it may be a hiccup");
    site.looked_at_after(6).await;
    site.looked_at_after(60).await;
    assert_eq!(site.told().await, "auto_paused", "once, and asking in vain does not begin it anew");
    let why = site.text("select reason from events where entity = 'resource'").await;
    assert!(why.contains("the last time because of this (gateway timeout)"), "{why}");
    assert!(why.ends_with("`recomamp gates show amc_instance:amcdemous01`"), "{why}");

    site.asked(&instance, true).await;
    site.looked_at_after(1).await;
    site.looked_at_after(60).await;
    assert_eq!(site.told().await, "auto_paused resumed");
    site.asked(&instance, false).await;
    site.looked_at_after(14).await;
    assert_eq!(site.told().await, "auto_paused resumed");
    site.looked_at_after(2).await;
    assert_eq!(site.told().await, "auto_paused resumed auto_paused");
    assert_eq!(site.count("select count(*) from events where entity = 'resource'").await, 3);
    working.stop().await;
}
