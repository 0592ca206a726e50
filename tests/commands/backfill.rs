//! `recomamp backfill` and `recomamp status`: many weeks asked for, and followed.

use super::{Site, done, json, refused};
use nix::sys::signal::Signal;

#[tokio::test]
async fn a_dry_run_shows_the_weeks_and_creates_nothing() {
    let site = Site::furnished().await;
    let plan = site.json("backfill --workflow campaigns --from 2025-01-05 --until 2025-01-19 --week-starts-on sunday --timezone America/New_York --dry-run --json").await;
    // Two slices in ten places are one round. An execution is assumed to take 3 minutes, which the fifth
    // look sees after 320 s, or 15 minutes, which the seventh sees after 920 s.
    let outlook = serde_json::json!({
        "slices": 2, "asked": 2, "reused": 0, "left_out": [],
        "calls": {"submits": 2, "status": 12, "download_addresses": 2, "files": 2, "tokens": 1},
        "rounds": 1, "eta_p50_seconds": 320, "eta_p95_seconds": 920,
        "quota_days": null, "ad_hoc_days": 1,
    });
    let mut one = outlook.clone();
    one["workflow"] = "campaigns".into();
    one["instance"] = "amctest1".into();
    one["places"] = 10.into();
    one["run_time"] = serde_json::json!({"p50_seconds": 320, "p95_seconds": 920, "measured_on": 0});
    assert_eq!(
        plan,
        serde_json::json!({
            "grain": "week", "timezone": "America/New_York", "lag_days": 14, "week_starts_on": 7,
            "parameters": {}, "warning": plan["warning"], "collections": [one], "total": outlook,
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
async fn a_dry_run_is_a_table_that_a_person_can_check() {
    let site = Site::furnished().await;
    let plan = done(site.run("backfill --workflow campaigns --weeks 52 --dry-run").await);
    for words in [
        "WORKFLOW   INSTANCE  SLICES  ASKED  REUSED  LEFT OUT  PLACES  ROUNDS  HALF BY     95 % BY",
        "campaigns  amctest1  52      52     0       0         10      6       32 min 0 s  1 h 32 min",
        "status              312    about: slow ones are looked at more often, and one list call answers for many",
    ] {
        assert!(plan.stdout.contains(words), "{words}\n{}", plan.stdout);
    }
    for words in [
        "On amctest1 an execution takes 5 min 20 s, or 15 min 20 s when slow: assumed",
        "If Amazon allowed 30 executions a day and instance it would take 2 days.",
        "52 weeks of campaigns on amctest1. Nothing was created.",
    ] {
        assert!(plan.stderr.contains(words), "{words}\n{}", plan.stderr);
    }
}

#[tokio::test]
async fn several_workflows_on_several_instances_are_one_plan() {
    let site = Site::furnished().await;
    done(site.run("instances add --instance-id amctest2 --name Shop --account ENTITY1").await);
    let words = "workflows add --workflow-id audiences --name Audiences --instance amctest1 --user ana@example.com --sql-file -";
    let words: Vec<&str> = words.split(' ').collect();
    done(site.program(&words).input("select audience from t\n").run().await);
    let words = "backfill --workflow campaigns --workflow audiences --instance amctest2 --instance amctest1 --weeks 3";
    let dry = site.json(&format!("{words} --dry-run --json")).await;
    assert_eq!((&dry["total"]["asked"], &dry["collections"][0]["asked"]), (&12.into(), &3.into()));

    let plan = done(site.run(words).await).stdout;
    assert!(plan.starts_with("plan-"), "{plan}");
    assert_eq!(site.count("select count(*) from report_data_weeks").await, 12);
    let shown = site.json(&format!("plans show {plan} --json")).await;
    assert_eq!((&shown["status"], &shown["progress"]["total"]), (&"pending".into(), &12.into()));
    let places: Vec<_> = shown["collections"].as_array().expect("a list").iter().collect();
    assert_eq!(places.len(), 4);
    assert_eq!(
        (&places[0]["workflow"], &places[0]["instance"]),
        (&"audiences".into(), &"amctest1".into())
    );
    let listed = site.json("plans list --json").await;
    assert_eq!(listed[0]["plan_id"], plan.as_str());

    // One that is under way already stands in the way of all: nothing is created by halves.
    let again = site.run(words).await;
    assert!(refused(&again, 1).contains("does the same and has not finished"), "{again:?}");
    assert_eq!(site.count("select count(*) from collection_plans").await, 1);
    let unknown = site.run("plans show nothing").await;
    assert_eq!(refused(&unknown, 1), "there is no plan nothing: see `recomamp plans list`");
}

#[tokio::test]
async fn a_plan_is_followed_to_its_end_and_what_failed_of_it_is_taken_up_again() {
    let site = Site::furnished().await;
    done(site.run("instances add --instance-id amctest2 --name Shop --account ENTITY1").await);
    let words =
        "backfill --workflow campaigns --instance amctest1 --instance amctest2 --weeks 3 --watch";
    let words: Vec<&str> = words.split(' ').collect();
    let mut watching = site.program(&words).start().await;
    watching.line("0 of 6 weeks done").await;
    let plan = site.json("plans list --json").await[0]["plan_id"].clone();
    let plan = plan.as_str().expect("an id");
    let nothing = done(site.run(&format!("plans retry {plan}")).await).stdout;
    assert_eq!(nothing, "no week of it has failed or was cancelled: nothing changed");
    site.execute(
        "update report_data_weeks set status = 'failed', error_message = 'no', completed_at = now();
         update report_data_collections set status = 'failed', finished_at = now(), last_error = 'no'",
    )
    .await;
    let ended = watching.finish().await;
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(5), plan), "{ended:?}");
    let said = format!(
        "{plan} is failed: 0 rows.\nLast error: no\n`recomamp plans show {plan}` lists its collections."
    );
    assert!(ended.stderr.contains(&said), "{ended:?}");

    let again = site.json(&format!("plans retry {plan} --why mended --by ana --json")).await;
    assert_eq!(again["said"], "6 weeks of 2 collections are taken up");
    assert_eq!((&again["changed"], &again["collections"][0]["weeks"]), (&2.into(), &3.into()));
    let turns =
        "select count(*) from report_data_weeks where status = 'pending' and queued_at is not null";
    assert_eq!(site.count(turns).await, 6);

    site.execute(
        "update report_data_weeks set status = 'skipped', error_message = 'no', completed_at = now();
         update report_data_collections set status = 'completed', finished_at = now()",
    )
    .await;
    let ended = site.run(&format!("plans show {plan} --watch --json")).await;
    assert!(done(ended).stderr.contains("is completed"));
    let unknown = site.run("plans show nothing --watch").await;
    assert_eq!(refused(&unknown, 1), "there is no plan nothing: see `recomamp plans list`");
}

#[tokio::test]
async fn only_what_failed_is_asked_for_again_and_the_rest_is_told() {
    let site = Site::furnished().await;
    let first = done(site.run("backfill --workflow campaigns --weeks 4").await).stdout;
    site.execute(
        "update report_data_weeks set status = 'failed', error_message = 'no', completed_at = now()
         where week_start_date in (select week_start_date from report_data_weeks order by 1 limit 2);
         update report_data_weeks set status = 'cancelled', completed_at = now() where status = 'pending';
         update report_data_collections set status = 'failed', finished_at = now()",
    )
    .await;
    let words = "backfill --workflow campaigns --weeks 4 --mode failed";
    let dry = site.json(&format!("{words} --dry-run --json")).await;
    assert_eq!(dry["total"]["asked"], 2);
    assert_eq!(
        dry["total"]["left_out"],
        serde_json::json!([{"slices": 2, "why": "it was never tried to its end"}])
    );
    let again = done(site.run(words).await);
    assert!(
        again.stderr.contains("Slices: 2 left out (it was never tried to its end)."),
        "{again:?}"
    );
    let skipped = "select count(*) from report_data_weeks where status = 'skipped'";
    assert_eq!(site.count(skipped).await, 2);

    let report = site.run(&format!("collections report {first}")).await;
    assert_eq!(report.status.code(), Some(5), "{report:?}");
    let verdict = report.stdout.lines().last().unwrap_or_default();
    assert!(verdict.starts_with("not complete: 0 of 4 slices from"), "{verdict}");
    assert!(verdict.ends_with("2 cancelled, 2 failed"), "{verdict}");
}

#[tokio::test]
async fn days_and_months_are_asked_for_by_their_own_borders() {
    let site = Site::furnished().await;
    let words = "backfill --workflow campaigns --grain day --from 2025-02-26 --until 2025-03-02";
    done(site.run(words).await);
    let days = "select count(*) from report_data_weeks where week_end_date = week_start_date + 1";
    assert_eq!(site.count(days).await, 4);
    let words = "backfill --workflow campaigns --grain month --from 2025-01-15 --until 2025-03-01";
    let refusal = site.run(words).await;
    assert_eq!(
        refused(&refusal, 2),
        "from is 2025-01-15, but months start on their first day: give 2025-01-01 or 2025-02-01"
    );
    done(site.run("backfill --workflow campaigns --grain month --last 3").await);
    for words in [
        "backfill --workflow campaigns --grain month --week-starts-on sunday",
        "backfill --workflow campaigns --mode stale",
        "backfill --workflow campaigns --mode missing --older-than 3d",
        "backfill --workflow campaigns --mode some",
    ] {
        assert_eq!(site.run(words).await.status.code(), Some(2), "{words}");
    }
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
    assert_eq!(status["parameters"], serde_json::json!({"brand": ["Acme"], "note": "a=b"}));
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
    for (words, code, word) in [
        (
            "backfill --workflow nothing",
            1,
            "there is no workflow \"nothing\": `recomamp workflows list`",
        ),
        ("backfill --workflow campaigns --instance amc9", 1, "there is no instance \"amc9\""),
        ("backfill --workflow campaigns --lag-days 1", 2, "give at least 2"),
        ("backfill --workflow campaigns --weeks 0", 2, "give between 1 and 520"),
        (
            "backfill --workflow campaigns --from 2025-01-07 --until 2025-01-13",
            2,
            "give 2025-01-06 or 2025-01-13",
        ),
        (
            "backfill --workflow campaigns --param note=a --param note=b",
            2,
            "--param gives note twice: give it once",
        ),
        (
            "batches add --workflow campaigns --instance a --from 2025-01-06 --until 2025-01-13 --param-for a:note=1 --param-for a:note=2",
            2,
            "--param-for gives a:note twice: give it once",
        ),
        (
            "schedules add --schedule-id x --workflow campaigns --every-days 7 --from 2025-01-06 --param note=a --param note=b",
            2,
            "--param gives note twice: give it once",
        ),
    ] {
        let finished = site.run(words).await;
        let message = refused(&finished, code);
        assert!(message.contains(word), "{message}");
    }
    let long = format!("backfill --workflow campaigns --name {}", "n".repeat(201));
    for (words, says) in [
        (
            "backfill --workflow campaigns --week-starts-on notaday",
            "'notaday' for '--week-starts-on <WEEKDAY>': is no day of the week: give monday, tuesday, wednesday, thursday, friday, saturday or sunday",
        ),
        (
            "backfill --workflow campaigns --timezone berlin",
            "'berlin' for '--timezone <TIMEZONE>': is no time zone: did you mean Europe/Berlin?",
        ),
        (long.as_str(), "has 201 characters, which is too long: give at most 200"),
        ("backfill --workflow campaigns --lag-days 70000", "70000 is not in 0..=65535"),
        ("collections list --limit 0", "'0' for '--limit <LIMIT>'"),
    ] {
        let finished = site.run(words).await;
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        assert!(finished.stderr.contains(says), "{}", finished.stderr);
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
