//! What kinds of values there are, and what each must look like.

use chrono::NaiveDate;
use serde_json::{Number, Value, json};

/// More digits than this a number cannot have without losing some.
const DIGITS_MAX: usize = 15;
/// The most items of a list, unless its declaration says fewer.
pub const ITEMS_MAX: usize = 10_000;
/// The longest text, in characters.
const TEXT_MAX: usize = 10_000;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// A number from 0 to 100, unless its bounds say otherwise.
    Percentage,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// Two days, both included: placed as `<name>_start` and `<name>_end`.
    DateRange,
    /// One of the allowed values.
    Enum,
    /// Ten capital letters and digits each.
    AsinList,
    /// Names or ids of campaigns.
    CampaignList,
    /// Texts.
    StringList,
}

/// Why a value is not of its kind: what it is not, and what to give instead.
pub type Unfit = (String, String);

impl Kind {
    /// The words for the kinds, for people.
    pub const WORDS: &str = "string, number, integer, percentage, boolean, date, date_range, enum, asin_list, \
        campaign_list, string_list";

    /// The kind with this name. The first version's words for the same are understood too.
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "string" => Self::String,
            "number" | "threshold_numeric" => Self::Number,
            "integer" => Self::Integer,
            "percentage" => Self::Percentage,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "date_range" => Self::DateRange,
            "enum" | "enum_select" => Self::Enum,
            "asin_list" => Self::AsinList,
            "campaign_list" => Self::CampaignList,
            "string_list" | "array" => Self::StringList,
            _ => return None,
        })
    }

    /// What to declare instead of a word of the first version's that names no kind of value.
    pub fn instead_of(word: &str) -> Option<&'static str> {
        Some(match word {
            "date_expression" => {
                "give date or date_range, with the days themselves; the days of the window need no \
                 parameter: write {{week_start}} and {{week_end}} in the query"
            }
            "campaign_filter" => "give campaign_list, or string for a part of a name",
            "mapped_from_node" => "give the kind of the value, and the value with each run",
            _ => return None,
        })
    }

    /// The kind of what AMC calls a `dataType`. What we know nothing about is a text.
    pub fn of_data_type(data_type: &Value) -> Self {
        match data_type.as_str() {
            None => Self::StringList,
            Some("BOOLEAN") => Self::Boolean,
            Some("DATE") => Self::Date,
            Some("DECIMAL" | "DOUBLE" | "FLOAT") => Self::Number,
            Some("INTEGER" | "LONG" | "SHORT") => Self::Integer,
            Some(_) => Self::String,
        }
    }

    /// What AMC calls it.
    pub fn data_type(self) -> Value {
        match self {
            Self::String | Self::Enum => json!("STRING"),
            Self::Number | Self::Percentage => json!("DOUBLE"),
            Self::Integer => json!("LONG"),
            Self::Boolean => json!("BOOLEAN"),
            Self::Date | Self::DateRange => json!("DATE"),
            Self::AsinList | Self::CampaignList | Self::StringList => {
                json!({"type": "ARRAY", "elementDataType": "STRING"})
            }
        }
    }

    /// Whether a value has several items.
    pub fn is_list(self) -> bool {
        matches!(self, Self::AsinList | Self::CampaignList | Self::StringList)
    }

    /// Whether bounds make sense.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::Integer | Self::Percentage)
    }

    /// The value in the one form in which it is kept, so that equal values are equal texts. A command
    /// gives texts where a program gives numbers and lists; both are understood.
    pub fn read(self, value: &Value) -> Result<Value, Unfit> {
        match self {
            Self::String => text(value).map(Value::from),
            Self::Enum => match value {
                Value::Number(_) | Value::Bool(_) => Ok(value.clone()),
                _ => text(value).map(Value::from),
            },
            Self::Number | Self::Percentage => number(value),
            Self::Integer => integer(value),
            Self::Boolean => boolean(value),
            Self::Date => day(value).map(|day| json!(day.to_string())),
            Self::DateRange => range(value),
            Self::AsinList => list(value, asin),
            Self::CampaignList => list(value, campaign),
            Self::StringList => list(value, text),
        }
    }
}

