//! Puts values into a query: what AMC fills itself is handed along, everything else becomes a literal.

use super::declare::{self, Declaration};
use super::scan::{Placeholder, Style, scan};
use super::window::{self, Days};
use super::{Invalid, literal};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The longest text that AMC takes as the value of a parameter.
const VALUE_MAX: usize = 1_024;

/// How a query reaches AMC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With the request: each has its own text, so values may stand in it.
    Inline,
    /// Saved there once for all requests: every placeholder is one of AMC's.
    Saved,
}

/// A query with nothing left to fill in by us.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The query.
    pub sql: String,
    /// What AMC fills in, declared as AMC takes it.
    pub inputs: Vec<Value>,
}

/// Refuses a query that has a placeholder that nobody declares.
pub fn covers(sql: &str, declared: &[Declaration]) -> Result<(), Invalid> {
    for place in scan(sql)? {
        if !window::is_day(place.name) && declare::find(declared, place.name).is_none() {
            return Err(undeclared(&place, declared));
        }
    }
    Ok(())
}

fn undeclared(place: &Placeholder<'_>, declared: &[Declaration]) -> Invalid {
    let name = place.name;
    if declared.iter().any(|one| one.name == name) {
        let remedy = format!("write {name}_start and {name}_end");
        return Invalid::of(name, "is a range of dates, which has no one value", remedy);
    }
    let remedy = format!(r#"declare it, as in {{"name":"{name}","type":"string"}}"#);
    Invalid::of(name, "stands in the query and is not declared", remedy)
}

/// A query with its values. `values` are those of [`super::check::values`].
pub fn fill(
    sql: &str,
    declared: &[Declaration],
    values: &Map<String, Value>,
    days: Days,
    form: Form,
) -> Result<(Query, BTreeMap<String, Value>), Invalid> {
    let value = |name: &str| {
        if let Some(day) = days.named(name) {
            return Some(json!(day.to_string()));
        }
        let one = declare::find(declared, name)?;
        one.at(name, values.get(&one.name).or(one.default.as_ref())?)
    };
    let query = match form {
        Form::Saved => saved(sql, declared)?,
        Form::Inline => place(sql, declared, |place| {
            let value = value(place.name).unwrap_or(Value::Null);
            literal::of(&value).ok_or_else(|| {
                let what =
                    "has a backslash, a control character or {{, which is not safe in a query";
                let remedy = format!("leave it out, or write CUSTOM_PARAMETER('{}')", place.name);
                Invalid::of(place.name, what, remedy)
            })
        })?,
    };
    let mut given = BTreeMap::new();
    for input in &query.inputs {
        let Some(name) = input["name"].as_str() else { continue };
        let Some(value) = value(name) else { continue };
        let length = value
            .as_str()
            .map_or_else(|| value.to_string().chars().count(), |text| text.chars().count());
        if length > VALUE_MAX {
            let what = format!("has {length} characters, and AMC takes {VALUE_MAX} as a value");
            let remedy = format!("write {{{{{name}}}}} in the query, or give fewer");
            return Err(Invalid::of(name, what, remedy));
        }
        given.insert(name.to_owned(), value);
    }
    Ok((query, given))
}

/// A query without values: what is always the same about it can be looked at.
pub fn bare(sql: &str, declared: &[Declaration]) -> Result<Query, Invalid> {
    place(sql, declared, |_| Ok("NULL".to_owned()))
}

/// A query as it is saved at AMC, where every placeholder is one of AMC's own.
pub fn saved(sql: &str, declared: &[Declaration]) -> Result<Query, Invalid> {
    let mut custom = BTreeSet::new();
    let mut query = place(sql, declared, |place| {
        if declare::find(declared, place.name).is_some_and(|one| one.kind.is_list()) {
            let what = "is a list that stands in a saved query, where AMC cannot put it";
            let remedy =
                format!("write CUSTOM_PARAMETER('{}'), or send the query along", place.name);
            return Err(Invalid::of(place.name, what, remedy));
        }
        custom.insert(place.name.to_owned());
        Ok(format!("CUSTOM_PARAMETER('{}')", place.name))
    })?;
    let known: BTreeSet<String> =
        query.inputs.iter().filter_map(|input| input["name"].as_str().map(str::to_owned)).collect();
    let more = custom.difference(&known).map(|name| input(name, declared));
    query.inputs.extend(more.collect::<Result<Vec<_>, _>>()?);
    Ok(query)
}

/// Replaces every placeholder that is not AMC's, and declares those that are.
fn place(
    sql: &str,
    declared: &[Declaration],
    mut text_for: impl FnMut(&Placeholder<'_>) -> Result<String, Invalid>,
) -> Result<Query, Invalid> {
    covers(sql, declared)?;
    let (mut filled, mut inputs) = (String::with_capacity(sql.len()), Vec::new());
    let (mut used, mut until) = (BTreeSet::new(), 0);
    for place in scan(sql)? {
        filled.push_str(&sql[until..place.range.start]);
        until = place.range.end;
        if place.style == Style::Custom {
            filled.push_str(&sql[place.range.clone()]);
            if used.insert(place.name) {
                inputs.push(input(place.name, declared)?);
            }
            continue;
        }
        // Apart from its neighbours: two strings side by side are one, and two hyphens a comment.
        if !filled.ends_with([' ', '\n', '\t', '(', ',']) {
            filled.push(' ');
        }
        filled.push_str(&text_for(&place)?);
        if !sql[until..].starts_with([' ', '\n', '\t', ')', ',']) && until < sql.len() {
            filled.push(' ');
        }
    }
    filled.push_str(&sql[until..]);
    Ok(Query { sql: filled, inputs })
}

fn input(name: &str, declared: &[Declaration]) -> Result<Value, Invalid> {
    let declared = declare::find(declared, name).map(|one| one.as_amc_takes_it(name));
    declared
        .or_else(|| declare::window_day(name))
        .ok_or_else(|| Invalid::of(name, "is not declared", "declare it"))
}

#[cfg(test)]
mod tests {
    use super::super::{check, declare::parse};
    use super::*;
    use chrono::NaiveDate;
    use proptest::prelude::*;

    fn days() -> Days {
        let at = |day: &str| day.parse::<NaiveDate>().unwrap().and_hms_opt(0, 0, 0).unwrap();
        Days::of(at("2025-01-06"), at("2025-01-13"))
    }

    #[expect(clippy::needless_pass_by_value, reason = "the tests read better")]
    fn filled(
        sql: &str,
        declared: Value,
        given: Value,
        form: Form,
    ) -> Result<(Query, BTreeMap<String, Value>), Invalid> {
        let declared = parse(&declared)?;
        let values = check::values(&declared, &given)?;
        fill(sql, &declared, &values, days(), form)
    }

    fn declared() -> Value {
        json!([
            {"name": "brand", "type": "string"},
            {"name": "asins", "type": "asin_list", "required": false},
            {"name": "spend", "type": "number", "default": 5},
            {"name": "period", "type": "date_range", "required": false},
        ])
    }

    #[test]
    fn every_style_is_filled_by_its_own_way() {
        let sql = "select {{brand}}, @spend from t where asin in ({{asins}}) and d between @startDate \
            and {{end_date}} and b = CUSTOM_PARAMETER('brand') -- {{asins}} @brand";
        let given = json!({"brand": "O'Neill", "asins": ["B000000001", "B000000002"]});
        let (query, values) = filled(sql, declared(), given, Form::Inline).unwrap();
        assert_eq!(
            query.sql,
            "select 'O''Neill', 5 from t where asin in ('B000000001','B000000002') and d between \
            '2025-01-06' and '2025-01-12' and b = CUSTOM_PARAMETER('brand') -- {{asins}} @brand"
        );
        assert_eq!(json!(query.inputs), json!([{"name": "brand", "dataType": "STRING"}]));
        assert_eq!(json!(values), json!({"brand": "O'Neill"}));
    }

    #[test]
    fn bug_31_nothing_undeclared_and_nothing_unfilled_gets_through() {
        for sql in ["select {{x}}", "select @x", "select CUSTOM_PARAMETER('x')", "select @period"] {
            let wrong = covers(sql, &parse(&declared()).unwrap()).expect_err(sql);
            assert!(wrong.remedy.contains("declare it") || wrong.remedy.contains("period_start"));
            assert!(filled(sql, declared(), json!({"brand": "a"}), Form::Inline).is_err());
        }
    }

    #[test]
    fn a_range_has_two_places_and_what_is_not_given_is_null() {
        let sql = "select @period_start, {{period_end}}, {{asins}}";
        let given = json!({"brand": "a", "period": "2025-01-01..2025-01-31"});
        let (query, _) = filled(sql, declared(), given, Form::Inline).unwrap();
        assert_eq!(query.sql, "select '2025-01-01', '2025-01-31', NULL");
    }

    #[test]
    fn a_saved_query_is_the_same_for_all_values() {
        let sql =
            "select {{brand}} from t where d >= @week_start and s > CUSTOM_PARAMETER('spend')";
        let (query, values) =
            filled(sql, declared(), json!({"brand": "a\\b"}), Form::Saved).unwrap();
        assert_eq!(
            query.sql,
            "select CUSTOM_PARAMETER('brand') from t where d >= CUSTOM_PARAMETER('week_start') \
            and s > CUSTOM_PARAMETER('spend')"
        );
        assert_eq!(query, saved(sql, &parse(&declared()).unwrap()).unwrap());
        assert_eq!(json!(values), json!({"brand": "a\\b", "spend": 5, "week_start": "2025-01-06"}));
        assert_eq!(query.inputs.len(), 3);
        let list = filled("select {{asins}}", declared(), json!({"brand": "a"}), Form::Saved);
        assert_eq!(list.unwrap_err().parameter.as_deref(), Some("asins"));
    }

    #[test]
    fn a_value_that_amc_or_safety_forbids_is_refused_before_it_is_sent() {
        let long = json!({"brand": "x".repeat(1_025)});
        let custom = "select CUSTOM_PARAMETER('brand')";
        let wrong = filled(custom, declared(), long.clone(), Form::Inline).unwrap_err();
        assert!(wrong.remedy.starts_with("write {{brand}}"), "{wrong}");
        assert!(filled("select {{brand}}", declared(), long, Form::Inline).is_ok());
        let odd = json!({"brand": "\\' or 1=1 --"});
        assert!(filled("select {{brand}}", declared(), odd, Form::Inline).is_err());
    }

    #[test]
    fn a_value_keeps_apart_from_its_neighbours() {
        let declared = json!([{"name": "n", "type": "number"}, {"name": "s", "type": "string"}]);
        let given = json!({"n": -5, "s": "x"});
        let sql = "select a-{{n}},'a'{{s}}'b',{{s}}{{s}},(@n)";
        let (query, _) = filled(sql, declared, given, Form::Inline).unwrap();
        assert_eq!(query.sql, "select a- -5,'a' 'x' 'b','x' 'x',(-5)");
    }

    proptest! {
        #[test]
        fn whatever_the_value_the_query_around_it_stays_as_it_is(
            value in "[ -~'\"{}@*/ä-ü-]{0,40}",
            tail in prop::sample::select(vec![" and b = 'it''s @s'", " -- @s {{s}}", ") x", ""]),
        ) {
            let sql = format!("select 'a@s' from t where (b = {{{{s}}}}{tail}");
            let declared = json!([{"name": "s", "type": "string"}]);
            if let Ok((query, values)) = filled(&sql, declared, json!({"s": value}), Form::Inline) {
                let literal = format!("'{}'", value.replace('\'', "''"));
                prop_assert_eq!(query.sql, sql.replacen("{{s}}", &literal, 1));
                prop_assert!(values.is_empty());
            } else {
                prop_assert!(value.contains('\\') || value.contains("{{"));
            }
        }
    }
}
