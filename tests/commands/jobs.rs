//! Jobs steered from the command line.

use super::{Site, done, refused};
use serde_json::json;

/// A site with one job, which waits.
async fn with_a_job() -> (Site, i64) {
    let site = Site::furnished().await;
    done(site.run("instances sync").await);
    let id = site.count("select min(id) from engine.jobs").await;
    (site, id)
}

async fn run(site: &Site, words: &str) -> crate::harness::process::Finished {
    let words = ["jobs"].into_iter().chain(words.split(' ')).chain(["--why", "a test of it"]);
    site.program(&words.collect::<Vec<_>>()).run().await
}

#[tokio::test]
async fn a_job_is_edited_cancelled_and_replayed() {
    let (site, id) = with_a_job().await;
    let edited = done(run(&site, &format!("edit {id} --run-at now --priority urgent")).await);
    assert_eq!(edited.stdout, format!("job {id} is changed"));
    assert_eq!(site.count("select priority::bigint from engine.jobs").await, 0);
    let cancelled = done(run(&site, &format!("cancel {id} --by ana --json")).await);
    assert_eq!(super::json(&cancelled), json!([{"id": id, "result": "cancelled"}]));
    let again = done(run(&site, &format!("cancel {id}")).await);
    assert_eq!(again.stdout, format!("job {id} is cancelled already"));
    let replayed = done(run(&site, &format!("replay {id} --json")).await);
    let answer = super::json(&replayed);
    assert_eq!(answer[0]["result"], "replayed");
    let new = site.count("select id from engine.jobs").await;
    assert_eq!(answer[0]["detail"], new);
    let discarded = done(run(&site, &format!("discard {new}")).await);
    assert_eq!(discarded.stdout, format!("job {new} is discarded"));
    let events = "select count(*) from engine.events where resource like 'job:%'";
    assert_eq!(site.count(events).await, 4);
}

#[tokio::test]
async fn a_choice_is_counted_before_it_is_steered() {
    let (site, _) = with_a_job().await;
    let counted = done(run(&site, "cancel --kind sync_instances --dry-run").await);
    assert_eq!(counted.stdout, "1 wait, 0 run. Nothing was changed.");
    let cancelled = done(run(&site, "cancel --kind sync_instances").await);
    assert_eq!(cancelled.stdout, "1 are cancelled, 0 are being stopped.");
    let counted = done(run(&site, "replay --state cancelled --dry-run --json").await);
    assert_eq!(super::json(&counted), json!({"jobs": 1, "poison": 0, "already": 0}));
    done(run(&site, "replay --state cancelled --per-second 0.5").await);
    assert_eq!(site.count("select count(*) from engine.jobs").await, 1);
}

#[tokio::test]
async fn what_cannot_be_done_is_a_failure_that_says_why() {
    let (site, id) = with_a_job().await;
    let unknown = run(&site, "cancel 999999").await;
    assert_eq!(refused(&unknown, 1).trim_end(), "job 999999 is unknown");
    let waits = run(&site, &format!("replay {id}")).await;
    assert_eq!(refused(&waits, 1).trim_end(), format!("job {id} is waiting"));
    let nothing = run(&site, &format!("edit {id}")).await;
    assert!(refused(&nothing, 2).contains("give run_at or priority"));
    let none = run(&site, "cancel").await;
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    let both = run(&site, &format!("cancel {id} --queue default")).await;
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}

#[tokio::test]
async fn a_job_that_would_be_begun_again_is_not_cancelled_by_itself() {
    let site = Site::furnished().await;
    let id = done(site.run("backfill --workflow campaigns --weeks 1").await).stdout;
    let job: i64 = sqlx::query_scalar("select id from engine.jobs where kind = 'collect_week'")
        .fetch_one(site.db.pool())
        .await
        .expect("one");
    let one = site.run(&format!("jobs cancel {job} --why mistake")).await;
    let message = refused(&one, 1);
    assert!(
        message.ends_with(&format!("run `recomamp collections cancel {id} --why …`")),
        "{message}"
    );
    let all = site.run("jobs cancel --kind collect_week --why mistake").await;
    let message = refused(&all, 1);
    assert!(message.contains("call that off with `recomamp collections cancel`"), "{message}");
    done(site.run(&format!("collections cancel {id} --why mistake")).await);
    done(site.run(&format!("jobs cancel {job} --why mistake")).await);
}
