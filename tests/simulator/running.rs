//! Starting, stopping, and the routes of whoever runs it.

use super::desk::{Desk, INSTANCE};
use recomamp::simulator::{
    self, Counts, Entry, Error, Fault, Kind, Operation, RunTime, SetFault, Settings, State, Totals,
};
use serde_json::json;

async fn admin<T: serde::de::DeserializeOwned>(desk: &Desk, path: &str) -> T {
    let url = format!("{}/_sim{path}", desk.simulator.base_url());
    desk.http.get(url).send().await.expect("an answer").json().await.expect("the right shape")
}

async fn change(desk: &Desk, method: &str, path: &str, body: &serde_json::Value) -> u16 {
    let url = format!("{}/_sim{path}", desk.simulator.base_url());
    let request = desk.http.request(method.parse().expect("a method"), url).json(body);
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let first = simulator::start(Settings::manual()).await.expect("a free port");
    let port = first.base_url().rsplit(':').next().and_then(|port| port.parse().ok());
    let port = port.expect("a port");
    let error = simulator::start(Settings { port, ..Settings::manual() }).await;
    assert!(matches!(&error, Err(Error::Bind { port: taken, .. }) if *taken == port));
    first.stop().await.expect("nothing to write");
    let again = simulator::start(Settings { port, ..Settings::manual() }).await;
    again.expect("a stopped simulator frees its port");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let error = simulator::start(Settings { result_files: Some(9), ..Settings::manual() }).await;
    assert!(matches!(error, Err(Error::Settings(message)) if message.contains("result_files")));
}

#[tokio::test]
async fn a_stop_ends_calls_that_are_held() {
    let desk = Desk::open().await;
    let hold = Kind::Hold { effect: recomamp::simulator::Effect::Before };
    let fault = desk.simulator.set_fault(Fault::new(hold));
    let request = desk.request("GET", "/amc/accounts");
    let waiting =
        tokio::spawn(async move { request.send().await.map(|response| response.status()) });
    desk.simulator.until_met(fault, 1).await;
    desk.simulator.stop().await.expect("nothing to write");
    waiting.await.expect("no panic").expect_err("a reset");
}

#[tokio::test]
async fn another_process_can_read_the_truth_and_set_faults() {
    let desk = Desk::open().await;
    desk.submit("2025-01-06").await;
    assert_eq!(admin::<Counts>(&desk, "/counts").await, desk.counts());
    assert_eq!(admin::<Vec<Entry>>(&desk, "/log").await, desk.simulator.log());

    let fault = json!({"kind": {"throttle": {"retry_after": 1}}, "operations": ["list_accounts"]});
    assert_eq!(change(&desk, "POST", "/faults", &fault).await, 200);
    assert_eq!(
        change(&desk, "POST", "/faults", &json!([{"kind": "empty", "count": 1}])).await,
        200
    );
    assert_eq!(change(&desk, "POST", "/faults", &json!({"kind": "unheard_of"})).await, 422);
    assert_eq!(desk.get("/amc/accounts").await.0, 429);
    let faults: Vec<SetFault> = admin(&desk, "/faults").await;
    assert_eq!((faults.len(), faults[0].met, faults[1].id), (2, 1, 2));
    assert_eq!(change(&desk, "DELETE", "/faults/1", &json!(null)).await, 204);
    assert_eq!(change(&desk, "DELETE", "/faults/1", &json!(null)).await, 404);
    assert_eq!(change(&desk, "DELETE", "/faults", &json!(null)).await, 204);
    assert_eq!(desk.get("/amc/accounts").await.0, 200);
    assert_eq!(change(&desk, "POST", "/faults/storm", &json!(null)).await, 200);
    let state: State = admin(&desk, "/state").await;
    assert_eq!(state.faults.len(), simulator::storm(desk.simulator.settings().seed).len());
}

