//! Checks requests and answers against `tests/data/amc-contract.json`.
//!
//! The contract names, for each operation, the parameters of its query, the type of its request and
//! the type of its answer by status. A type is a text:
//!
//! | text | means |
//! |---|---|
//! | `string`, `integer`, `boolean`, `any` | as in JSON; `scalar` is a text, a number, a boolean or a list of them |
//! | `local_time` | `yyyy-MM-dd'T'HH:mm:ss` without any zone |
//! | `utc_time`, `utc_time_millis` | the same with a `Z`; with milliseconds too |
//! | `page_size` | a number from 1 to 100 |
//! | `T?`, `[T]`, `[T;9]`, `{T}` | `T` or null, a list, a list of at most nine, a map |
//! | a name | an object, an enum or a choice under `types` |

use recomamp::simulator::Exchange;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Checks what a client sends. `path` may carry a query.
pub fn check_request(method: &str, path: &str, body: Option<&Value>) -> Result<(), Vec<String>> {
    let mut check = Check::default();
    if let Some(operation) = check.operation(method, path) {
        check.query(operation, path);
        match (&operation.request, body) {
            (Some(kind), Some(body)) => check.value(kind, body, &operation.name),
            (Some(_), None) => check.complain(&operation.name, "a body is missing"),
            (None, Some(_)) => check.complain(&operation.name, "no body is wanted"),
            (None, None) => {}
        }
    }
    check.done()
}

/// Checks what a server answers.
pub fn check_response(
    method: &str,
    path: &str,
    status: u16,
    body: Option<&Value>,
) -> Result<(), Vec<String>> {
    let mut check = Check::default();
    if let Some(operation) = check.operation(method, path) {
        let place = format!("{} {status}", operation.name);
        match (operation.responses.get(&status.to_string()), body) {
            (Some(kind), Some(body)) => check.value(kind, body, &place),
            (Some(_), None) => check.complain(&place, "a JSON body is missing"),
            (None, _) => check.complain(&place, "this status is not in the contract"),
        }
    }
    check.done()
}

/// Checks both directions of what the simulator recorded. Downloads have no contract, an answer
/// that met a fault need not keep it.
pub fn check_exchange(exchange: &Exchange) -> Result<(), Vec<String>> {
    if exchange.path.starts_with("/storage/") {
        return Ok(());
    }
    let path = exchange.path.as_str();
    check_request(&exchange.method, path, exchange.request.as_ref())?;
    match exchange.status {
        Some(status) if exchange.fault.is_none() => {
            check_response(&exchange.method, path, status, exchange.response.as_ref())
        }
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
struct Contract {
    operations: Vec<Operation>,
    types: BTreeMap<String, Type>,
}

#[derive(Deserialize)]
struct Operation {
    name: String,
    method: String,
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    request: Option<String>,
    responses: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Type {
    Object(Object),
    Enum {
        #[serde(rename = "enum")]
        words: Vec<String>,
        #[serde(default)]
        observed: Vec<String>,
    },
    Choice {
        one_of: Vec<String>,
    },
}

#[derive(Deserialize)]
struct Object {
    required: Vec<String>,
    fields: BTreeMap<String, String>,
    #[serde(default)]
    observed: BTreeMap<String, String>,
}

fn contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        serde_json::from_str(include_str!("../data/amc-contract.json")).expect("a valid contract")
    })
}

#[derive(Default)]
struct Check {
    complaints: Vec<String>,
}

impl Check {
    fn done(self) -> Result<(), Vec<String>> {
        if self.complaints.is_empty() { Ok(()) } else { Err(self.complaints) }
    }

    fn complain(&mut self, place: &str, complaint: &str) {
        self.complaints.push(format!("{place}: {complaint}"));
    }

