//! Executions: how they are taken in, move on, end, and are shown.

use super::desk::{Desk, INSTANCE, id, week};
use recomamp::simulator::{Fault, Kind, RunTime, Settings, TrailingZ};
use serde_json::{Value, json};

const MONDAY: &str = "2025-01-06";

#[tokio::test]
async fn an_execution_is_pending_then_runs_then_publishes_then_has_succeeded() {
    let desk = Desk::with(Settings { publishing_seconds: 10, ..Settings::manual() }).await;
    let execution = desk.submit(MONDAY).await;
    let mut seen = Vec::new();
    for seconds in [0, 1, 1, 59, 1, 9, 1] {
        desk.advance(seconds);
        seen.push(desk.status(&execution).await);
    }
    let words =
        ["PENDING", "PENDING", "RUNNING", "RUNNING", "PUBLISHING", "PUBLISHING", "SUCCEEDED"];
    assert_eq!(seen, words);
    let shown = desk.execution(&execution).await;
    assert_eq!(shown["executionTime"], 70);
    assert_eq!(shown["outputColumns"][0]["name"], "campaign_id");
    assert_eq!(shown["outputChannels"][0]["status"], "AVAILABLE");
}

#[tokio::test]
async fn ten_run_at_once_and_the_rest_wait_in_the_order_they_came() {
    let desk = Desk::open().await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(desk.submit(MONDAY).await);
        desk.advance(1);
    }
    desk.advance(2);
    assert_eq!(desk.simulator.state().executions[INSTANCE]["RUNNING"], 10);
    assert_eq!(desk.status(&ids[10]).await, "PENDING");
    // The first began after two seconds of validation and runs for sixty: then a place is free.
    desk.advance(48);
    assert_eq!(desk.status(&ids[0]).await, "SUCCEEDED");
    assert_eq!(desk.status(&ids[10]).await, "RUNNING");
    assert_eq!(desk.status(&ids[11]).await, "PENDING");
    desk.advance(120);
    assert_eq!(desk.simulator.state().executions[INSTANCE]["SUCCEEDED"], 12);
    let counts = desk.counts();
    assert_eq!(counts.max_running[INSTANCE], 10);
    assert_eq!(counts.max_open[INSTANCE], 12);
    assert_eq!(counts.accepted(), 12);
    assert_eq!(counts.repeated().len(), 1);
}

#[tokio::test]
async fn a_place_is_taken_at_the_moment_it_becomes_free_not_when_somebody_looks() {
    let desk = Desk::with(Settings { running_per_instance: 1, ..Settings::manual() }).await;
    for _ in 0..3 {
        desk.submit(MONDAY).await;
    }
    // Nobody looks for three run times.
    desk.advance(2 + 3 * 60);
    assert_eq!(desk.simulator.state().executions[INSTANCE]["SUCCEEDED"], 3);
    assert_eq!(desk.counts().max_running[INSTANCE], 1);
}

#[tokio::test]
async fn the_instances_of_one_account_share_its_places() {
    let desk = Desk::with(Settings { running_per_account: 1, ..Settings::manual() }).await;
    let first = desk.submit(MONDAY).await;
    let path = "/amc/reporting/amcdemous02/workflowExecutions";
    let (_, second) = desk.call("POST", path, Some(&week(MONDAY))).await;
    let second = format!("{path}/{}", id(&second));
    desk.advance(10);
    assert_eq!(desk.status(&first).await, "RUNNING");
    assert_eq!(desk.get(&second).await.1["status"], "PENDING");
    desk.advance(60);
    assert_eq!(desk.get(&second).await.1["status"], "RUNNING");
}

#[tokio::test]
async fn a_cancelled_execution_gives_its_place_away_and_cannot_be_cancelled_again() {
    let desk = Desk::with(Settings { running_per_instance: 1, ..Settings::manual() }).await;
    let (first, second, third) =
        (desk.submit(MONDAY).await, desk.submit(MONDAY).await, desk.submit(MONDAY).await);
    desk.advance(2);
    let cancel = json!({"status": "CANCELLED"});
    for id in [&first, &second] {
        let path = format!("/workflowExecutions/{id}");
        assert_eq!(desk.amc("PUT", &path, Some(&cancel)).await, (200, json!({})));
        assert_eq!(desk.status(id).await, "CANCELLED");
        assert_eq!(desk.amc("PUT", &path, Some(&cancel)).await.0, 400);
    }
    assert_eq!(desk.status(&third).await, "RUNNING");
    desk.advance(60);
    assert_eq!(desk.status(&third).await, "SUCCEEDED");
    assert_eq!(desk.status(&first).await, "CANCELLED");
    let path = format!("/workflowExecutions/{third}");
    assert_eq!(desk.amc("PUT", &path, Some(&json!({"status": "PENDING"}))).await.0, 400);
}

