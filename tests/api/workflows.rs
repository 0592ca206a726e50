//! `/v1/workflows`: looked at, saved at AMC, asked about again.

use super::{Served, problem};
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_workflow_is_shown_and_saved_and_what_there_is_not_is_told() {
    let served = Served::new().await;
    let all: Value = served.get("/v1/workflows").await.json().await.expect("JSON");
    assert_eq!(all[0]["workflow_id"], "campaigns");
    let path = "/v1/workflows/campaigns";
    let shown: Value = served.get(path).await.json().await.expect("JSON");
    assert_eq!(shown["versions"][0]["is_current"], true);
    assert_eq!(shown["amc_sync_status"], "not_synced");

    let post = async |path: &str, body: Value| {
        served.http.post(served.url(path)).json(&body).send().await.expect("an answer")
    };
    let answer = post(&format!("{path}/sync"), json!({"by": "ada"})).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["status"], "syncing");
    let jobs = "select count(*) from engine.jobs where kind = 'sync_workflow'";
    assert_eq!(served.site.count(jobs).await, 1);
    let answer: Value =
        post(&format!("{path}/recheck"), json!({})).await.json().await.expect("JSON");
    assert_eq!(answer["forgotten"], 0);

    problem(served.get("/v1/workflows/nothing").await, StatusCode::NOT_FOUND).await;
    let answer = post("/v1/workflows/nothing/sync", json!({})).await;
    problem(answer, StatusCode::NOT_FOUND).await;
    let answer = post(&format!("{path}/recheck"), json!({"why": 1})).await;
    problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
}
