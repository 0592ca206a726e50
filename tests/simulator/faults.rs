//! Faults: each does what it says, to whom it says, and leaves the rest alone.

use super::desk::{Desk, INSTANCE, REFRESH_TOKEN, week};
use recomamp::simulator::{Effect, Fault, Kind, Operation, Refreshes};
use serde_json::{Value, json};

const MONDAY: &str = "2025-01-06";
const SUBMIT: &str = "/workflowExecutions";

fn submits(kind: Kind) -> Fault {
    Fault::new(kind).on([Operation::CreateExecution])
}

/// Whether a reset of the connection is behind an error.
fn is_reset(error: &reqwest::Error) -> bool {
    let first = Some(error as &dyn std::error::Error);
    std::iter::successors(first, |error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

/// Submits and gives what arrived: status and body, or nothing.
async fn try_submit(desk: &Desk) -> Option<(u16, String)> {
    let path = format!("/amc/reporting/{INSTANCE}{SUBMIT}");
    let response = desk.request("POST", &path).json(&week(MONDAY)).send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.text().await.ok()?))
}

#[tokio::test]
async fn a_throttled_submit_does_nothing_and_one_before_retry_after_counts_as_early() {
    let desk = Desk::open().await;
    let throttle = Kind::Throttle { retry_after: Some(5), html: false };
    desk.simulator.set_fault(submits(throttle).times(1));
    let path = format!("/amc/reporting/{INSTANCE}{SUBMIT}");
    let response = desk.request("POST", &path).json(&week(MONDAY)).send().await.expect("an answer");
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(desk.counts().accepted(), 0);

    desk.advance(4);
    desk.submit(MONDAY).await;
    desk.amc("GET", "/workflows", None).await;
    desk.advance(1);
    desk.submit(MONDAY).await;
    let early: Vec<_> = desk.counts().early_calls.into_iter().collect();
    assert_eq!(early, [(Operation::CreateExecution, 1)]);
}

#[tokio::test]
async fn a_throttle_may_be_a_page_without_retry_after() {
    let desk = Desk::open().await;
    desk.simulator.set_fault(Fault::new(Kind::Throttle { retry_after: None, html: true }));
    let response = desk.request("GET", "/amc/accounts").send().await.expect("an answer");
    assert_eq!(response.status(), 429);
    assert!(!response.headers().contains_key("retry-after"));
    assert_eq!(response.headers()["content-type"], "text/html");
    assert!(response.text().await.expect("text").contains("<h1>429 Too Many Requests</h1>"));
}

#[tokio::test]
async fn a_reset_before_the_effect_leaves_nothing_and_one_after_it_leaves_an_execution() {
    let desk = Desk::open().await;
    let reset = |effect| submits(Kind::Reset { effect }).times(1);
    desk.simulator.set_fault(reset(Effect::Before));
    desk.simulator.set_fault(reset(Effect::After));
    assert_eq!(try_submit(&desk).await, None);
    assert_eq!(desk.counts().accepted(), 0);
    assert_eq!(try_submit(&desk).await, None);
    assert_eq!(desk.counts().accepted(), 1);
    let (_, page) = desk.amc("GET", "/workflowExecutions?workflowId=plain", None).await;
    assert_eq!(page["executions"][0]["timeWindowStartOriginal"], "2025-01-06T00:00:00");

    let log = desk.simulator.log();
    let submits: Vec<_> =
        log.iter().filter(|entry| entry.operation == Operation::CreateExecution).collect();
    assert!(submits.iter().all(|entry| entry.status.is_none() && entry.fault.is_some()));
    assert_eq!(submits[1].id, page["executions"][0]["workflowExecutionId"]);
    assert_eq!(submits[1].window_start, "2025-01-06T00:00:00");
}