#[tokio::test]
async fn another_process_can_move_the_clock_and_take_tokens_away() {
    let desk = Desk::open().await;
    desk.submit("2025-01-06").await;
    assert_eq!(change(&desk, "POST", "/advance", &json!({"seconds": 62})).await, 200);
    let state: State = admin(&desk, "/state").await;
    assert_eq!(state.executions[INSTANCE]["SUCCEEDED"], 1);
    let totals: Totals = admin(&desk, "/facts?instance=amcdemous01&first=2025-01-06&weeks=3").await;
    let first = "2025-01-06".parse().expect("a date");
    assert_eq!(totals, desk.simulator.facts(INSTANCE).totals(first, 3));

    let token = json!({"refresh_token": super::desk::REFRESH_TOKEN});
    assert_eq!(change(&desk, "POST", "/tokens/revoke", &token).await, 204);
    assert_eq!(desk.ask_token(super::desk::REFRESH_TOKEN).await.0, 400);
    assert_eq!(change(&desk, "POST", "/tokens/restore", &token).await, 204);
    assert_eq!(desk.ask_token(super::desk::REFRESH_TOKEN).await.0, 200);
    assert_eq!(change(&desk, "POST", "/tokens/forget", &json!({})).await, 204);
    assert_eq!(desk.get("/amc/accounts").await.0, 401);
}

#[tokio::test]
async fn the_log_numbers_every_call_and_forgets_the_oldest() {
    let desk = Desk::with(Settings { log_limit: 3, ..Settings::manual() }).await;
    for _ in 0..5 {
        desk.get("/amc/accounts").await;
    }
    let log = desk.simulator.log();
    let numbers: Vec<u64> = log.iter().map(|entry| entry.sequence).collect();
    assert_eq!(numbers, [4, 5, 6]);
    assert!(log.iter().all(|entry| entry.operation == Operation::ListAccounts));
    assert_eq!(desk.counts().calls_of(Operation::ListAccounts), 5);
    assert_eq!(desk.counts().calls_per_minute.values().sum::<u64>(), 6);
}

#[tokio::test]
async fn a_fast_simulator_moves_on_by_itself() {
    let run_time = RunTime::Fixed { seconds: 1 };
    let settings = Settings { speed: 1_000_000, run_time, ..Settings::default() };
    let desk = Desk::with(settings).await;
    let execution = desk.submit("2025-01-06").await;
    // Three seconds of AMC's time are three microseconds here: less than any call takes.
    assert_eq!(desk.status(&execution).await, "SUCCEEDED");
}

#[tokio::test]
async fn a_simulator_with_a_memory_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("simulator.json");
    let settings = Settings {
        memory: Some(path.clone()),
        running_per_instance: 1,
        publishing_seconds: 5,
        ..Settings::manual()
    };
    let desk = Desk::with(settings.clone()).await;
    let workflow = json!({"workflowId": "weekly", "sqlQuery": "select 1"});
    desk.amc("POST", "/workflows", Some(&workflow)).await;
    let (first, second) = (desk.submit("2025-01-06").await, desk.submit("2025-01-13").await);
    desk.advance(2);
    let third = desk.submit("2025-01-20").await;
    desk.advance(1);
    let (before, now) = (desk.counts(), desk.simulator.now());
    desk.simulator.stop().await.expect("a writable folder");

    let desk = Desk::with(settings.clone()).await;
    assert!(desk.simulator.now() >= now);
    assert_eq!(desk.counts().submits, before.submits);
    assert_eq!(desk.amc("GET", "/workflows/weekly", None).await.0, 200);
    assert_eq!(desk.status(&first).await, "RUNNING");
    assert_eq!(
        (desk.status(&second).await, desk.status(&third).await),
        ("PENDING".into(), "PENDING".into())
    );
    desk.advance(3 * 65);
    assert_eq!(desk.simulator.state().executions[INSTANCE]["SUCCEEDED"], 3);
    assert_eq!(desk.counts().max_running[INSTANCE], 1);
    desk.submit("2025-01-06").await;
    assert_eq!(desk.counts().submits_of(INSTANCE, "2025-01-06T00:00:00"), 2);
    drop(desk);

    std::fs::write(&path, "half a fi").expect("a writable folder");
    let error = simulator::start(settings).await;
    assert!(matches!(error, Err(Error::Memory { path: broken, .. }) if broken == path));
}
