//! Who changed what on the command line, and why, is kept in the journal.

use super::{SECRET, Site, done};
use serde_json::{Value, json};

/// Runs a command for a person, with a reason if it takes one. That is what its thing's newest event says.
async fn is_kept(site: &Site, words: &str, (input, why): (&str, Option<&str>), thing: &str) {
    let mut words: Vec<&str> = words.split(' ').collect();
    words.extend(["--by", "eve"]);
    words.extend(why.into_iter().flat_map(|why| ["--why", why]));
    done(site.program(&words).input(input).run().await);
    let event = newest(site, thing).await;
    assert_eq!((&event["actor"], &event["reason"]), (&json!("eve"), &json!(why)), "{words:?}");
}

/// The last that happened to a thing: its kind and its id.
async fn newest(site: &Site, thing: &str) -> Value {
    let (entity, id) = thing.split_once(' ').expect("two words");
    site.json(&format!("events --entity {entity} --id {id} --limit 1 --json")).await[0].clone()
}

const WHY: (&str, Option<&str>) = ("", Some("it has to be"));

#[tokio::test]
async fn who_registers_something_and_why_is_kept() {
    let site = Site::new().await;
    let (token, ana) = (format!("Atzr|{SECRET}"), "user ana@example.com");
    let add = "users add --email ana@example.com --name Ana --region na";
    is_kept(&site, add, (&token, None), ana).await;
    let authorise = "users authorise ana@example.com";
    is_kept(&site, authorise, (&token, Some("the old one was revoked")), ana).await;
    let refuse = "update lwa_credentials set token_state = 'client_invalid', token_error = 'no'";
    site.execute(refuse).await;
    is_kept(&site, "users resume", WHY, ana).await;
    let add =
        "accounts add --account-id ENTITY1 --name Shop --marketplace US --user ana@example.com";
    is_kept(&site, add, ("", None), "account ENTITY1").await;
    let add = "instances add --instance-id amctest1 --name Shop --account ENTITY1";
    is_kept(&site, add, ("", None), "instance amctest1").await;
    is_kept(&site, "instances sync", WHY, ana).await;
    site.execute("update amc_instances set status = 'blocked', block_reason = '403'").await;
    is_kept(&site, "instances unblock amctest1", WHY, "instance amctest1").await;

    let add = "workflows add --workflow-id spend --name Spend --instance amctest1 \
        --user ana@example.com --sql-file -";
    is_kept(&site, add, ("select a from t", None), "workflow spend").await;
    for verb in ["update --saved", "sync", "recheck"] {
        is_kept(&site, &format!("workflows {verb} spend"), WHY, "workflow spend").await;
    }
    let secret = "select count(*) from events where events::text like '%IwEBIJsecret%'";
    assert_eq!(site.count(secret).await, 0);
}

#[tokio::test]
async fn who_changes_a_schedule_or_a_webhook_and_why_is_kept() {
    let site = Site::furnished().await;
    let monday = "schedule monday";
    let add = ["schedules", "add", "--schedule-id", "monday", "--workflow", "campaigns"];
    let cron = ["--cron", "0 6 * * 1", "--by", "eve", "--why", "every week"];
    done(site.program(&[&add[..], &cron[..]].concat()).run().await);
    let event = newest(&site, monday).await;
    assert_eq!((&event["actor"], &event["reason"]), (&json!("eve"), &json!("every week")));
    for verb in ["update --keep-runs 9", "trigger", "pause", "resume", "cancel", "remove"] {
        is_kept(&site, &format!("schedules {verb} monday"), WHY, monday).await;
    }

    let add = "webhooks add --url https://hooks.example.com/ --json --by eve";
    let id = site.json(add).await["id"].as_str().expect("an id").to_owned();
    let thing = format!("webhook {id}");
    assert_eq!(newest(&site, &thing).await["actor"], "eve");
    for verb in ["test", "disable", "enable", "remove"] {
        is_kept(&site, &format!("webhooks {verb} {id}"), WHY, &thing).await;
    }
}