    fn operation(&mut self, method: &str, path: &str) -> Option<&'static Operation> {
        let path = path.split('?').next().unwrap_or_default();
        let fits = |one: &&Operation| one.method == method && path_fits(&one.path, path);
        let operation = contract().operations.iter().find(fits);
        if operation.is_none() {
            self.complain(&format!("{method} {path}"), "not in the contract");
        }
        operation
    }

    fn query(&mut self, operation: &Operation, path: &str) {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
            let place = format!("{}?{name}", operation.name);
            let Some(kind) = operation.query.get(name.as_ref()) else {
                self.complain(&place, "not in the contract");
                continue;
            };
            let value = match kind.as_str() {
                "boolean" => text.parse().map(Value::Bool).ok(),
                _ => Some(Value::String(text.into_owned())),
            };
            self.value(kind, &value.unwrap_or_default(), &place);
        }
    }

    fn value(&mut self, kind: &str, value: &Value, place: &str) {
        if let Some(kind) = kind.strip_suffix('?') {
            if !value.is_null() {
                self.value(kind, value, place);
            }
        } else if let Some(kind) = between(kind, '[', ']') {
            self.list(kind, value, place);
        } else if let Some(kind) = between(kind, '{', '}') {
            match value {
                Value::Object(map) => {
                    for (key, value) in map {
                        self.value(kind, value, &format!("{place}.{key}"));
                    }
                }
                _ => self.complain(place, "is no object"),
            }
        } else if let Some(named) = contract().types.get(kind) {
            self.named(named, value, place);
        } else if !is_basic(kind, value) {
            self.complain(place, &format!("{value} is no {kind}"));
        }
    }

    fn list(&mut self, kind: &str, value: &Value, place: &str) {
        let (kind, most) = kind.split_once(';').unwrap_or((kind, ""));
        let Value::Array(items) = value else { return self.complain(place, "is no list") };
        if most.parse().is_ok_and(|most: usize| items.len() > most) {
            self.complain(place, &format!("{} entries, at most {most}", items.len()));
        }
        for (index, item) in items.iter().enumerate() {
            self.value(kind, item, &format!("{place}[{index}]"));
        }
    }

    fn named(&mut self, named: &Type, value: &Value, place: &str) {
        match named {
            Type::Object(object) => match value {
                Value::Object(map) => self.object(object, map, place),
                _ => self.complain(place, "is no object"),
            },
            Type::Enum { words, observed } => {
                let is = |word: &String| value.as_str() == Some(word);
                if !words.iter().chain(observed).any(is) {
                    self.complain(place, &format!("{value} is none of {}", words.join(", ")));
                }
            }
            Type::Choice { one_of } => {
                let mut complaints = Vec::new();
                for kind in one_of {
                    let mut check = Self::default();
                    check.value(kind, value, place);
                    if check.complaints.is_empty() {
                        return;
                    }
                    complaints.push(format!("no {kind} ({})", check.complaints.join("; ")));
                }
                self.complain(place, &complaints.join(", "));
            }
        }
    }

    fn object(&mut self, object: &Object, map: &Map<String, Value>, place: &str) {
        for name in object.required.iter().filter(|name| !map.contains_key(*name)) {
            self.complain(place, &format!("{name} is missing"));
        }
        for (name, value) in map {
            match object.fields.get(name).or_else(|| object.observed.get(name)) {
                Some(kind) => self.value(kind, value, &format!("{place}.{name}")),
                None => self.complain(place, &format!("{name} is not in the contract")),
            }
        }
    }
}

fn path_fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == other => {}
            (Some(one), Some(other)) if one.starts_with('{') && !other.is_empty() => {}
            _ => return false,
        }
    }
}

fn between(text: &str, open: char, close: char) -> Option<&str> {
    text.strip_prefix(open)?.strip_suffix(close)
}

