//! Values as literals of SQL, out of which nothing gets.

use serde_json::Value;

/// The literal for a value; none when it cannot be written safely.
///
/// A quote is doubled, as the standard has it. Nobody says whether AMC also reads backslashes as some
/// databases do, so a text that has one is not written at all; nor is one that looks like a placeholder,
/// which somebody on the way might take for one.
pub fn of(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(true) => "TRUE".to_owned(),
        Value::Bool(false) => "FALSE".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text)?,
        Value::Array(items) => items.iter().map(of).collect::<Option<Vec<_>>>()?.join(","),
        Value::Object(_) => return None,
    })
}

fn quoted(text: &str) -> Option<String> {
    let writable = |letter: char| letter != '\\' && !letter.is_control();
    let plain = text.chars().all(writable) && !text.contains("{{");
    plain.then(|| format!("'{}'", text.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_value_is_written_as_what_it_is() {
        for (value, literal) in [
            (json!("it's"), "'it''s'"),
            (json!(["a", "b'c"]), "'a','b''c'"),
            (json!(-0.5), "-0.5"),
            (json!(true), "TRUE"),
            (json!(null), "NULL"),
        ] {
            assert_eq!(of(&value).as_deref(), Some(literal));
        }
        for value in
            [json!("\\'"), json!("a\nb"), json!("{{n}}"), json!(["ok", "\\"]), json!({"a": 1})]
        {
            assert_eq!(of(&value), None, "{value}");
        }
    }

    /// Reads one literal the way the standard says, and what stands behind it.
    fn read(sql: &str) -> Option<(String, &str)> {
        let mut rest = sql.strip_prefix('\'')?;
        let mut text = String::new();
        loop {
            let (before, after) = rest.split_once('\'')?;
            text.push_str(before);
            match after.strip_prefix('\'') {
                Some(more) => {
                    text.push('\'');
                    rest = more;
                }
                None => return Some((text, after)),
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_gets_out_of_its_literal(text in "[ -~'\\\\/*{}@ä-ü]{0,40}") {
            if let Some(literal) = of(&json!(text)) {
                let sql = format!("{literal} AND 1=1");
                prop_assert_eq!(read(&sql), Some((text, " AND 1=1")));
            }
        }

        #[test]
        fn a_list_reads_back_as_its_items(items in prop::collection::vec("[a-z',()-]{1,8}", 1..6)) {
            let literal = of(&json!(items)).expect("nothing in it is refused");
            let mut rest = literal.as_str();
            for item in &items {
                let (text, after) = read(rest).expect("a literal");
                prop_assert_eq!(&text, item);
                rest = after.strip_prefix(',').unwrap_or(after);
            }
            prop_assert_eq!(rest, "");
        }
    }
}
