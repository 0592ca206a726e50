//! Reads the fields of a JSON body one by one, so that an error names the one that is wrong.

use super::error::Problem;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The fields of a body that have not been read yet.
#[derive(Debug)]
pub struct Fields {
    map: Map<String, Value>,
    /// Where the object stands in the body, with a dot at its end; empty at the top.
    place: String,
    known: Vec<&'static str>,
}

impl Fields {
    /// Those of the body of a request, if it says that it is JSON. Besides its use, the header keeps
    /// browsers from sending a form here without asking first.
    pub fn from_request(
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Self, Problem> {
        if !says_json(headers) {
            return Err(Problem::not_json());
        }
        let body = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("the body is longer than 1 MiB"),
            _ => Problem::unreadable("the body broke off"),
        })?;
        Self::of(&body)
    }

    /// Those of a whole body.
    fn of(body: &[u8]) -> Result<Self, Problem> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Problem::unreadable(format!("the body is not JSON: {error}")))?;
        // JSON can say it, Postgres cannot keep it.
        if value.to_string().contains("\\u0000") {
            return Err(Problem::unreadable(
                "the body has a NUL character in a text: leave it out",
            ));
        }
        Self::at(String::new(), value)
            .ok_or_else(|| Problem::unreadable("the body is not a JSON object"))
    }

    fn at(place: String, value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(Self { map, place, known: Vec::new() }),
            _ => None,
        }
    }

    /// A field that may be missing or null.
    pub fn optional<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        must_be: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        serde_json::from_value(value).map(Some).map_err(|_| self.wrong(name, must_be))
    }

    /// A field that must be there.
    pub fn required<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        must_be: &str,
    ) -> Result<T, Problem> {
        let field = self.optional(name, must_be)?;
        field.ok_or_else(|| {
            let place = self.name(name);
            Problem::invalid(&place, format!("{place} is missing"))
                .with_remedy(format!("give {must_be}"))
        })
    }

    /// A field that has fields itself, and may be missing or null.
    pub fn object(&mut self, name: &'static str) -> Result<Option<Self>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let inner = Self::at(format!("{}.", self.name(name)), value);
        inner.map(Some).ok_or_else(|| self.wrong(name, "an object"))
    }

    /// Ends the reading: a field that nobody asked for is most likely misspelt.
    pub fn end(self) -> Result<(), Problem> {
        let Some((stranger, _)) = self.map.iter().next() else { return Ok(()) };
        let place = format!("{}{stranger}", self.place);
        Err(Problem::invalid(&place, format!("{place} is not a field"))
            .with_remedy(format!("give only {}", self.known.join(", "))))
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.map.remove(name).filter(|value| !value.is_null())
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.place)
    }

    fn wrong(&self, name: &str, must_be: &str) -> Problem {
        let place = self.name(name);
        Problem::invalid(&place, format!("{place} is not {must_be}"))
            .with_remedy(format!("give {must_be}"))
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
    let media = media.and_then(|media| media.split(';').next()).unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json")
}
