//! `/v1/users`, `/v1/accounts`, `/v1/instances`, `/v1/workflows`, `/v1/webhooks`: a new installation is
//! told everything over HTTP.

use super::{Served, problem};
use crate::commands::{SECRET, Site};
use nix::sys::signal::Signal;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

async fn ask(served: &Served, method: Method, path: &str, body: &Value) -> Response {
    let request = served.http.request(method, served.url(path)).json(body);
    request.send().await.expect("an answer")
}

async fn post(served: &Served, path: &str, body: &Value) -> Response {
    ask(served, Method::POST, path, body).await
}

/// What a request that does what it is asked answers.
async fn done(response: Response, status: StatusCode) -> Value {
    let answered = response.status();
    let text = response.text().await.expect("text");
    assert_eq!(answered, status, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn a_new_installation_is_made_over_http_alone() {
    let served = Served::of(Site::new().await, |serve| serve).await;
    let created = StatusCode::CREATED;
    let user = json!({
        "email": "Bob@example.com", "name": "Bob", "region": "eu",
        "refresh_token": format!("Atzr|{SECRET}"), "by": "ada",
    });
    let answer = done(post(&served, "/v1/users", &user).await, created).await;
    assert_eq!(answer["email"], "bob@example.com");
    let account = json!({
        "account_id": "ENTITY9", "name": "Shop", "marketplace": "DE", "user": "bob@example.com",
    });
    done(post(&served, "/v1/accounts", &account).await, created).await;
    let instance = json!({"instance_id": "amcnine", "name": "Shop", "account": "ENTITY9"});
    done(post(&served, "/v1/instances", &instance).await, created).await;
    let workflow = json!({
        "workflow_id": "spend", "name": "Spend", "instance": "amcnine", "user": "bob@example.com",
        "sql": "select @brand as brand from t",
        "parameters": [{"name": "brand", "type": "string", "default": "Acme"}],
    });
    done(post(&served, "/v1/workflows", &workflow).await, created).await;
    let backfill = json!({"workflow": "spend", "weeks": 2});
    let started = done(post(&served, "/v1/collections", &backfill).await, created).await;
    assert_eq!(started["weeks"].as_array().map(Vec::len), Some(2), "{started}");

    // The command line sees what HTTP has made, and the other way round.
    for (path, command) in [
        ("/v1/users", "users list --json"),
        ("/v1/accounts", "accounts list --json"),
        ("/v1/instances", "instances list --json"),
    ] {
        let listed: Value = served.get(path).await.json().await.expect("JSON");
        assert_eq!(listed, served.site.json(command).await, "{path}");
        assert_eq!(listed.as_array().map(Vec::len), Some(1), "{path}");
    }
    let places =
        "select max_holds::bigint from engine.resources where name = 'amc_instance:amcnine'";
    assert_eq!(served.site.count(places).await, 10);
    let by = "select count(*) from events where entity = 'user' and actor = 'ada'";
    assert_eq!(served.site.count(by).await, 1);

    let other = json!({"sql": "select 1 as one from t"});
    let answer =
        done(ask(&served, Method::PATCH, "/v1/workflows/spend", &other).await, StatusCode::OK)
            .await;
    assert_eq!(answer["schedules_that_fail"], json!([]));
    let shown: Value = served.get("/v1/workflows/spend").await.json().await.expect("JSON");
    assert_eq!(shown["versions"].as_array().map(Vec::len), Some(2), "{shown}");
}

#[tokio::test]
async fn a_schedule_that_a_new_query_breaks_is_named_and_can_be_taken_away() {
    let served = Served::new().await;
    let schedule = json!({
        "schedule_id": "monday", "workflow": "campaigns", "cron": "0 6 * * 1",
        "parameters": {"brand": "Acme"},
    });
    done(post(&served, "/v1/schedules", &schedule).await, StatusCode::CREATED).await;
    let run = post(&served, "/v1/schedules/monday/trigger", &json!({})).await;
    let run = done(run, StatusCode::ACCEPTED).await;
    let other = json!({"sql": "select campaign from t", "parameters": []});
    let answer = ask(&served, Method::PATCH, "/v1/workflows/campaigns", &other).await;
    let answer = done(answer, StatusCode::OK).await;
    assert_eq!(answer["schedules_that_fail"][0]["schedule_id"], "monday", "{answer}");

    let runs: Value = served.get("/v1/schedules/monday/runs?limit=1").await.json().await.expect("");
    assert_eq!(runs[0]["run_id"], run["run_id"]);
    let answer = post(&served, "/v1/schedules/monday/cancel", &json!({"by": "ada"})).await;
    assert_eq!(done(answer, StatusCode::OK).await["cancelled"], 1);
    let path = "/v1/schedules/monday";
    let misspelt = served.url("/v1/schedules/monday?who=ada");
    let refused = served.http.delete(misspelt).send().await.expect("an answer");
    problem(refused, StatusCode::UNPROCESSABLE_ENTITY).await;
    let signed = served.url("/v1/schedules/monday?by=ada");
    let removed = served.http.delete(signed).send().await.expect("an answer");
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    problem(served.get(path).await, StatusCode::NOT_FOUND).await;
    let events: Value =
        served.get("/v1/events?entity=schedule&limit=1").await.json().await.expect("JSON");
    assert_eq!(events["events"][0]["actor"], "ada", "{events}");
    let removed = served.http.delete(served.url(path)).send().await.expect("an answer");
    problem(removed, StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn a_new_token_over_http_starts_the_work_that_waited_and_is_never_repeated() {
    let served = Served::new().await;
    let ruin =
        "update lwa_credentials set token_state = 'needs_reauth', token_error = 'invalid_grant'";
    served.site.execute(ruin).await;
    let path = "/v1/users/ana@example.com/authorise";
    for (token, said) in [
        (json!(format!("Atza|{SECRET}")), "access token"),
        (json!(format!("Atzr|{SECRET} Atzr|x")), "has characters"),
        (json!(""), "is empty"),
        (json!(7), "is not text"),
    ] {
        let answer = post(&served, path, &json!({"refresh_token": token})).await;
        let problem = problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(problem["field"], "refresh_token");
        let text = problem.to_string();
        assert!(text.contains(said) && !text.contains(SECRET), "{text}");
    }
    let other = "/v1/users/bob@example.com/authorise";
    let good = json!({"refresh_token": format!("Atzr|{SECRET}2"), "by": "ada"});
    let answer = problem(post(&served, other, &good).await, StatusCode::NOT_FOUND).await;
    assert_eq!(answer["remedy"], "see `recomamp users list`");
    let answer = done(post(&served, path, &good).await, StatusCode::OK).await;
    assert_eq!(answer["jobs_started_again"], 0);
    let listed: Value = served.get("/v1/users").await.json().await.expect("JSON");
    assert_eq!(
        (&listed[0]["token_state"], &listed[0]["token_readable"]),
        (&json!("active"), &json!(true))
    );

    let answer = done(post(&served, "/v1/users/resume", &json!({})).await, StatusCode::OK).await;
    assert_eq!(answer, json!({"tokens_tried_again": 0, "jobs_started_again": 0}));
    served.process.signal(Signal::SIGTERM);
    let finished = served.process.finish().await;
    assert!(!finished.stdout.contains(SECRET) && !finished.stderr.contains(SECRET), "{finished:?}");
}

#[tokio::test]
async fn an_instance_is_unblocked_and_limited_over_http() {
    let served = Served::new().await;
    let path = "/v1/instances/amctest1/unblock";
    problem(post(&served, path, &json!({})).await, StatusCode::CONFLICT).await;
    let block = "update amc_instances set status = 'blocked', block_reason = 'terms'";
    served.site.execute(block).await;
    let answer = done(post(&served, path, &json!({"by": "ada"})).await, StatusCode::OK).await;
    assert_eq!(answer, json!({"instance_id": "amctest1", "weeks_started_again": 0}));
    let listed: Value = served.get("/v1/instances").await.json().await.expect("JSON");
    assert_eq!(listed[0]["status"], "active");

    let body = json!({"max_open": 3, "why": "AMC is slow", "by": "ada"});
    done(post(&served, "/v1/instances/amctest1/limit", &body).await, StatusCode::OK).await;
    let places =
        "select max_holds::bigint from engine.resources where name = 'amc_instance:amctest1'";
    assert_eq!(served.site.count(places).await, 3);
    let body = json!({"max_open": -1});
    let answer = post(&served, "/v1/instances/amctest1/limit", &body).await;
    let answer = problem(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(answer["field"], "max_open");
}

#[tokio::test]
async fn what_cannot_be_registered_names_the_field_and_the_remedy() {
    let served = Served::new().await;
    let user = |field: &str, value: Value| {
        let mut user =
            json!({"email": "b@x.y", "name": "B", "region": "na", "refresh_token": "Atzr|x"});
        user[field] = value;
        user
    };
    let account = |field: &str, value: Value| {
        let mut account = json!({
            "account_id": "ENTITY2", "name": "S", "marketplace": "DE", "user": "ana@example.com",
        });
        account[field] = value;
        account
    };
    let instance = |field: &str, value: Value| {
        let mut instance = json!({"instance_id": "amc2", "name": "S", "account": "ENTITY1"});
        instance[field] = value;
        instance
    };
    let workflow = |field: &str, value: Value| {
        let mut workflow = json!({
            "workflow_id": "w", "name": "W", "instance": "amctest1", "user": "ana@example.com",
            "sql": "select a from t",
        });
        workflow[field] = value;
        workflow
    };
    let webhook = |field: &str, value: Value| {
        let mut webhook = json!({"url": "https://hooks.example.com/x"});
        webhook[field] = value;
        webhook
    };
    let mut signed_slack = webhook("format", json!("slack"));
    signed_slack["secret"] = json!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let wrong = StatusCode::UNPROCESSABLE_ENTITY;
    for (path, body, field, status) in [
        ("users", user("email", json!("nobody")), "email", wrong),
        ("users", user("region", json!("mars")), "region", wrong),
        ("users", user("name", json!(" ")), "name", wrong),
        ("accounts", account("account_id", json!("ENT ITY")), "account_id", wrong),
        ("accounts", account("marketplace", json!("XX")), "marketplace", wrong),
        ("accounts", account("region", json!("na")), "region", wrong),
        ("accounts", account("user", json!("bob@x.y")), "user", StatusCode::NOT_FOUND),
        ("instances", instance("account", json!("ENTITY8")), "account", StatusCode::NOT_FOUND),
        (
            "instances",
            instance("endpoint_url", json!("https://evil.example")),
            "endpoint_url",
            wrong,
        ),
        ("instances", instance("instance_id", json!("")), "instance_id", wrong),
        ("workflows", workflow("sql", json!("-- nothing")), "sql", wrong),
        ("workflows", workflow("sql", json!("select @b from t")), "parameters.b", wrong),
        ("workflows", workflow("instance", json!("amc7")), "instance", StatusCode::NOT_FOUND),
        ("workflows", workflow("workflow_id", json!("a b")), "workflow_id", wrong),
        ("webhooks", webhook("url", json!("http://127.0.0.1/x")), "url", wrong),
        ("webhooks", webhook("url", json!("https://10.0.0.1/x")), "url", wrong),
        ("webhooks", webhook("events", json!(["birthday"])), "events", wrong),
        ("webhooks", webhook("secret", json!("hunter2")), "secret", wrong),
        ("webhooks", webhook("format", json!("pigeon")), "format", wrong),
        ("webhooks", signed_slack, "secret", wrong),
    ] {
        let answer = post(&served, &format!("/v1/{path}"), &body).await;
        let problem = problem(answer, status).await;
        assert_eq!(problem["field"], field, "{problem}");
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
    for (path, body) in [
        ("users", user("email", json!("ANA@example.com"))),
        ("accounts", account("account_id", json!("ENTITY1"))),
        ("instances", instance("instance_id", json!("amctest1"))),
        ("workflows", workflow("workflow_id", json!("campaigns"))),
    ] {
        let answer = post(&served, &format!("/v1/{path}"), &body).await;
        let problem = problem(answer, StatusCode::CONFLICT).await;
        assert!(
            problem["detail"].as_str().is_some_and(|said| said.contains("already")),
            "{problem}"
        );
    }
    for table in ["users", "amc_accounts", "amc_instances", "workflows"] {
        let rows: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
                .fetch_one(served.site.db.pool())
                .await
                .expect("the store answers");
        assert_eq!(rows, 1, "{table}");
    }
}

#[tokio::test]
async fn a_webhook_is_added_with_a_secret_that_is_shown_once() {
    let served = Served::new().await;
    let body = json!({"url": "https://hooks.example.com/x", "events": ["run_failed"]});
    let answer = post(&served, "/v1/webhooks", &body).await;
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let added = done(answer, StatusCode::CREATED).await;
    assert!(added["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{added}");
    let shown: Value = served.get(&location).await.json().await.expect("JSON");
    assert_eq!((&shown["events"], &shown["format"]), (&json!(["run_failed"]), &json!("standard")));
    assert!(!shown.to_string().contains("whsec_"), "{shown}");

    // Whoever has the address of a Slack webhook can write into the channel.
    let slack = json!({"url": "https://hooks.slack.com/services/hunter2", "format": "slack"});
    let added = done(post(&served, "/v1/webhooks", &slack).await, StatusCode::CREATED).await;
    assert_eq!(added["secret"], Value::Null);
    let listed: Value = served.get("/v1/webhooks").await.json().await.expect("JSON");
    assert_eq!(listed[1]["url"], "https://hooks.slack.com/");
    let clear = "select count(*) from webhooks where webhooks::text like '%hunter2%'";
    assert_eq!(served.site.count(clear).await, 0);

    let sent = post(&served, &format!("{location}/test"), &json!({})).await;
    let sent = done(sent, StatusCode::ACCEPTED).await;
    let log: Value =
        served.get(&format!("{location}/deliveries?limit=5")).await.json().await.expect("JSON");
    assert_eq!(log[0]["id"], sent["delivery"]);
    let next = log[0]["next_try_at"].as_str();
    assert!(next.is_some() && log[0]["tried_at"].is_null(), "{log}");
    let pending = "select count(*) from webhook_deliveries where state = 'pending'";
    for _ in 0..2 {
        assert_eq!(served.site.count(pending).await, 1);
        let why = json!({"why": "it moves"});
        let disabled = post(&served, &format!("{location}/disable"), &why).await;
        assert_eq!(done(disabled, StatusCode::OK).await["state"], "disabled");
        assert_eq!(served.site.count(pending).await, 0, "also when it was disabled before");
        served.site.execute("update webhook_deliveries set state = 'pending'").await;
    }
    served.site.execute("update webhook_deliveries set state = 'dropped'").await;
    let refused = post(&served, &format!("{location}/test"), &json!({})).await;
    let refused = problem(refused, StatusCode::CONFLICT).await;
    assert!(
        refused["detail"].as_str().is_some_and(|said| said.ends_with("(it moves)")),
        "{refused}"
    );
    assert!(refused["remedy"].as_str().is_some_and(|said| said.contains("webhooks enable")));
    assert_eq!(served.site.count(pending).await, 0, "nothing is left to be sent");
    let enabled = post(&served, &format!("{location}/enable"), &json!({})).await;
    assert_eq!(done(enabled, StatusCode::OK).await["state"], "active");
    let removed = served.http.delete(served.url(&location)).send().await.expect("an answer");
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    problem(served.get(&location).await, StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn a_server_without_keys_takes_no_secrets_and_does_everything_else() {
    let site = Site::furnished().await;
    let served = Served::of(site, |serve| serve.env("RECOMAMP_ENCRYPTION_KEYS", "")).await;
    let token = json!({"refresh_token": "Atzr|x"});
    let user = json!({"email": "b@x.y", "name": "B", "region": "na", "refresh_token": "Atzr|x"});
    for (path, body) in [
        ("/v1/users", &user),
        ("/v1/users/ana@example.com/authorise", &token),
        ("/v1/webhooks", &json!({"url": "https://hooks.example.com/x"})),
    ] {
        let problem = problem(post(&served, path, body).await, StatusCode::CONFLICT).await;
        let remedy = problem["remedy"].as_str().expect("text");
        assert!(remedy.contains("RECOMAMP_ENCRYPTION_KEYS"), "{problem}");
    }
    let listed: Value = served.get("/v1/users").await.json().await.expect("JSON");
    assert_eq!(listed[0]["token_readable"], Value::Null);
    let instance = json!({"instance_id": "amc2", "name": "S", "account": "ENTITY1"});
    done(post(&served, "/v1/instances", &instance).await, StatusCode::CREATED).await;
}
