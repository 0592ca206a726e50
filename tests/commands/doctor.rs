//! `recomamp doctor` finds what is wrong, and names the remedy.

use super::{Site, done, json, refused};
use crate::harness::database::TestDatabase;
use crate::harness::process::Program;
use recomamp::jobs::refresh_token;
use recomamp::queue::Queue;
use serde_json::Value;

/// The verdict and the remedy of one check.
fn check<'j>(report: &'j Value, name: &str) -> (&'j str, &'j str) {
    let checks = report["checks"].as_array().expect("a list");
    let found = checks.iter().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("{name} is not checked: {report}"));
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    (text("verdict"), text("remedy"))
}

#[tokio::test]
async fn a_healthy_installation_passes() {
    let site = Site::furnished().await;
    let finished = site.run("doctor --json").await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let report = json(&finished);
    assert_eq!(report["healthy"], true);
    for name in [
        "settings",
        "database",
        "schema",
        "clock",
        "listen",
        "history",
        "stored secrets",
        "credentials",
        "instances",
        "results",
        "indexes",
    ] {
        assert_eq!(check(&report, name).0, "ok", "{name}: {report}");
    }
    assert_eq!(check(&report, "workers"), ("warn", "recomamp work"));
    assert_eq!(check(&report, "scheduler"), ("warn", "recomamp schedule"));
    assert_eq!(check(&report, "schedules").0, "ok");

    // A scheduler that is there is seen, and so is what it has not fired.
    site.execute("insert into duties (duty, done_at) values ('sweep', engine.now())").await;
    done(site.run("schedules add --schedule-id daily --workflow campaigns --every-days 1 --from 2025-01-06").await);
    site.execute("update workflow_schedules set next_run_at = engine.now() - interval '2 minutes'")
        .await;
    let report = site.json("doctor --json").await;
    assert_eq!(check(&report, "scheduler").0, "ok");
    assert_eq!(check(&report, "schedules").0, "warn");
}

#[tokio::test]
async fn each_thing_that_is_wrong_is_found_with_its_remedy() {
    let site = Site::furnished().await;
    site.execute(
        "update lwa_credentials set token_state = 'needs_reauth', token_error = 'revoked'",
    )
    .await;
    site.execute("update amc_instances set status = 'blocked', block_reason = '403'").await;
    let other_key = fernet::Fernet::generate_key();
    let finished = site
        .program(&["doctor", "--json"])
        .env("RECOMAMP_ENCRYPTION_KEYS", &other_key)
        .env("RECOMAMP_RESULTS_URL", "/proc/no/such/place")
        .run()
        .await;
    assert_eq!(finished.status.code(), Some(3), "{finished:?}");
    let report = json(&finished);
    for (name, verdict, remedy) in [
        ("stored secrets", "fail", "RECOMAMP_ENCRYPTION_KEYS"),
        ("credentials", "fail", "recomamp users authorise"),
        ("instances", "warn", "recomamp instances unblock amctest1"),
        ("results", "fail", "RECOMAMP_RESULTS_URL"),
    ] {
        let (found, said) = check(&report, name);
        assert_eq!(found, verdict, "{name}: {report}");
        assert!(said.contains(remedy), "{name}: {said}");
    }
}

#[tokio::test]
async fn what_no_key_opens_is_told_by_what_it_is_and_a_refusal_that_is_not_yet_believed_too() {
    let site = Site::furnished().await;
    done(site.run("webhooks add --url https://hooks.example.com/").await);
    let other_key = fernet::Fernet::generate_key();
    let other = async |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        site.program(&words).env("RECOMAMP_ENCRYPTION_KEYS", &other_key).run().await
    };
    let all = "the tokens of 1 user and what signs for 1 webhook";
    let checked = done(site.run("keys check").await).stdout;
    let said = format!("the first key alone opens {all}\nan older key is needed for nothing");
    assert_eq!(checked, said);
    let shut = other("keys check --json").await;
    assert_eq!(shut.status.code(), Some(1));
    assert!(shut.stderr.contains(&format!("no key opens {all}: put the key")), "{shut:?}");
    assert_eq!(
        (&json(&shut)["tokens"]["shut"], &json(&shut)["webhooks"]["shut"]),
        (&1.into(), &1.into())
    );
    assert!(other("doctor").await.stdout.contains(&format!("no key opens {all}")));
    let users = done(other("users list").await).stdout;
    assert!(users.contains("unreadable") && !users.contains("active"), "{users}");
    assert!(users.contains("`recomamp users authorise ana@example.com`"), "{users}");
    let users = json(&done(other("users list --json").await));
    assert_eq!(
        (&users[0]["token_readable"], &users[0]["token_state"]),
        (&false.into(), &"active".into())
    );

    let both = format!("{other_key},{}", super::KEY);
    let rotate = ["keys", "rotate"];
    let rotated = site.program(&rotate).env("RECOMAMP_ENCRYPTION_KEYS", &both).run().await;
    let rotated = done(rotated).stdout;
    assert_eq!(rotated, format!("encrypted anew: {all}\nan older key is needed for nothing"));

    site.execute("update lwa_credentials set grant_refused_at = engine.now(), token_error = 'invalid_grant: x'")
        .await;
    let report = json(&done(other("doctor --json").await));
    let (verdict, remedy) = check(&report, "credentials");
    assert_eq!(verdict, "warn", "{report}");
    assert!(remedy.contains("recomamp users authorise"), "{remedy}");
    assert!(report.to_string().contains("ana@example.com: invalid_grant: x"), "{report}");
    let users = done(other("users list").await).stdout;
    assert!(users.contains("refused, and tried again: invalid_grant"), "{users}");
}

