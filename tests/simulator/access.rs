//! Who may call what.

use super::desk::{ACCOUNT, Desk, INSTANCE, answer};
use recomamp::simulator::Settings;
use serde_json::json;

#[tokio::test]
async fn every_header_is_needed_and_its_absence_is_counted() {
    let desk = Desk::open().await;
    let url = format!("{}/amc/reporting/{INSTANCE}/workflows", desk.simulator.base_url());
    let client_id = desk.simulator.settings().client_id;
    let headers = [
        ("Authorization", format!("Bearer {}", desk.token), 401),
        ("Amazon-Advertising-API-ClientId", client_id, 403),
        ("Amazon-Advertising-API-AdvertiserId", ACCOUNT.0.to_owned(), 403),
        ("Amazon-Advertising-API-MarketplaceId", ACCOUNT.1.to_owned(), 403),
    ];
    for (absent, _, expected) in &headers {
        let mut request = desk.http.get(&url);
        for (name, value, _) in headers.iter().filter(|(name, ..)| name != absent) {
            request = request.header(*name, value);
        }
        let (status, body) = answer(request.send().await.expect("an answer")).await;
        assert_eq!(status, *expected, "without {absent}: {body}");
        assert_eq!(body["code"], expected.to_string());
    }
    assert_eq!(desk.counts().wrong_headers, 4);
    assert_eq!(desk.amc("GET", "/workflows", None).await.0, 200);
    assert_eq!(desk.counts().wrong_headers, 4);
}

#[tokio::test]
async fn a_foreign_instance_and_a_row_id_instead_of_the_text_id_are_forbidden() {
    let desk = Desk::open().await;
    for instance in ["amcdemouk01", "amcnowhere", "6b3c1f0e-52a4-4e37-9d0e-3f7a6a1c2b11"] {
        let (status, body) = desk.get(&format!("/amc/reporting/{instance}/workflows")).await;
        assert_eq!((status, body["details"].as_str()), (403, Some("Unauthorized request.")));
    }
    assert_eq!(desk.counts().wrong_headers, 0);
}

#[tokio::test]
async fn an_instance_whose_terms_are_not_accepted_says_so() {
    let mut settings = Settings::manual();
    settings.accounts[0].instances[0].terms_accepted = false;
    let desk = Desk::with(settings).await;
    let (status, body) = desk.amc("GET", "/workflows", None).await;
    assert_eq!(status, 403);
    assert_eq!(body["details"], "Terms and conditions must be accepted to continue.");
    assert_eq!(desk.get("/amc/instances").await.0, 200);
}

#[tokio::test]
async fn accounts_and_instances_are_listed_for_those_who_may_see_them() {
    let mut desk = Desk::open().await;
    let (_, accounts) = desk.get("/amc/accounts").await;
    assert_eq!(accounts["amcAccounts"].as_array().map(Vec::len), Some(3));
    assert_eq!(accounts["amcAccounts"][0]["accountId"], ACCOUNT.0);
    let (_, instances) = desk.get("/amc/instances?limit=2").await;
    assert_eq!(instances["instances"].as_array().map(Vec::len), Some(2));
    assert!(instances["nextToken"].is_string());

    let (_, granted) = desk.ask_token("Atzr|simulator-second").await;
    granted["access_token"].as_str().expect("a token").clone_into(&mut desk.token);
    let (_, accounts) = desk.get("/amc/accounts").await;
    assert_eq!(accounts["amcAccounts"].as_array().map(Vec::len), Some(1));
    let request = desk
        .http
        .get(format!("{}/amc/instances", desk.simulator.base_url()))
        .bearer_auth(&desk.token)
        .header("Amazon-Advertising-API-ClientId", desk.simulator.settings().client_id)
        .header("Amazon-Advertising-API-AdvertiserId", "ENTITY2SIMUK")
        .header("Amazon-Advertising-API-MarketplaceId", "A1F83G8C2ARO7P");
    assert_eq!(request.send().await.expect("an answer").status(), 403);
}

#[tokio::test]
async fn media_types_that_amc_does_not_speak_are_refused() {
    let desk = Desk::open().await;
    let path = format!("/amc/reporting/{INSTANCE}/workflows");
    let post = desk.request("POST", &path).header("Content-Type", "text/plain").body("{}");
    assert_eq!(post.send().await.expect("an answer").status(), 415);
    let get = desk.request("GET", &path).header("Accept", "text/html");
    assert_eq!(get.send().await.expect("an answer").status(), 406);
    let vendor = "application/vnd.amcworkflows.v1+json";
    let get = desk.request("GET", &path).header("Accept", vendor).send().await.expect("an answer");
    assert_eq!(get.status(), 200);
    assert_eq!(get.headers()["content-type"], vendor);
    assert!(get.headers().contains_key("x-amzn-requestid"));
}

#[tokio::test]
async fn what_amc_does_not_offer_is_not_found() {
    let desk = Desk::open().await;
    let path = format!("/amc/reporting/{INSTANCE}/workflowExecutions/1");
    assert_eq!(desk.call("DELETE", &path, None).await.0, 404);
    assert_eq!(desk.call("POST", "/amc/accounts", Some(&json!({}))).await.0, 404);
}