fn unfit<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, Unfit> {
    Err((what.into(), remedy.into()))
}

fn text(value: &Value) -> Result<String, Unfit> {
    let Some(text) = value.as_str() else { return unfit("is not a text", "give a text") };
    if text.chars().count() > TEXT_MAX {
        return unfit(
            format!("has more than {TEXT_MAX} characters"),
            "give a shorter text, or a list",
        );
    }
    if text.chars().any(char::is_control) {
        return unfit("has a line break or another control character", "leave it out");
    }
    Ok(text.to_owned())
}

fn number(value: &Value) -> Result<Value, Unfit> {
    let remedy = "give a number such as 12.5, of at most 15 digits";
    let written = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return unfit("is not a number", remedy),
    };
    let bare = written.strip_prefix('-').unwrap_or(&written);
    let (whole, part) = bare.split_once('.').unwrap_or((bare, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return unfit("is not a number", remedy);
    }
    if whole.trim_start_matches('0').len() + part.trim_end_matches('0').len() > DIGITS_MAX {
        return unfit("has more digits than are kept exactly", remedy);
    }
    // One form for one number: 5, 5.0 and "5" are the same.
    let read = match written.parse::<i64>() {
        Ok(number) => Some(Number::from(number)),
        Err(_) => written.parse::<f64>().ok().and_then(|number| {
            #[expect(clippy::cast_possible_truncation, reason = "it has at most 15 digits")]
            let whole = number as i64;
            if number.fract() == 0.0 { Some(whole.into()) } else { Number::from_f64(number) }
        }),
    };
    read.map(Value::Number).ok_or_else(|| ("is not a number".to_owned(), remedy.to_owned()))
}

fn integer(value: &Value) -> Result<Value, Unfit> {
    match number(value) {
        Ok(Value::Number(number)) if number.is_i64() => Ok(Value::Number(number)),
        _ => unfit("is not a whole number", "give a whole number such as 12"),
    }
}

fn boolean(value: &Value) -> Result<Value, Unfit> {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) if text == "true" => Ok(json!(true)),
        Value::String(text) if text == "false" => Ok(json!(false)),
        _ => unfit("is neither true nor false", "give one of them"),
    }
}

fn day(value: &Value) -> Result<NaiveDate, Unfit> {
    let read = value.as_str().filter(|text| text.len() == 10).and_then(|text| text.parse().ok());
    read.ok_or_else(|| ("is not a date".to_owned(), "give one such as 2025-01-06".to_owned()))
}

/// `{"start": …, "end": …}`, or from a command `2025-01-06..2025-01-12`.
fn range(value: &Value) -> Result<Value, Unfit> {
    let remedy = "give its first and its last day, as in 2025-01-06..2025-01-12";
    let ends = match value {
        Value::String(text) => text.split_once("..").map(|(a, b)| (json!(a), json!(b))),
        Value::Object(fields) if fields.len() == 2 => {
            fields.get("start").cloned().zip(fields.get("end").cloned())
        }
        _ => None,
    };
    let Some((start, end)) = ends else { return unfit("is not a range of dates", remedy) };
    let (start, end) = (day(&start)?, day(&end)?);
    if start > end {
        return unfit("ends before it begins", remedy);
    }
    Ok(json!({"start": start.to_string(), "end": end.to_string()}))
}

/// A list of texts; from a command, with commas between them.
fn list(value: &Value, item: fn(&Value) -> Result<String, Unfit>) -> Result<Value, Unfit> {
    let items = match value {
        Value::Array(items) => items.clone(),
        Value::String(text) => text.split(',').map(|item| json!(item.trim())).collect(),
        _ => return unfit("is not a list", "give a list of texts"),
    };
    if items.is_empty() || items.iter().any(|item| item.as_str() == Some("")) {
        return unfit("is empty or has an empty item", "give at least one, and none that is empty");
    }
    if items.len() > ITEMS_MAX {
        return unfit(format!("has more than {ITEMS_MAX} items"), "give fewer");
    }
    Ok(Value::Array(items.iter().map(|one| item(one).map(Value::from)).collect::<Result<_, _>>()?))
}

