//! `recomamp backfill` and `recomamp status`: many weeks asked for, and followed.

use super::{Site, done, json, refused};
use nix::sys::signal::Signal;

#[tokio::test]
async fn a_dry_run_shows_the_weeks_and_creates_nothing() {
    let site = Site::furnished().await;
    let plan = site.json("backfill --workflow campaigns --from 2025-01-05 --until 2025-01-19 --week-starts-on sunday --timezone America/New_York --dry-run --json").await;
    assert_eq!(
        plan,
        serde_json::json!({
            "workflow": "campaigns", "instance": "amctest1", "timezone": "America/New_York",
            "lag_days": 14, "week_starts_on": 7, "parameters": {},
            "warning": plan["warning"],
            "weeks": [
                {"start": "2025-01-05", "end": "2025-01-12"},
                {"start": "2025-01-12", "end": "2025-01-19"},
            ],
        })
    );
    assert_eq!(site.count("select count(*) from report_data_collections").await, 0);
    assert_eq!(site.count("select count(*) from engine.jobs").await, 0);
}

#[tokio::test]
async fn a_backfill_creates_its_weeks_and_gives_the_first_of_them_to_the_queue() {
    let site = Site::furnished().await;
    let finished =
        done(site.run("backfill --workflow campaigns --param brand=Acme --param note=a=b").await);
    assert!(finished.stdout.starts_with("campaigns-"), "{finished:?}");
    assert!(finished.stderr.contains("No worker is running"), "{finished:?}");
    assert_eq!(site.count("select count(*) from report_data_weeks").await, 52);
    let jobs = "select count(*) from engine.jobs join report_data_weeks week on args ->> 'week_id' = week.id::text";
    assert_eq!(site.count(jobs).await, 20);

    let status = site.json(&format!("status {} --json", finished.stdout)).await;
    assert_eq!(status["parameters"], serde_json::json!({"brand": "Acme", "note": "a=b"}));
    assert_eq!((&status["progress"]["total"], &status["status"]), (&52.into(), &"pending".into()));
    assert_eq!(status["weeks"].as_array().map(Vec::len), Some(52));
    let overview = site.json("status --json").await;
    assert_eq!(overview["jobs"][0]["jobs"], 20);
    assert_eq!(overview["collections"][0]["collection_id"], finished.stdout.as_str());
}

#[tokio::test]
async fn the_same_backfill_twice_at_once_is_one_backfill() {
    let site = Site::furnished().await;
    let words = "backfill --workflow campaigns --weeks 2";
    let (one, other) = tokio::join!(site.run(words), site.run(words));
    let (made, turned_away) = if one.status.success() { (one, other) } else { (other, one) };
    let message = refused(&turned_away, 1);
    let expected =
        format!("collection {} does the same and has not finished: follow that one", made.stdout);
    assert_eq!(message, expected);
    assert_eq!(site.count("select count(*) from engine.jobs").await, 2);
    done(site.run("backfill --workflow campaigns --weeks 3").await);
}

#[tokio::test]
async fn a_backfill_that_cannot_be_is_refused_with_the_remedy() {
    let site = Site::furnished().await;
    for (words, word) in [
        (
            "backfill --workflow nothing",
            "there is no workflow \"nothing\": `recomamp workflows list`",
        ),
        ("backfill --workflow campaigns --instance amc9", "there is no instance \"amc9\""),
        ("backfill --workflow campaigns --lag-days 1", "give at least 2"),
        ("backfill --workflow campaigns --weeks 0", "give between 1 and 520"),
        (
            "backfill --workflow campaigns --from 2025-01-07 --until 2025-01-13",
            "give 2025-01-06 or 2025-01-13",
        ),
    ] {
        let finished = site.run(words).await;
        let message = refused(&finished, 1);
        assert!(message.contains(word), "{message}");
    }
    for words in [
        "backfill --workflow campaigns --timezone Mars/Olympus",
        "backfill --workflow campaigns --param brand",
        "backfill --workflow campaigns --weeks 3 --from 2025-01-06 --until 2025-01-13",
        "backfill",
    ] {
        assert_eq!(site.run(words).await.status.code(), Some(2), "{words}");
    }
    assert_eq!(site.count("select count(*) from report_data_collections").await, 0);
}

#[tokio::test]
async fn a_watched_backfill_ends_with_its_own_exit_code() {
    let site = Site::furnished().await;
    for (status, code) in [("completed", 0), ("completed_with_errors", 5), ("failed", 5)] {
        let words = ["backfill", "--workflow", "campaigns", "--weeks", "2", "--watch", "--json"];
        let mut watching = site.program(&words).start().await;
        watching.line("0 of 2 weeks done").await;
        sqlx::query(
            "update report_data_collections set status = $1::collection_status, finished_at = now()
             where status = 'pending'",
        )
        .bind(status)
        .execute(site.db.pool())
        .await
        .expect("it ends");
        let finished = watching.finish().await;
        assert_eq!(finished.status.code(), Some(code), "{finished:?}");
        assert_eq!(json(&finished)["status"], status);
        assert_eq!(finished.stderr.matches("0 of 2 weeks done").count(), 1, "one line per change");
    }
}

#[tokio::test]
async fn ctrl_c_stops_watching_and_not_the_backfill() {
    let site = Site::furnished().await;
    let words = ["backfill", "--workflow", "campaigns", "--weeks", "2", "--watch"];
    let mut watching = site.program(&words).start().await;
    watching.line("0 of 2 weeks done").await;
    watching.signal(Signal::SIGINT);
    let finished = watching.finish().await;
    assert_eq!(finished.status.code(), Some(130), "{finished:?}");
    assert!(finished.stderr.contains("The backfill goes on"), "{finished:?}");
    assert_eq!(site.count("select count(*) from engine.jobs").await, 2);
}

#[tokio::test]
async fn a_collection_that_there_is_not_is_no_status() {
    let site = Site::new().await;
    for words in ["status nothing", "status nothing --watch"] {
        let finished = site.run(words).await;
        assert_eq!(refused(&finished, 1), "there is no collection nothing: see `recomamp status`");
    }
}
