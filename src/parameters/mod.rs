//! The parameters of queries: declared, checked, and put in their places. All on paper: neither a store
//! nor an AMC is asked.
//!
//! A query has placeholders in three styles: `CUSTOM_PARAMETER('brand')`, which AMC fills itself, and
//! `{{brand}}` and `@brand`, in whose place a literal is put, quotes and all. The workflow's version
//! declares what may stand there ([`declare`]), a request gives the values ([`check`]), and the
//! submit joins both ([`fill`]). The days of the window need no declaration ([`window`]).
//!
//! What stands in quotes or comments is left alone ([`scan`]), so that a value is never part of a
//! text that somebody else has quoted, and no value gets out of its own quotes ([`literal`]).

pub mod check;
pub mod declare;
pub mod fill;
pub mod kind;
pub mod literal;
pub mod scan;
pub mod window;

use std::fmt;

/// What is wrong with a declaration, a value or a query, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The parameter it is about; none when it is about the query as a whole.
    pub parameter: Option<String>,
    /// What is wrong, as a phrase that follows the parameter's name.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Invalid {
    fn of(parameter: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let parameter = Some(parameter.to_owned());
        Self { parameter, what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parameter) = &self.parameter {
            write!(f, "parameter {parameter} ")?;
        }
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

impl std::error::Error for Invalid {}