fn is_basic(kind: &str, value: &Value) -> bool {
    let is_time = |format: &str| {
        let time = value.as_str().map(|text| chrono::NaiveDateTime::parse_from_str(text, format));
        time.is_some_and(|time| time.is_ok())
    };
    match kind {
        "any" => true,
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "scalar" => match value {
            Value::Array(items) => items.iter().all(|item| is_basic("scalar", item)),
            value => value.is_string() || value.is_number() || value.is_boolean(),
        },
        "page_size" => {
            let size = value.as_str().and_then(|text| text.parse().ok());
            size.is_some_and(|size: u32| (1..=100).contains(&size))
        }
        "local_time" => is_time("%Y-%m-%dT%H:%M:%S"),
        "utc_time" => is_time("%Y-%m-%dT%H:%M:%SZ"),
        "utc_time_millis" => is_time("%Y-%m-%dT%H:%M:%S%.3fZ"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const EXECUTIONS: &str = "/amc/reporting/amcx/workflowExecutions";

    fn complaints(checked: Result<(), Vec<String>>) -> String {
        checked.expect_err("complaints").join("\n")
    }

    #[test]
    fn every_type_that_the_contract_uses_is_defined() {
        let basic = [
            "any",
            "string",
            "integer",
            "boolean",
            "scalar",
            "page_size",
            "local_time",
            "utc_time",
            "utc_time_millis",
        ];
        let contract = contract();
        let fields = contract.types.values().flat_map(|kind| match kind {
            Type::Object(object) => {
                object.fields.values().chain(object.observed.values()).collect()
            }
            Type::Enum { .. } => Vec::new(),
            Type::Choice { one_of } => one_of.iter().collect(),
        });
        let operations = contract
            .operations
            .iter()
            .flat_map(|one| one.query.values().chain(one.responses.values()).chain(&one.request));
        for kind in fields.chain(operations) {
            let kind = kind.trim_matches(['[', ']', '{', '}', '?']);
            let kind = kind.split(';').next().unwrap_or_default();
            assert!(basic.contains(&kind) || contract.types.contains_key(kind), "{kind}");
        }
    }

    #[test]
    fn a_good_submit_passes_and_one_with_a_z_or_a_foreign_field_does_not() {
        let mut body = json!({"workflowId": "w", "timeWindowType": "EXPLICIT",
            "timeWindowStart": "2025-01-06T00:00:00", "timeWindowEnd": "2025-01-13T00:00:00",
            "timeWindowTimeZone": "UTC", "parameterValues": {"a": "1"}});
        assert_eq!(check_request("POST", EXECUTIONS, Some(&body)), Ok(()));
        body["timeWindowEnd"] = json!("2025-01-13T00:00:00Z");
        body["outputFormat"] = json!("CSV");
        let complaints = complaints(check_request("POST", EXECUTIONS, Some(&body)));
        assert!(complaints.contains("timeWindowEnd"), "{complaints}");
        assert!(complaints.contains("outputFormat is not in the contract"), "{complaints}");
    }

    #[test]
    fn both_shapes_of_an_execution_pass_and_a_status_nobody_knows_does_not() {
        let flat = json!({"workflowExecutionId": "1", "status": "REJECTED", "statusReason": "x"});
        let path = format!("{EXECUTIONS}/1");
        assert_eq!(check_response("GET", &path, 200, Some(&flat)), Ok(()));
        let wrapped = json!({"workflowExecution": flat});
        assert_eq!(check_response("GET", &path, 200, Some(&wrapped)), Ok(()));
        let odd = json!({"workflowExecutionId": "1", "status": "SUCCESS"});
        assert!(complaints(check_response("GET", &path, 200, Some(&odd))).contains("SUCCESS"));
    }

    #[test]
    fn the_query_the_path_and_the_status_are_checked_too() {
        let list = |query: &str| check_request("GET", &format!("{EXECUTIONS}?{query}"), None);
        assert_eq!(list("minCreationTime=2025-01-06T00%3A00%3A00&includeCancelled=true"), Ok(()));
        assert!(complaints(list("limit=500")).contains("limit"));
        assert!(complaints(list("includeCancelled=yes")).contains("includeCancelled"));
        assert!(complaints(list("status=RUNNING")).contains("not in the contract"));
        assert!(check_request("PATCH", EXECUTIONS, None).is_err());
        assert!(check_request("GET", EXECUTIONS, Some(&json!({}))).is_err());
        assert!(check_request("POST", EXECUTIONS, None).is_err());
        let error = json!({"code": "409", "details": "x"});
        assert!(check_response("POST", EXECUTIONS, 409, Some(&error)).is_err());
        assert!(check_response("POST", EXECUTIONS, 400, None).is_err());
    }

    #[test]
    fn lists_know_their_most_and_pages_may_end_in_null() {
        let page = |urls: usize| {
            let urls = vec!["http://x"; urls];
            let body = json!({"downloadUrls": urls, "nextToken": null});
            check_response("GET", &format!("{EXECUTIONS}/1/downloadUrls"), 200, Some(&body))
        };
        assert_eq!(page(5), Ok(()));
        assert!(complaints(page(6)).contains("at most 5"));
    }
}
