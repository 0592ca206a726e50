//! Login with Amazon.

use super::desk::{Desk, REFRESH_TOKEN, answer};
use recomamp::simulator::{Lifetime, Pace, Refreshes, Settings};
use serde_json::{Value, json};
use std::time::Duration;

async fn ask(desk: &Desk, body: &Value) -> (u16, Value) {
    let request = desk.http.post(desk.simulator.token_url()).json(body);
    answer(request.send().await.expect("an answer")).await
}

fn body(settings: &Settings) -> Value {
    json!({"grant_type": "refresh_token", "refresh_token": REFRESH_TOKEN,
        "client_id": settings.client_id, "client_secret": settings.client_secret})
}

#[tokio::test]
async fn a_refresh_token_gives_access_by_form_and_by_json() {
    let desk = Desk::open().await;
    let (status, form) = desk.ask_token(REFRESH_TOKEN).await;
    assert_eq!((status, form["token_type"].as_str()), (200, Some("bearer")));
    assert_eq!(
        (form["expires_in"].as_u64(), form["refresh_token"].as_str()),
        (Some(3_600), Some(REFRESH_TOKEN))
    );
    let (status, json) = ask(&desk, &body(&desk.simulator.settings())).await;
    assert_eq!(status, 200);
    assert!(json["access_token"].as_str().is_some_and(|token| token.starts_with("Atza|")));
    assert_ne!(json["access_token"], form["access_token"]);
    assert_eq!(desk.counts().refreshes[REFRESH_TOKEN], Refreshes { granted: 3, refused: 0 });
}

#[tokio::test]
async fn each_mistake_has_the_error_word_of_login_with_amazon() {
    let desk = Desk::open().await;
    let good = body(&desk.simulator.settings());
    let cases = [
        ("refresh_token", json!("Atzr|nobody"), 400, "invalid_grant"),
        ("refresh_token", json!(""), 400, "invalid_request"),
        ("client_secret", json!("guess"), 401, "invalid_client"),
        ("client_id", json!("amzn1.other"), 401, "invalid_client"),
        ("grant_type", json!("password"), 400, "unsupported_grant_type"),
        ("grant_type", json!(""), 400, "invalid_request"),
    ];
    for (field, value, status, word) in cases {
        let mut bad = good.clone();
        bad[field] = value;
        let (answered, body) = ask(&desk, &bad).await;
        assert_eq!((answered, body["error"].as_str()), (status, Some(word)), "{bad}");
        assert!(body["error_description"].is_string());
    }
}

#[tokio::test]
async fn an_access_token_expires_on_the_clock_of_the_clients() {
    let lifetime = Lifetime { seconds: 20, clock: Pace::Felt };
    let desk = Desk::with(Settings { token_lifetime: lifetime, ..Settings::manual() }).await;
    desk.advance(19);
    assert_eq!(desk.get("/amc/accounts").await.0, 200);
    desk.advance(1);
    let (status, body) = desk.get("/amc/accounts").await;
    assert_eq!((status, body["details"].as_str()), (401, Some("Authentication failed")));
    assert_eq!(desk.counts().wrong_headers, 0, "an old token is no wrong header");
}

#[tokio::test]
async fn a_revoked_user_has_no_access_until_it_is_restored_and_others_keep_theirs() {
    let mut desk = Desk::open().await;
    desk.simulator.revoke(REFRESH_TOKEN, None);
    assert_eq!(desk.get("/amc/accounts").await.0, 401);
    let (status, body) = desk.ask_token(REFRESH_TOKEN).await;
    assert_eq!((status, body["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(desk.ask_token("Atzr|simulator-second").await.0, 200);
    assert_eq!(desk.counts().refreshes[REFRESH_TOKEN], Refreshes { granted: 1, refused: 1 });
    desk.simulator.restore(REFRESH_TOKEN);
    desk.refresh().await;
    assert_eq!(desk.get("/amc/accounts").await.0, 200);
}

#[tokio::test]
async fn a_revocation_can_end_by_itself() {
    let desk = Desk::open().await;
    desk.simulator.revoke(REFRESH_TOKEN, Some(Duration::from_mins(5)));
    desk.advance(299);
    assert_eq!(desk.ask_token(REFRESH_TOKEN).await.0, 400);
    desk.advance(1);
    assert_eq!(desk.ask_token(REFRESH_TOKEN).await.0, 200);
}

#[tokio::test]
async fn forgotten_access_tokens_are_worthless_and_the_refresh_token_is_not_echoed_if_told() {
    let desk = Desk::with(Settings { refresh_token_echoed: false, ..Settings::manual() }).await;
    desk.simulator.forget_tokens();
    assert_eq!(desk.get("/amc/accounts").await.0, 401);
    let (status, body) = desk.ask_token(REFRESH_TOKEN).await;
    assert_eq!((status, body.get("refresh_token")), (200, None));
}
