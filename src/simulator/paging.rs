//! Pages: at most a hundred entries, and an opaque token for the rest.

use super::answer::Answer;
use super::call::Call;
use serde_json::{Map, Value};

/// Answers one page of a list that stays in its order.
pub(crate) fn page(call: &Call, name: &str, all: Vec<Value>) -> Result<Answer, Answer> {
    let start = resume(call)?.unwrap_or(0);
    let (limit, len) = (call.limit()?, all.len());
    let page: Vec<Value> = all.into_iter().skip(start).take(limit).collect();
    let end = start + page.len();
    Ok(answer(name, page, (end < len).then_some(end)))
}

/// Answers these entries; a last page has no token at all.
pub(crate) fn answer(name: &str, page: Vec<Value>, next: Option<usize>) -> Answer {
    let mut body = Map::from_iter([(name.to_owned(), Value::Array(page))]);
    if let Some(next) = next {
        body.insert("nextToken".to_owned(), Value::String(hex::encode(format!("next:{next}"))));
    }
    Answer::ok(Value::Object(body))
}

/// Where the token in the query says to go on.
pub(crate) fn resume(call: &Call) -> Result<Option<usize>, Answer> {
    let Some(token) = call.query("nextToken") else { return Ok(None) };
    let place = hex::decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix("next:")?.parse().ok());
    match place {
        Some(place) => Ok(Some(place)),
        None => Err(Answer::error(400, "Invalid nextToken.")),
    }
}
