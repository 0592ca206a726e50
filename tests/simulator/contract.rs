//! The simulator's own answers keep the contract, in both shapes.

use super::desk::{Desk, id, week};
use crate::harness::contract::{check_exchange, check_response};
use recomamp::simulator::{Operation, Settings};
use serde_json::json;
use std::collections::BTreeSet;

/// Calls every operation, in every state that shows other fields, and a few in vain.
async fn tour(desk: &Desk) {
    desk.get("/amc/accounts").await;
    desk.get("/amc/instances?limit=1").await;
    let workflow = json!({"workflowId": "weekly", "sqlQuery": "select CUSTOM_PARAMETER('a') from t",
        "inputParameters": [{"name": "a", "dataType": "STRING", "columnType": "DIMENSION"}]});
    desk.amc("POST", "/workflows", Some(&workflow)).await;
    desk.amc("POST", "/workflows", Some(&workflow)).await;
    desk.amc("PUT", "/workflows/weekly", Some(&workflow)).await;
    desk.amc("GET", "/workflows?limit=1", None).await;
    desk.amc("GET", "/workflows/weekly", None).await;
    desk.amc("GET", "/workflows/nobody", None).await;

    let mut saved = week("2025-01-06");
    saved["workflowId"] = json!("weekly");
    saved.as_object_mut().expect("an object").remove("workflow");
    saved["parameterValues"] = json!({"a": "1"});
    let mut broken = week("2025-01-06");
    broken["workflow"]["sqlQuery"] = json!("select a from no_such_table");
    let chosen =
        json!({"workflow": {"sqlQuery": "select 1"}, "timeWindowType": "MOST_RECENT_WEEK"});
    let mut ids = Vec::new();
    for body in [&saved, &broken, &chosen, &week("2025-01-13")] {
        let (_, created) = desk.amc("POST", "/workflowExecutions", Some(body)).await;
        ids.push(id(created.get("workflowExecution").unwrap_or(&created)));
    }
    let list = "/workflowExecutions?workflowId=weekly&includeCancelled=true&limit=1";
    let cancelled = format!("/workflowExecutions/{}", ids[3]);
    for seconds in [0, 2, 60, 10] {
        desk.advance(seconds);
        for id in &ids {
            let path = format!("/workflowExecutions/{id}");
            desk.amc("GET", &format!("{path}?includeWorkflow=true"), None).await;
            desk.amc("GET", &format!("{path}/downloadUrls"), None).await;
        }
        desk.amc("GET", list, None).await;
        desk.amc("PUT", &cancelled, Some(&json!({"status": "CANCELLED"}))).await;
    }
    desk.amc("DELETE", "/workflows/weekly", None).await;
    desk.ask_token("Atzr|nobody").await;
}

#[tokio::test]
async fn every_operation_keeps_the_contract_flat_and_wrapped() {
    for wrapped in [false, true] {
        let settings =
            Settings { wrapped, record_bodies: true, publishing_seconds: 5, ..Settings::manual() };
        let desk = Desk::with(settings).await;
        tour(&desk).await;
        let exchanges = desk.simulator.exchanges();
        for exchange in &exchanges {
            assert_eq!(check_exchange(exchange), Ok(()), "{exchange:#?}");
        }
        let seen: BTreeSet<Operation> =
            desk.simulator.log().into_iter().map(|entry| entry.operation).collect();
        assert_eq!(seen.len(), 13, "all operations but the download: {seen:?}");
        assert_eq!(exchanges.len(), desk.simulator.log().len());
        let refused = exchanges.iter().filter(|exchange| exchange.status != Some(200));
        assert!(refused.count() >= 10, "errors are checked too");
    }
}

#[tokio::test]
async fn the_check_would_notice_a_field_that_does_not_belong() {
    let desk = Desk::with(Settings { record_bodies: true, ..Settings::manual() }).await;
    desk.submit("2025-01-06").await;
    let exchange = desk.simulator.exchanges().pop().expect("the submit");
    let mut body = exchange.response.expect("JSON");
    body["rowCount"] = json!(12);
    let checked = check_response(&exchange.method, &exchange.path, 200, Some(&body));
    assert!(checked.is_err_and(|complaints| complaints[0].contains("rowCount")));
}
