//! `/v1/jobs` and `/v1/resources`: what waits is looked at, explained, and let go.

use super::{Served, problem};
use reqwest::StatusCode;
use serde_json::{Value, json};

const JOB: &str = "insert into engine.jobs (
        run_at, created_at, timeout_ms, priority, max_attempts, queue, kind, args, uses, due
    )
    values (
        engine.now(), engine.now(), 1000, 2, 20, 'default', 'ping', '{}',
        '[{\"resource\": \"host:x\", \"cost\": 1, \"hold\": false}]', true
    )";

async fn post(served: &Served, path: &str, body: &Value) -> reqwest::Response {
    served.http.post(served.url(path)).json(body).send().await.expect("an answer")
}

async fn put(served: &Served, path: &str, body: &Value) -> reqwest::Response {
    served.http.put(served.url(path)).json(body).send().await.expect("an answer")
}

async fn get(served: &Served, path: &str) -> Value {
    let answer = served.get(path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.expect("JSON")
}

#[tokio::test]
async fn jobs_are_listed_page_by_page_shown_and_explained() {
    let served = Served::new().await;
    for _ in 0..3 {
        served.site.execute(JOB).await;
    }
    let page = get(&served, "/v1/jobs?kind=ping&limit=2").await;
    assert_eq!(page["jobs"].as_array().map(Vec::len), Some(2));
    let rest =
        get(&served, &format!("/v1/jobs?kind=ping&limit=2&after={}", page["next_after"])).await;
    assert_eq!(
        (rest["jobs"].as_array().map(Vec::len), &rest["next_after"]),
        (Some(1), &Value::Null)
    );
    let none = get(&served, "/v1/jobs?state=discarded&queue=default").await;
    assert_eq!(none["jobs"], json!([]));

    let id = rest["jobs"][0]["id"].as_i64().expect("an id");
    let shown = get(&served, &format!("/v1/jobs/{id}")).await;
    assert_eq!((&shown["kind"], &shown["uses"][0]["resource"]), (&json!("ping"), &json!("host:x")));
    let explained = get(&served, &format!("/v1/jobs/{id}/explain")).await;
    assert_eq!(explained["reasons"][0]["what"], "no_process", "{explained}");
}

#[tokio::test]
async fn a_resource_is_paused_with_a_reason_seen_in_the_explanation_and_resumed() {
    let served = Served::new().await;
    served.site.execute(JOB).await;
    let page = get(&served, "/v1/jobs?kind=ping").await;
    let explain = format!("/v1/jobs/{}/explain", page["jobs"][0]["id"]);
    let body = json!({"why": "it is down", "by": "ann", "for": "30m"});
    let paused: Value =
        post(&served, "/v1/resources/host:x/pause", &body).await.json().await.expect("JSON");
    assert_eq!(paused["shut"][0]["gate"], "paused", "{paused}");
    let reasons = get(&served, &explain).await["reasons"].clone();
    let reason = &reasons.as_array().expect("a list")[1];
    assert_eq!(
        (&reason["what"], &reason["by"], &reason["why"]),
        (&json!("paused"), &json!("ann"), &json!("it is down"))
    );
    assert!(reason["until"].is_string());

    let body = json!({"why": "it is back", "by": "bob"});
    let resumed = post(&served, "/v1/resources/host:x/resume", &body).await;
    let resumed: Value = resumed.json().await.expect("JSON");
    assert_eq!(resumed["shut"], json!([]));
    assert_eq!(resumed["events"][0]["why"], "it is back", "{resumed}");
    let again = post(&served, "/v1/resources/host:x/resume", &body).await;
    problem(again, StatusCode::CONFLICT).await;
}

#[tokio::test]
async fn the_gates_of_a_resource_are_exactly_those_that_were_put() {
    let served = Served::new().await;
    let path = "/v1/resources/host:y/gates";
    let body = json!({
        "why": "our contract", "running": 2, "rate": {"tokens": 10, "period": "1s", "burst": 5},
        "quota": {"limit": 30, "zone": "Europe/Berlin"}, "breaker": {},
    });
    let set: Value = put(&served, path, &body).await.json().await.expect("JSON");
    assert_eq!((&set["max_running"], &set["rate"]["tokens"]), (&json!(2), &json!(10)), "{set}");
    let list = get(&served, "/v1/resources?after=host").await;
    assert!(
        list["resources"].as_array().is_some_and(|all| all.iter().any(|r| r["name"] == "host:y"))
    );
    let less: Value =
        put(&served, path, &json!({"why": "less", "holds": 3})).await.json().await.expect("JSON");
    assert_eq!((&less["max_running"], &less["max_holds"]), (&Value::Null, &json!(3)));
    assert_eq!((&less["rate"], &less["breaker"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn what_is_wrong_with_a_gate_a_page_or_a_pause_is_named_with_its_remedy() {
    let served = Served::new().await;
    let gates = "/v1/resources/host:z/gates";
    for (body, field) in [
        (json!({"running": 1}), "why"),
        (json!({"why": "r", "running": -1}), "running"),
        (json!({"why": "r", "holds": 3_000_000_000_u64}), "holds"),
        (json!({"why": "r".repeat(1001)}), "why"),
        (json!({"why": "r", "by": "b".repeat(201)}), "by"),
        (json!({"why": "r", "weight": 0}), "weight"),
        (json!({"why": "r", "rate": {"tokens": 0, "period": "1s"}}), "rate.tokens"),
        (json!({"why": "r", "rate": {"tokens": 1}}), "rate.period"),
        (json!({"why": "r", "quota": {"limit": 1, "zone": "Mars"}}), "quota.zone"),
        (json!({"why": "r", "breaker": {"probes": 0}}), "breaker.probes"),
        (json!({"why": "r", "limit": 1}), "limit"),
    ] {
        let answer = put(&served, gates, &body).await;
        let problem = problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["remedy"].is_string(), "{problem}");
    }
    problem(served.get("/v1/resources/host:z").await, StatusCode::NOT_FOUND).await;
    for (query, field) in
        [("limit=0", "limit"), ("state=failed", "state"), ("after=x", "after"), ("knd=x", "knd")]
    {
        let answer = served.get(&format!("/v1/jobs?{query}")).await;
        let problem = problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(problem["field"], field, "{problem}");
    }
    for list in ["collections", "plans", "batches", "jobs", "resources"] {
        for limit in ["0", "1001", "-1", "x"] {
            let answer = served.get(&format!("/v1/{list}?limit={limit}")).await;
            let problem = problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
            assert_eq!(problem["field"], "limit", "{problem}");
            assert_eq!(problem["remedy"], "give a whole number from 1 to 1000");
        }
        assert_eq!(served.get(&format!("/v1/{list}?limit=1000")).await.status(), StatusCode::OK);
    }
    for list in ["schedules", "workflows", "instances", "webhooks"] {
        let answer = served.get(&format!("/v1/{list}?limit=5")).await;
        let problem = problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(problem["detail"], "limit is not a parameter");
        assert_eq!(problem["remedy"], "leave it out: all of them are listed");
    }
    for path in ["/v1/jobs/1000000", "/v1/jobs/x", "/v1/jobs/1000000/explain"] {
        problem(served.get(path).await, StatusCode::NOT_FOUND).await;
    }
}
