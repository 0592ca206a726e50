//! The key under which the same slice of the same SQL is recognised, whoever asks for it.

use chrono_tz::Tz;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::week::Week;

/// Everything that decides what AMC would answer for a week.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    /// AMC's own text id of the instance (`amcibersblt`), not the id of a row.
    pub amc_instance_id: &'a str,
    /// SHA-256 of the SQL, of the very bytes that are sent.
    pub sql_sha256: &'a [u8; 32],
    /// The parameters as sent, without what differs from one submit to the next.
    pub parameters: &'a Value,
    /// The week.
    pub week: Week,
    /// The zone its dates are read in.
    pub zone: Tz,
}

/// SHA-256 over the slice: equal for equal work, whatever the order of the parameters' keys.
pub fn fingerprint(slice: &Slice<'_>) -> [u8; 32] {
    let window = slice.week.wire_window(slice.zone);
    let mut hash = Sha256::new();
    for part in [
        b"recomamp slice 1".as_slice(),
        slice.amc_instance_id.as_bytes(),
        slice.sql_sha256,
        canonical_json(slice.parameters).as_bytes(),
        window.start.as_bytes(),
        window.end.as_bytes(),
        slice.zone.name().as_bytes(),
    ] {
        // The length keeps neighbours apart: "ab" + "c" is not "a" + "bc".
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// JSON without spaces and with the keys of every object in byte order.
///
/// Numbers stay as they are written: `1` and `1.0` may mean different things to a query.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            write_list(text, ('{', '}'), fields, |(name, value), text| {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
            });
        }
        Value::Array(values) => write_list(text, ('[', ']'), values, write_canonical),
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn write_list<T>(
    text: &mut String,
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    write: impl Fn(T, &mut String),
) {
    text.push(open);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        write(item, text);
    }
    text.push(close);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SQL: [u8; 32] = [7; 32];

    fn week(start: &str) -> Week {
        Week::starting(start.parse().unwrap()).unwrap()
    }

    fn of(instance: &str, sql: &[u8; 32], parameters: &Value, start: &str, zone: Tz) -> [u8; 32] {
        fingerprint(&Slice {
            amc_instance_id: instance,
            sql_sha256: sql,
            parameters,
            week: week(start),
            zone,
        })
    }

    #[test]
    fn the_order_of_the_parameters_does_not_matter() {
        let one: Value =
            serde_json::from_str(r#"{"a": 1, "b": {"x": [1, 2], "y": null}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b":{"y":null,"x":[1,2]},"a":1}"#).unwrap();
        let start = "2025-01-06";
        assert_eq!(
            of("amc1", &SQL, &one, start, Tz::UTC),
            of("amc1", &SQL, &other, start, Tz::UTC)
        );
    }

    #[test]
    fn everything_that_changes_the_answer_changes_the_fingerprint() {
        let (none, some, monday) = (json!({}), json!({"asin": ["B0", "B1"]}), "2025-01-06");
        let swapped = json!({"asin": ["B1", "B0"]});
        let new_york = "America/New_York".parse().unwrap();
        let all = [
            of("amc1", &SQL, &none, monday, Tz::UTC),
            of("amc2", &SQL, &none, monday, Tz::UTC),
            of("amc1", &[8; 32], &none, monday, Tz::UTC),
            of("amc1", &SQL, &some, monday, Tz::UTC),
            of("amc1", &SQL, &swapped, monday, Tz::UTC),
            of("amc1", &SQL, &none, "2025-01-13", Tz::UTC),
            of("amc1", &SQL, &none, monday, new_york),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn the_fingerprint_of_a_known_slice_never_changes() {
        let print = of("amcibersblt", &SQL, &json!({"b": "\"", "a": 1.0}), "2025-01-06", Tz::UTC);
        assert_eq!(
            hex::encode(print),
            "ddbd56d661a01872ee444fa5a3878d7922ea15ee3906b584414b1b5a9c73d5cc"
        );
    }

    #[test]
    fn canonical_json_has_sorted_keys_and_no_spaces() {
        let value = json!({"z": [{"d": true, "c": "ä\n"}], "a": 1.50});
        assert_eq!(canonical_json(&value), r#"{"a":1.5,"z":[{"c":"ä\n","d":true}]}"#);
    }
}
