//! `/v1/schedules`: changed, resumed and looked ahead by a program.

use super::{Served, problem};
use crate::commands::done;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const DAILY: &str = "schedules add --schedule-id daily --workflow campaigns --every-days 1 --from 2025-01-06 --at 03:30";

#[tokio::test]
async fn a_part_of_an_interval_is_enough_and_what_makes_no_sense_is_named() {
    let served = Served::new().await;
    done(served.site.run(DAILY).await);
    let ask = async |method: Method, path: &str, body: Value| {
        let request = served.http.request(method, served.url(path)).json(&body);
        request.send().await.expect("an answer")
    };
    let daily = "/v1/schedules/daily";
    let changed = ask(Method::PATCH, daily, json!({"interval": {"at": "05:00:00"}})).await;
    let changed: Value = changed.json().await.expect("JSON");
    assert_eq!(changed["due"], "every day at 05:00 (UTC)", "{changed}");
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    ask(Method::PATCH, daily, json!({"cron": "0 4 * * 1"})).await;
    for (body, field) in [
        (json!({"interval": {"at": "05:00:00"}}), "interval"),
        (json!({"cron": "0 4 * * 1", "interval": {"at": "05:00:00"}}), "interval"),
        (json!({"interval": {"days": -1, "from": "2025-01-06"}}), "interval.days"),
    ] {
        let problem = problem(ask(Method::PATCH, daily, body).await, unprocessable).await;
        assert_eq!(problem["field"], field, "{problem}");
    }
    let half = json!({"schedule_id": "x", "workflow": "campaigns", "interval": {"days": 1}});
    let half = problem(ask(Method::POST, "/v1/schedules", half).await, unprocessable).await;
    assert_eq!(half["field"], "interval.from", "{half}");
}

#[tokio::test]
async fn what_amazon_keeps_out_is_not_resumed_by_a_program_either() {
    let served = Served::new().await;
    done(served.site.run(DAILY).await);
    let until = "schedules pause daily --why holidays --until 2999-01-01T03:30:00Z";
    done(served.site.run(until).await);
    let ahead = served.get("/v1/schedules/daily/preview?count=1").await;
    let ahead: Value = ahead.json().await.expect("JSON");
    assert_eq!(ahead[0]["due_at"], "2999-01-01T03:30:00Z", "{ahead}");
    let set = "update lwa_credentials set token_state = 'needs_reauth', token_error = 'no'";
    served.site.execute(set).await;
    let resume = served.http.post(served.url("/v1/schedules/daily/resume"));
    let refused = problem(resume.send().await.expect("an answer"), StatusCode::CONFLICT).await;
    let remedy = refused["remedy"].as_str().expect("a remedy");
    assert!(remedy.ends_with("run `recomamp users authorise ana@example.com`"), "{refused}");
}

#[tokio::test]
async fn a_body_without_anything_in_it_has_no_fields_unless_another_site_sends_it() {
    let served = Served::new().await;
    done(served.site.run(DAILY).await);
    let trigger = || served.http.post(served.url("/v1/schedules/daily/trigger"));
    let json = ("content-type", "application/json");
    let form = ("content-type", "text/plain");
    let foreign = ("origin", "https://elsewhere.example.com");
    for (headers, body, status) in [
        (vec![], "", StatusCode::ACCEPTED),
        (vec![json], "", StatusCode::ACCEPTED),
        (vec![form], "", StatusCode::ACCEPTED),
        (vec![form], "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (vec![], "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (vec![form, foreign], "", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let mut request = trigger().body(body);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{headers:?} {body:?}");
    }
    let silent = served.http.post(served.url("/v1/schedules/daily/pause"));
    let silent = silent.send().await.expect("an answer");
    let silent = problem(silent, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(silent["field"], "why", "{silent}");
}

#[tokio::test]
async fn what_a_terminal_would_obey_is_refused_in_names_and_reasons() {
    let served = Served::new().await;
    done(served.site.run(DAILY).await);
    for (body, field) in [
        (json!({"why": "a\u{1b}[2Jb"}), "why"),
        (json!({"why": "a\nb"}), "why"),
        (json!({"why": "x", "by": "a\u{7}nn"}), "by"),
    ] {
        let pause = served.http.post(served.url("/v1/schedules/daily/pause")).json(&body);
        let refused = pause.send().await.expect("an answer");
        let refused = problem(refused, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(refused["field"], field, "{refused}");
        assert_eq!(refused["remedy"], "give one line of plain text", "{refused}");
    }
}
