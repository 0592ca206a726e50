//! Values against declarations: all that a request may give, and all that it must.

use super::Invalid;
use super::declare::{self, Declaration};
use super::fill::{self, Form};
use super::kind::{Kind, Unfit};
use super::window::{self, Days};
use serde_json::{Map, Value};

/// The values of a request, each in its one form and with the defaults that apply; or what is wrong
/// with the first that is.
///
/// `declared` is the list of a version, `given` an object with a value for each name; `form` is how the
/// query is to reach AMC.
pub fn check(sql: &str, declared: &Value, given: &Value, form: Form) -> Result<Value, Invalid> {
    let declared = declare::parse(declared)?;
    fill::covers(sql, &declared)?;
    let values = values(&declared, given)?;
    // What cannot be put into the query is refused now, and not when it is about to be sent.
    fill::fill(sql, &declared, &values, Days::any(), form)?;
    Ok(Value::Object(values))
}

/// The same without the defaults: for whoever runs later versions too, whose defaults may be others.
pub fn given(sql: &str, declared: &Value, given: &Value, form: Form) -> Result<Value, Invalid> {
    let mut checked = check(sql, declared, given, form)?;
    if let Some(values) = checked.as_object_mut() {
        values.retain(|name, _| given.get(name).is_some_and(|value| !value.is_null()));
    }
    Ok(checked)
}

/// The same, for a list that has been read.
pub fn values(declared: &[Declaration], given: &Value) -> Result<Map<String, Value>, Invalid> {
    let Some(given) = given.as_object() else {
        return Err(Invalid {
            parameter: None,
            what: "parameters is not an object".to_owned(),
            remedy: "give one that has a value for each name".to_owned(),
        });
    };
    for name in given.keys() {
        if window::is_day(name) {
            let what = "is a day of the window, which every execution has of its own";
            return Err(Invalid::of(name, what, "leave it out"));
        }
        if !declared.iter().any(|one| one.name == *name) {
            let names: Vec<_> = declared.iter().map(|one| one.name.as_str()).collect();
            let remedy = match names.as_slice() {
                [] => "leave it out, for this workflow declares none".to_owned(),
                names => format!("give only {}", names.join(", ")),
            };
            return Err(Invalid::of(name, "is not declared by the workflow", remedy));
        }
    }
    let mut values = Map::new();
    for one in declared.iter().filter(|one| !window::is_day(&one.name)) {
        match given.get(&one.name).filter(|value| !value.is_null()) {
            Some(value) => drop(values.insert(one.name.clone(), one.checked(value)?)),
            None if one.required => {
                let remedy = "give a value for it";
                return Err(Invalid::of(&one.name, "has no value and no default", remedy));
            }
            None => {
                let default = one.default.clone();
                values.extend(default.map(|default| (one.name.clone(), default)));
            }
        }
    }
    Ok(values)
}

impl Declaration {
    /// The value in its one form, if it is what the declaration says.
    pub fn checked(&self, value: &Value) -> Result<Value, Invalid> {
        let invalid = |(what, remedy): Unfit| Invalid::of(&self.name, what, remedy);
        let mut value = self.kind.read(value).map_err(invalid)?;
        if self.kind == Kind::Enum {
            // A command can only give texts.
            let said = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
            let same = self.allowed.iter().find(|one| said(one) == said(&value));
            value = same.cloned().unwrap_or(value);
        }
        if let Some(number) = value.as_f64() {
            if let Some(min) = self.min.filter(|min| number < *min) {
                return Err(invalid((
                    format!("is less than {min}"),
                    format!("give at least {min}"),
                )));
            }
            if let Some(max) = self.max.filter(|max| number > *max) {
                return Err(invalid((
                    format!("is more than {max}"),
                    format!("give at most {max}"),
                )));
            }
        }
        let one = std::slice::from_ref(&value);
        let items = value.as_array().map_or(one, Vec::as_slice);
        if items.len() > self.max_items {
            let remedy = format!("give at most {}", self.max_items);
            return Err(invalid((format!("has {} items", items.len()), remedy)));
        }
        let stranger = items.iter().find(|item| !self.allowed.contains(item));
        if let Some(stranger) = stranger.filter(|_| !self.allowed.is_empty()) {
            let words: Vec<_> = self.allowed.iter().map(Value::to_string).collect();
            let remedy = format!("give one of {}", words.join(", "));
            return Err(invalid((format!("may not be {stranger}"), remedy)));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn declared() -> Value {
        json!([
            {"name": "brand", "type": "string"},
            {"name": "min_spend", "type": "number", "min": 0, "max": 100, "default": 10},
            {"name": "product", "type": "enum", "allowed": ["SP", "SB", 3], "required": false},
            {"name": "asins", "type": "asin_list", "max_items": 2, "required": false},
        ])
    }

    #[test]
    fn defaults_are_filled_in_and_values_get_their_one_form() {
        let given = json!({"brand": "Acme", "asins": "B000000001", "product": "3"});
        let checked = check("select 1", &declared(), &given, Form::Inline).unwrap();
        let kept = json!({"brand": "Acme", "min_spend": 10, "asins": ["B000000001"], "product": 3});
        assert_eq!(checked, kept);
        let by_program =
            json!({"product": 3, "min_spend": 10, "asins": ["B000000001"], "brand": "Acme"});
        assert_eq!(check("select 1", &declared(), &by_program, Form::Inline), Ok(checked));
        let only = super::given("select 1", &declared(), &given, Form::Inline).unwrap();
        assert_eq!(only, json!({"brand": "Acme", "asins": ["B000000001"], "product": 3}));
    }

    #[test]
    fn every_refusal_names_the_parameter_and_the_remedy() {
        for (given, name, remedy) in [
            (json!({}), "brand", "give a value for it"),
            (json!({"brand": null}), "brand", "give a value for it"),
            (json!({"brand": ["Acme"]}), "brand", "give a text"),
            (
                json!({"brand": "a", "brnd": "b"}),
                "brnd",
                "give only brand, min_spend, product, asins",
            ),
            (json!({"brand": "a", "min_spend": -1}), "min_spend", "give at least 0"),
            (json!({"brand": "a", "min_spend": "101"}), "min_spend", "give at most 100"),
            (json!({"brand": "a", "product": "SD"}), "product", r#"give one of "SP", "SB", 3"#),
            (
                json!({"brand": "a", "asins": ["B000000001", "B000000002", "B000000003"]}),
                "asins",
                "give at most 2",
            ),
            (json!({"brand": "a", "startDate": "2025-01-01"}), "startDate", "leave it out"),
        ] {
            let wrong =
                check("select 1", &declared(), &given, Form::Inline).expect_err(&given.to_string());
            assert_eq!((wrong.parameter.as_deref(), wrong.remedy.as_str()), (Some(name), remedy));
            assert!(wrong.to_string().starts_with(&format!("parameter {name} ")), "{wrong}");
        }
        assert!(check("select 1", &declared(), &json!(["a"]), Form::Inline).is_err());
    }

    #[test]
    fn a_value_that_cannot_stand_in_the_query_is_refused_when_it_is_given() {
        let (sql, declared) = ("select {{s}}", json!([{"name": "s", "type": "string"}]));
        for value in ["back\\slash", "{{n}}"] {
            let given = json!({"s": value});
            let wrong = check(sql, &declared, &given, Form::Inline).expect_err(value);
            assert_eq!(wrong.parameter.as_deref(), Some("s"));
            assert!(check(sql, &declared, &given, Form::Saved).is_ok(), "AMC puts it in");
        }
    }
}
