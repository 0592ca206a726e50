//! Reading AMC's JSON: strict about what a decision hangs on, lenient about everything else.

use super::said::clean;
use super::window::moment_from_wire;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// An object whose fields have not been looked into yet, so that each keeps its own text.
pub(super) type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The text of an answer that is one object.
pub(super) fn fields(text: &str) -> Result<Fields<'_>, String> {
    serde_json::from_str(text).map_err(|error| not_json(text, &error))
}

/// A single object, wrapped as in Amazon's `OpenAPI` file (`{"workflow": {…}}`) or flat as in its guide.
pub(super) fn unwrapped<'a>(text: &'a str, wrapper: &str) -> Result<&'a str, String> {
    Ok(match fields(text)?.get(wrapper) {
        Some(inner) => inner.get(),
        None => text,
    })
}

fn not_json(text: &str, error: &serde_json::Error) -> String {
    if text.trim().is_empty() {
        return "the answer is empty".to_owned();
    }
    // Serde's own sentence may quote the answer; where and what kind is enough.
    format!(
        "the answer is not the JSON object expected ({:?} error at column {})",
        error.classify(),
        error.column()
    )
}

/// A field that must not spoil the rest: anything of another type reads as if it were missing.
pub(super) fn lenient<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(serde_json::from_value(Value::deserialize(from)?).unwrap_or_default())
}

/// A text that must not spoil the rest; free of zero bytes, which no database column takes.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = lenient(from)?;
    Ok(text.map(|text| clean(&text, &[])))
}

/// A moment that must not spoil the rest.
pub(super) fn moment<'de, D>(from: D) -> Result<Option<DateTime<Utc>>, D::Error>
where
    D: Deserializer<'de>,
{
    let text: Option<String> = lenient(from)?;
    Ok(text.as_deref().and_then(moment_from_wire))
}

/// The text of a field that may be a word or something longer; `None` when there is none.
pub(super) fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(word) => Some(clean(word, &[])),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_a_single_object_are_the_same() {
        let flat = r#"{"workflowId":"w"}"#;
        let wrapped = format!(r#"{{"workflow":{flat},"new":1}}"#);
        assert_eq!(unwrapped(flat, "workflow"), Ok(flat));
        assert_eq!(unwrapped(&wrapped, "workflow"), Ok(flat));
    }

    #[test]
    fn what_is_not_json_is_named_without_being_quoted() {
        assert_eq!(fields(" ").unwrap_err(), "the answer is empty");
        for text in ["<html>secret</html>", "\"secret\"", "[\"secret\"]", "{\"a\":\"secret"] {
            let error = fields(text).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
