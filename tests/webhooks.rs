//! Others are told of what happens: signed, again until they have it, and never inside our own network.

use crate::backfill::site::{Site, quick};
use crate::harness::eventually::{eventually, eventually_some};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use recomamp::queue::Queue;
use recomamp::register;
use recomamp::schedule::Desk;
use recomamp::schedule::duties::Duty;
use recomamp::store::WebhookId;
use recomamp::store::events::{self, Because, NewEvent};
use recomamp::store::webhooks::{self, WebhookFormat};
use recomamp::webhooks::{message, sign};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Somebody who is told: what came, and what is answered next; 200 when nothing else is said.
#[derive(Clone, Default)]
struct Receiver {
    came: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

impl Receiver {
    async fn start(answers: &[u16]) -> (Self, String) {
        let receiver = Self::default();
        receiver.answers.lock().expect("a lock").extend(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/hook", post(took)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, format!("http://{address}/hook"))
    }

    fn came(&self) -> Vec<(HeaderMap, String)> {
        self.came.lock().expect("a lock").clone()
    }
}

async fn took(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1]) {
    let body = String::from_utf8(body.to_vec()).expect("text");
    receiver.came.lock().expect("a lock").push((headers, body));
    let status = receiver.answers.lock().expect("a lock").pop_front().unwrap_or(200);
    (StatusCode::from_u16(status).expect("a status"), [("location", "http://127.0.0.1:1/")])
}

/// An installation that may tell whom it likes on this machine.
async fn site() -> Site {
    Site::with(quick(), &[("RECOMAMP_WEBHOOK_ALLOW", "127.0.0.1,localhost")]).await
}

impl Site {
    async fn webhook(&self, url: &str, format: WebhookFormat, events: &[&str]) -> WebhookId {
        let (url, secret) = match format {
            WebhookFormat::Standard => (url, SECRET),
            WebhookFormat::Slack => (url.strip_suffix("hook").expect("the whole"), url),
        };
        let secret = self.tools.seal(&SecretString::from(secret));
        let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
        webhooks::insert(self.db.pool(), url, &secret, format, &events).await.expect("added")
    }

    /// Something happens, and the scheduler sends whoever is to be told of it.
    async fn happens(&self, entity: &str, id: &str, from: &str, to: &str) {
        let event = NewEvent {
            entity,
            entity_id: id,
            from_status: Some(from),
            to_status: Some(to),
            actor: "engine",
            reason: Some("3 runs in a row failed"),
            detail: &json!({}),
        };
        events::append(self.db.pool(), &event).await.expect("written");
        self.tell().await;
    }

    async fn tell(&self) {
        let retention = Duration::from_hours(24);
        let desk = Desk { db: self.db.pool().clone(), queue: Queue::new(), retention };
        Duty::TellWebhooks.fulfil(&desk, true).await.expect("done");
    }

