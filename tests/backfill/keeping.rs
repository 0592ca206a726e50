//! What is old goes, what is stuck is mended or told, and nobody loses what they still need.

use super::site::{Site, quick};
use crate::harness::eventually::eventually;
use recomamp::backfill::completion;
use recomamp::jobs::{drop_expired, tend_executions};
use recomamp::queue::NewJob;
use recomamp::store::executions::{self, NewExecution, Origin};
use recomamp::store::webhooks::{self, WebhookFormat};
use recomamp::store::{ExecutionUuid, collections, events};
use recomamp::webhooks::message;
use secrecy::SecretString;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

impl Site {
    /// Has a worker do this job, and waits until it is done.
    pub async fn have_done(&self, job: NewJob) {
        let kind = job.kind().to_owned();
        let mut tx = self.db.pool().begin().await.expect("begun");
        self.tools.queue.enqueue(&mut tx, &[job]).await.expect("enqueued");
        tx.commit().await.expect("committed");
        eventually("the job is done", async || {
            let left: i64 = sqlx::query_scalar("select count(*) from engine.jobs where kind = $1")
                .bind(&kind)
                .fetch_one(self.db.pool())
                .await
                .expect("the store answers");
            left == 0
        })
        .await;
    }

    /// An execution that somebody asked for by hand, and that no job works on.
    pub async fn by_hand(&self) -> ExecutionUuid {
        let version = sqlx::query_scalar("select id from workflow_versions limit 1")
            .fetch_one(self.db.pool())
            .await
            .expect("there is a version");
        let at = |day: u32| {
            chrono::NaiveDate::from_ymd_opt(2025, 1, day).and_then(|day| day.and_hms_opt(0, 0, 0))
        };
        let execution = NewExecution {
            workflow_version_id: recomamp::store::VersionId(version),
            instance_id: self.instance,
            user_id: self.user,
            origin: Origin::Manual,
            week_id: None,
            schedule_run_id: None,
            batch_member_id: None,
            attempt: 1,
            parameters: &json!({}),
            window_start: at(6).expect("a day"),
            window_end: at(13).expect("a day"),
            window_tz: "UTC",
        };
        executions::insert_queued(self.db.pool(), &execution).await.expect("inserted")
    }