#[tokio::test]
async fn the_list_wants_a_filter_hides_the_cancelled_and_begins_with_the_newest() {
    let desk = Desk::open().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(desk.submit(MONDAY).await);
        desk.advance(1);
    }
    let cancel = json!({"status": "CANCELLED"});
    desk.amc("PUT", &format!("/workflowExecutions/{}", ids[2]), Some(&cancel)).await;
    assert_eq!(desk.amc("GET", "/workflowExecutions", None).await.0, 400);

    let (_, shown) = desk.amc("GET", "/workflowExecutions?workflowId=plain", None).await;
    assert_eq!(listed(&shown), [&ids[4], &ids[3], &ids[1], &ids[0]]);
    assert_eq!(shown.get("nextToken"), None, "a last page has no token");
    let path = "/workflowExecutions?workflowId=plain&includeCancelled=true&sortAscending=true";
    assert_eq!(listed(&desk.amc("GET", path, None).await.1), ids.iter().collect::<Vec<_>>());
    let path = "/workflowExecutions?workflowId=other";
    assert!(listed(&desk.amc("GET", path, None).await.1).is_empty());
}

#[tokio::test]
async fn the_list_is_read_page_by_page_even_while_it_grows() {
    let desk = Desk::open().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(desk.submit(MONDAY).await);
    }
    let mut seen = Vec::new();
    let mut path = "/workflowExecutions?workflowId=plain&limit=2".to_owned();
    loop {
        let (status, page) = desk.amc("GET", &path, None).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(listed(&page).into_iter().cloned());
        desk.submit(MONDAY).await;
        let Some(next) = page["nextToken"].as_str() else { break };
        path = format!("/workflowExecutions?workflowId=plain&limit=2&nextToken={next}");
    }
    ids.reverse();
    assert_eq!(seen, ids);
    let path = "/workflowExecutions?workflowId=plain&nextToken=guess";
    assert_eq!(desk.amc("GET", path, None).await.0, 400);
}

