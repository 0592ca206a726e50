//! What a new installation is told about Amazon: users, accounts, instances, workflows.

use super::{KEY, SECRET, Site, done, json, refused};
use fernet::Fernet;
use recomamp::jobs::refresh_token;
use recomamp::queue::Queue;
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::fs;

const ADD_USER: [&str; 8] =
    ["users", "add", "--email", "Ana@Example.com", "--name", "Ana", "--region", "eu"];

/// Every row of every table, as text.
async fn everything(site: &Site) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', table_schema, table_name) from information_schema.tables
         where table_schema in ('public', 'engine') and table_type = 'BASE TABLE'",
    )
    .fetch_all(site.db.pool())
    .await
    .expect("tables");
    let mut text = String::new();
    for table in tables {
        let rows = format!("select coalesce(string_agg(t::text, ' '), '') from {table} t");
        let rows: String =
            sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(site.db.pool()).await.expect("rows");
        text.push_str(&rows);
    }
    text
}

#[tokio::test]
async fn what_was_added_is_listed() {
    let site = Site::furnished().await;
    let users = site.json("users list --json").await;
    assert_eq!(users[0]["email"], "ana@example.com");
    assert_eq!((&users[0]["region"], &users[0]["token_state"]), (&json!("na"), &json!("active")));
    let accounts = site.json("accounts list --json").await;
    assert_eq!(
        accounts,
        json!([{
            "account_id": "ENTITY1", "name": "Shop", "marketplace_id": "ATVPDKIKX0DER",
            "region": "na", "user": "ana@example.com", "status": "active",
        }])
    );
    let instances = site.json("instances list --json").await;
    assert_eq!(
        instances,
        json!([{
            "instance_id": "amctest1", "name": "Shop", "account_id": "ENTITY1",
            "endpoint_url": null, "status": "active", "block_reason": null,
        }])
    );
    let workflows = site.json("workflows list --json").await;
    assert_eq!(workflows[0]["workflow_id"], "campaigns");
    assert_eq!(workflows[0]["instance_id"], "amctest1");
    let table = done(site.run("workflows list").await).stdout;
    assert!(table.starts_with("WORKFLOW ") && table.contains("campaigns"), "{table}");
}

#[tokio::test]
async fn an_instance_brings_its_limits_to_the_queue() {
    let site = Site::new().await;
    let add = site.program(&ADD_USER).input("Atzr|x");
    done(add.run().await);
    done(
        site.run(
            "accounts add --account-id ENTITY1 --name S --marketplace UK --user ana@example.com",
        )
        .await,
    );
    let add = "instances add --instance-id amc1 --name S --account ENTITY1";
    let add: Vec<&str> = add.split(' ').collect();
    done(site.program(&add).env("RECOMAMP_MAX_OPEN_PER_INSTANCE", "7").run().await);
    let status = site.json("status --json").await;
    let limits: Vec<_> = status["resources"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|resource| (resource["name"].clone(), resource["max_holds"].clone()))
        .collect();
    let expected = [("amc_account:ENTITY1", 200), ("amc_instance:amc1", 7)];
    assert_eq!(limits, expected.map(|(name, places)| (json!(name), json!(places))));
}

#[tokio::test]
async fn an_accounts_limit_that_a_person_took_away_stays_away_when_an_instance_joins() {
    let site = Site::furnished().await;
    let places = "select coalesce(max_holds, -1)::bigint from engine.resources where name = 'amc_account:ENTITY1'";
    assert_eq!(site.count(places).await, 200);
    for (holds, then) in [("none", -1), ("7", 7)] {
        done(site.run(&format!("gates set amc_account:ENTITY1 --holds {holds}")).await);
        let add = format!("instances add --instance-id amc{holds} --name S --account ENTITY1");
        done(site.run(&add).await);
        assert_eq!(site.count(places).await, then, "{holds}");
    }
}

