//! The storm passes: a client that follows the rules arrives, with every week submitted once.

use super::desk::{Desk, INSTANCE, REFRESH_TOKEN, id, week};
use chrono::{Days, NaiveDate};
use recomamp::simulator::{Settings, storm};
use serde_json::Value;

/// Asks until the answer is 200 with JSON; for reading calls only. Every try costs a felt second.
async fn read(desk: &mut Desk, path: &str) -> Value {
    for _ in 0..100 {
        let response =
            desk.request("GET", &format!("/amc/reporting/{INSTANCE}{path}")).send().await;
        let status = response.as_ref().map_or(0, |response| response.status().as_u16());
        if let Ok(response) = response
            && status == 200
            && let Ok(body) = response.json().await
        {
            return body;
        }
        desk.advance(1);
        if status == 401 {
            renew(desk).await;
        }
    }
    panic!("{path} was never answered");
}

async fn renew(desk: &mut Desk) {
    for _ in 0..100 {
        if let (200, granted) = desk.ask_token(REFRESH_TOKEN).await {
            granted["access_token"].as_str().expect("a token").clone_into(&mut desk.token);
            return;
        }
        desk.advance(1);
    }
    panic!("the token was never restored");
}

/// Submits a week once: posts again only when nothing happened for certain.
async fn submit(desk: &mut Desk, monday: NaiveDate) -> String {
    let start = format!("{monday}T00:00:00");
    for _ in 0..100 {
        let path = format!("/amc/reporting/{INSTANCE}/workflowExecutions");
        let body = week(&monday.to_string());
        let response = desk.request("POST", &path).json(&body).send().await;
        let status = response.as_ref().map_or(0, |response| response.status().as_u16());
        let body: Option<Value> = match response {
            Ok(response) if status == 200 => response.json().await.ok(),
            _ => None,
        };
        if let Some(body) = body {
            return id(&body);
        }
        desk.advance(2);
        match status {
            401 => renew(desk).await,
            429 => {}
            // Nobody knows: look before posting again.
            _ => {
                let page = read(desk, "/workflowExecutions?workflowId=plain").await;
                let executions = page["executions"].as_array().expect("a list");
                let same = executions.iter().find(|one| one["timeWindowStartOriginal"] == start);
                if let Some(execution) = same {
                    return id(execution);
                }
            }
        }
    }
    panic!("{monday} was never accepted");
}

async fn download(desk: &mut Desk, execution: &str) -> usize {
    let path = format!("/workflowExecutions/{execution}/downloadUrls");
    'again: for _ in 0..100 {
        let urls = read(desk, &path).await;
        let mut rows = 0;
        for url in urls["downloadUrls"].as_array().expect("a list") {
            let response = desk.http.get(url.as_str().expect("a text")).send().await;
            let Ok(response) = response.and_then(reqwest::Response::error_for_status) else {
                continue 'again;
            };
            let Ok(text) = response.text().await else { continue 'again };
            rows += text.lines().count() - 1;
        }
        return rows;
    }
    panic!("{execution} was never downloaded");
}

#[tokio::test]
async fn a_client_that_follows_the_rules_collects_a_year_through_the_storm() {
    for seed in [1, 2] {
        let settings = Settings { seed, faults: storm(seed), ..Settings::manual() };
        let mut desk = Desk::with(settings).await;
        let first: NaiveDate = "2024-01-01".parse().expect("a date");
        let mut rows = 0;
        for week in 0..52 {
            let monday = first + Days::new(7 * week);
            let execution = submit(&mut desk, monday).await;
            let path = format!("/workflowExecutions/{execution}");
            while read(&mut desk, &path).await["status"] != "SUCCEEDED" {
                desk.advance(30);
            }
            rows += download(&mut desk, &execution).await;
        }
        let counts = desk.counts();
        assert_eq!((counts.accepted(), counts.repeated().len()), (52, 0));
        assert_eq!(rows, 52 * 12);
        let met = desk.simulator.state().faults.iter().filter(|set| set.met > 0).count();
        assert!(met >= 18, "only {met} of the storm's faults met a call");
    }
}
