//! `/v1/batches`: one workflow on many instances is started, looked at, called off and tried again.

use super::{Served, problem};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

async fn post(served: &Served, path: &str, body: &Value) -> Response {
    served.http.post(served.url(path)).json(body).send().await.expect("an answer")
}

#[tokio::test]
async fn a_batch_is_started_looked_at_called_off_and_tried_again() {
    let served = Served::new().await;
    let more = "instances add --instance-id amctest2 --name Shop --account ENTITY1";
    assert!(served.site.run(more).await.status.success());
    let body = json!({
        "workflow": "campaigns", "instances": ["amctest1", "amctest2"],
        "start": "2025-09-01", "end": "2025-10-01",
        "parameters": {"brand": "Acme"}, "parameters_for": {"amctest2": {"brand": "Shop"}},
    });
    let answer = post(&served, "/v1/batches", &body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let started: Value = answer.json().await.expect("JSON");
    assert_eq!(location, format!("/v1/batches/{}", started["batch_id"].as_str().expect("an id")));
    assert_eq!(started["members"][0]["parameters"], json!({"brand": ["Acme"]}));
    assert_eq!(started["members"][1]["parameters"], json!({"brand": ["Shop"]}));
    let jobs = "select count(*) from engine.jobs where kind = 'run_batch_member'";
    assert_eq!(served.site.count(jobs).await, 2);

    for (verb, changed, status) in [
        ("cancel", 2, "cancelled"),
        ("cancel", 0, "cancelled"),
        ("retry", 2, "running"),
        ("retry", 0, "running"),
    ] {
        let answer = post(&served, &format!("{location}/{verb}"), &json!({"why": "a test"})).await;
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["changed"], changed, "{answer}");
        let shown: Value = served.get(&location).await.json().await.expect("JSON");
        assert_eq!(shown["status"], status);
    }
    let listed: Value = served.get("/v1/batches").await.json().await.expect("JSON");
    assert_eq!(listed[0]["batch_id"], started["batch_id"]);
    let shown = served.site.run("batches list").await;
    assert!(shown.stdout.contains("0 of 2 done"), "{shown:?}");
}

#[tokio::test]
async fn a_batch_that_cannot_be_names_the_field_and_the_remedy() {
    let served = Served::new().await;
    let with = |field: &str, value: Value| {
        let mut body = json!({
            "workflow": "campaigns", "instances": ["amctest1"],
            "start": "2025-09-01", "end": "2025-10-01",
        });
        body[field] = value;
        body
    };
    for (body, field, status) in [
        (with("instances", json!([])), "instances", StatusCode::UNPROCESSABLE_ENTITY),
        (with("instances", json!(["amc9"])), "instance", StatusCode::NOT_FOUND),
        (with("end", json!("2025-09-01")), "end", StatusCode::UNPROCESSABLE_ENTITY),
        (with("end", json!("2999-09-01")), "end", StatusCode::UNPROCESSABLE_ENTITY),
        (with("parameters", json!(["a"])), "parameters", StatusCode::UNPROCESSABLE_ENTITY),
        (
            with("parameters_for", json!({"amc9": {}})),
            "parameters_for",
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (with("wrokflow", json!("campaigns")), "wrokflow", StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let problem = problem(post(&served, "/v1/batches", &body).await, status).await;
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["remedy"].as_str().is_some_and(|said| !said.is_empty()), "{problem}");
    }
    problem(served.get("/v1/batches/nothing").await, StatusCode::NOT_FOUND).await;
    let batches = "select count(*) from batch_executions";
    assert_eq!(served.site.count(batches).await, 0);
}
