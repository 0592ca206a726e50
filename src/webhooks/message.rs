//! What a webhook is told, in words and in JSON.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// No message is longer, in bytes.
pub const LONGEST: usize = 20 * 1024;
/// A reason is told on up to this length when the message is too long, in characters.
const REASON: usize = 1000;

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
    let word = |name: &str| data.get(name).and_then(Value::as_str);
    let what = match (word("entity"), word("entity_id")) {
        (Some(entity), Some(id)) => format!(": {} {id}", entity.replace('_', " ")),
        _ => String::new(),
    };
    let why = word("reason").map(|reason| format!(" – {}", beginning(reason))).unwrap_or_default();
    let text = format!("*{}*{what}{why}", event.replace('_', " "));
    // Slack's own signs (docs.slack.dev, "Formatting text for app surfaces").
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({"text": text}).to_string()
}

/// What names the thing, without what else is worth knowing.
fn shortened(data: &Value) -> Value {
    let mut short = data.clone();
    if let Some(fields) = short.as_object_mut() {
        fields.remove("detail");
        for value in fields.values_mut() {
            if let Some(text) = value.as_str() {
                *value = beginning(text).into();
            }
        }
    }
    short
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
        let long =
            json!({"entity_id": "e", "reason": "ä".repeat(9_000), "detail": "x".repeat(30_000)});
        let body = standard("run_failed", at, &long);
        assert!(body.len() <= LONGEST, "{}", body.len());
        assert!(
            serde_json::from_str::<Value>(&body).is_ok_and(|body| body["data"]["entity_id"] == "e")
        );
    }

    #[test]
    fn slack_reads_one_line_and_no_markup_of_others() {
        let data =
            json!({"entity": "schedule_run", "entity_id": "r1", "reason": "<!channel> & co"});
        let text = r#"{"text":"*run failed*: schedule run r1 – &lt;!channel&gt; &amp; co"}"#;
        assert_eq!(slack("run_failed", &data), text);
    }
}
