//! What a version of a workflow says about its parameters.
//!
//! A declaration is written in our words, or as AMC takes it; both may stand in one list:
//!
//! ```json
//! [{"name": "asins", "type": "asin_list", "max_items": 500, "description": "the products"},
//!  {"name": "min_spend", "type": "number", "min": 0, "default": 10},
//!  {"name": "brand", "dataType": "STRING", "defaultValue": "Acme"}]
//! ```
//!
//! The list is kept as it was written, with the query and under the same sum, so it never changes.

use super::kind::Kind;
use super::{Invalid, window};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// AMC takes no more.
const PARAMETERS_MAX: usize = 100;
const NAME_MAX: usize = 64;

/// One declared parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// Its name in the query.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// Whether a request has to give a value. With a default it never has to.
    pub required: bool,
    /// What counts when no value is given, in its one form.
    pub default: Option<Value>,
    /// The least number.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
    /// The most items of a list.
    pub max_items: usize,
    /// The values there may be; empty for all.
    pub allowed: Vec<Value>,
    data_type: Value,
    column_type: Option<String>,
    description: Option<String>,
}

/// A declaration as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "dataType")]
    data_type: Option<Value>,
    #[serde(rename = "columnType")]
    column_type: Option<String>,
    required: Option<bool>,
    #[serde(alias = "defaultValue", alias = "default_value")]
    default: Option<Value>,
    min: Option<f64>,
    max: Option<f64>,
    max_items: Option<usize>,
    allowed: Option<Vec<Value>>,
    description: Option<String>,
    #[serde(rename = "displayName", alias = "display_name")]
    _display_name: Option<String>,
}

/// Reads a list of declarations.
pub fn parse(list: &Value) -> Result<Vec<Declaration>, Invalid> {
    let Some(list) = list.as_array() else {
        return Err(Invalid {
            parameter: None,
            what: "the declarations are not a list".to_owned(),
            remedy: r#"write one such as [{"name":"brand","type":"string"}]"#.to_owned(),
        });
    };
    if list.len() > PARAMETERS_MAX {
        return Err(Invalid {
            parameter: None,
            what: format!("{} parameters are declared", list.len()),
            remedy: format!("declare at most {PARAMETERS_MAX}"),
        });
    }
    let declared: Vec<_> = list.iter().map(read).collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    for one in &declared {
        for name in one.places() {
            if !names.insert(name.clone()) {
                return Err(Invalid::of(&name, "is declared twice", "give each its own name"));
            }
        }
    }
    Ok(declared)
}

fn read(value: &Value) -> Result<Declaration, Invalid> {
    let written: Written = serde_json::from_value(value.clone()).map_err(|error| {
        let name = value.get("name").and_then(Value::as_str).unwrap_or("without a name");
        let remedy = "write name, type and, if wanted, required, default, min, max, max_items, \
            allowed and description";
        Invalid::of(name, format!("cannot be understood ({error})"), remedy)
    })?;
    let name = written.name.as_str();
    let wrong = |what: &str, remedy: &str| Err(Invalid::of(name, what, remedy));
    if !is_name(name) {
        let remedy = "begin with a letter, go on with letters, digits, _, - or ., 64 at most";
        return wrong("has a name that cannot stand in a query", remedy);
    }
    let (kind, data_type) = match (&written.kind, &written.data_type) {
        (Some(word), None) => {
            let Some(kind) = Kind::named(word) else {
                let remedy = Kind::instead_of(word).map(str::to_owned);
                let remedy = remedy.unwrap_or_else(|| format!("give one of {}", Kind::WORDS));
                return wrong(&format!("has the unknown type {word:?}"), &remedy);
            };
            (kind, kind.data_type())
        }
        (None, Some(data_type)) => (Kind::of_data_type(data_type), data_type.clone()),
        _ => return wrong("has both or none of type and dataType", "give one of them"),
    };
    if !kind.is_number() && (written.min.is_some() || written.max.is_some()) {
        return wrong("has bounds and is no number", "take min and max away");
    }
    let allowed = written.allowed.unwrap_or_default();
    if kind == Kind::Enum && allowed.is_empty() {
        return wrong("is an enum without values", "name them in allowed");
    }
    let hundred = (kind == Kind::Percentage).then_some(100.0);
    let mut declaration = Declaration {
        required: written.required.unwrap_or(true) && written.default.is_none(),
        default: None,
        min: written.min.or(hundred.map(|_| 0.0)),
        max: written.max.or(hundred),
        max_items: written.max_items.unwrap_or(super::kind::ITEMS_MAX),
        allowed: Vec::new(),
        column_type: written.column_type,
        description: written.description,
        kind,
        data_type,
        name: written.name.clone(),
    };
    if let Some((min, max)) = declaration.min.zip(declaration.max).filter(|(min, max)| min > max) {
        let what = format!("has a min of {min}, which is more than its max of {max}");
        return wrong(&what, "exchange them, or take one away");
    }
    let element = if kind.is_list() { Kind::String } else { kind };
    for value in &allowed {
        let read = element.read(value);
        let (what, remedy) = match read {
            Ok(value) => {
                declaration.allowed.push(value);
                continue;
            }
            Err(unfit) => unfit,
        };
        return wrong(&format!("allows {value}, which {what}"), &remedy);
    }
    if let Some(default) = written.default.filter(|default| !default.is_null()) {
        let checked = declaration.checked(&default);
        let checked = checked.map_err(|wrong| Invalid {
            what: format!("has a default that {}", wrong.what),
            ..wrong
        })?;
        declaration.default = Some(checked);
    }
    Ok(declaration)
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| letter(c) || c.is_ascii_digit() || c == '-' || c == '.';
    name.len() <= NAME_MAX && name.starts_with(letter) && name.chars().all(rest)
}

