//! Submits: once, whatever happens, and never a wrong word about whether they arrived.

use super::harness::{
    Server, Then, caller, client, impatient, instance, json, nobody, observed, raw, reply,
};
use crate::amc::{
    AmcWorkflowId, Class, Client, Error, Execution, NewExecution, Operation, RelativeWindow,
    TimeWindow,
};
use chrono_tz::Tz;
use std::time::Duration;
use url::Url;

const FLAT: &str = r#"{"workflowExecutionId":"e-1","status":"PENDING"}"#;

async fn submit(client: &Client, url: &Url) -> Result<Execution, Error> {
    let window = TimeWindow::Relative(RelativeWindow::MostRecentDay, Tz::UTC);
    let request = NewExecution::saved(AmcWorkflowId::new("weekly").unwrap(), window);
    client.submit_execution(&caller(url), &instance(), &request).await
}

#[tokio::test]
async fn a_submit_goes_out_with_exactly_amcs_headers() {
    let server = Server::always(200, &[], FLAT).await;
    let execution = submit(&client(), &server.url).await.unwrap();
    assert_eq!(execution.id.as_str(), "e-1");

    let seen = server.only();
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.target, "/amc/reporting/amcibersblt/workflowExecutions");
    assert_eq!(seen.header("authorization"), Some("Bearer Atza|the-access-token"));
    assert_eq!(
        seen.header("amazon-advertising-api-clientid"),
        Some("amzn1.application-oa2-client.1")
    );
    assert_eq!(seen.header("amazon-advertising-api-advertiserid"), Some("ENTITY1A2B"));
    assert_eq!(seen.header("amazon-advertising-api-marketplaceid"), Some("ATVPDKIKX0DER"));
    assert_eq!(seen.header("amazon-advertising-api-scope"), None);
    let media = "application/vnd.amcworkflowexecutions.v1+json";
    assert_eq!(seen.header("content-type"), Some(media));
    assert_eq!(seen.header("accept"), Some(format!("{media}, application/json").as_str()));
    assert!(seen.body.contains(r#""workflowId":"weekly""#), "{}", seen.body);
}

#[tokio::test]
async fn an_accepted_submit_may_be_answered_wrapped_or_flat() {
    let client = client();
    let wrapped = format!(r#"{{"workflowExecution":{FLAT}}}"#);
    for body in [FLAT, &wrapped] {
        let server = Server::always(200, &[], body).await;
        assert_eq!(submit(&client, &server.url).await.unwrap().id.as_str(), "e-1");
    }
}

#[tokio::test]
async fn a_submit_whose_answer_is_lost_is_ambiguous_and_not_repeated() {
    let impatient = impatient();
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"workflowExecutionId\":\"e-";
    let all = [
        Then::Close(""),
        Then::Close(cut),
        Then::Close("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Then::Close("not http at all\r\n\r\n"),
        Then::Hang(""),
        Then::Hang(cut),
    ];
    for then in all {
        let (url, count) = raw(then).await;
        let error = submit(&impatient, &url).await.unwrap_err();
        assert_eq!(error.class(), Class::Unknown, "{error}");
        assert!(!error.surely_not_accepted());
        assert!(*count.lock().unwrap() <= 1, "{error}");
    }
}

#[tokio::test]
async fn a_submit_answered_with_nonsense_is_ambiguous_and_not_repeated() {
    let client = client();
    let html = "<html><body>Welcome</body></html>";
    let gateway = r#"{"message":"Endpoint request timed out"}"#;
    let answers = [
        (200, ""),
        (200, "{}"),
        (200, html),
        (200, "[]"),
        (202, "null"),
        (204, ""),
        (408, ""),
        (500, ""),
        (502, html),
        (503, ""),
        (504, gateway),
    ];
    for (status, body) in answers {
        let server = Server::always(status, &[("x-amzn-requestid", "r-1")], body).await;
        let error = submit(&client, &server.url).await.unwrap_err();
        assert_eq!(error.class(), Class::Unknown, "{status} {body}: {error}");
        assert_eq!((error.status(), error.request_id()), (Some(status), Some("r-1")));
        server.only();
    }
}

#[tokio::test]
async fn the_text_of_an_answer_nobody_expected_is_kept_for_storing() {
    let html = "<html><body>Welcome</body></html>";
    let server = Server::always(200, &[], html).await;
    let error = submit(&client(), &server.url).await.unwrap_err();
    assert_eq!(error.body(), Some(html));
}

#[tokio::test]
async fn a_submit_that_found_nobody_was_surely_not_accepted() {
    let error = submit(&client(), &nobody().await).await.unwrap_err();
    assert_eq!((error.class(), error.status()), (Class::Transient, None));
    assert!(error.surely_not_accepted());
    assert!(error.reason().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_refused_submit_was_surely_not_accepted() {
    let client = client();
    let unauthorized = r#"{"code":"403","details":"Unauthorized request."}"#;
    let answers = [
        (400, r#"{"code":"400","details":"bad window"}"#, Class::Permanent),
        (401, r#"{"code":"401","details":"Authentication failed"}"#, Class::Unauthorized),
        (403, unauthorized, Class::Blocked),
        (403, "", Class::Forbidden),
        (404, "", Class::Transient),
        (406, "", Class::Permanent),
        (422, r#"{"details":"Service Limit Exceeded"}"#, Class::Throttled { retry_after: None }),
        (429, "", Class::Throttled { retry_after: None }),
    ];
    for (status, body, class) in answers {
        let server = Server::always(status, &[], body).await;
        let error = submit(&client, &server.url).await.unwrap_err();
        assert_eq!(error.class(), class, "{status}");
        assert!(error.surely_not_accepted(), "{status}");
        assert!(!error.reason().is_empty(), "{status}");
        server.only();
    }
}

#[tokio::test]
async fn a_refusal_whose_words_break_off_is_still_a_refusal() {
    let cut = "HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\n\r\n{\"details\":";
    let (url, _) = raw(Then::Close(cut)).await;
    let error = submit(&client(), &url).await.unwrap_err();
    assert_eq!((error.class(), error.status()), (Class::Permanent, Some(400)));
    assert_eq!(error.reason(), "Bad Request");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_token() {
    let target = Server::always(200, &[], FLAT).await;
    let server = Server::always(307, &[("location", target.url.as_str())], "").await;
    let error = submit(&client(), &server.url).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient, "it may be a page of maintenance");
    assert!(error.reason().contains("base URL"), "{error}");
    assert!(target.seen().is_empty());
}

#[tokio::test]
async fn a_host_that_wants_plain_json_gets_it_from_then_on() {
    let server = Server::answering(|_, seen| match seen.header("content-type") {
        Some("application/json") => json(FLAT),
        _ => reply(415, &[], "{}"),
    })
    .await;
    let client = client();
    submit(&client, &server.url).await.unwrap();
    submit(&client.clone(), &server.url).await.unwrap();
    let media: Vec<_> =
        server.seen().iter().map(|seen| seen.header("content-type").unwrap().to_owned()).collect();
    let vendor = "application/vnd.amcworkflowexecutions.v1+json";
    assert_eq!(media, [vendor, "application/json", "application/json"]);
}

#[tokio::test]
async fn a_host_that_refuses_plain_json_too_is_asked_no_third_time() {
    let server = Server::always(415, &[], "").await;
    let error = submit(&client(), &server.url).await.unwrap_err();
    assert_eq!(error.class(), Class::Permanent);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_throttle_says_how_long_to_wait_in_every_form_of_retry_after() {
    let client = client();
    let html = "<html><h1>429 Too Many Requests</h1><hr>openresty</html>";
    let seconds = |s| Some(Duration::from_secs(s));
    let answers: [(Vec<(&str, &str)>, _); 5] = [
        (vec![], None),
        (vec![("retry-after", "7")], seconds(7)),
        (vec![("retry-after", "1.5")], Some(Duration::from_millis(1500))),
        (vec![("retry-after", "7200")], seconds(600)),
        (
            vec![
                ("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT"),
                ("date", "Wed, 21 Oct 2015 07:28:00 GMT"),
            ],
            seconds(30),
        ),
    ];
    for (headers, retry_after) in answers {
        let server = Server::always(429, &headers, html).await;
        let error = submit(&client, &server.url).await.unwrap_err();
        assert_eq!(error.class(), Class::Throttled { retry_after });
        assert_eq!(error.reason(), "429 Too Many Requests openresty");
    }
}

#[tokio::test]
async fn every_exchange_is_reported_to_the_observer() {
    let (client, reports) = observed(1000);
    let server = Server::answering(|number, _| match number {
        0 => reply(429, &[("retry-after", "3")], ""),
        1 => json("<html>"),
        _ => json(FLAT),
    })
    .await;
    for _ in 0..3 {
        let _ = submit(&client, &server.url).await;
    }
    let _ = submit(&client, &nobody().await).await;

    let reports = reports.lock().unwrap();
    let told: Vec<_> =
        reports.iter().map(|r| (r.code(), r.outcome, r.retry_after.map(|w| w.as_secs()))).collect();
    let expected = [
        ("429".to_owned(), "throttled", Some(3)),
        ("200".to_owned(), "unknown", None),
        ("200".to_owned(), "ok", None),
        ("error".to_owned(), "transient", None),
    ];
    assert_eq!(told, expected);
    assert!(reports.iter().all(|report| report.operation == Operation::SubmitExecution));
}
