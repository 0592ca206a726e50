//! `/v1/workflows`: looked at, changed, saved at AMC, asked about again.

use super::{Served, problem};
use crate::harness::eventually::eventually;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

async fn patch(served: &Served, body: Value) -> Response {
    let request = served.http.patch(served.url("/v1/workflows/campaigns")).json(&body);
    request.send().await.expect("an answer")
}

/// What new executions run: the query, the parameters' names, and how it reaches AMC.
async fn current(served: &Served) -> (String, Vec<String>, String) {
    let shown: Value = served.get("/v1/workflows/campaigns").await.json().await.expect("JSON");
    let versions = shown["versions"].as_array().expect("versions");
    let version = versions.iter().find(|version| version["is_current"] == true).expect("one");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let declared = version["input_parameters"].as_array().expect("parameters");
    let names = declared.iter().map(|one| text(&one["name"])).collect();
    (text(&version["sql_query"]), names, text(&version["submit_mode"]))
}

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

#[tokio::test]
async fn a_change_of_a_workflow_keeps_what_it_does_not_name() {
    let served = Served::new().await;
    let is = async |sql: &str, names: &[&str], mode: &str| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(current(&served).await, (sql.to_owned(), names, mode.to_owned()));
    };
    let first = "select campaign from t -- all of them";
    let done = async |body: Value| {
        assert_eq!(patch(&served, body).await.status(), StatusCode::OK);
    };
    is(first, &["brand", "note"], "inline").await;
    done(json!({"saved": true})).await;
    is(first, &["brand", "note"], "saved").await;
    done(json!({"sql": "select b from t", "parameters": null})).await;
    is("select b from t", &["brand", "note"], "saved").await;
    done(json!({"parameters": [{"name": "x", "type": "number", "required": false}]})).await;
    is("select b from t", &["x"], "saved").await;
    done(json!({"saved": false})).await;
    is("select b from t", &["x"], "inline").await;

    for nothing in [json!({}), json!({"by": "ada", "why": "so"})] {
        let refused = problem(patch(&served, nothing).await, StatusCode::BAD_REQUEST).await;
        assert_eq!(refused["detail"], "nothing is to be changed");
        assert_eq!(refused["remedy"], "give some of sql, parameters, saved");
    }
    // What stays has to go with what is new.
    let lacking = patch(&served, json!({"sql": "select @y as y from t"})).await;
    let lacking = problem(lacking, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(lacking["field"], "parameters.y");

    served.site.execute("update workflows set current_version_id = null").await;
    let refused = patch(&served, json!({"saved": true})).await;
    let refused = problem(refused, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(refused["field"], "sql", "{refused}");
    done(json!({"sql": "select c from t"})).await;
    is("select c from t", &[], "inline").await;
}

#[tokio::test]
async fn two_changes_of_a_workflow_at_once_are_both_kept() {
    let served = Served::new().await;
    let pool = served.site.db.pool();
    let mut tx = pool.begin().await.expect("a transaction");
    sqlx::query("select from workflows for update").execute(&mut *tx).await.expect("locked");
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let both_wait = async {
        eventually("both wait", async || served.site.count(waiting).await == 2).await;
        tx.commit().await.expect("let go");
    };
    let sql = patch(&served, json!({"sql": "select b from t"}));
    let (sql, saved, ()) = tokio::join!(sql, patch(&served, json!({"saved": true})), both_wait);
    assert_eq!((sql.status(), saved.status()), (StatusCode::OK, StatusCode::OK));
    let (sql, names, mode) = current(&served).await;
    assert_eq!((sql.as_str(), mode.as_str()), ("select b from t", "saved"));
    assert_eq!(names, ["brand", "note"]);
}
