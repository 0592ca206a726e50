//! Several collections asked for together, which slices they leave out, and the proof that nothing lacks.

use super::site::{SQL, Site, quick};
use crate::harness::eventually::eventually;
use chrono::{NaiveDate, Weekday};
use recomamp::backfill::completion::{self, Completion};
use recomamp::backfill::cut::Cut;
use recomamp::backfill::estimate::Curve;
use recomamp::backfill::plan::PlanRequest;
use recomamp::backfill::plans::{self, PlanStatus};
use recomamp::backfill::preview::{Preview, preview};
use recomamp::backfill::request::{Request, StartError};
use recomamp::backfill::select::Mode;
use recomamp::backfill::start::{self, Created};
use recomamp::jobs::feed;
use recomamp::queue::group::Standing;
use recomamp::steering::{Because, cancel_plan, pause_plan, recollect, resume_plan, retry_plan};
use recomamp::store::collections::{CollectionStatus, Rules};
use recomamp::store::executions::SubmitMode;
use recomamp::store::{events, versions, workflows};
use recomamp::tools::resources;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A request for the last weeks of the site's workflow on its own instance.
fn request(weeks: u32) -> Request {
    Request {
        workflows: BTreeSet::from(["weekly-campaigns".to_owned()]),
        instances: BTreeSet::new(),
        slices: PlanRequest::Last(weeks),
        cut: Cut::Weeks(Weekday::Mon),
        mode: Mode::All,
        rules: Rules::default(),
        zone: chrono_tz::UTC,
        lag_days: 14,
        parameters: json!({}),
        name: None,
        max_attempts_per_week: 5,
        actor: "a test".to_owned(),
    }
}

async fn site() -> Site {
    let site = Site::new(quick()).await;
    let workflow = workflows::by_workflow_id(site.db.pool(), "weekly-campaigns").await;
    let workflow = workflow.expect("read").expect("it is there").id;
    let mut tx = site.db.pool().begin().await.expect("begun");
    versions::add(&mut *tx, workflow, SQL, &json!([]), SubmitMode::Inline)
        .await
        .expect("a version");
    tx.commit().await.expect("committed");
    site
}

async fn ask(site: &Site, request: &Request) -> Result<Created, StartError> {
    let mut tx = site.db.pool().begin().await.expect("begun");
    let created = start::create(&mut tx, request).await?;
    let begun = feed::begin(&site.tools.queue, &mut tx, &created).await;
    begun.expect("begun");
    tx.commit().await.expect("committed");
    Ok(created)
}

async fn look(site: &Site, request: &Request) -> Preview {
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let curve = Curve { first: Duration::from_secs(20), max: Duration::from_secs(300) };
    preview(&mut connection, request, resources::NAMES, curve).await.expect("a preview")
}

async fn plan(site: &Site, plan_id: &str) -> PlanStatus {
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    plans::of(&mut connection, plan_id).await.expect("read").expect("there is such a plan")
}

/// Where its journal says that a plan stood, one after the other.
async fn became(site: &Site, plan_id: &str) -> Vec<String> {
    let events = events::of(site.db.pool(), "plan", plan_id).await.expect("read");
    events.into_iter().filter_map(|event| event.to_status).collect()
}

/// How the plan's group stands, and how many of its collections are open and done.
async fn group(site: &Site, plan_id: &str) -> (Standing, i64, i64) {
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let name = format!("plan:{plan_id}");
    let found = site.tools.queue.find_group(&mut connection, &name).await.expect("read");
    found.map(|group| (group.state, group.open, group.done)).expect("there is such a group")
}

