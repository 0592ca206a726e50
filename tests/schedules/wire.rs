//! Schedules as people and programs meet them: the command line, `/v1/schedules`, and real schedulers.

use super::hours;
use crate::api::{Served, problem};
use crate::commands::{Site, done, refused};
use crate::harness::eventually::eventually;
use reqwest::StatusCode;
use serde_json::{Value, json};

const ADD: &str =
    "schedules add --schedule-id monday --workflow campaigns --timezone America/New_York";

/// Adds one that is due on Mondays at two.
async fn add(site: &Site) -> Value {
    let mut words: Vec<&str> = ADD.split(' ').collect();
    words.extend(["--cron", "0 2 * * 1", "--by", "ana", "--json"]);
    let finished = done(site.program(&words).run().await);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

#[tokio::test]
async fn a_schedule_is_added_looked_at_paused_resumed_and_taken_away_by_commands() {
    let site = Site::furnished().await;
    assert_eq!(add(&site).await["schedule_id"], "monday");
    let ahead = site.json("schedules preview monday --count 3 --json").await;
    let ahead = ahead.as_array().expect("a list");
    assert!(ahead.iter().all(|time| time["local_time"].as_str().unwrap().ends_with("T02:00:00")));
    assert_eq!(ahead.len(), 3);

    let run = site.json("schedules trigger monday --by ana --json").await;
    let shown = site.json("schedules show monday --json").await;
    assert_eq!(shown["runs"][0]["run_id"], run["run_id"]);
    assert_eq!((&shown["runs"][0]["kind"], &shown["status"]), (&"manual".into(), &"active".into()));
    done(site.run("schedules pause monday --why holidays --by ana").await);
    let paused = site.json("schedules list --json").await;
    assert_eq!(paused[0]["pause_reason"], "holidays");
    assert_eq!(paused[0]["next"], Value::Null);
    done(site.run("schedules resume monday --by ana").await);
    assert_eq!(site.json("schedules cancel monday --json").await["cancelled"], 1);
    done(site.run("schedules update monday --every-days 14 --from 2025-01-06 --at 03:30").await);
    let shown = site.json("schedules show monday --json").await;
    assert_eq!(shown["due"], "every 14 days at 03:30 (America/New_York)");
    let settings = "select execution_history_limit || ' ' || (notification_config ->> 'events')
        from workflow_schedules";
    let update = "schedules update monday --keep-runs 50 --notify run_failed,auto_paused";
    done(site.run(update).await);
    assert_eq!(
        text(&site, settings).await.as_deref(),
        Some("50 [\"run_failed\", \"auto_paused\"]")
    );
    done(site.run("schedules update monday --keep-runs all").await);
    let events = "select notification_config ->> 'events' from workflow_schedules
        where execution_history_limit is null";
    assert_eq!(text(&site, events).await.as_deref(), Some("[\"run_failed\", \"auto_paused\"]"));
    done(site.run("schedules update monday --notify all").await);
    assert_eq!(text(&site, events).await, None);
    let shown = site.json("schedules show monday --json").await;
    assert_eq!(shown["due"], "every 14 days at 03:30 (America/New_York)", "the times stay");
    let words = "schedules update monday --timezone Europe/Berlin --failure-threshold 9 --overlap queue_one";
    done(site.run(&format!("{words} --param brand=Acme --name Fortnight")).await);
    let shown = site.json("schedules show monday --json").await;
    assert_eq!(shown["due"], "every 14 days at 03:30 (Europe/Berlin)", "only the zone is another");
    assert_eq!((&shown["failure_threshold"], &shown["overlap"]), (&json!(9), &json!("queue_one")));
    assert_eq!(shown["parameters"], json!({"brand": ["Acme"]}));
    assert_eq!((&shown["name"], &shown["lookback_days"]), (&json!("Fortnight"), &json!(7)));
    for words in [
        "",
        " --keep-runs 0",
        " --notify run_faild",
        " --timezone Berlin",
        " --lag-days 1",
        " --failure-threshold -1",
        " --param colour=red",
    ] {
        let finished = site.run(&format!("schedules update monday{words}")).await;
        assert_eq!(finished.status.code(), Some(2), "{words}: {finished:?}");
    }
    assert!(done(site.run("schedules runs monday").await).stdout.contains("by hand"));
    done(site.run("schedules remove monday").await);
    assert_eq!(site.json("schedules list --json").await, json!([]));
    let by_ana = "select count(*) from events where entity = 'schedule' and actor = 'ana'";
    assert_eq!(site.count(by_ana).await, 4);
}

async fn text(site: &Site, sql: &'static str) -> Option<String> {
    let found = sqlx::query_scalar(sql).fetch_one(site.db.pool()).await;
    found.expect("the store answers")
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_one_line_with_its_remedy() {
    let site = Site::furnished().await;
    for (expression, says) in [
        ("0 8 1-3 * 1-5", "both a day of month and a day of week"),
        ("0 0 2 * * 1", "seconds and years are not understood"),
        ("0 0 30 2 *", "never due"),
    ] {
        let mut words: Vec<&str> = ADD.split(' ').collect();
        words.extend(["--cron", expression]);
        let finished = site.program(&words).run().await;
        assert!(refused(&finished, 2).contains(says), "{finished:?}");
    }
    let unknown = site.run("schedules trigger sunday").await;
    assert!(refused(&unknown, 1).contains("schedules list"));
    add(&site).await;
    let mut words: Vec<&str> = ADD.split(' ').collect();
    words.extend(["--cron", "0 2 * * 1"]);
    assert!(refused(&site.program(&words).run().await, 1).contains("take another id"));
}

#[tokio::test]
async fn a_program_adds_a_schedule_and_steers_it() {
    let served = Served::new().await;
    let post = async |path: &str, body: Value| {
        served.http.post(served.url(path)).json(&body).send().await.expect("an answer")
    };
    let body = json!({
        "schedule_id": "daily", "workflow": "campaigns", "cron": "30 2 * * *",
        "timezone": "Europe/Berlin", "overlap": "queue_one", "by": "console",
    });
    let answer = post("/v1/schedules", body.clone()).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["location"], "/v1/schedules/daily");
    assert_eq!(answer.json::<Value>().await.unwrap()["due"], "30 2 * * * (Europe/Berlin)");
    problem(post("/v1/schedules", body).await, StatusCode::CONFLICT).await;

    let run = post("/v1/schedules/daily/trigger", json!({})).await;
    assert_eq!(run.status(), StatusCode::ACCEPTED);
    let nothing = post("/v1/schedules/daily/pause", json!({})).await;
    assert_eq!(problem(nothing, StatusCode::UNPROCESSABLE_ENTITY).await["field"], "why");
    let paused = post("/v1/schedules/daily/pause", json!({"why": "holidays"})).await;
    assert_eq!(paused.json::<Value>().await.unwrap()["status"], "paused");
    let resumed = post("/v1/schedules/daily/resume", json!({})).await;
    assert_eq!(resumed.json::<Value>().await.unwrap()["status"], "active");
    let again = post("/v1/schedules/daily/resume", json!({})).await;
    problem(again, StatusCode::CONFLICT).await;
    let patch = async |body: Value| {
        let request = served.http.patch(served.url("/v1/schedules/daily")).json(&body);
        request.send().await.expect("an answer")
    };
    let kept = "select execution_history_limit::text from workflow_schedules";
    let told = "select notification_config ->> 'events' from workflow_schedules";
    let changed = patch(json!({"keep_runs": 7, "notify": ["run_failed"], "by": "ana"})).await;
    assert_eq!(changed.status(), StatusCode::OK);
    let view = changed.json::<Value>().await.unwrap();
    assert_eq!((&view["keep_runs"], &view["notify"]), (&json!(7), &json!(["run_failed"])));
    problem(patch(json!({"notify": []})).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(text(&served.site, kept).await.as_deref(), Some("7"));
    assert_eq!(text(&served.site, told).await.as_deref(), Some("[\"run_failed\"]"));
    let changed = patch(json!({"keep_runs": null, "cron": "45 2 * * *"})).await;
    assert_eq!(changed.json::<Value>().await.unwrap()["due"], "45 2 * * * (Europe/Berlin)");
    let changed = patch(json!({"timezone": "UTC", "failure_threshold": 0, "lag_days": 21})).await;
    let view = changed.json::<Value>().await.unwrap();
    assert_eq!((&view["due"], &view["lag_days"]), (&json!("45 2 * * * (UTC)"), &json!(21)));
    assert_eq!(view["failure_threshold"], Value::Null);
    let nothing = problem(patch(json!({"by": "ana"})).await, StatusCode::BAD_REQUEST).await;
    assert!(nothing["remedy"].as_str().unwrap().contains("failure_threshold"), "{nothing}");
    assert_eq!(text(&served.site, kept).await, None);
    assert_eq!(text(&served.site, told).await.as_deref(), Some("[\"run_failed\"]"));
    for (body, field) in [
        (json!({"strange": 1}), "strange"),
        (json!({"keep_runs": 0}), "keep_runs"),
        (json!({"lookback_days": 0}), "lookback_days"),
        (json!({"parameters": {"colour": "red"}}), "parameters.colour"),
        (json!({"notify": ["run_faild"]}), "notify"),
        (json!({"timezone": "Berlin"}), "timezone"),
        (json!({"cron": "0 0 * * *", "interval": {"days": 1, "from": "2025-01-06"}}), "interval"),
    ] {
        let answer = problem(patch(body).await, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(answer["field"], field, "{answer}");
    }
    let ahead: Value = served.get("/v1/schedules/daily/preview").await.json().await.unwrap();
    assert_eq!(ahead.as_array().map(Vec::len), Some(10));
    let path = "/v1/schedules/daily/preview?count=";
    let ahead: Value = served.get(&format!("{path}3")).await.json().await.unwrap();
    assert_eq!(ahead.as_array().map(Vec::len), Some(3));
    for count in ["0", "1001", "x"] {
        let answer = served.get(&format!("{path}{count}")).await;
        let answer = problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(answer["field"], "count");
    }
    let all: Value = served.get("/v1/schedules").await.json().await.unwrap();
    assert_eq!(all[0]["schedule_id"], "daily");
    problem(served.get("/v1/schedules/weekly").await, StatusCode::NOT_FOUND).await;

    for (change, field) in [
        (json!({"cron": "0 0 1 * 1"}), "cron"),
        (json!({"timezone": "Mars"}), "timezone"),
        (json!({"lag_days": 1}), "lag_days"),
        (json!({"lag_days": 70_000}), "lag_days"),
        (json!({"lookback_days": 3_000_000_000_u64}), "lookback_days"),
        (json!({"catch_up_max": 0}), "catch_up_max"),
        (json!({"cron": "*/61 * * * *"}), "cron"),
        (json!({"schedule_id": "s".repeat(65)}), "schedule_id"),
        (json!({"schedule_id": "a b"}), "schedule_id"),
        (json!({"jitter_seconds": -5}), "jitter_seconds"),
    ] {
        let mut body = json!({"schedule_id": "odd", "workflow": "campaigns", "cron": "0 0 * * *"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = problem(post("/v1/schedules", body).await, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.await["field"], field);
    }
}

#[tokio::test]
async fn real_schedulers_fire_what_is_due_and_a_killed_one_is_not_missed() {
    let site = Site::furnished().await;
    // At half past, so that no full hour passes by itself meanwhile.
    site.execute(
        "update engine.clock set moved_by =
            date_trunc('hour', clock_timestamp()) + interval '30 minutes' - clock_timestamp()",
    )
    .await;
    let add = "schedules add --schedule-id often --workflow campaigns --catch-up all --cron";
    let mut words: Vec<&str> = add.split(' ').collect();
    words.push("0 * * * *");
    done(site.program(&words).run().await);
    let mut schedulers = Vec::new();
    for _ in 0..2 {
        let mut process = site.program(&["schedule"]).start().await;
        process.line("scheduling").await;
        schedulers.push(process);
    }
    drop(schedulers.pop());
    site.db.advance_clock(hours(3).to_std().unwrap()).await;
    eventually("three hours have fired", async || {
        let fired = "select count(*) from schedule_runs where status = 'pending'";
        site.count(fired).await == 3
    })
    .await;
    assert_eq!(site.count("select count(*) from engine.jobs where kind = 'run_schedule'").await, 3);
}
