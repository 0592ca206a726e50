//! A query made fit for AMC: one line, no comments, no placeholder left unfilled.

use std::fmt;

/// The longest query sent inside a submit, in characters. A longer one has to be a saved workflow.
pub const INLINE_CHARS_MAX: usize = 65_536;

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// Nothing but spaces and comments.
    #[error("the query is empty")]
    Empty,
    /// A quote or comment that never ends.
    #[error("the query has a {0} that is never closed")]
    Unclosed(&'static str),
    /// A template that was not filled in.
    #[error("the query still has the placeholder `{0}`; fill it in before it is sent")]
    Placeholder(String),
    /// Too long to be sent inline.
    #[error(
        "the query has {chars} characters, more than the {INLINE_CHARS_MAX} that can be sent inline; save it as a workflow"
    )]
    TooLong {
        /// How long it is.
        chars: usize,
    },
}

/// A query as it goes to AMC.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sql(String);

impl Sql {
    /// Strips comments and joins the lines, leaving quoted text as it is.
    ///
    /// Amazon's guide wants one line without tabs. Joining lines alone would let a `--` comment
    /// swallow the rest of the query, so comments go first.
    pub fn normalise(text: &str) -> Result<Self, SqlError> {
        let sql = collapse(text)?;
        if sql.is_empty() {
            return Err(SqlError::Empty);
        }
        if let Some(from) = sql.find("{{") {
            let rest = &sql[from..];
            let to = rest.find("}}").map_or(rest.len(), |at| at + 2);
            return Err(SqlError::Placeholder(rest[..to].chars().take(60).collect()));
        }
        Ok(Self(sql))
    }

    /// The query.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it may be sent inside a submit.
    pub(super) fn check_inline(&self) -> Result<(), SqlError> {
        match self.0.chars().count() {
            chars if chars > INLINE_CHARS_MAX => Err(SqlError::TooLong { chars }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Walks the query once: what stands in quotes is copied, comments and runs of space become one space.
fn collapse(text: &str) -> Result<String, SqlError> {
    let mut sql = String::with_capacity(text.len());
    let mut gap = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("--") {
            gap = true;
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(comment) = rest.strip_prefix("/*") {
            gap = true;
            comment.find("*/").ok_or(SqlError::Unclosed("comment"))? + 4
        } else if first.is_whitespace() {
            gap = true;
            first.len_utf8()
        } else {
            if gap && !sql.is_empty() {
                sql.push(' ');
            }
            gap = false;
            let taken = quoted(rest, first)?.unwrap_or(first.len_utf8());
            sql.push_str(&rest[..taken]);
            taken
        };
        rest = &rest[taken..];
    }
    Ok(sql)
}

/// The length of the quoted text at the start of `rest`, if there is one. A doubled quote inside it
/// reads as two quoted texts side by side, which comes to the same.
fn quoted(rest: &str, first: char) -> Result<Option<usize>, SqlError> {
    let what = match first {
        '\'' => "string",
        '"' | '`' => "quoted name",
        _ => return Ok(None),
    };
    let length = rest[1..].find(first).ok_or(SqlError::Unclosed(what))?;
    Ok(Some(length + 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(text: &str) -> String {
        Sql::normalise(text).unwrap().0
    }

    #[test]
    fn a_query_becomes_one_line_without_comments() {
        let text = "\n-- campaigns, it's weekly\nSELECT a,\t/* two\nlines */ b\r\n  FROM t -- end";
        assert_eq!(normal(text), "SELECT a, b FROM t");
        assert_eq!(normal("a/**/b"), "a b");
    }

    #[test]
    fn what_stands_in_quotes_is_left_alone() {
        for text in [
            "SELECT 'it''s  -- not\na comment' FROM t",
            "SELECT \"two  words\" FROM `odd /* name`",
            "SELECT '\u{e4}  \u{1f600}' x",
            "SELECT ''",
        ] {
            assert_eq!(normal(text), text);
        }
    }

    #[test]
    fn a_template_left_unfilled_is_named() {
        let error = Sql::normalise("SELECT '{{ campaign }}' FROM t").unwrap_err();
        assert_eq!(error, SqlError::Placeholder("{{ campaign }}".to_owned()));
        assert!(matches!(Sql::normalise("SELECT {{x"), Err(SqlError::Placeholder(_))));
        assert_eq!(normal("SELECT 1 -- {{x}}"), "SELECT 1");
    }

    #[test]
    fn a_quote_or_comment_that_never_ends_is_refused() {
        assert_eq!(Sql::normalise("SELECT 'a"), Err(SqlError::Unclosed("string")));
        assert_eq!(Sql::normalise("SELECT \"a"), Err(SqlError::Unclosed("quoted name")));
        assert_eq!(Sql::normalise("SELECT /* a"), Err(SqlError::Unclosed("comment")));
        assert_eq!(Sql::normalise(" -- only this"), Err(SqlError::Empty));
    }

    #[test]
    fn a_long_query_cannot_go_inline() {
        let sql = |n| Sql::normalise(&"x".repeat(n)).unwrap();
        assert_eq!(sql(INLINE_CHARS_MAX).check_inline(), Ok(()));
        let chars = INLINE_CHARS_MAX + 1;
        assert_eq!(sql(chars).check_inline(), Err(SqlError::TooLong { chars }));
    }

    proptest! {
        #[test]
        fn any_text_at_all_is_either_refused_or_stays_the_same_when_normalised_again(text in "[ -~\\n'\"*/-]{0,60}") {
            if let Ok(once) = Sql::normalise(&text) {
                prop_assert_eq!(Sql::normalise(once.as_str()), Ok(once.clone()));
            }
        }
    }
}