#[tokio::test]
async fn a_limit_of_nothing_is_told_with_who_set_it_and_how_to_change_it() {
    let site = Site::furnished().await;
    let mut words = vec!["instances", "limit", "amctest1", "0", "--by", "ana"];
    words.extend(["--why", "AMC is slow"]);
    done(site.program(&words).run().await);
    let id = refresh_on_the_instance(&site).await;
    let told = done(site.run(&format!("jobs explain {id}")).await).stdout;
    let because = "Nobody may begin on amc_instance:amctest1, because its limit is 0 places, set by ana: AMC is slow";
    assert!(told.contains(because), "{told}");
    assert!(told.contains("To change it: recomamp instances limit amctest1 N"), "{told}");
    let explained = site.json(&format!("jobs explain {id} --json")).await;
    let hold =
        explained["reasons"].as_array().expect("a list").iter().find(|r| r["what"] == "hold");
    assert_eq!(hold.expect("it is held")["waits_for"], "somebody raises the limit");
}

/// A refresh that takes a place on the instance besides.
async fn refresh_on_the_instance(site: &Site) -> i64 {
    let user = sqlx::query_scalar("select id from users").fetch_one(site.db.pool()).await;
    let job = refresh_token::job(user.expect("a user"), 0).expect("JSON");
    let job = job.using(["amc_instance:amctest1".to_owned()]).holding_as("a test".to_owned());
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    Queue::new().enqueue(&mut connection, &[job]).await.expect("enqueued");
    site.count("select max(id) from engine.jobs").await
}

#[tokio::test]
async fn a_refresh_that_waits_says_what_amazon_said_and_what_to_do() {
    let site = Site::furnished().await;
    let id = refresh_on_the_instance(&site).await;
    site.execute(
        "update engine.jobs set run_at = engine.now() + interval '1 minute', due = false,
             claimed_at = engine.now(), snoozes = 1",
    )
    .await;
    for (state, remedy) in [
        (
            "active",
            "if the user has withdrawn the grant, run `recomamp users authorise ana@example.com`",
        ),
        ("needs_reauth", "then run `recomamp users authorise ana@example.com`"),
        ("client_invalid", "then run `recomamp users resume`"),
    ] {
        sqlx::query("update lwa_credentials set token_state = $1::token_state, token_error = 'invalid_grant'")
            .bind(state)
            .execute(site.db.pool())
            .await
            .expect("the store answers");
        let explained = site.json(&format!("jobs explain {id} --json")).await;
        let text = explained["reasons"][0]["text"].as_str().expect("a text");
        assert!(text.contains("it asked to run again later, 1 time so far"), "{text}");
        assert!(text.contains("(invalid_grant)") && text.ends_with(remedy), "{text}");
    }
}

#[tokio::test]
async fn a_token_is_stored_encrypted_and_is_in_no_log_and_no_answer() {
    let site = Site::new().await;
    let log = "trace,sqlx=trace";
    let token = format!("Atzr|{SECRET}\n");
    let added = site.program(&ADD_USER).env("RECOMAMP_LOG", log).input(&token).run().await;
    let added = done(added);
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), &token).expect("written");
    let path = file.path().display().to_string();
    let args = ["users", "authorise", "ana@example.com", "--refresh-token-file", &path];
    let authorised = done(site.program(&args).env("RECOMAMP_LOG", log).run().await);
    let listed =
        done(site.program(&["users", "list", "--json"]).env("RECOMAMP_LOG", log).run().await);

    assert!(added.stderr.contains("sqlx"), "the log is on: {}", added.stderr);
    for finished in [&added, &authorised, &listed] {
        assert!(!format!("{finished:?}").contains(SECRET), "{finished:?}");
    }
    let stored = everything(&site).await;
    assert!(stored.contains("gAAAA") && !stored.contains(SECRET), "{stored}");
    let sealed: String = sqlx::query_scalar("select refresh_token_encrypted from lwa_credentials")
        .fetch_one(site.db.pool())
        .await
        .expect("a token");
    let opened = Fernet::new(KEY).expect("a key").decrypt(&sealed).expect("ours");
    assert_eq!(opened, token.trim().as_bytes());
}

#[tokio::test]
async fn what_cannot_be_a_refresh_token_is_refused_and_adds_nobody() {
    let site = Site::new().await;
    for (token, word) in
        [("", "empty"), ("Atza|short-lived", "access token"), ("a b", "characters")]
    {
        let finished = site.program(&ADD_USER).input(token).run().await;
        let message = refused(&finished, 2);
        assert!(message.contains(word), "{message}");
    }
    let odd = done(site.program(&ADD_USER).input("of-another-form").run().await);
    assert!(odd.stderr.starts_with("Warning: Amazon's refresh tokens begin with Atzr|"), "{odd:?}");
    assert_eq!(site.count("select count(*) from users").await, 1);
}

