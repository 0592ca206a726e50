//! `/v1/jobs`: jobs steered by a program.

use super::{Served, problem};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// A served installation with one job, which waits.
async fn with_a_job() -> (Served, i64) {
    let served = Served::new().await;
    let sync = served.url("/v1/instances/sync");
    let asked = served.http.post(sync).json(&json!({})).send().await.expect("an answer");
    assert_eq!(asked.status(), StatusCode::ACCEPTED);
    let id = served.site.count("select min(id) from engine.jobs").await;
    (served, id)
}

async fn send(served: &Served, method: Method, path: &str, body: Value) -> Response {
    let request = served.http.request(method, served.url(&format!("/v1/jobs/{path}"))).json(&body);
    request.send().await.expect("an answer")
}

async fn post(served: &Served, path: &str, body: Value) -> Response {
    send(served, Method::POST, path, body).await
}

async fn read(response: Response) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn a_job_is_edited_cancelled_replayed_and_discarded() {
    let (served, id) = with_a_job().await;
    let why = json!({"why": "a test"});
    let change = json!({"run_at": "2999-01-01T00:00:00Z", "priority": "low", "why": "a test"});
    let edited = send(&served, Method::PATCH, &id.to_string(), change).await;
    assert_eq!(read(edited).await, json!({"id": id, "result": "edited"}));
    let later = "select count(*) from engine.jobs where run_at > '2998-01-01' and priority = 3";
    assert_eq!(served.site.count(later).await, 1);

    let cancel = format!("{id}/cancel");
    let cancelled = read(post(&served, &cancel, why.clone()).await).await;
    assert_eq!(cancelled, json!({"id": id, "result": "cancelled"}));
    let again = read(post(&served, &cancel, why.clone()).await).await;
    let finished = json!({"id": id, "result": "already_finished", "detail": "cancelled"});
    assert_eq!(again, finished);

    let replay = format!("{id}/replay");
    let patch = json!({"why": "a test", "patch": {"more": true}});
    let replayed = read(post(&served, &replay, patch).await).await;
    let new = served.site.count("select id from engine.jobs where args ? 'more'").await;
    assert_eq!(replayed, json!({"id": id, "result": "replayed", "detail": new}));
    let discarded = read(post(&served, &format!("{new}/discard"), why).await).await;
    assert_eq!(discarded["result"], "discarded");
}

#[tokio::test]
async fn a_choice_is_counted_before_it_is_steered() {
    let (served, id) = with_a_job().await;
    let look = json!({"kind": "sync_instances", "why": "a test", "dry_run": true});
    let counted = read(post(&served, "cancel", look).await).await;
    assert_eq!(counted, json!({"dry_run": true, "waiting": 1, "running": 0}));
    let cancel = json!({"kind": "sync_instances", "why": "a test"});
    let cancelled = read(post(&served, "cancel", cancel).await).await;
    assert_eq!(cancelled, json!({"dry_run": false, "waiting": 1, "running": 0}));
    let look = json!({"state": "cancelled", "why": "a test", "dry_run": true});
    let counted = read(post(&served, "replay", look).await).await;
    assert_eq!(counted["jobs"], 1);
    let replay = json!({"state": "cancelled", "why": "a test", "per_second": 1});
    let replayed = read(post(&served, "replay", replay).await).await;
    assert_eq!(replayed["replayed"][0]["id"], id);
    let discard = json!({"kind": "sync_instances", "why": "a test"});
    let discarded = read(post(&served, "discard", discard).await).await;
    assert_eq!(discarded, json!({"dry_run": false, "waiting": 1}));
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_remedy() {
    let (served, id) = with_a_job().await;
    let cancel = format!("{id}/cancel");
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    for (path, body, field) in [
        (cancel.as_str(), json!({}), "why"),
        (cancel.as_str(), json!({"why": " "}), "why"),
        (cancel.as_str(), json!({"why": "x", "force": true}), "force"),
        ("cancel", json!({"why": "x"}), "filter"),
        ("cancel", json!({"why": "x", "state": "done"}), "state"),
        ("replay", json!({"why": "x", "state": "done", "patch": [1]}), "patch"),
        ("replay", json!({"why": "x", "state": "done", "per_second": 0}), "per_second"),
    ] {
        let problem = problem(post(&served, path, body).await, unprocessable).await;
        assert_eq!(problem["field"], field, "{problem}");
    }
    let why = json!({"why": "a test"});
    let unknown = post(&served, "999999/cancel", why.clone()).await;
    problem(unknown, StatusCode::NOT_FOUND).await;
    problem(post(&served, "x/cancel", why.clone()).await, StatusCode::NOT_FOUND).await;
    served.site.execute("update engine.jobs set state = 'running', session = 1").await;
    let running = post(&served, &format!("{id}/discard"), why).await;
    let running = problem(running, StatusCode::CONFLICT).await;
    assert_eq!(running["remedy"], "cancel it instead");
}
