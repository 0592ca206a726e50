//! Reads the fields of a JSON body one by one, so that an error names the one that is wrong.

use super::error::Problem;
use crate::given;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// The longest value that an error repeats, in bytes.
const SHOWN_MAX: usize = 64;

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
    /// browsers from sending a form here without asking first. A body without anything in it has no
    /// fields, whatever is said of it; but not from a browser that another site has told to send it.
    pub fn from_request(
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Self, Problem> {
        let is_empty = body.as_ref().is_ok_and(Bytes::is_empty);
        let is_foreign = headers.contains_key(header::ORIGIN);
        if !says_json(headers) && (!is_empty || is_foreign) {
            return Err(Problem::not_json());
        }
        if is_empty {
            return Ok(Self { map: Map::new(), place: String::new(), known: Vec::new() });
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
        self.optional(name, must_be)?.ok_or_else(|| self.missing(name, must_be))
    }

    /// A field that is read twice, as text and as its absence, is one field.
    fn know(&mut self, name: &'static str) {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
    }

    /// A text that may be missing or null. `read` tells what is wrong with it as a phrase that follows
    /// the field's name, with the remedy after a colon.
    pub fn text<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.optional::<String>(name, "text")? else { return Ok(None) };
        read(&text).map(Some).map_err(|wrong| {
            let (what, remedy) = wrong.split_once(": ").unwrap_or((&wrong, ""));
            let place = self.name(name);
            let detail = match shown(&text) {
                Some(shown) => format!("{place} {shown:?} {what}"),
                None => format!("{place} {what}"),
            };
            Problem::invalid(&place, detail).with_remedy(remedy)
        })
    }

    /// A text of a form that must be there.
    pub fn required_text<T>(
        &mut self,
        name: &'static str,
        must_be: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Problem> {
        self.text(name, read)?.ok_or_else(|| self.missing(name, must_be))
    }

    /// A text that may be missing or null, and may be a secret: `read` tells what is wrong with it in a
    /// whole sentence, the remedy after a colon, and nothing but that sentence repeats it.
    pub fn told<T, E: Display>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.optional::<String>(name, "text")? else { return Ok(None) };
        read(&text).map(Some).map_err(|wrong| {
            let sentence = wrong.to_string();
            let (detail, remedy) = sentence.rsplit_once(": ").unwrap_or((&sentence, ""));
            Problem::invalid(self.name(name), detail).with_remedy(remedy)
        })
    }

    /// The same, and it must be there.
    pub fn required_told<T, E: Display>(
        &mut self,
        name: &'static str,
        must_be: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Problem> {
        self.told(name, read)?.ok_or_else(|| self.missing(name, must_be))
    }

    /// Who asks: `by`, or the API when it does not say.
    pub fn who(&mut self) -> Result<String, Problem> {
        Ok(self.text("by", given::name)?.unwrap_or_else(|| "api".to_owned()))
    }

    /// Why: `why`, which must be there.
    pub fn why(&mut self) -> Result<String, Problem> {
        self.required_text("why", "the reason, as text", given::reason)
    }

    /// A whole number between two others, both included, that may be missing or null.
    pub fn number<T>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<T>,
    ) -> Result<Option<T>, Problem>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_i64().and_then(|number| T::try_from(number).ok());
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Ok(Some(number));
        }
        let (place, must_be) = (self.name(name), must_be(&range));
        let detail = match shown(&value.to_string()) {
            Some(shown) => format!("{place} is {shown}, which is not {must_be}"),
            None => format!("{place} is not {must_be}"),
        };
        Err(Problem::invalid(&place, detail).with_remedy(format!("give {must_be}")))
    }

    /// A whole number between two others that must be there.
    pub fn required_number<T>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<T>,
    ) -> Result<T, Problem>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let must_be = must_be(&range);
        self.number(name, range)?.ok_or_else(|| self.missing(name, &must_be))
    }

    /// Whether a field is there and null. Then it is read.
    pub fn is_null(&mut self, name: &'static str) -> bool {
        self.know(name);
        self.map.get(name).is_some_and(Value::is_null) && self.map.remove(name).is_some()
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
            .with_remedy(format!("give only {}", self.known())))
    }

    /// The names of all that was asked for so far.
    pub fn known(&self) -> String {
        self.known.join(", ")
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.know(name);
        self.map.remove(name).filter(|value| !value.is_null())
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.place)
    }

    fn missing(&self, name: &str, must_be: &str) -> Problem {
        let place = self.name(name);
        Problem::invalid(&place, format!("{place} is missing"))
            .with_remedy(format!("give {must_be}"))
    }

    fn wrong(&self, name: &str, must_be: &str) -> Problem {
        let place = self.name(name);
        Problem::invalid(&place, format!("{place} is not {must_be}"))
            .with_remedy(format!("give {must_be}"))
    }
}

fn must_be<T: Display>(range: &RangeInclusive<T>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

/// What was given, if it is short enough to be repeated.
fn shown(text: &str) -> Option<&str> {
    (text.len() <= SHOWN_MAX).then_some(text)
}

fn says_json(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
    let media = media.and_then(|media| media.split(';').next()).unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json")
}