impl Declaration {
    /// The names under which it stands in a query.
    pub fn places(&self) -> Vec<String> {
        match self.kind {
            Kind::DateRange => vec![format!("{}_start", self.name), format!("{}_end", self.name)],
            _ => vec![self.name.clone()],
        }
    }

    /// The declaration of one of its places, as AMC takes it.
    pub fn as_amc_takes_it(&self, place: &str) -> Value {
        let mut amc = Map::new();
        amc.insert("name".to_owned(), json!(place));
        amc.insert("dataType".to_owned(), self.data_type.clone());
        if let Some(column_type) = &self.column_type {
            amc.insert("columnType".to_owned(), json!(column_type));
        }
        if let Some(default) = self.default.as_ref().and_then(|value| self.at(place, value)) {
            amc.insert("defaultValue".to_owned(), default);
        }
        if let Some(description) = &self.description {
            amc.insert("description".to_owned(), json!(description));
        }
        Value::Object(amc)
    }

    /// What of a value stands at one of its places.
    pub fn at(&self, place: &str, value: &Value) -> Option<Value> {
        match self.kind {
            Kind::DateRange if place.ends_with("_start") => value.get("start").cloned(),
            Kind::DateRange => value.get("end").cloned(),
            _ => Some(value.clone()),
        }
    }
}

/// The declaration that has a place of this name.
pub fn find<'a>(declared: &'a [Declaration], place: &str) -> Option<&'a Declaration> {
    declared.iter().find(|one| match one.kind {
        Kind::DateRange => one.places().iter().any(|name| name == place),
        _ => one.name == place,
    })
}

/// A day of the window, as AMC takes its declaration.
pub fn window_day(place: &str) -> Option<Value> {
    window::is_day(place).then(|| json!({"name": place, "dataType": Kind::Date.data_type()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_words_and_amcs_may_stand_in_one_list() {
        let list = json!([
            {"name": "asins", "type": "asin_list", "max_items": 2},
            {"name": "spend", "type": "percentage", "default": "12.5", "description": "d"},
            {"name": "brand", "dataType": "STRING", "columnType": "DIMENSION", "defaultValue": "Acme"},
        ]);
        let declared = parse(&list).unwrap();
        assert_eq!(declared[0].max_items, 2);
        assert_eq!((declared[1].min, declared[1].max), (Some(0.0), Some(100.0)));
        assert!(declared[0].required && !declared[1].required);
        let amc: Vec<_> = declared.iter().map(|one| one.as_amc_takes_it(&one.name)).collect();
        assert_eq!(
            json!(amc),
            json!([
                {"name": "asins", "dataType": {"type": "ARRAY", "elementDataType": "STRING"}},
                {"name": "spend", "dataType": "DOUBLE", "defaultValue": 12.5, "description": "d"},
                {"name": "brand", "dataType": "STRING", "columnType": "DIMENSION", "defaultValue": "Acme"},
            ])
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name_and_with_a_remedy() {
        for (list, name, says) in [
            (json!([{"name": "a b", "type": "string"}]), "a b", "name"),
            (json!([{"name": "a", "type": "strin"}]), "a", "unknown type"),
            (json!([{"name": "a", "type": "string", "requird": true}]), "a", "requird"),
            (json!([{"name": "a"}]), "a", "both or none"),
            (json!([{"name": "a", "type": "string", "min": 1}]), "a", "bounds"),
            (json!([{"name": "a", "type": "enum"}]), "a", "enum without values"),
            (json!([{"name": "a", "type": "number", "min": 9, "max": 5}]), "a", "min of 9"),
            (json!([{"name": "a", "type": "percentage", "min": 101}]), "a", "max of 100"),
            (json!([{"name": "a", "type": "number", "max": 5, "default": 6}]), "a", "default"),
            (
                json!([{"name": "a", "type": "enum", "allowed": ["x"], "default": "y"}]),
                "a",
                "default",
            ),
            (
                json!([{"name": "p", "type": "date_range"}, {"name": "p_end", "type": "date"}]),
                "p_end",
                "twice",
            ),
        ] {
            let wrong = parse(&list).expect_err(&list.to_string());
            assert_eq!(wrong.parameter.as_deref(), Some(name), "{wrong}");
            assert!(wrong.what.contains(says) && !wrong.remedy.is_empty(), "{wrong}");
        }
        assert!(parse(&json!({})).is_err());
    }
}
