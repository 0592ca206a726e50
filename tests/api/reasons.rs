//! Who changed what over HTTP, and why, is kept in the journal.

use super::Served;
use crate::commands::SECRET;
use reqwest::Method;
use serde_json::{Value, json};

/// Changes something over HTTP for a reason of its own. That is what its thing's newest event says.
async fn is_kept(served: &Served, (method, path): (Method, &str), body: Value, thing: &str) {
    let why = format!("{method} {path} of {thing}");
    let request = served.http.request(method.clone(), served.url(path));
    let request = if method == Method::DELETE {
        request.query(&[("by", "eve"), ("why", &why)])
    } else {
        let mut body = body;
        body["by"] = json!("eve");
        body["why"] = json!(why);
        request.json(&body)
    };
    let answer = request.send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("text"));
    assert!(status.is_success(), "{why}: {text}");
    assert_eq!(newest(served, thing).await, (json!("eve"), json!(why)));
}

/// Who did the last that happened to a thing, and why: `entity=…&id=…`.
async fn newest(served: &Served, thing: &str) -> (Value, Value) {
    let page = served.get(&format!("/v1/events?{thing}&limit=1")).await;
    let page: Value = page.json().await.expect("JSON");
    let event = &page["events"][0];
    (event["actor"].clone(), event["reason"].clone())
}

fn post(path: &str) -> (Method, &str) {
    (Method::POST, path)
}

#[tokio::test]
async fn who_registers_something_over_http_and_why_is_kept() {
    let served = Served::new().await;
    let bob = "entity=user&id=bob@example.com";
    let user = json!({
        "email": "bob@example.com", "name": "Bob", "region": "eu",
        "refresh_token": format!("Atzr|{SECRET}"),
    });
    is_kept(&served, post("/v1/users"), user, bob).await;
    let token = json!({"refresh_token": format!("Atzr|{SECRET}2")});
    is_kept(&served, post("/v1/users/bob@example.com/authorise"), token, bob).await;
    let refuse = "update lwa_credentials set token_state = 'client_invalid', token_error = 'no'";
    served.site.execute(refuse).await;
    is_kept(&served, post("/v1/users/resume"), json!({}), bob).await;
    let account = json!({
        "account_id": "ENTITY9", "name": "Shop", "marketplace": "DE", "user": "bob@example.com",
    });
    is_kept(&served, post("/v1/accounts"), account, "entity=account&id=ENTITY9").await;
    let instance = json!({"instance_id": "amcnine", "name": "Shop", "account": "ENTITY9"});
    is_kept(&served, post("/v1/instances"), instance, "entity=instance&id=amcnine").await;
    let whose = json!({"user": "bob@example.com"});
    is_kept(&served, post("/v1/instances/sync"), whose, bob).await;
    served.site.execute("update amc_instances set status = 'blocked', block_reason = '403'").await;
    let unblock = post("/v1/instances/amcnine/unblock");
    is_kept(&served, unblock, json!({}), "entity=instance&id=amcnine").await;
}

#[tokio::test]
async fn who_changes_a_workflow_or_a_schedule_over_http_and_why_is_kept() {
    let served = Served::new().await;
    let spend = "entity=workflow&id=spend";
    let workflow = json!({
        "workflow_id": "spend", "name": "Spend", "instance": "amctest1", "user": "ana@example.com",
        "sql": "select a from t",
    });
    is_kept(&served, post("/v1/workflows"), workflow, spend).await;
    let change = (Method::PATCH, "/v1/workflows/spend");
    is_kept(&served, change, json!({"sql": "select b from t"}), spend).await;
    is_kept(&served, post("/v1/workflows/spend/sync"), json!({}), spend).await;
    is_kept(&served, post("/v1/workflows/spend/recheck"), json!({}), spend).await;

    let monday = "entity=schedule&id=monday";
    let schedule = json!({"schedule_id": "monday", "workflow": "spend", "cron": "0 6 * * 1"});
    is_kept(&served, post("/v1/schedules"), schedule, monday).await;
    let change = (Method::PATCH, "/v1/schedules/monday");
    is_kept(&served, change, json!({"overlap": "queue_one"}), monday).await;
    for verb in ["trigger", "pause", "resume", "cancel"] {
        let path = format!("/v1/schedules/monday/{verb}");
        is_kept(&served, post(&path), json!({}), monday).await;
    }
    let (by, why) = newest(&served, "entity=schedule_run").await;
    let cancelled =
        "cancelled by eve: POST /v1/schedules/monday/cancel of entity=schedule&id=monday";
    assert_eq!((by, why), (json!("eve"), json!(cancelled)));
    let remove = (Method::DELETE, "/v1/schedules/monday");
    is_kept(&served, remove, json!({}), monday).await;
}

#[tokio::test]
async fn who_changes_a_webhook_over_http_and_why_is_kept_and_no_address_that_is_a_secret() {
    let served = Served::new().await;
    let slack = json!({"url": "https://hooks.slack.com/services/hunter2", "format": "slack"});
    is_kept(&served, post("/v1/webhooks"), slack, "entity=webhook").await;
    let listed: Value = served.get("/v1/webhooks").await.json().await.expect("JSON");
    let id = listed[0]["id"].as_str().expect("an id");
    let (path, thing) = (format!("/v1/webhooks/{id}"), format!("entity=webhook&id={id}"));
    for verb in ["test", "disable", "enable"] {
        is_kept(&served, post(&format!("{path}/{verb}")), json!({}), &thing).await;
    }
    // What stands so already is not noted again.
    let noted = "select count(*) from events where entity = 'webhook'";
    let before = served.site.count(noted).await;
    let again = served.http.post(served.url(&format!("{path}/enable"))).json(&json!({}));
    assert!(again.send().await.expect("an answer").status().is_success());
    assert_eq!(served.site.count(noted).await, before);
    // Nobody is told of what people do to webhooks, workflows and accounts.
    let account = json!({
        "account_id": "ENTITY9", "name": "Shop", "marketplace": "DE", "user": "ana@example.com",
    });
    is_kept(&served, post("/v1/accounts"), account, "entity=account&id=ENTITY9").await;
    let change = (Method::PATCH, "/v1/workflows/campaigns");
    is_kept(&served, change, json!({"saved": true}), "entity=workflow&id=campaigns").await;
    let told = "select count(*) from webhook_deliveries where event <> 'test'";
    assert_eq!(served.site.count(told).await, 0);

    is_kept(&served, (Method::DELETE, &path), json!({}), &thing).await;
    let secret = "select count(*) from events
        where events::text like '%hunter2%' or events::text like '%IwEBIJsecret%'";
    assert_eq!(served.site.count(secret).await, 0);
}