#[tokio::test]
async fn server_errors_come_before_or_after_the_effect() {
    let desk = Desk::open().await;
    for (status, effect) in
        [(500, Effect::Before), (503, Effect::Before), (502, Effect::After), (504, Effect::After)]
    {
        desk.simulator.set_fault(submits(Kind::ServerError { status, effect }).times(1));
        let accepted = desk.counts().accepted();
        let (answered, body) = try_submit(&desk).await.expect("an answer");
        assert_eq!(answered, status);
        assert_eq!(desk.counts().accepted() - accepted, u64::from(effect == Effect::After));
        if status == 504 {
            assert_eq!(body, r#"{"message":"Endpoint request timed out"}"#);
        }
    }
}

#[tokio::test]
async fn a_good_status_may_carry_half_a_body_a_page_or_nothing() {
    let desk = Desk::open().await;
    for kind in [Kind::Truncated, Kind::Html, Kind::Empty] {
        desk.simulator.set_fault(submits(kind.clone()).times(1));
        let (status, body) = try_submit(&desk).await.expect("an answer");
        assert_eq!(status, 200);
        assert!(serde_json::from_str::<Value>(&body).is_err(), "{kind:?} gave {body}");
    }
    assert_eq!(desk.counts().accepted(), 3);
}

#[tokio::test]
async fn a_huge_body_is_as_big_as_it_says() {
    let desk = Desk::open().await;
    desk.simulator.set_fault(Fault::new(Kind::Huge { megabytes: 3 }));
    let response = desk.request("GET", "/amc/accounts").send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.bytes().await.expect("a whole body").len(), 3 << 20);
}

#[tokio::test]
async fn one_call_is_unauthorized_or_all_tokens_are_forgotten() {
    let mut desk = Desk::open().await;
    desk.simulator.set_fault(Fault::new(Kind::Unauthorized).times(1));
    assert_eq!(desk.get("/amc/accounts").await.0, 401);
    assert_eq!(desk.get("/amc/accounts").await.0, 200);
    desk.simulator.set_fault(Fault::new(Kind::ForgetTokens).times(1));
    assert_eq!(desk.get("/amc/accounts").await.0, 401);
    assert_eq!(desk.get("/amc/accounts").await.0, 401);
    desk.refresh().await;
    assert_eq!(desk.get("/amc/accounts").await.0, 200);
}

#[tokio::test]
async fn access_that_is_revoked_for_a_while_comes_back() {
    let mut desk = Desk::open().await;
    desk.simulator.set_fault(Fault::new(Kind::Revoke { seconds: Some(4) }).times(1));
    assert_eq!(desk.get("/amc/accounts").await.0, 401);
    let (status, body) = desk.ask_token(REFRESH_TOKEN).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_grant")));
    desk.advance(4);
    desk.refresh().await;
    assert_eq!(desk.get("/amc/accounts").await.0, 200);
}

#[tokio::test]
async fn login_with_amazon_fails_in_its_own_words_and_only_there() {
    let desk = Desk::open().await;
    desk.simulator.set_fault(Fault::new(Kind::InvalidClient).times(1));
    desk.simulator.set_fault(Fault::new(Kind::InvalidGrant).times(1));
    let broken = Kind::ServerError { status: 503, effect: Effect::Before };
    desk.simulator.set_fault(Fault::new(broken).on([Operation::Token]).times(1));
    assert_eq!(desk.get("/amc/accounts").await.0, 200);
    let (status, body) = desk.ask_token(REFRESH_TOKEN).await;
    assert_eq!((status, body["error"].as_str()), (401, Some("invalid_client")));
    let (status, body) = desk.ask_token(REFRESH_TOKEN).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(desk.ask_token(REFRESH_TOKEN).await.0, 503);
    assert_eq!(desk.ask_token(REFRESH_TOKEN).await.0, 200);
    assert_eq!(desk.counts().refreshes[REFRESH_TOKEN], Refreshes { granted: 2, refused: 3 });
}

