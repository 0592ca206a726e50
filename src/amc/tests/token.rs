//! Login with Amazon: who has to act when a refresh fails.

use super::harness::{Server, Then, client, impatient, nobody, observed, raw};
use crate::amc::{Client, TokenClass, TokenError, Tokens};
use secrecy::ExposeSecret;
use std::time::Duration;
use url::Url;

async fn refresh(client: &Client, base: &Url) -> Result<Tokens, TokenError> {
    let url = base.join("auth/o2/token").unwrap();
    let secret = "client s&cret".into();
    client.refresh(&url, "amzn1.client", &secret, &"Atzr|refresh+tok/en=".into()).await
}

async fn answered(
    client: &Client,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Tokens, TokenError> {
    let server = Server::always(status, headers, body).await;
    let result = refresh(client, &server.url).await;
    server.only();
    result
}

#[tokio::test]
async fn a_refresh_is_a_form_and_brings_an_access_token() {
    let body = r#"{"access_token":"Atza|new","token_type":"bearer","expires_in":3599,"refresh_token":"Atzr|same"}"#;
    let server = Server::always(200, &[], body).await;
    let tokens = refresh(&client(), &server.url).await.unwrap();
    assert_eq!(tokens.access_token.expose_secret(), "Atza|new");
    assert_eq!(tokens.expires_in, Duration::from_secs(3599));
    assert_eq!(tokens.refresh_token.as_ref().unwrap().expose_secret(), "Atzr|same");
    assert!(!format!("{tokens:?}").contains("Atz"));

    let seen = server.only();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/auth/o2/token"));
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(
        seen.body,
        "grant_type=refresh_token&refresh_token=Atzr%7Crefresh%2Btok%2Fen%3D\
         &client_id=amzn1.client&client_secret=client+s%26cret"
    );
}

#[tokio::test]
async fn a_refresh_token_left_out_or_empty_means_keep_the_old_one() {
    let client = client();
    for body in
        [r#"{"access_token":"a","refresh_token":"","expires_in":"60"}"#, r#"{"access_token":"a"}"#]
    {
        let tokens = answered(&client, 200, &[], body).await.unwrap();
        assert!(tokens.refresh_token.is_none());
        let lifetime = if body.contains("60") { 60 } else { 3600 };
        assert_eq!(tokens.expires_in, Duration::from_secs(lifetime));
    }
}

#[tokio::test]
async fn each_failure_says_who_has_to_act() {
    let client = client();
    let grant = r#"{"error_index":"1","error":"invalid_grant","error_description":"The request has an invalid grant parameter : refresh_token."}"#;
    let bad_client =
        r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#;
    let request = r#"{"error":"invalid_request","error_description":"Malformed request"}"#;
    let throttled = TokenClass::Throttled { retry_after: Some(Duration::from_secs(2)) };
    let answers = [
        (400, grant, TokenClass::InvalidGrant),
        (401, bad_client, TokenClass::InvalidClient),
        (400, bad_client, TokenClass::InvalidClient),
        (401, "", TokenClass::InvalidClient),
        (400, request, TokenClass::Permanent),
        (400, r#"{"error":"unauthorized_client"}"#, TokenClass::Permanent),
        (404, "<html>", TokenClass::Permanent),
        (429, "<html>", throttled),
        (500, grant, TokenClass::Transient),
        (502, "<html>", TokenClass::Transient),
        (503, "", throttled),
        (200, "", TokenClass::Transient),
        (200, r#"{"access_token":""}"#, TokenClass::Transient),
    ];
    for (status, body, class) in answers {
        let error = answered(&client, status, &[("retry-after", "2")], body).await.unwrap_err();
        assert_eq!(error.class(), class, "{status} {body}");
        assert_eq!(error.status(), Some(status));
    }
}

#[tokio::test]
async fn a_refresh_without_an_answer_can_be_tried_again() {
    let impatient = impatient();
    let client = client();
    for then in [Then::Close(""), Then::Hang("")] {
        let (url, _) = raw(then).await;
        let error = refresh(&impatient, &url).await.unwrap_err();
        assert_eq!((error.class(), error.status()), (TokenClass::Transient, None));
    }
    let error = refresh(&client, &nobody().await).await.unwrap_err();
    assert_eq!(error.class(), TokenClass::Transient);
}

#[tokio::test]
async fn no_secret_is_in_an_error_even_when_it_is_echoed() {
    let client = client();
    let echo = r#"{"error":"invalid_request","error_description":"no: client s&cret Atzr|refresh+tok/en=","access_token":7}"#;
    for status in [200, 400] {
        let error =
            answered(&client, status, &[("x-amzn-requestid", "r-3")], echo).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s&cret") && !shown.contains("tok/en"), "{shown}");
        assert!(shown.contains("r-3"), "{shown}");
    }
}

#[tokio::test]
async fn a_refresh_is_reported_to_the_observer() {
    let (client, reports) = observed(1000);
    let server = Server::always(400, &[], r#"{"error":"invalid_grant"}"#).await;
    refresh(&client, &server.url).await.unwrap_err();
    let reports = reports.lock().unwrap();
    let told = (reports[0].operation.as_str(), reports[0].status, reports[0].outcome);
    assert_eq!(told, ("refresh_token", Some(400), "invalid_grant"));
}