#[tokio::test]
async fn tokens_that_amazon_gives_and_amc_refuses_are_told_everywhere_with_the_remedy() {
    let site = Site::furnished().await;
    let user = sqlx::query_scalar("select id from users").fetch_one(site.db.pool()).await;
    let job = refresh_token::job(user.expect("a user"), 0).expect("JSON");
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    Queue::new().enqueue(&mut connection, &[job]).await.expect("enqueued");
    let id = site.count("select max(id) from engine.jobs").await;
    for (refused, is_told) in [("2", false), ("3", true)] {
        sqlx::query(
            "update lwa_credentials set token_refreshed_at = engine.now(), refused_young = $1::int",
        )
        .bind(refused)
        .execute(site.db.pool())
        .await
        .expect("the store answers");
        let report = site.json("doctor --json").await;
        let (verdict, remedy) = check(&report, "credentials");
        assert_eq!(verdict, if is_told { "warn" } else { "ok" }, "{report}");
        assert_eq!(remedy.contains("approved the client of RECOMAMP_LWA_CLIENT_ID"), is_told);
        for words in ["users list", "users list --json", "status", "status --json"] {
            let said = done(site.run(words).await).stdout;
            assert_eq!(said.contains("AMC refused the last 3 access tokens"), is_told, "{said}");
        }
        let explained = done(site.run(&format!("jobs explain {id}")).await).stdout;
        let said = "The token of ana@example.com: AMC refused the last 3 access tokens";
        assert_eq!(explained.contains(said), is_told, "{explained}");
    }
}

#[tokio::test]
async fn what_goes_on_by_itself_is_not_to_be_resumed_and_what_amc_does_not_list_not_unblocked() {
    let site = Site::furnished().await;
    done(site.run("backfill --workflow campaigns --weeks 2").await);
    site.execute(
        "update report_data_collections set status = 'paused', auto_paused = true, paused_at = engine.now(),
            pause_reason = 'no', paused_by = 'engine', paused_for = 'lwa_user:x'",
    )
    .await;
    let report = site.json("doctor --json").await;
    assert_eq!(check(&report, "auto-pauses").1, "do what each reason says: that lets it go on");
    site.execute("update report_data_collections set paused_for = null").await;
    let report = site.json("doctor --json").await;
    assert!(check(&report, "auto-pauses").1.contains("recomamp collections resume"), "{report}");

    site.execute(
        "update amc_instances set status = 'blocked', is_listed = false,
            block_reason = 'AMC is still creating it (IN_PROGRESS): sync again later'",
    )
    .await;
    let report = site.json("doctor --json").await;
    let remedy = "once AMC lists it as ready, run `recomamp instances sync`";
    assert_eq!(check(&report, "instances"), ("warn", remedy));
    let backfill = site.run("backfill --workflow campaigns --weeks 4").await;
    let message = refused(&backfill, 1);
    assert!(message.contains("(IN_PROGRESS)") && message.ends_with(remedy), "{message}");
}