#[tokio::test]
async fn the_list_filters_by_the_whole_second_of_creation_in_the_zone_it_is_told() {
    let start = "2025-06-01T12:00:00.700Z".parse().expect("a time");
    let desk = Desk::with(Settings { started_at: Some(start), ..Settings::manual() }).await;
    let first = desk.submit(MONDAY).await;
    desk.advance(60);
    let second = desk.submit(MONDAY).await;
    let list = async |query: &str| {
        let (status, page) = desk.amc("GET", &format!("/workflowExecutions?{query}"), None).await;
        assert_eq!(status, 200, "{page}");
        listed(&page).into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(list("minCreationTime=2025-06-01T12:00:00").await, [second.clone(), first.clone()]);
    assert_eq!(list("minCreationTime=2025-06-01T12:00:01").await, std::slice::from_ref(&second));
    let query = "minCreationTime=2025-06-01T08:00:00&maxCreationTime=2025-06-01T08:00:30\
                 &timeZone=America/New_York";
    assert_eq!(list(query).await, [first]);
    let path = "/workflowExecutions?minCreationTime=2025-06-01T12:00:00Z";
    assert_eq!(desk.amc("GET", path, None).await.0, 400);
    assert_eq!(desk.counts().trailing_z, 1);
}

#[tokio::test]
async fn a_new_execution_can_be_hidden_from_the_list_and_from_sight_for_a_while() {
    let hidden = Settings { list_delay_seconds: 60, get_delay_seconds: 20, ..Settings::manual() };
    let desk = Desk::with(hidden).await;
    let execution = desk.submit(MONDAY).await;
    let path = format!("/workflowExecutions/{execution}");
    let (status, body) = desk.amc("GET", &path, None).await;
    assert_eq!((status, body["code"].as_str()), (400, Some("400")));
    assert!(body["details"].as_str().is_some_and(|text| text.ends_with("does not exist.")));
    let list = "/workflowExecutions?workflowId=plain";
    desk.advance(20);
    assert_eq!(desk.amc("GET", &path, None).await.0, 200);
    assert!(listed(&desk.amc("GET", list, None).await.1).is_empty());
    desk.advance(40);
    assert_eq!(listed(&desk.amc("GET", list, None).await.1), [&execution]);
}

#[tokio::test]
async fn a_submit_of_the_wrong_shape_is_refused_and_not_counted() {
    let desk = Desk::open().await;
    let without = |name: &str| {
        let mut body = week(MONDAY);
        body.as_object_mut().expect("an object").remove(name);
        body
    };
    let with = |name: &str, value: Value| {
        let mut body = week(MONDAY);
        body[name] = value;
        body
    };
    let refused = [
        without("workflow"),
        with("workflowId", json!("plain")),
        without("timeWindowEnd"),
        with("timeWindowEnd", json!("2025-01-13")),
        with("timeWindowEnd", json!("2025-01-06T00:00:00")),
        with("timeWindowType", json!("WEEKLY")),
        with("timeWindowTimeZone", json!("Nowhere")),
        with("workflowExecutionTimeoutSeconds", json!(899)),
        with("workflowExecutionTimeoutSeconds", json!(86_401)),
        with("parameterValues", json!({"asins": "B".repeat(1_025)})),
        with("workflow", json!({"sqlQuery": ""})),
        json!([]),
    ];
    for body in refused {
        let (status, answer) = desk.amc("POST", "/workflowExecutions", Some(&body)).await;
        assert_eq!((status, answer["code"].as_str()), (400, Some("400")), "{body}");
        assert!(answer["details"].is_string());
    }
    let unsaved = json!({"workflowId": "nobody-saved-it"});
    assert_eq!(desk.amc("POST", "/workflowExecutions", Some(&unsaved)).await.0, 400);
    assert_eq!(desk.counts().accepted(), 0);
}

#[tokio::test]
async fn validation_finds_bad_sql_only_after_the_submit_was_accepted() {
    let mut desk = Desk::open().await;
    let submit = async |desk: &Desk, workflow: Value| {
        let mut body = week(MONDAY);
        body["workflow"] = workflow;
        id(&desk.amc("POST", "/workflowExecutions", Some(&body)).await.1)
    };
    let missing = submit(&desk, json!({"sqlQuery": "select a from no_such_table"})).await;
    let undeclared =
        submit(&desk, json!({"sqlQuery": "select CUSTOM_PARAMETER('brand') from t"})).await;
    let tree = submit(&desk, json!({"query": {"operations": [{"sql": "select 1"}]}})).await;
    assert_eq!(desk.status(&missing).await, "PENDING");
    desk.advance(2);
    let missing = desk.execution(&missing).await;
    assert_eq!(missing["status"], "FAILED");
    assert!(
        missing["statusReason"].as_str().expect("a reason").contains("'no_such_table' not found")
    );
    assert!(missing["workflowId"].as_str().expect("an id").starts_with("transient_"));
    let undeclared = desk.execution(&undeclared).await;
    assert_eq!(undeclared["status"], "REJECTED");
    assert!(undeclared["statusReason"].as_str().expect("a reason").contains("parameter brand"));
    desk.advance(100_000);
    desk.refresh().await;
    assert_eq!(desk.status(&tree).await, "PENDING", "the old shape never starts");
}

#[tokio::test]
async fn an_execution_that_runs_past_its_timeout_fails() {
    let long = RunTime::Fixed { seconds: 1_000 };
    let desk = Desk::with(Settings { run_time: long, ..Settings::manual() }).await;
    let mut body = week(MONDAY);
    body["workflowExecutionTimeoutSeconds"] = json!(900);
    let execution = id(&desk.amc("POST", "/workflowExecutions", Some(&body)).await.1);
    desk.advance(901);
    assert_eq!(desk.status(&execution).await, "RUNNING");
    desk.advance(1);
    let shown = desk.execution(&execution).await;
    assert_eq!(shown["status"], "FAILED");
    assert!(shown["statusReason"].as_str().expect("a reason").contains("900 seconds"));
}

#[tokio::test]
async fn a_window_with_a_z_is_counted_and_gives_no_rows() {
    let mut body = week(MONDAY);
    body["timeWindowStart"] = json!("2025-01-06T00:00:00Z");
    let desk = Desk::open().await;
    let execution = id(&desk.amc("POST", "/workflowExecutions", Some(&body)).await.1);
    desk.advance(62);
    let urls = desk.urls(&execution).await;
    let text = desk.download(&urls[0]).await.text().await.expect("text");
    assert_eq!((urls.len(), text.lines().count()), (1, 1));
    assert_eq!(desk.counts().trailing_z, 1);

    let refusing = Settings { trailing_z: TrailingZ::Refuse, ..Settings::manual() };
    let desk = Desk::with(refusing).await;
    assert_eq!(desk.amc("POST", "/workflowExecutions", Some(&body)).await.0, 400);
}

#[tokio::test]
async fn a_dry_run_is_over_after_validation_and_leaves_no_result() {
    let desk = Desk::open().await;
    let mut body = week(MONDAY);
    body["dryRun"] = json!(true);
    let execution = id(&desk.amc("POST", "/workflowExecutions", Some(&body)).await.1);
    desk.advance(2);
    assert_eq!(desk.status(&execution).await, "SUCCEEDED");
    let path = format!("/workflowExecutions/{execution}/downloadUrls");
    assert_eq!(desk.amc("GET", &path, None).await.0, 404);
}

#[tokio::test]
async fn a_daily_budget_refuses_the_next_submit_until_the_next_day() {
    let start = "2025-06-01T23:59:00Z".parse().expect("a time");
    let settings =
        Settings { daily_budget: Some(1), started_at: Some(start), ..Settings::manual() };
    let desk = Desk::with(settings).await;
    desk.submit(MONDAY).await;
    let (status, body) = desk.amc("POST", "/workflowExecutions", Some(&week(MONDAY))).await;
    assert_eq!((status, body["details"].as_str()), (422, Some("Service Limit Exceeded")));
    desk.advance(60);
    desk.submit(MONDAY).await;
}

#[tokio::test]
async fn amc_fills_in_the_window_that_was_left_to_it_after_validation() {
    let start = "2025-03-10T12:00:00Z".parse().expect("a time");
    let desk = Desk::with(Settings { started_at: Some(start), ..Settings::manual() }).await;
    let body = json!({"workflow": {"sqlQuery": "select 1"}, "timeWindowType": "PREVIOUS_MONTH"});
    let (_, created) = desk.amc("POST", "/workflowExecutions", Some(&body)).await;
    assert_eq!(created.get("timeWindowStart"), None);
    desk.advance(2);
    let shown = desk.execution(&id(&created)).await;
    assert_eq!(shown["timeWindowStart"], "2025-02-01T00:00:00Z");
    assert_eq!(shown["timeWindowEndOriginal"], "2025-03-01T00:00:00");
}

#[tokio::test]
async fn single_executions_come_flat_or_wrapped_and_with_their_sql_when_asked() {
    let desk = Desk::with(Settings { wrapped: true, ..Settings::manual() }).await;
    let (_, created) = desk.amc("POST", "/workflowExecutions", Some(&week(MONDAY))).await;
    let execution = id(&created["workflowExecution"]);
    let path = format!("/workflowExecutions/{execution}?includeWorkflow=true");
    let (_, shown) = desk.amc("GET", &path, None).await;
    assert_eq!(
        shown["workflowExecution"]["sqlQuery"],
        "select campaign from sponsored_ads_traffic"
    );
}

#[tokio::test]
async fn a_fault_can_decide_how_long_an_execution_runs_and_how_it_ends() {
    let desk = Desk::open().await;
    let reason = "Compute capacity was not available.".to_owned();
    let status = recomamp::simulator::Ending::Failed;
    let ends = Fault::new(Kind::EndAs { status, reason: reason.clone() });
    desk.simulator.set_fault(ends.for_window("2025-01-06T00:00:00"));
    let runs = Fault::new(Kind::RunFor { seconds: 5 }).for_window("2025-01-13T00:00:00");
    desk.simulator.set_fault(runs);
    let (failing, quick) = (desk.submit(MONDAY).await, desk.submit("2025-01-13").await);
    desk.advance(7);
    assert_eq!(desk.status(&quick).await, "SUCCEEDED");
    assert_eq!(desk.status(&failing).await, "RUNNING");
    desk.advance(55);
    let failing = desk.execution(&failing).await;
    assert_eq!(
        (failing["status"].as_str(), failing["statusReason"].as_str()),
        (Some("FAILED"), Some(reason.as_str()))
    );
}

fn listed(page: &Value) -> Vec<&String> {
    let executions = page["executions"].as_array().expect("a list");
    let ids = executions.iter().map(|execution| match &execution["workflowExecutionId"] {
        Value::String(id) => id,
        other => panic!("{other} is no id"),
    });
    ids.collect()
}