    async fn delivery_is(&self, state: &'static str) {
        eventually(&format!("the delivery is {state}"), async || {
            self.text("select state::text from webhook_deliveries order by at limit 1").await
                == state
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_told_signed_to_those_who_want_it_and_again_until_they_have_it() {
    let site = site().await;
    let (receiver, url) = Receiver::start(&[503, 302]).await;
    let wanted = site.webhook(&url, WebhookFormat::Standard, &["auto_paused"]).await;
    site.webhook(&url, WebhookFormat::Standard, &["needs_reauth"]).await;
    let working = site.work();
    site.happens("schedule", "monday", "active", "auto_paused").await;
    site.happens("week", "w1", "running", "failed").await;
    eventually("it has come three times", async || {
        site.skip_pauses("deliver_webhook").await;
        site.tell().await;
        receiver.came().len() == 3
    })
    .await;
    site.delivery_is("delivered").await;
    let came = receiver.came();
    let header = |n: usize, name: &str| came[n].0[name].to_str().expect("text").to_owned();
    assert_eq!(header(0, "webhook-id"), header(2, "webhook-id"), "a repetition can be told");
    for (n, (_, body)) in came.iter().enumerate() {
        let timestamp: i64 = header(n, "webhook-timestamp").parse().expect("seconds");
        let secret = SecretString::from(SECRET);
        let signed = sign::signature(&secret, &header(n, "webhook-id"), timestamp, body);
        assert_eq!(header(n, "webhook-signature"), signed.expect("signed"));
    }
    let body: Value = serde_json::from_str(&came[0].1).expect("JSON");
    assert_eq!(body["type"], "auto_paused");
    assert_eq!(body["data"]["entity_id"], "monday");
    assert_eq!(body["data"]["reason"], "3 runs in a row failed");
    let log = webhooks::log(site.db.pool(), wanted, 9).await.expect("a log");
    let statuses: Vec<_> = log.iter().rev().map(|line| (line.attempt, line.status)).collect();
    assert_eq!(statuses, [(Some(1), Some(503)), (Some(2), Some(302)), (Some(3), Some(200))]);
    assert_eq!(log[2].error.as_deref(), Some("it answered 503"));
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_is_told_a_line_and_a_receiver_that_is_gone_is_told_no_more() {
    let site = site().await;
    let (receiver, url) = Receiver::start(&[200, 410]).await;
    let id = site.webhook(&url, WebhookFormat::Slack, &["needs_reauth", "resumed"]).await;
    let working = site.work();
    site.happens("user", "ada", "active", "needs_reauth").await;
    site.delivery_is("delivered").await;
    let body = r#"{"text":"*needs reauth*: user ada – 3 runs in a row failed"}"#;
    let (headers, came) = receiver.came().remove(0);
    assert_eq!(came, body);
    assert!(!headers.contains_key("webhook-signature"), "{headers:?}");
    site.happens("instance", "amcdemous01", "blocked", "active").await;
    let webhook = eventually_some("it is disabled", async || {
        let webhook = webhooks::by_id(site.db.pool(), id).await.expect("read").expect("there");
        webhook.why.is_some().then_some(webhook)
    })
    .await;
    assert!(webhook.why.is_some_and(|why| why.contains("410")));
    site.happens("user", "ada", "active", "needs_reauth").await;
    site.idle().await;
    assert_eq!(receiver.came().len(), 2);
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slack_webhook_without_its_address_is_to_be_added_anew_and_is_told_nothing_more() {
    let site = site().await;
    let (receiver, url) = Receiver::start(&[]).await;
    let id = site.webhook(&url, WebhookFormat::Slack, &["needs_reauth"]).await;
    // As it was kept when addresses were kept in clear.
    let secret = site.tools.seal(&SecretString::from(SECRET));
    sqlx::query("update webhooks set secret_encrypted = $1")
        .bind(secret)
        .execute(site.db.pool())
        .await
        .expect("the store answers");
    let working = site.work();
    site.happens("user", "ada", "active", "needs_reauth").await;
    site.delivery_is("failed").await;
    let webhook = webhooks::by_id(site.db.pool(), id).await.expect("read").expect("there");
    assert_eq!(webhook.why.as_deref(), Some(webhooks::MOVED));
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let because = Because { by: "ada", why: None };
    let enabled = register::webhooks::enable(&mut connection, id, &because).await;
    assert!(enabled.expect_err("refused").to_string().contains("add it anew"));

    // Noted while somebody disabled it.
    sqlx::query(
        "update webhook_deliveries set state = 'pending', ended_at = null, at = engine.now()",
    )
    .execute(site.db.pool())
    .await
    .expect("the store answers");
    site.tell().await;
    site.delivery_is("dropped").await;
    working.stop().await;
    assert_eq!(receiver.came().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_sent_into_our_own_network_and_nobody_is_tried_for_ever() {
    let site = Site::new(quick()).await;
    let (receiver, url) = Receiver::start(&[]).await;
    let named = url.replace("127.0.0.1", "localhost").replace("http:", "https:");
    let id = site.webhook(&named, WebhookFormat::Standard, &["run_failed"]).await;
    let working = site.work();
    site.happens("schedule_run", "r1", "running", "failed").await;
    eventually("it is given up", async || {
        site.skip_pauses("deliver_webhook").await;
        site.text("select state::text from webhook_deliveries").await == "failed"
    })
    .await;
    assert_eq!(receiver.came().len(), 0);
    let log = webhooks::log(site.db.pool(), id, 99).await.expect("a log");
    assert_eq!(log.len(), 10, "every pause was used once");
    let said = log[0].error.clone().unwrap_or_default();
    assert!(said.contains("not a public address"), "{said}");
    working.stop().await;
}

#[tokio::test]
async fn every_event_that_can_be_wanted_is_one_that_the_database_tells() {
    let site = Site::new(quick()).await;
    let changes = [
        ("schedule", "active", "auto_paused", "auto_paused"),
        ("collection", "running", "paused", "auto_paused"),
        ("schedule", "auto_paused", "active", "resumed"),
        ("collection", "paused", "running", "resumed"),
        ("instance", "blocked", "active", "resumed"),
        ("resource", "active", "auto_paused", "auto_paused"),
        ("resource", "auto_paused", "active", "resumed"),
        ("collection", "running", "completed", "collection_finished"),
        ("collection", "running", "completed_with_errors", "collection_finished"),
        ("collection", "running", "failed", "collection_failed"),
        ("user", "active", "client_invalid", "needs_reauth"),
        ("schedule_run", "running", "failed", "run_failed"),
        ("instance", "active", "blocked", "instance_blocked"),
        ("execution", "submit_unknown", "stuck", "stuck"),
    ];
    for (entity, from, to, event) in changes {
        let told: Option<String> = sqlx::query_scalar("select webhook_event($1, $2, $3, 'engine')")
            .bind(entity)
            .bind(from)
            .bind(to)
            .fetch_one(site.db.pool())
            .await
            .expect("told");
        assert_eq!(told.as_deref(), Some(event), "{entity} {from} {to}");
        assert!(message::EVENTS.contains(&event));
    }
    for event in message::EVENTS {
        assert!(changes.iter().any(|(_, _, _, told)| *told == event), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_may_want_that_only_some_of_its_events_are_told() {
    let site = site().await;
    let (_, url) = Receiver::start(&[]).await;
    site.webhook(&url, WebhookFormat::Standard, &["auto_paused", "resumed"]).await;
    sqlx::query(
        "insert into workflow_schedules (schedule_id, name, workflow_id, user_id, schedule_type,
            cron_expression, timezone, settled_until, next_run_at, notification_config)
        select one.name, one.name, workflow.id, workflow.user_id, 'cron', '0 2 * * *', 'UTC', engine.now(),
            engine.now(), config::jsonb
        from workflows as workflow,
            (values ('quiet', '{\"events\": [\"resumed\"]}'), ('plain', null)) as one (name, config)",
    )
    .execute(site.db.pool())
    .await
    .expect("added");
    for schedule in ["quiet", "plain"] {
        site.happens("schedule", schedule, "active", "auto_paused").await;
        site.happens("schedule", schedule, "auto_paused", "active").await;
    }
    let told = "select string_agg(data ->> 'entity_id' || ' ' || event, ', ' order by (data ->> 'event_id')::bigint)
        from webhook_deliveries";
    assert_eq!(site.text(told).await, "quiet resumed, plain auto_paused, plain resumed");
}