#[tokio::test]
async fn gates_that_somebody_has_shut_or_that_a_breaker_keeps_shut_are_told() {
    let site = Site::furnished().await;
    let said = "none is paused, no breaker is open";
    assert!(done(site.run("doctor").await).stdout.contains(said));
    for (resource, lasts) in [("amc_instance:amctest1", None), ("kind:ping", Some("30m"))] {
        let words = ["gates", "pause", resource, "--why", "forgot to resume", "--by", "ann"];
        let words = words.into_iter().chain(lasts.into_iter().flat_map(|lasts| ["--for", lasts]));
        done(site.program(&words.collect::<Vec<_>>()).run().await);
    }
    done(site.run("gates set host:x --breaker {}").await);
    done(site.run("gates trip host:x --why rubbish --by bob").await);
    let report = site.json("doctor --json").await;
    let (verdict, remedy) = check(&report, "gates");
    assert_eq!(verdict, "warn", "{report}");
    for resumed in ["amc_instance:amctest1", "kind:ping", "host:x"] {
        assert!(remedy.contains(&format!("`recomamp gates resume {resumed}`")), "{remedy}");
    }
    let told = done(site.run("doctor").await).stdout;
    assert!(told.contains("amc_instance:amctest1 is paused by ann since "), "{told}");
    assert!(told.contains("Z (forgot to resume)") && told.contains("Z until "), "{told}");
    assert!(told.contains("the breaker of host:x is open since "), "{told}");

    // One that opens by itself needs nobody; one whose time has come is open no more.
    for paused in ["amc_instance:amctest1", "kind:ping"] {
        done(site.run(&format!("gates resume {paused}")).await);
    }
    site.execute(
        "update engine.resources set breaker = jsonb_set(breaker, '{state,until}',
            to_jsonb(engine.now() + interval '1 minute')) where name = 'host:x'",
    )
    .await;
    let report = site.json("doctor --json").await;
    let (verdict, remedy) = check(&report, "gates");
    assert_eq!(verdict, "warn", "{report}");
    assert!(remedy.ends_with("asks by itself whether it is back"), "{remedy}");
    site.execute(
        "update engine.resources set breaker = jsonb_set(breaker, '{state,until}',
            to_jsonb(engine.now() - interval '1 minute')) where name = 'host:x'",
    )
    .await;
    assert_eq!(check(&site.json("doctor --json").await, "gates").0, "ok");
}

#[tokio::test]
async fn a_webhook_that_is_told_in_vain_or_wants_no_more_is_found_and_what_a_person_disabled_is_not()
 {
    let site = Site::furnished().await;
    let add = "webhooks add --url https://hooks.example.com/ --json";
    let mut ids = Vec::new();
    for _ in 0..4 {
        let id = site.json(add).await["id"].as_str().expect("an id").to_owned();
        done(site.run(&format!("webhooks test {id}")).await);
        ids.push(id);
    }
    let (down, gone, moved, back) = (&ids[0], &ids[1], &ids[2], &ids[3]);
    let report = site.json("doctor --json").await;
    assert_eq!(check(&report, "webhooks").0, "ok", "{report}");
    let try_it = async |id: &str, minute: i32, error: Option<&str>| {
        sqlx::query(
            "insert into webhook_attempts (delivery_id, attempt, at, duration_ms, error)
            select id, $2, '2025-11-24T08:00:00Z'::timestamptz + make_interval(mins => $2), 1, $3
            from webhook_deliveries where webhook_id = $1::uuid",
        )
        .bind(id)
        .bind(minute)
        .bind(error)
        .execute(site.db.pool())
        .await
        .expect("tried");
    };
    for id in [down, moved, back] {
        try_it(id, 1, None).await;
        for minute in 2..5 {
            try_it(id, minute, Some("it answered 503")).await;
        }
    }
    try_it(back, 5, None).await;
    done(site.program(&["webhooks", "disable", moved, "--why", "it moves"]).run().await);
    let at_receivers = "the receiver answered 410: it wants no more";
    done(site.program(&["webhooks", "disable", gone, "--why", at_receivers]).run().await);

    let report = site.json("doctor --json").await;
    let (verdict, remedy) = check(&report, "webhooks");
    assert_eq!(verdict, "warn", "{report}");
    assert!(remedy.contains(&format!("webhooks test {down}")), "{remedy}");
    assert!(remedy.contains(&format!("webhooks enable {gone}")), "{remedy}");
    assert!(![moved, back].iter().any(|id| report.to_string().contains(id.as_str())), "{report}");
    let said = "told in vain since 2025-11-24 08:02:00Z, 3 times: it answered 503";
    assert!(report.to_string().contains(said), "{report}");
    assert!(done(site.run("doctor").await).stdout.ends_with(" 0 failed, 3 warnings"));
    site.execute("delete from webhooks").await;
    site.execute("insert into duties (duty, done_at) values ('sweep', engine.now())").await;
    assert!(done(site.run("doctor").await).stdout.ends_with(" 0 failed, 1 warning"));
}

#[tokio::test]
async fn every_wrong_setting_is_told_and_the_rest_is_looked_at_all_the_same() {
    let db = TestDatabase::unmigrated().await;
    let finished = Program::new(&["doctor"])
        .env("DATABASE_URL", db.url())
        .env("RECOMAMP_POLL_MAX", "soon")
        .env(
            "RECOMAMP_RESULTS_URL",
            &std::env::temp_dir().join("recomamp-doctor").display().to_string(),
        )
        .run()
        .await;
    assert_eq!(finished.status.code(), Some(3), "{finished:?}");
    for words in [
        "RECOMAMP_POLL_MAX is not a duration",
        "RECOMAMP_LWA_CLIENT_ID is not set",
        "→ recomamp migrate",
        "ok    database",
    ] {
        assert!(finished.stdout.contains(words), "{words}: {}", finished.stdout);
    }
}