#[tokio::test]
async fn a_status_that_nobody_knows_hides_the_true_one() {
    let desk = Desk::open().await;
    let execution = desk.submit(MONDAY).await;
    let odd = Kind::Status { word: "QUIESCED".to_owned() };
    let fault = desk.simulator.set_fault(Fault::new(odd));
    assert_eq!(desk.status(&execution).await, "QUIESCED");
    let (_, page) = desk.amc("GET", "/workflowExecutions?workflowId=plain", None).await;
    assert_eq!(page["executions"][0]["status"], "QUIESCED");
    assert!(desk.simulator.lift_fault(fault));
    assert_eq!(desk.status(&execution).await, "PENDING");
    assert!(!desk.simulator.lift_fault(fault));
}

#[tokio::test]
async fn terms_can_be_withdrawn() {
    let desk = Desk::open().await;
    desk.simulator.set_fault(Fault::new(Kind::TermsNotAccepted).in_instance(INSTANCE));
    assert_eq!(desk.amc("GET", "/workflows", None).await.0, 403);
    assert_eq!(desk.get("/amc/reporting/amcdemous02/workflows").await.0, 200);
}

#[tokio::test]
async fn downloads_are_not_ready_expire_break_off_and_fall_short() {
    let desk = Desk::open().await;
    let execution = desk.submit(MONDAY).await;
    desk.advance(62);
    let path = format!("/workflowExecutions/{execution}/downloadUrls");
    desk.simulator.set_fault(Fault::new(Kind::NotReady).times(1));
    desk.simulator.set_fault(Fault::new(Kind::NoUrls).times(1));
    assert_eq!(desk.amc("GET", &path, None).await.0, 404);
    let none = json!({"downloadUrls": [], "metadataDownloadUrls": []});
    assert_eq!(desk.amc("GET", &path, None).await, (200, none));

    let url = desk.urls(&execution).await.remove(0);
    let whole = desk.download(&url).await.bytes().await.expect("a whole file");
    desk.simulator.set_fault(Fault::new(Kind::UrlExpired).times(1));
    assert_eq!(desk.download(&url).await.status(), 403);
    let slow = Kind::ServerError { status: 503, effect: Effect::Before };
    desk.simulator.set_fault(Fault::new(slow).times(1));
    let response = desk.download(&url).await;
    assert!(response.text().await.expect("text").contains("<Code>SlowDown</Code>"));
    for (kind, reset) in [(Kind::CutBody, true), (Kind::ShortBody, false)] {
        desk.simulator.set_fault(Fault::new(kind).on([Operation::Download]).times(1));
        let response = desk.download(&url).await;
        assert_eq!(response.content_length(), Some(whole.len() as u64));
        let error = response.bytes().await.expect_err("half a file");
        assert_eq!(is_reset(&error), reset, "{error:?}");
    }
    assert_eq!(desk.download(&url).await.bytes().await.expect("a whole file"), whole);
}

#[tokio::test]
async fn a_call_can_be_held_after_its_effect_until_the_fault_is_lifted() {
    let desk = Desk::open().await;
    let fault = desk.simulator.set_fault(submits(Kind::Hold { effect: Effect::After }).times(1));
    let submit = try_submit(&desk);
    let look = async {
        desk.simulator.until(|counts| counts.accepted() == 1).await;
        desk.simulator.lift_fault(fault);
    };
    let (answered, ()) = tokio::join!(submit, look);
    assert_eq!(answered.expect("an answer").0, 200);
}

#[tokio::test]
async fn a_call_can_be_held_before_its_effect() {
    let desk = Desk::open().await;
    let fault = desk.simulator.set_fault(submits(Kind::Hold { effect: Effect::Before }).times(1));
    let look = async {
        desk.simulator.until_met(fault, 1).await;
        assert_eq!(desk.counts().accepted(), 0);
        desk.simulator.lift_faults();
    };
    let (answered, ()) = tokio::join!(try_submit(&desk), look);
    assert_eq!(answered.expect("an answer").0, 200);
    assert_eq!(desk.counts().accepted(), 1);
}