    /// Somebody wants to be told everything; what they are to be told stays with us.
    pub async fn told_everything(&self) {
        let events = message::EVENTS.map(str::to_owned);
        let secret = self.tools.seal(&SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        let url = "https://hooks.invalid/";
        let added =
            webhooks::insert(self.db.pool(), url, &secret, WebhookFormat::Standard, &events);
        added.await.expect("added");
    }

    fn result_files(&self) -> usize {
        let folder = self.environment.iter().find(|(name, _)| name == "RECOMAMP_RESULTS_URL");
        let mut folders = vec![PathBuf::from(&folder.expect("it is set").1)];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("it can be read").flatten() {
                if entry.path().is_dir() { folders.push(entry.path()) } else { files += 1 }
            }
        }
        files
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_results_lose_their_rows_and_files_and_keep_their_counts() {
    let site = Site::with(quick(), &[("RECOMAMP_RESULT_RETENTION", "10d")]).await;
    let working = site.work();
    let old = site.backfill(2).await;
    site.assert_complete(old, 2).await;
    site.db.advance_clock(DAY * 9).await;
    site.have_done(drop_expired::job().unwrap()).await;
    let files = site.result_files();
    assert!(files >= 2, "nothing is dropped before its time");

    site.db.advance_clock(DAY * 2).await;
    let manual = site.by_hand().await;
    site.have_done(tend_executions::job().unwrap()).await;
    eventually("the younger result is there", async || site.result_files() > files).await;
    site.idle().await;
    let younger = site.result_files() - files;
    site.have_done(drop_expired::job().unwrap()).await;
    assert_eq!(site.result_files(), younger);
    let left = "select count(*) from execution_results where expired_at is not null
        and rows is null and storage_uri is null and row_count > 0";
    assert_eq!(site.count(left).await, 2);
    let kept =
        "select count(*) from execution_results where rows is not null and storage_uri is not null";
    assert_eq!(site.count(kept).await, 1);
    let execution = executions::by_id(site.db.pool(), manual).await.unwrap().unwrap();
    assert_eq!(execution.status, executions::ExecutionStatus::Succeeded);

    let mut connection = site.db.pool().acquire().await.unwrap();
    let id = collections::by_id(site.db.pool(), old).await.unwrap().unwrap().collection_id;
    let report = completion::report(&mut connection, &id).await.unwrap().unwrap();
    assert_eq!((report.complete, report.dropped), (true, 2));
    assert!(report.verdict.ends_with("and their sums stay"), "{}", report.verdict);

    // Whoever asks the same afterwards is given rows, not their memory.
    let asked = site.amc.counts().accepted();
    let new = site.backfill(2).await;
    site.assert_completed(new, 2).await;
    assert_eq!(site.amc.counts().accepted(), asked + 2);
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_nobody_has_any_more_is_given_back() {
    let site = Site::new(quick()).await;
    site.told_everything().await;
    site.backfill(1).await;
    let open = site.by_hand().await;
    let gone = ExecutionUuid::fresh();
    let nobody = "execution:nobody".to_owned();
    for holder in [format!("execution:{gone}"), format!("execution:{open}"), nobody] {
        sqlx::raw_sql(
            "update engine.resources set held = held + 1 where name like 'amc_instance:%'",
        )
        .execute(site.db.pool())
        .await
        .unwrap();
        sqlx::query(
            "insert into engine.holds (resource, holder, job_id, taken_at)
            select name, $1, 0, engine.now() from engine.resources where name like 'amc_instance:%'",
        )
        .bind(holder)
        .execute(site.db.pool())
        .await
        .unwrap();
    }
    let working = site.work();
    site.have_done(tend_executions::job().unwrap()).await;
    // The one that is open gives back its own, when it ends.
    site.idle().await;
    working.stop().await;
    assert_eq!(site.places().await, (0, 0));
    let told = events::of(site.db.pool(), "execution", &gone.to_string()).await.unwrap();
    assert_eq!(told.len(), 1);
    assert!(told[0].reason.as_deref().unwrap_or_default().contains("given back"));
    // It is mended: nobody is called for it.
    let called = "select count(*) from webhook_deliveries where data ->> 'entity' = 'execution'";
    assert_eq!(site.count(called).await, 0);
    assert!(events::of(site.db.pool(), "execution", &open.to_string()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_that_is_stuck_is_told_of_once() {
    let site = Site::new(quick()).await;
    site.told_everything().await;
    site.backfill(1).await;
    let stuck = site.by_hand().await;
    sqlx::query(
        "update workflow_executions
        set status = 'submit_unknown', client_ref = 'x', request_body = '{}',
            request_fingerprint = sha256('x'), submit_started_at = engine.now() - interval '3 hours'
        where id = $1",
    )
    .bind(stuck)
    .execute(site.db.pool())
    .await
    .unwrap();
    // Nobody is let in, so it stays as it is.
    site.amc.set_fault(recomamp::simulator::Fault::new(recomamp::simulator::Kind::ServerError {
        status: 500,
        effect: recomamp::simulator::Effect::Before,
    }));
    let working = site.work();
    for _ in 0..2 {
        site.have_done(tend_executions::job().unwrap()).await;
    }
    working.stop_at_once().await;
    let told = events::of(site.db.pool(), "execution", &stuck.to_string()).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    let reason = told[0].reason.as_deref().unwrap_or_default();
    assert!(reason.starts_with("it has been submit_unknown for 3 h"), "{reason}");
    assert!(reason.contains("`recomamp jobs explain "), "{reason}");
    let message = "select event || ' ' || (data ->> 'to') from webhook_deliveries";
    assert_eq!(site.text(message).await, "stuck stuck", "somebody is called");
    let works = format!("submit_execution:{stuck}");
    let working: bool =
        sqlx::query_scalar("select exists (select from engine.jobs where unique_key = $1)")
            .bind(works)
            .fetch_one(site.db.pool())
            .await
            .unwrap();
    assert!(working, "somebody works on it again");
}