fn asin(item: &Value) -> Result<String, Unfit> {
    let item = text(item)?;
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if item.len() == 10 && item.bytes().all(fits) {
        return Ok(item);
    }
    let shown: String = item.chars().take(20).collect();
    unfit(
        format!("has {shown:?}, which is no ASIN"),
        "give ten capital letters and digits for each",
    )
}

/// Campaigns have names and numbers.
fn campaign(item: &Value) -> Result<String, Unfit> {
    match item {
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        _ => text(item),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the tests read better")]
    fn read(kind: &str, value: Value) -> Result<Value, Unfit> {
        Kind::named(kind).expect(kind).read(&value)
    }

    #[test]
    fn a_value_has_one_form_whoever_gives_it() {
        for (kind, values, kept) in [
            ("number", vec![json!("5"), json!(5), json!("5.0"), json!(5.0)], json!(5)),
            ("number", vec![json!("-0.25"), json!(-0.25)], json!(-0.25)),
            ("percentage", vec![json!("12.5"), json!(12.5)], json!(12.5)),
            ("integer", vec![json!("7"), json!(7.0)], json!(7)),
            ("boolean", vec![json!("true"), json!(true)], json!(true)),
            ("date", vec![json!("2025-01-06")], json!("2025-01-06")),
            (
                "date_range",
                vec![
                    json!("2025-01-06..2025-01-12"),
                    json!({"end": "2025-01-12", "start": "2025-01-06"}),
                ],
                json!({"start": "2025-01-06", "end": "2025-01-12"}),
            ),
            (
                "asin_list",
                vec![json!("B000000001, B000000002"), json!(["B000000001", "B000000002"])],
                json!(["B000000001", "B000000002"]),
            ),
            (
                "campaign_list",
                vec![json!("Summer,42"), json!(["Summer", 42])],
                json!(["Summer", "42"]),
            ),
        ] {
            for value in values {
                assert_eq!(read(kind, value.clone()), Ok(kept.clone()), "{kind} {value}");
            }
        }
    }

    #[test]
    fn what_is_not_of_its_kind_is_refused_with_a_remedy() {
        for (kind, value) in [
            ("string", json!(5)),
            ("string", json!("two\nlines")),
            ("string", json!("nul\u{0}")),
            ("number", json!("1e5")),
            ("number", json!("0x10")),
            ("number", json!("1; drop table t")),
            ("number", json!("1234567890123456")),
            ("number", json!("NaN")),
            ("integer", json!("1.5")),
            ("boolean", json!("yes")),
            ("date", json!("2025-02-30")),
            ("date", json!("06.01.2025")),
            ("date_range", json!("2025-01-12..2025-01-06")),
            ("date_range", json!({"start": "2025-01-06"})),
            ("asin_list", json!("B00'); --")),
            ("asin_list", json!([])),
            ("string_list", json!("a,,b")),
        ] {
            let (what, remedy) = read(kind, value.clone()).expect_err(&format!("{kind} {value}"));
            assert!(!what.is_empty() && !remedy.is_empty());
        }
    }

    #[test]
    fn amcs_types_and_ours_agree() {
        for word in Kind::WORDS.split(", ") {
            let kind = Kind::named(word.trim()).expect(word);
            let back = Kind::of_data_type(&kind.data_type());
            assert_eq!(back.is_list(), kind.is_list(), "{word}");
            assert_eq!(back.is_number(), kind.is_number(), "{word}");
        }
        for word in ["date_expression", "campaign_filter", "mapped_from_node"] {
            assert!(Kind::named(word).is_none() && Kind::instead_of(word).is_some(), "{word}");
        }
    }
}
