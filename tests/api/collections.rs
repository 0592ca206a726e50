//! `/v1/collections`: a backfill is started and looked at, and what is wrong is told by its field.

use super::{Served, problem};
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_backfill_is_started_and_followed() {
    let served = Served::new().await;
    let body = json!({
        "workflow": "campaigns",
        "instance": "amctest1",
        "range": {"start": "2025-01-05", "end": "2025-01-19"},
        "timezone": "America/New_York",
        "lag_days": 20,
        "week_starts_on": "sunday",
        "parameters": {"brand": ["Acme"]},
        "name": "January",
    });
    let answer = served.post(&body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let started: Value = answer.json().await.expect("JSON");
    let id = started["collection_id"].as_str().expect("an id");
    assert_eq!(location, format!("/v1/collections/{id}"));

    let shown: Value = served.get(&location).await.json().await.expect("JSON");
    for (field, value) in [
        ("name", json!("January")),
        ("status", json!("pending")),
        ("user", json!("ana@example.com")),
        ("timezone", json!("America/New_York")),
        ("lag_days", json!(20)),
        ("week_starts_on", json!(7)),
        ("parameters", json!({"brand": ["Acme"]})),
    ] {
        assert_eq!((&shown[field], &started[field]), (&value, &value), "{field}");
    }
    assert_eq!(shown["progress"]["total"], 2);
    assert_eq!(shown["weeks"][1]["start"], "2025-01-12");
    assert_eq!(shown["weeks"][1]["status"], "pending");
    let jobs = "select count(*) from engine.jobs where kind = 'collect_week'";
    assert_eq!(served.site.count(jobs).await, 2);
}

#[tokio::test]
async fn the_defaults_are_those_of_the_command_and_a_warning_is_passed_on() {
    let served = Served::new().await;
    let answer = served.post(&json!({"workflow": "campaigns", "weeks": 60})).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let started: Value = answer.json().await.expect("JSON");
    assert_eq!((&started["timezone"], &started["lag_days"]), (&json!("UTC"), &json!(14)));
    assert!(
        started["warning"].as_str().is_some_and(|text| text.contains("of 60 weeks begin before"))
    );
}

#[tokio::test]
async fn a_plan_is_looked_at_first_then_started_and_followed() {
    let served = Served::new().await;
    let more = "instances add --instance-id amctest2 --name Shop --account ENTITY1";
    assert!(served.site.run(more).await.status.success());
    let mut body = json!({
        "workflows": ["campaigns"], "instances": ["amctest1", "amctest2"], "grain": "day", "last": 3,
        "mode": "missing", "dry_run": true,
    });
    let answer = served.post(&body).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let preview: Value = answer.json().await.expect("JSON");
    assert_eq!((&preview["total"]["asked"], &preview["grain"]), (&json!(6), &json!("day")));
    assert_eq!(served.site.count("select count(*) from report_data_collections").await, 0);

    body["dry_run"] = json!(false);
    let answer = served.post(&body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let started: Value = answer.json().await.expect("JSON");
    assert_eq!(location, format!("/v1/plans/{}", started["plan_id"].as_str().expect("an id")));
    let shown: Value = served.get(&location).await.json().await.expect("JSON");
    assert_eq!((&shown["progress"]["total"], &shown["status"]), (&json!(6), &json!("pending")));
    let plans: Value = served.get("/v1/plans?limit=1").await.json().await.expect("JSON");
    assert_eq!(plans[0]["plan_id"], started["plan_id"]);

    let plan = served.url(&location);
    for (verb, said) in [
        ("pause", "2 of 2 unfinished collections are paused now"),
        ("pause", "its collections are paused already: nothing changed"),
        ("resume", "2 of 2 unfinished collections are going on now"),
        ("cancel", "2 of 2 unfinished collections are cancelled now"),
        ("cancel", "all its collections have ended: nothing changed"),
        ("retry", "6 weeks of 2 collections are taken up"),
        ("retry", "no week of it has failed or was cancelled: nothing changed"),
    ] {
        let request = served.http.post(format!("{plan}/{verb}"));
        let answer = request.json(&json!({"why": "a test"})).send().await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["said"], said, "{answer}");
    }
    let without = served.http.post(format!("{plan}/pause")).json(&json!({}));
    let without = without.send().await.expect("an answer");
    let without = problem(without, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(without["field"], "why");

    let collection = shown["collections"][0]["collection_id"].as_str().expect("an id");
    let report = served.get(&format!("/v1/collections/{collection}/report")).await;
    let report: Value = report.json().await.expect("JSON");
    assert_eq!((&report["complete"], &report["gaps"][0]["slices"]), (&json!(false), &json!(3)));
    for path in ["/v1/plans/nothing", "/v1/collections/nothing/report"] {
        problem(served.get(path).await, StatusCode::NOT_FOUND).await;
    }
}

#[tokio::test]
async fn each_wrong_field_is_named_with_its_remedy_and_nothing_is_created() {
    let served = Served::new().await;
    let with = |field: &str, value: Value| {
        let mut body = json!({"workflow": "campaigns", "weeks": 2});
        body[field] = value;
        body
    };
    let range = |start: &str, end: &str| json!({"workflow": "campaigns", "range": {"start": start, "end": end}});
    for (body, field, remedy) in [
        (json!({"weeks": 2}), "workflow", "give the id of a workflow, as text"),
        (
            json!({"workflow": "campaigns"}),
            "weeks",
            "give weeks, the number of the last complete ones, or range",
        ),
        (with("weeks", json!("two")), "weeks", "give a whole number from 1 to 520"),
        (with("weeks", json!(0)), "weeks", "give a whole number from 1 to 520"),
        (with("weeks", json!(5_000_000_000_u64)), "weeks", "give a whole number from 1 to 520"),
        (with("lag_days", json!(70_000)), "lag_days", "give a whole number from 0 to 65535"),
        (with("max_failed_weeks", json!(1e10)), "max_failed_weeks", "give a whole number from 1"),
        (with("name", json!("n".repeat(201))), "name", "give at most 200"),
        (with("name", json!("")), "name", "give a name"),
        (with("workflows", json!(["campaigns"])), "workflows", "give one of them"),
        (json!({"workflows": [], "weeks": 2}), "workflows", "name at least one"),
        (with("instances", json!("amctest1")), "instances", "give a list of AMC's ids"),
        (with("grain", json!("hour")), "grain", "give day, week or month"),
        (with("mode", json!("some")), "mode", "give all, missing, failed, stale"),
        (with("mode", json!("stale")), "older_than", "give a duration such as 30d with stale"),
        (with("older_than", json!("soon")), "older_than", "give a duration such as 30d"),
        (with("order", json!("any")), "order", "give oldest_first, newest_first or interleaved"),
        (
            with("max_failed_percent", json!(101)),
            "max_failed_percent",
            "give a whole number from 1",
        ),
        (with("wekks", json!(2)), "wekks", "give only grain,"),
        (with("timezone", json!("berlin")), "timezone", "did you mean Europe/Berlin?"),
        (
            with("timezone", json!("Mars/Olympus")),
            "timezone",
            "give an IANA zone such as Europe/Berlin",
        ),
        (with("lag_days", json!(1)), "lag_days", "give at least 2"),
        (with("week_starts_on", json!("someday")), "week_starts_on", "give monday, tuesday"),
        (with("parameters", json!(["a"])), "parameters", "give one that has a value for each name"),
        (with("parameters", json!({"brnd": "a"})), "parameters.brnd", "give only brand, note"),
        (with("parameters", json!({"brand": 5})), "parameters.brand", "give a list of texts"),
        (json!({"workflow": "campaigns", "range": {}}), "range.start", "give a date"),
        (range("2025-01-07", "2025-01-13"), "range.start", "give 2025-01-06 or 2025-01-13"),
        (range("2025-01-06", "2025-01-14"), "range.end", "give 2025-01-13 or 2025-01-20"),
        (range("2025-01-06", "2999-01-07"), "range.end", "give 20"),
    ] {
        let problem = problem(served.post(&body).await, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(problem["field"], field, "{problem}");
        assert!(
            problem["remedy"].as_str().is_some_and(|said| said.starts_with(remedy)),
            "{problem}"
        );
    }
    let answer = served.post(&with("week_starts_on", json!("someday"))).await;
    let answer = problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(answer["detail"], "week_starts_on \"someday\" is no day of the week");
    let both = with("range", json!({"start": "2025-01-06", "end": "2025-01-13"}));
    let both = problem(served.post(&both).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(both["field"], "range", "{both}");
    let collections = "select count(*) from report_data_collections";
    assert_eq!(served.site.count(collections).await, 0);
}

#[tokio::test]
async fn what_there_is_not_and_what_stands_in_the_way_are_told_apart() {
    let served = Served::new().await;
    let nothing = served.post(&json!({"workflow": "nothing", "weeks": 2})).await;
    let nothing = problem(nothing, StatusCode::NOT_FOUND).await;
    assert_eq!(nothing["field"], "workflow");
    problem(served.get("/v1/collections/nothing").await, StatusCode::NOT_FOUND).await;

    let body = json!({"workflow": "campaigns", "weeks": 2});
    let first: Value = served.post(&body).await.json().await.expect("JSON");
    let again = problem(served.post(&body).await, StatusCode::CONFLICT).await;
    let id = first["collection_id"].as_str().expect("an id");
    assert!(again["detail"].as_str().is_some_and(|text| text.contains(id)), "{again}");

    served
        .site
        .execute("update amc_instances set status = 'blocked', block_reason = 'no: not you'")
        .await;
    let blocked = served.post(&json!({"workflow": "campaigns", "weeks": 3})).await;
    let blocked = problem(blocked, StatusCode::CONFLICT).await;
    assert_eq!(blocked["field"], "instance");
    assert_eq!(blocked["remedy"], "settle it, then run `recomamp instances unblock amctest1`");
}

#[tokio::test]
async fn a_backfill_is_steered_by_every_verb_and_asking_twice_is_asking_once() {
    let served = Served::new().await;
    let body =
        json!({"workflow": "campaigns", "range": {"start": "2025-01-06", "end": "2025-02-03"}});
    let started: Value = served.post(&body).await.json().await.expect("JSON");
    let id = started["collection_id"].as_str().expect("an id");
    let steer = async |verb: &str, body: Value| {
        let path = served.url(&format!("/v1/collections/{id}/{verb}"));
        served.http.post(path).json(&body).send().await.expect("an answer")
    };
    let why = json!({"why": "a test", "by": "ana"});
    for (verb, body, status, weeks) in [
        ("pause", why.clone(), "paused", 0),
        ("resume", json!({}), "pending", 0),
        ("shrink", json!({"from": "2025-01-20"}), "pending", 2),
        ("widen", json!({"from": "2024-12-30"}), "pending", 3),
        ("cancel", why, "cancelled", 5),
    ] {
        let answer = steer(verb, body.clone()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{verb}");
        let steered: Value = answer.json().await.expect("JSON");
        let told = (&steered["status"], &steered["changed"], &steered["weeks"]);
        assert_eq!(told, (&json!(status), &json!(true), &json!(weeks)), "{verb}: {steered}");
        let again = steer(verb, body).await;
        assert_eq!(again.status(), StatusCode::OK, "{verb}");
        let again: Value = again.json().await.expect("JSON");
        assert_eq!(
            (&again["changed"], &again["status"]),
            (&json!(false), &json!(status)),
            "{verb}"
        );
    }
    let one: Value =
        steer("retry", json!({"week": "2025-01-13"})).await.json().await.expect("JSON");
    assert_eq!((&one["weeks"], &one["status"]), (&json!(1), &json!("pending")), "{one}");
    let listed: Value = served.get("/v1/collections").await.json().await.expect("JSON");
    assert_eq!(
        (&listed[0]["collection_id"], &listed[0]["status"]),
        (&json!(id), &json!("pending"))
    );
    let again: Value = steer("recollect", json!({"weeks": 2})).await.json().await.expect("JSON");
    assert_eq!(again["changed"], json!(false), "nothing has succeeded: {again}");
}

#[tokio::test]
async fn a_verb_that_makes_no_sense_names_its_field_and_the_remedy() {
    let served = Served::new().await;
    let body =
        json!({"workflow": "campaigns", "range": {"start": "2025-01-06", "end": "2025-02-03"}});
    let started: Value = served.post(&body).await.json().await.expect("JSON");
    let id = started["collection_id"].as_str().expect("an id");
    let steer = async |id: &str, verb: &str, body: Value| {
        let path = served.url(&format!("/v1/collections/{id}/{verb}"));
        served.http.post(path).json(&body).send().await.expect("an answer")
    };
    for (verb, body, field) in [
        ("pause", json!({}), "why"),
        ("pause", json!({"why": "x", "until": "2001-01-01T00:00:00Z"}), "until"),
        ("pause", json!({"why": "x", "until": "tomorrow"}), "until"),
        ("cancel", json!({"why": " "}), "why"),
        ("retry", json!({"week": "2025-01-07"}), "week"),
        ("retry", json!({"week": "-200000-01-01"}), "week"),
        ("recollect", json!({}), "weeks"),
        ("recollect", json!({"weeks": 0}), "weeks"),
        ("widen", json!({"from": "2025-01-01"}), "from"),
        ("widen", json!({"until": "2999-01-01"}), "until"),
        ("widen", json!({"from": "-200000-01-01"}), "from"),
        ("shrink", json!({"until": "-200000-01-01"}), "from"),
        ("shrink", json!({"from": "2999-01-01"}), "from"),
        ("shrink", json!({"form": "2025-01-20"}), "form"),
    ] {
        let refused = steer(id, verb, body.clone()).await;
        let refused = problem(refused, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(refused["field"], field, "{verb} {body}: {refused}");
        assert!(refused["remedy"].as_str().is_some_and(|text| !text.is_empty()), "{refused}");
    }
    let nothing = steer("nothing", "resume", json!({})).await;
    problem(nothing, StatusCode::NOT_FOUND).await;
    steer(id, "cancel", json!({"why": "x"})).await;
    let ended = problem(steer(id, "resume", json!({})).await, StatusCode::CONFLICT).await;
    assert_eq!(
        ended["remedy"],
        format!("`recomamp collections retry {id}` takes up what failed or was cancelled")
    );
}

#[tokio::test]
async fn what_is_not_json_or_too_long_is_refused_before_it_is_read() {
    let served = Served::new().await;
    for body in ["{", "[]", "{\"workflow\": \"campaigns\""] {
        problem(served.post_text(body).await, StatusCode::BAD_REQUEST).await;
    }
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(1 << 20));
    problem(served.post_text(long).await, StatusCode::PAYLOAD_TOO_LARGE).await;
    let form = served.http.post(served.url("/v1/collections")).body("workflow=campaigns");
    let form = form.send().await.expect("an answer");
    problem(form, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
}

#[tokio::test]
async fn an_error_of_ours_is_hidden_from_the_caller_and_logged_once_with_the_requests_id() {
    let served = Served::new().await;
    served.site.execute("alter table report_data_weeks rename to elsewhere").await;
    let request = served.http.post(served.url("/v1/collections"));
    let request = request
        .header("x-request-id", "caller-0815")
        .json(&json!({"workflow": "campaigns", "weeks": 2}));
    let answer = request.send().await.expect("an answer");
    let problem = problem(answer, StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!(problem["request_id"], "caller-0815");
    assert!(!problem.to_string().contains("report_data_weeks"), "{problem}");
    let mut served = served;
    let line = served.process.line("caller-0815").await;
    assert!(line.contains("report_data_weeks"), "{line}");
    assert_eq!(served.process.count_lines("caller-0815"), 1);
}