#[tokio::test]
async fn what_is_there_already_is_refused_by_name() {
    let site = Site::furnished().await;
    let again = site.program(&ADD_USER).input("Atzr|x").run().await;
    let message = refused(&again, 1);
    assert!(message.contains("Ana@Example.com already: give a new token with"), "{message}");
    for (words, what) in [
        (
            "accounts add --account-id ENTITY1 --name S --marketplace US --user ana@example.com",
            "account ENTITY1",
        ),
        ("instances add --instance-id amctest1 --name S --account ENTITY1", "instance amctest1"),
    ] {
        let finished = site.run(words).await;
        let message = refused(&finished, 1);
        assert!(message.starts_with(&format!("there is an {what} already: see")), "{message}");
    }
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused_with_the_place_to_look() {
    let site = Site::furnished().await;
    let add = "accounts add --account-id ENTITY2 --name S --marketplace DE --region na --user ana@example.com";
    assert_eq!(
        refused(&site.run(add).await, 2),
        "marketplace A1PA6795UKMFR9 lies in region eu, not na"
    );
    for (words, message) in [
        (
            "accounts add --account-id ENTITY2 --name S --marketplace DE --user bob@example.com",
            "there is no user bob@example.com: see `recomamp users list`",
        ),
        (
            "instances add --instance-id amc2 --name S --account ENTITY9",
            "there is no account ENTITY9: see `recomamp accounts list`",
        ),
        ("instances unblock amctest1", "instance amctest1 is active, not blocked"),
        ("instances unblock amc9", "there is no instance amc9: see `recomamp instances list`"),
    ] {
        assert_eq!(refused(&site.run(words).await, 1), message);
    }
    // An id of a row is no id of AMC's, and a country code is one of a list.
    for words in [
        "instances add --instance-id b3a77999-7c8e-4289-9bf9-5da8f178536c --name S --account ENTITY1",
        "accounts add --account-id ENTITY2 --name S --marketplace XX --user ana@example.com",
    ] {
        assert_eq!(site.run(words).await.status.code(), Some(2), "{words}");
    }
}

#[tokio::test]
async fn a_query_with_a_placeholder_left_in_it_is_refused() {
    let site = Site::furnished().await;
    let update = ["workflows", "update", "campaigns", "--sql-file", "-"];
    let finished = site.program(&update).input("select '{{ brand }}' from t").run().await;
    assert!(refused(&finished, 2).starts_with("parameter brand stands inside a string"));

    let before = site.json("workflows list --json").await;
    done(site.program(&update).input("select a, b from t").run().await);
    let after = site.json("workflows list --json").await;
    assert_ne!(before[0]["version_id"], after[0]["version_id"]);
}

#[tokio::test]
async fn a_new_token_starts_the_work_that_waited_for_it() {
    let site = Site::furnished().await;
    done(site.run("backfill --workflow campaigns --weeks 2").await);
    site.execute(
        "update lwa_credentials set token_state = 'needs_reauth', token_error = 'revoked'",
    )
    .await;
    site.execute("update engine.jobs set blocked_by = 'lwa_user:' || (select id from users)").await;
    let authorise = ["users", "authorise", "ana@example.com", "--json"];
    let finished = done(site.program(&authorise).input("Atzr|new").run().await);
    assert_eq!(json(&finished)["jobs_started_again"], 2);
    assert_eq!(
        site.count("select count(*) from engine.jobs where blocked_by is not null").await,
        0
    );
    let users = site.json("users list --json").await;
    assert_eq!((&users[0]["token_state"], &users[0]["region"]), (&json!("active"), &json!("na")));
}

#[tokio::test]
async fn tokens_that_waited_for_a_corrected_client_secret_are_tried_again() {
    let site = Site::furnished().await;
    done(site.run("backfill --workflow campaigns --weeks 2").await);
    site.execute("update lwa_credentials set token_state = 'client_invalid', token_error = 'no'")
        .await;
    site.execute("update engine.jobs set blocked_by = 'lwa_user:' || (select id from users)").await;
    let backfill = site.run("backfill --workflow campaigns --weeks 3").await;
    let message = refused(&backfill, 1);
    let remedy = "correct RECOMAMP_LWA_CLIENT_ID and its secret, restart the workers, then run `recomamp users resume`";
    assert!(message.ends_with(remedy), "{message}");
    let resumed = site.json("users resume --json").await;
    assert_eq!(resumed, json!({"tokens_tried_again": 1, "jobs_started_again": 2}));
    assert_eq!(site.json("users list --json").await[0]["token_state"], "active");
}

#[tokio::test]
async fn every_attempt_to_tell_a_webhook_is_shown_with_its_own_time_and_the_next_one() {
    let site = Site::furnished().await;
    let added = site.json("webhooks add --url https://hooks.example.com/ --json").await;
    let id = added["id"].as_str().expect("an id");
    done(site.run(&format!("webhooks test {id}")).await);
    site.execute("update engine.jobs set run_at = '2031-01-01T00:05:00Z', due = false").await;
    site.execute(
        "insert into webhook_attempts (delivery_id, attempt, at, status, duration_ms, error)
        select id, attempt, '2031-01-01T00:00:00Z'::timestamptz + make_interval(secs => attempt), 503, 7, 'no'
        from webhook_deliveries, generate_series(1, 2) as attempt",
    )
    .await;
    let told = done(site.run(&format!("webhooks deliveries {id}")).await).stdout;
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].contains("TRIED AT") && lines[0].contains("NEXT TRY"), "{told}");
    assert!(lines[1].contains("2031-01-01 00:00:02Z") && lines[1].contains("2031-01-01 00:05:00Z"));
    assert!(lines[2].contains("2031-01-01 00:00:01Z") && !lines[2].contains("00:05:00Z"), "{told}");

    done(site.program(&["webhooks", "disable", id, "--why", "it moves"]).run().await);
    let test = site.run(&format!("webhooks test {id}")).await;
    let message = refused(&test, 1);
    assert!(message.ends_with(&format!("run `recomamp webhooks enable {id}` first")), "{message}");
    let shown = site.run("webhooks show zzz").await;
    assert_eq!(shown.status.code(), Some(2));
    assert!(
        shown.stderr.contains("give the UUID that `recomamp webhooks list` shows"),
        "{shown:?}"
    );
}

