//! Finds the placeholders of a query. It knows quotes and comments, and nothing else of SQL.

use super::Invalid;
use std::ops::Range;

/// How a placeholder is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `@name`
    At,
    /// `{{name}}`
    Braces,
    /// `CUSTOM_PARAMETER('name')`
    Custom,
}

/// A placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder<'s> {
    /// How it is written.
    pub style: Style,
    /// Its name.
    pub name: &'s str,
    /// Where it stands in the query, in bytes.
    pub range: Range<usize>,
}

const CUSTOM: &str = "CUSTOM_PARAMETER";

/// Every placeholder of a query, in its order.
pub fn scan(sql: &str) -> Result<Vec<Placeholder<'_>>, Invalid> {
    let mut found = Vec::new();
    let mut at = 0;
    // Whether what came before is a part of the same word.
    let mut in_word = false;
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let length = if let Some(length) = aside(rest, first)? {
            length
        } else if rest.starts_with("{{") {
            let (name, length) = braces(rest)?;
            found.push(Placeholder { style: Style::Braces, name, range: at..at + length });
            length
        } else if first == '@' && !word(&rest[1..]).is_empty() {
            let name = word(&rest[1..]);
            let length = name.len() + 1;
            found.push(Placeholder { style: Style::At, name, range: at..at + length });
            length
        } else if !in_word && word(rest).eq_ignore_ascii_case(CUSTOM) {
            let (name, length) = custom(rest)?;
            found.push(Placeholder { style: Style::Custom, name, range: at..at + length });
            length
        } else {
            first.len_utf8()
        };
        in_word = length == first.len_utf8() && (first.is_alphanumeric() || first == '_');
        at += length;
    }
    Ok(found)
}

/// The length of what is left alone: a comment, or something in quotes.
fn aside(rest: &str, first: char) -> Result<Option<usize>, Invalid> {
    if rest.starts_with("--") {
        return Ok(Some(rest.find('\n').unwrap_or(rest.len())));
    }
    if let Some(comment) = rest.strip_prefix("/*") {
        let end = comment.find("*/").ok_or_else(|| unclosed("comment"))?;
        return Ok(Some(end + 4));
    }
    let what = match first {
        '\'' => "string",
        '"' | '`' => "quoted name",
        _ => return Ok(None),
    };
    let end = rest[1..].find(first).ok_or_else(|| unclosed(what))?;
    let inside = &rest[1..=end];
    if let Some((_, name)) = inside.split_once("{{") {
        let name = name.split("}}").next().unwrap_or_default().trim();
        let name: String = name.chars().take(60).collect();
        let what = format!("stands inside a {what}, where it would not be filled in");
        let remedy = "take the quotes away, for a value brings its own";
        return Err(Invalid::of(&name, what, remedy));
    }
    Ok(Some(end + 2))
}

fn unclosed(what: &str) -> Invalid {
    Invalid {
        parameter: None,
        what: format!("the query has a {what} that is never closed"),
        remedy: "close it".to_owned(),
    }
}

/// The letters, digits and underscores at the start.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

fn braces(rest: &str) -> Result<(&str, usize), Invalid> {
    let name = rest[2..].find("}}").map(|end| (rest[2..2 + end].trim(), end + 4));
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match name {
        Some((name, length)) if !name.is_empty() && name.chars().all(fits) => Ok((name, length)),
        _ => Err(malformed(rest, "{{name}}")),
    }
}

fn custom(rest: &str) -> Result<(&str, usize), Invalid> {
    let wrong = || malformed(rest, "CUSTOM_PARAMETER('name')");
    let open = rest[CUSTOM.len()..].trim_start().strip_prefix('(').ok_or_else(wrong)?;
    let quoted = open.trim_start().strip_prefix('\'').ok_or_else(wrong)?;
    let (name, after) = quoted.split_once('\'').ok_or_else(wrong)?;
    let after = after.trim_start().strip_prefix(')').ok_or_else(wrong)?;
    Ok((name, rest.len() - after.len()))
}

fn malformed(rest: &str, example: &str) -> Invalid {
    let shown: String = rest.chars().take(40).collect();
    Invalid {
        parameter: None,
        what: format!("the query has {shown:?}, which is no placeholder"),
        remedy: format!("write it as {example}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(sql: &str) -> Vec<(Style, &str)> {
        scan(sql).unwrap().into_iter().map(|place| (place.style, place.name)).collect()
    }

    #[test]
    fn all_three_styles_are_found() {
        let sql =
            "select @a, {{ b }}, {{c-d.e}}, CUSTOM_PARAMETER('x y'), custom_parameter ( 'z' )";
        assert_eq!(
            names(sql),
            [
                (Style::At, "a"),
                (Style::Braces, "b"),
                (Style::Braces, "c-d.e"),
                (Style::Custom, "x y"),
                (Style::Custom, "z"),
            ]
        );
        for place in scan(sql).unwrap() {
            let written = &sql[place.range];
            assert!(written.contains(place.name), "{written}");
        }
    }

    #[test]
    fn quotes_and_comments_are_left_alone() {
        for sql in [
            "select 'ada@example.com', 'it''s @x' from t",
            "select \"@x\", `CUSTOM_PARAMETER('y')` from t",
            "select 1 -- @x {{y}} it's CUSTOM_PARAMETER('z')\n from t",
            "select /* {{x}} 'open @y */ 1",
            "select BUILT_IN_PARAMETER('TIME_WINDOW_START'), MY_CUSTOM_PARAMETER('a'), CUSTOM_PARAMETERS",
            "select 5 @ 3",
        ] {
            assert_eq!(names(sql), [], "{sql}");
        }
        assert_eq!(names("select '--', @x"), [(Style::At, "x")]);
    }

    #[test]
    fn what_cannot_be_filled_in_is_refused() {
        for (sql, says) in [
            ("select '{{brand}}'", "take the quotes away"),
            ("select \"a {{ brand }}\"", "take the quotes away"),
            ("select {{a b}}", "{{name}}"),
            ("select {{", "{{name}}"),
            ("select {{}}", "{{name}}"),
            ("select CUSTOM_PARAMETER(x)", "CUSTOM_PARAMETER('name')"),
            ("select 'a", "close it"),
            ("select /* a", "close it"),
        ] {
            let wrong = scan(sql).expect_err(sql);
            assert!(wrong.remedy.contains(says), "{sql}: {wrong}");
        }
        assert_eq!(scan("select '{{brand}}'").unwrap_err().parameter.as_deref(), Some("brand"));
    }

    proptest! {
        #[test]
        fn any_text_at_all_is_read_or_refused_and_what_is_found_is_there(
            sql in "[ -~\\n'\"@{}*/ä-]{0,80}"
        ) {
            if let Ok(places) = scan(&sql) {
                let mut until = 0;
                for place in places {
                    prop_assert!(place.range.start >= until && !place.name.is_empty());
                    until = place.range.end;
                    prop_assert!(sql[place.range].contains(place.name));
                }
            }
        }
    }
}