async fn report(site: &Site, created: &Created) -> Completion {
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let id = &created.collections[0].collection_id;
    completion::report(&mut connection, id).await.expect("read").expect("there is one")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_over_two_instances_is_collected_and_ends_once() {
    let site = site().await;
    let second = site.amc.settings().accounts[0].instances[1].instance_id.clone();
    site.add_instance(&second).await;
    let instances = BTreeSet::from([site.amc_instance_id(), second]);
    let created = ask(&site, &Request { instances, ..request(6) }).await.expect("created");
    assert_eq!(created.collections.len(), 2);
    let plan_id = created.plan_id.as_deref().expect("they are several");
    assert_eq!(plan(&site, plan_id).await.status, CollectionStatus::Pending);

    let working = site.work();
    eventually("the plan has ended", async || plan(&site, plan_id).await.finished_at.is_some())
        .await;
    site.assert_submitted_once(12).await;
    let ended = plan(&site, plan_id).await;
    assert_eq!(ended.status, CollectionStatus::Completed);
    assert_eq!((ended.progress.done, ended.progress.total), (12, 12));
    assert_eq!(became(&site, plan_id).await, ["pending", "completed"], "its end is noted once");
    assert_eq!(group(&site, plan_id).await, (Standing::Met, 0, 2));
    working.stop().await;

    // Two collections are taken up again: the plan has ended again when both have.
    for made in &created.collections {
        let mut tx = site.db.pool().begin().await.expect("begun");
        let because = Because { by: "ana", why: None };
        let (queue, id) = (&site.tools.queue, made.collection_id.as_str());
        recollect(&mut tx, queue, id, 1, &because).await.expect("taken up again");
        tx.commit().await.expect("committed");
        let (standing, open, _) = group(&site, plan_id).await;
        assert!(standing == Standing::Open && open > 0);
    }
    let working = site.work();
    eventually("it has ended again", async || plan(&site, plan_id).await.finished_at.is_some())
        .await;
    site.idle().await;
    working.stop().await;
    assert_eq!(group(&site, plan_id).await, (Standing::Met, 0, 2));
    assert_eq!(became(&site, plan_id).await, ["pending", "completed", "running", "completed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_whose_group_was_forgotten_ends_again_all_the_same() {
    let site = site().await;
    let second = site.amc.settings().accounts[0].instances[1].instance_id.clone();
    site.add_instance(&second).await;
    let instances = BTreeSet::from([site.amc_instance_id(), second]);
    let created = ask(&site, &Request { instances, ..request(2) }).await.expect("created");
    let plan_id = created.plan_id.as_deref().expect("they are several");
    let working = site.work();
    eventually("the plan has ended", async || plan(&site, plan_id).await.finished_at.is_some())
        .await;
    site.idle().await;
    working.stop().await;
    sqlx::query("delete from engine.groups").execute(site.db.pool()).await.expect("forgotten");
    sqlx::query("delete from engine.members").execute(site.db.pool()).await.expect("forgotten");
    let mut tx = site.db.pool().begin().await.expect("begun");
    let (queue, id) = (&site.tools.queue, created.collections[0].collection_id.as_str());
    recollect(&mut tx, queue, id, 1, &Because { by: "ana", why: None }).await.expect("again");
    tx.commit().await.expect("committed");
    assert_eq!(group(&site, plan_id).await, (Standing::Open, 1, 1));
    let working = site.work();
    eventually("it has ended again", async || plan(&site, plan_id).await.finished_at.is_some())
        .await;
    site.idle().await;
    working.stop().await;
    assert_eq!(became(&site, plan_id).await, ["pending", "completed", "running", "completed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_paused_resumed_and_cancelled_as_a_whole() {
    let site = site().await;
    let second = site.amc.settings().accounts[0].instances[1].instance_id.clone();
    site.add_instance(&second).await;
    let instances = BTreeSet::from([site.amc_instance_id(), second]);
    let wanted = Request { instances, ..request(30) };
    let created = ask(&site, &wanted).await.expect("created");
    let plan_id = created.plan_id.as_deref().expect("they are several");
    let because = Because { by: "ana", why: Some("quarter end") };
    let queue = &site.tools.queue;
    let mut tx = site.db.pool().begin().await.expect("begun");
    let paused = pause_plan(&mut tx, plan_id, None, &because).await.expect("paused");
    assert_eq!(paused.changed, 2);
    assert!(pause_plan(&mut tx, plan_id, None, &because).await.expect("asked").changed == 0);
    tx.commit().await.expect("committed");
    let stands = plan(&site, plan_id).await;
    assert_eq!(stands.status, CollectionStatus::Paused);
    assert_eq!(stands.collections[0].last_error.as_deref(), Some("quarter end"));
    let working = site.work();
    site.idle().await;
    assert_eq!(site.amc.counts().accepted(), 0, "nothing begins while it is paused");

    let mut tx = site.db.pool().begin().await.expect("begun");
    let resumed = resume_plan(&mut tx, queue, plan_id, &because).await.expect("resumed");
    assert_eq!(resumed.changed, 2);
    tx.commit().await.expect("committed");
    site.until(|counts| counts.accepted() > 0).await;
    let mut tx = site.db.pool().begin().await.expect("begun");
    let cancelled = cancel_plan(&mut tx, queue, plan_id, &because).await.expect("cancelled");
    assert_eq!(cancelled.changed, 2);
    tx.commit().await.expect("committed");
    site.assert_nothing_is_left().await;
    assert_eq!(plan(&site, plan_id).await.status, CollectionStatus::Cancelled);
    assert_eq!(became(&site, plan_id).await, ["pending", "cancelled"]);

    let mut tx = site.db.pool().begin().await.expect("begun");
    let again = retry_plan(&mut tx, queue, plan_id, &because).await.expect("taken up");
    assert_eq!(again.changed, 2);
    tx.commit().await.expect("committed");
    eventually("the plan has ended", async || plan(&site, plan_id).await.finished_at.is_some())
        .await;
    site.idle().await;
    working.stop().await;
    let ended = plan(&site, plan_id).await;
    assert_eq!((ended.status, ended.progress.done), (CollectionStatus::Completed, 60));
    assert_eq!(became(&site, plan_id).await, ["pending", "cancelled", "running", "completed"]);
    let mut tx = site.db.pool().begin().await.expect("begun");
    let unknown = resume_plan(&mut tx, queue, "nothing", &because).await.expect_err("refused");
    assert!(unknown.to_string().starts_with("there is no plan \"nothing\""), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_is_told_and_what_is_stale_is_asked_anew() {
    let site = site().await;
    let working = site.work();
    let first = ask(&site, &request(4)).await.expect("created");
    site.ended(first.collections[0].collection).await;

    let missing = Request { mode: Mode::Missing, ..request(6) };
    let outlook = look(&site, &missing).await.total;
    assert_eq!((outlook.slices, outlook.asked, outlook.reused), (6, 2, 0));
    assert_eq!(outlook.left_out[0].slices, 4);
    let again = ask(&site, &missing).await.expect("two are missing");
    assert_eq!((again.collections[0].weeks, again.left_out[0].slices), (2, 4));
    let progress = site.ended(again.collections[0].collection).await;
    assert_eq!((progress.succeeded, progress.skipped), (2, 4));
    let whole = report(&site, &again).await;
    assert!(whole.complete && whole.elsewhere == 4, "{}", whole.verdict);
    let nothing = ask(&site, &missing).await.expect_err("all are there");
    assert_eq!(
        nothing.to_string(),
        "nothing is left to do, 6 left out (it is collected already): ask for other slices, or for all"
    );
    let failed = ask(&site, &Request { mode: Mode::Failed, ..request(6) }).await;
    assert!(matches!(failed, Err(StartError::NothingToDo(_))), "none has failed");

    let taken_over = ask(&site, &request(6)).await.expect("all of them");
    site.assert_completed(taken_over.collections[0].collection, 6).await;
    assert_eq!(site.amc.counts().accepted(), 6, "all are taken over");
    assert_eq!(report(&site, &taken_over).await.reused, 6);

    let stale = Request { mode: Mode::Stale(Duration::from_nanos(1)), ..request(6) };
    assert_eq!(look(&site, &stale).await.total.asked, 6);
    let anew = ask(&site, &stale).await.expect("all are old enough");
    site.assert_completed(anew.collections[0].collection, 6).await;
    assert_eq!(site.amc.counts().accepted(), 12, "AMC was asked anew");
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_proves_that_every_day_is_there_once_and_sees_it_when_not() {
    let site = site().await;
    let working = site.work();
    let created = ask(&site, &request(5)).await.expect("created");
    site.assert_complete(created.collections[0].collection, 5).await;
    working.stop().await;
    let proof = report(&site, &created).await;
    assert!(proof.complete, "{}", proof.verdict);
    assert!(proof.verdict.starts_with("complete: every day from"), "{}", proof.verdict);
    assert_eq!((proof.executions, proof.duplicates, proof.with_rows), (5, 0, 5));
    assert!(proof.weeks.iter().all(|week| week.data_checksum.is_some() && week.data_version == 1));

    let second = "select week_start_date from report_data_weeks order by 1 offset 1 limit 1";
    for (change, verdict) in [
        (
            format!(
                "update report_data_weeks set week_end_date = week_end_date - 1 where week_start_date = ({second})"
            ),
            "1 missing without a slice",
        ),
        (
            format!(
                "update report_data_weeks set week_end_date = week_end_date + 2 where week_start_date = ({second})"
            ),
            "1 overlaps",
        ),
        (
            format!(
                "update report_data_weeks set week_start_date = week_start_date + 700, week_end_date = week_end_date + 700 where week_start_date = ({second})"
            ),
            "1 outside the period",
        ),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(change)).execute(site.db.pool()).await.expect("changed");
        let report = report(&site, &created).await;
        assert!(
            !report.complete && report.verdict.starts_with("not complete:"),
            "{}",
            report.verdict
        );
        assert!(report.verdict.contains(verdict), "{}", report.verdict);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_and_months_are_collected_and_summed_like_weeks() {
    let site = site().await;
    let working = site.work();
    let date = |text: &str| text.parse::<NaiveDate>().expect("a date");
    let days = PlanRequest::Range { from: date("2026-03-30"), until: date("2026-04-03") };
    let by_days = Request { cut: Cut::Days, slices: days, ..request(0) };
    let by_days = ask(&site, &by_days).await.expect("created");
    let by_months = Request { cut: Cut::Months, slices: PlanRequest::Last(2), ..request(0) };
    let by_months = ask(&site, &by_months).await.expect("created");
    for (created, slices) in [(&by_days, 4), (&by_months, 2)] {
        site.assert_completed(created.collections[0].collection, slices).await;
        assert!(report(&site, created).await.complete);
    }
    site.idle().await;
    working.stop().await;
    let sums = "select count(*) from report_data_aggregates
        join report_data_collections collection on collection.id = report_data_aggregates.collection_id
        where collection.grain = 'day' and report_data_aggregates.grain = 'month' and source_week_count = 2";
    assert_eq!(site.count(sums).await, 2, "two days of March and two of April");
    let weeks = "select count(*) from report_data_aggregates
        join report_data_collections collection on collection.id = report_data_aggregates.collection_id
        where collection.grain = 'month' and report_data_aggregates.grain = 'week'";
    assert_eq!(site.count(weeks).await, 0, "months make no weeks");
}

#[tokio::test]
async fn many_instances_are_planned_with_every_slice_once() {
    let site = site().await;
    let took = plan_for(&site, 20, 104).await;
    println!("2,080 slices were planned in {took:?}");
    let keys = "select count(distinct slice_key) from report_data_weeks";
    assert_eq!(site.count(keys).await, 2_080);
}

/// 10 years of weeks on 500 instances. Run it with `--ignored --nocapture`.
#[tokio::test]
#[ignore = "takes some seconds and is for measuring"]
async fn ten_years_on_five_hundred_instances_are_planned_and_steered_in_seconds_with_flat_memory() {
    let site = site().await;
    let before = resident_kib();
    let took = plan_for(&site, 500, 520).await;
    let grown = resident_kib().saturating_sub(before);
    println!("260,000 slices were planned in {took:?}; the process grew by {grown} KiB");
    assert_eq!(site.count("select count(*) from report_data_weeks").await, 260_000);
    assert!(took < Duration::from_secs(120), "{took:?}");
    assert!(grown < 256 * 1024, "{grown} KiB");
}

/// Adds instances until there are so many, and plans so many weeks on each.
async fn plan_for(site: &Site, instances: usize, weeks: u32) -> Duration {
    let mut ids = BTreeSet::from([site.amc_instance_id()]);
    for n in 1..instances {
        let id = format!("amcmany{n}");
        site.add_instance(&id).await;
        ids.insert(id);
    }
    let wanted = Request { instances: ids, ..request(weeks) };
    let began = Instant::now();
    let preview = look(site, &wanted).await;
    let looked = began.elapsed();
    let all = instances as u64 * u64::from(weeks);
    assert_eq!((preview.total.asked, preview.collections.len()), (all, instances));
    let began = Instant::now();
    let created = ask(site, &wanted).await.expect("created");
    let took = began.elapsed();
    println!("the dry run took {looked:?}");
    let plan_id = created.plan_id.as_deref().expect("they are several");
    let began = Instant::now();
    assert_eq!(plan(site, plan_id).await.progress.total, all);
    println!("where the plan stands was told in {:?}", began.elapsed());
    steer_all(site, plan_id, instances, all).await;
    took
}

/// Pauses, resumes and cancels a whole plan of which nothing has begun.
async fn steer_all(site: &Site, plan_id: &str, collections: usize, weeks: u64) {
    let because = Because { by: "ana", why: Some("a test") };
    let queue = &site.tools.queue;
    let of_weeks = "select count(*) from engine.jobs where kind = 'collect_week'";
    let begun = site.count(of_weeks).await;
    assert!(begun <= 20 * i64::try_from(collections).expect("few"), "{begun} jobs");
    for verb in ["pause", "resume", "cancel"] {
        let began = Instant::now();
        let mut tx = site.db.pool().begin().await.expect("begun");
        let steered = match verb {
            "pause" => pause_plan(&mut tx, plan_id, None, &because).await,
            "resume" => resume_plan(&mut tx, queue, plan_id, &because).await,
            _ => cancel_plan(&mut tx, queue, plan_id, &because).await,
        };
        tx.commit().await.expect("committed");
        assert_eq!(steered.expect("steered").changed, collections, "{verb}");
        println!("{verb} took {:?}", began.elapsed());
    }
    assert_eq!(site.count(of_weeks).await, 0, "nobody works on what is cancelled");
    let cancelled = "select count(*) from report_data_weeks where status = 'cancelled'";
    assert_eq!(u64::try_from(site.count(cancelled).await), Ok(weeks));
}

/// The memory of this process that is in use, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
