//! `/v1/events`: the journal, page by page.

use super::{Served, problem};
use reqwest::StatusCode;
use serde_json::{Value, json};

async fn get(served: &Served, path: &str) -> Value {
    let answer = served.get(path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.json().await.expect("JSON")
}

#[tokio::test]
async fn the_journal_is_read_page_by_page_to_its_end() {
    let served = Served::new().await;
    let noted = "insert into events (at, entity, entity_id, from_status, to_status, actor, reason)
        select engine.now(), 'schedule', 'monday', 'active', 'paused', 'ann', n::text
        from generate_series(1, 5) as n";
    served.site.execute(noted).await;
    let (mut why, mut path) = (Vec::new(), "/v1/events?entity=schedule&limit=2".to_owned());
    loop {
        let page = get(&served, &path).await;
        let events = page["events"].as_array().expect("events").clone();
        why.extend(events.iter().map(|event| event["reason"].clone()));
        match page["next_before"].as_i64() {
            Some(before) => {
                path = format!("/v1/events?entity=schedule&limit=2&before={before}");
            }
            None => break,
        }
    }
    assert_eq!(why, ["5", "4", "3", "2", "1"]);
    let one = &get(&served, "/v1/events?entity=schedule&id=monday&limit=1").await["events"][0];
    assert_eq!(one["entity"], "schedule");
    assert_eq!((&one["from_status"], &one["to_status"]), (&json!("active"), &json!("paused")));
    assert_eq!((&one["entity_id"], &one["actor"]), (&json!("monday"), &json!("ann")));
    let long = format!("entity=resource&id={}", "x".repeat(512));
    for none in ["entity=schedule&id=tuesday", "since=2100-01-01T00:00:00Z", &long] {
        let page = get(&served, &format!("/v1/events?{none}")).await;
        assert_eq!(page, json!({"events": [], "next_before": null}), "{none}");
    }
}

#[tokio::test]
async fn what_nobody_can_look_for_is_refused_with_what_can_be() {
    let served = Served::new().await;
    for (query, field, remedy) in [
        ("entity=run", "entity", "schedule_run"),
        ("id=monday", "id", "entity"),
        ("since=today", "since", "2026-01-31T08:00:00Z"),
        ("before=x", "before", "the id of an event"),
        ("limit=0", "limit", "1 to 1000"),
        ("after=1", "after", "before"),
        (&format!("entity=resource&id={}", "x".repeat(513)), "id", "at most 512"),
    ] {
        let answer = served.get(&format!("/v1/events?{query}")).await;
        let told = problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(told["field"], field, "{told}");
        assert!(told["remedy"].as_str().is_some_and(|text| text.contains(remedy)), "{told}");
    }
}
