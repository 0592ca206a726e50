//! Saved workflows: created once, replaced, listed, deleted, run.

use super::desk::{Desk, id};
use serde_json::json;

#[tokio::test]
async fn a_workflow_is_created_once_read_replaced_and_deleted() {
    let desk = Desk::open().await;
    let workflow = json!({"workflowId": "weekly", "sqlQuery": "select 1"});
    assert_eq!(desk.amc("POST", "/workflows", Some(&workflow)).await, (200, json!({})));
    let (status, body) = desk.amc("POST", "/workflows", Some(&workflow)).await;
    assert_eq!(status, 400);
    assert_eq!(body["details"], "Workflow with ID weekly already exists.");

    let replaced = json!({"workflowId": "weekly", "sqlQuery": "select 2"});
    assert_eq!(desk.amc("PUT", "/workflows/weekly", Some(&replaced)).await, (200, json!({})));
    let (_, shown) = desk.amc("GET", "/workflows/weekly", None).await;
    assert_eq!(shown, json!({"workflow": replaced}));

    assert_eq!(desk.amc("DELETE", "/workflows/weekly", None).await, (200, json!({})));
    assert_eq!(desk.amc("DELETE", "/workflows/weekly", None).await.0, 404);
    assert_eq!(desk.amc("GET", "/workflows/weekly", None).await.0, 404);
    assert_eq!(desk.amc("PUT", "/workflows/weekly", Some(&replaced)).await.0, 404);
}

#[tokio::test]
async fn a_parameter_that_nobody_declared_is_refused_when_the_workflow_is_saved() {
    let desk = Desk::open().await;
    let sql = "select CUSTOM_PARAMETER('brand') from t";
    let bad = json!({"workflowId": "branded", "sqlQuery": sql});
    let (status, body) = desk.amc("POST", "/workflows", Some(&bad)).await;
    assert_eq!(status, 400);
    assert!(
        body["details"].as_str().is_some_and(|text| text.contains("undeclared parameter brand"))
    );
    let good = json!({"workflowId": "branded", "sqlQuery": sql,
        "inputParameters": [{"name": "brand", "dataType": "STRING"}]});
    assert_eq!(desk.amc("POST", "/workflows", Some(&good)).await.0, 200);
}

#[tokio::test]
async fn workflows_are_listed_in_pages_and_belong_to_their_instance() {
    let desk = Desk::open().await;
    for name in ["a", "b", "c"] {
        let workflow = json!({"workflowId": name, "sqlQuery": "select 1"});
        desk.amc("POST", "/workflows", Some(&workflow)).await;
    }
    let (_, page) = desk.amc("GET", "/workflows?limit=2", None).await;
    let next = page["nextToken"].as_str().expect("a token");
    let (_, last) = desk.amc("GET", &format!("/workflows?limit=2&nextToken={next}"), None).await;
    assert_eq!(last["workflows"][0]["workflowId"], "c");
    assert_eq!(last.get("nextToken"), None);
    let (_, other) = desk.get("/amc/reporting/amcdemous02/workflows").await;
    assert_eq!(other, json!({"workflows": []}));
}

#[tokio::test]
async fn a_saved_workflow_runs_by_its_id_and_its_parameters_are_echoed() {
    let desk = Desk::open().await;
    let workflow = json!({"workflowId": "weekly", "sqlQuery": "select 1"});
    desk.amc("POST", "/workflows", Some(&workflow)).await;
    let body = json!({"workflowId": "weekly", "timeWindowType": "EXPLICIT",
        "timeWindowStart": "2025-01-06T00:00:00", "timeWindowEnd": "2025-01-13T00:00:00",
        "timeWindowTimeZone": "America/New_York", "parameterValues": {"engine_run_id": "7"}});
    let (status, created) = desk.amc("POST", "/workflowExecutions", Some(&body)).await;
    assert_eq!(status, 200, "{created}");
    let shown = desk.execution(&id(&created)).await;
    assert_eq!(shown["parameterValues"], json!({"engine_run_id": "7"}));
    assert_eq!(shown["timeWindowStart"], "2025-01-06T05:00:00Z");
    assert_eq!(shown["timeWindowTimeZoneOriginal"], "America/New_York");
    let counts = desk.counts();
    assert_eq!(counts.submits[0].workflow_id, "weekly");
    assert_eq!(counts.submits_of("amcdemous01", "2025-01-06T00:00:00"), 1);
}
