//! What a webhook is told, in words and in JSON.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// No message is longer, in bytes.
pub const LONGEST: usize = 20 * 1024;
/// A reason is told on up to this length when the message is too long, in characters.
const REASON: usize = 1000;
/// What an event's details say of who or what it happened to.
const NAMES: [&str; 2] = ["schedule", "email"];

/// The events that a webhook can be told of; `test` is told when a person asks for it.
pub const EVENTS: [&str; 8] = [
    "auto_paused",
    "resumed",
    "collection_finished",
    "collection_failed",
    "needs_reauth",
    "run_failed",
    "instance_blocked",
    "stuck",
];

/// The JSON of an event: its type, when it happened, and what.
pub fn standard(event: &str, at: DateTime<Utc>, data: &Value) -> String {
    let timestamp = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let write =
        |data: &Value| json!({"type": event, "timestamp": timestamp, "data": data}).to_string();
    let body = write(data);
    if body.len() <= LONGEST { body } else { write(&shortened(data)) }
}

/// One line for people, as Slack takes it.
pub fn slack(event: &str, data: &Value) -> String {
    let what = called(data).map(|what| format!(": {what}")).unwrap_or_default();
    let why =
        word(data, "reason").map(|reason| format!(" – {}", beginning(reason))).unwrap_or_default();
    let text = format!("*{}*{what}{why}", event.replace('_', " "));
    // Slack's own signs (docs.slack.dev, "Formatting text for app surfaces").
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({"text": text}).to_string()
}

/// What it happened to, as people call it: who knows a run or a user by what they are called inside?
fn called(data: &Value) -> Option<String> {
    let (entity, id) = (word(data, "entity")?, word(data, "entity_id")?);
    let detail = data.get("detail").unwrap_or(&Value::Null);
    let what = match (entity, word(detail, "schedule"), word(detail, "email")) {
        ("user", _, Some(email)) => return Some(format!("user {email}")),
        ("schedule_run", Some(schedule), _) => format!("schedule {schedule}, run {id}"),
        _ => format!("{} {id}", entity.replace('_', " ")),
    };
    let whose = word(detail, "email").map(|email| format!(" ({email})")).unwrap_or_default();
    Some(what + &whose)
}

fn word<'d>(data: &'d Value, name: &str) -> Option<&'d str> {
    data.get(name).and_then(Value::as_str)
}

/// What names the thing, without what else is worth knowing.
fn shortened(data: &Value) -> Value {
    let mut short = data.clone();
    if let Some(fields) = short.as_object_mut() {
        if let Some(Value::Object(detail)) = fields.get_mut("detail") {
            detail.retain(|name, value| NAMES.contains(&name.as_str()) && value.is_string());
            detail.values_mut().for_each(shorten);
        } else {
            fields.remove("detail");
        }
        for value in fields.values_mut() {
            shorten(value);
        }
    }
    short
}

fn shorten(value: &mut Value) {
    if let Some(text) = value.as_str() {
        *value = beginning(text).into();
    }
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(REASON) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_happened_and_never_becomes_too_long() {
        let at = "2026-01-31T08:00:00Z".parse().expect("a time");
        let data = json!({"entity": "schedule", "entity_id": "monday", "reason": "3 failed"});
        assert_eq!(
            standard("auto_paused", at, &data),
            r#"{"data":{"entity":"schedule","entity_id":"monday","reason":"3 failed"},"timestamp":"2026-01-31T08:00:00.000Z","type":"auto_paused"}"#
        );
        let names = json!({"schedule": "monday", "email": "ada@example.com"});
        let mut detail = names.clone();
        detail["response"] = "x".repeat(30_000).into();
        for (detail, left) in [(detail, names), ("x".repeat(30_000).into(), Value::Null)] {
            let long =
                json!({"entity_id": "e", "reason": "ä".repeat(9_000), "detail": detail.clone()});
            let body = standard("run_failed", at, &long);
            assert!(body.len() <= LONGEST, "{}", body.len());
            let body: Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!((&body["data"]["entity_id"], &body["data"]["detail"]), (&json!("e"), &left));
        }
    }

    #[test]
    fn slack_reads_one_line_and_no_markup_of_others() {
        let data =
            json!({"entity": "schedule_run", "entity_id": "r1", "reason": "<!channel> & co"});
        let text = r#"{"text":"*run failed*: schedule run r1 – &lt;!channel&gt; &amp; co"}"#;
        assert_eq!(slack("run_failed", &data), text);
    }

    #[test]
    fn slack_calls_things_as_people_do() {
        let said = |data: Value| slack("x", &data);
        let detail = json!({"schedule": "monday", "email": "ada@example.com"});
        assert_eq!(
            said(json!({"entity": "schedule_run", "entity_id": "r1", "detail": detail})),
            r#"{"text":"*x*: schedule monday, run r1 (ada@example.com)"}"#
        );
        let detail = json!({"email": "ada@example.com"});
        assert_eq!(
            said(json!({"entity": "user", "entity_id": "u1", "detail": detail})),
            r#"{"text":"*x*: user ada@example.com"}"#
        );
        assert_eq!(
            said(json!({"entity": "user", "entity_id": "u1", "detail": {"email": null}})),
            r#"{"text":"*x*: user u1"}"#
        );
    }
}