#[tokio::test]
async fn an_instance_that_is_unblocked_takes_up_its_weeks_again() {
    let site = Site::furnished().await;
    done(site.run("backfill --workflow campaigns --weeks 3").await);
    site.execute("truncate engine.jobs").await;
    site.execute("update report_data_weeks set status = 'blocked', error_message = '403'").await;
    site.execute("update amc_instances set status = 'blocked', block_reason = '403'").await;
    let blocked = site.run("backfill --workflow campaigns --weeks 4").await;
    let message = refused(&blocked, 1);
    assert!(message.ends_with("then run `recomamp instances unblock amctest1`"), "{message}");

    // So does whoever asks what holds a job.
    let id = refresh_on_the_instance(&site).await;
    site.execute(
        "update engine.jobs set kind = 'sync_workflow', blocked_by = 'amc_access:amctest1', due = false,
            last_error = 'create_execution is blocked', claimed_at = engine.now(),
            run_at = engine.now() + interval '15 minutes'",
    )
    .await;
    let told = done(site.run(&format!("jobs explain {id}")).await).stdout;
    for words in [
        "Waits until amc_access:amctest1 is opened",
        "Instance amctest1 is blocked (403): settle it, then run `recomamp instances unblock amctest1`",
        "recomamp instances list",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("credential") && !told.contains("users list"), "{told}");
    site.execute("truncate engine.jobs").await;

    let unblocked = site.json("instances unblock amctest1 --json").await;
    assert_eq!(unblocked["weeks_started_again"], 3);
    assert_eq!(site.count("select count(*) from engine.jobs where kind = 'collect_week'").await, 3);
    assert_eq!(site.json("instances list --json").await[0]["status"], "active");
}
