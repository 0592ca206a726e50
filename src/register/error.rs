//! Why something is not taken. Each says what to do instead, after the last colon.

use crate::amc::SqlError;
use crate::parameters::Invalid;
use crate::webhooks::guard;
use sqlx::error::ErrorKind;

/// Why something is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Nobody has added it.
    #[error("there is no {what} {id}: see `recomamp {what}s list`")]
    Unknown {
        /// What kind of thing, which is also the field that names it.
        what: &'static str,
        /// Which one.
        id: String,
    },
    /// It is there already. A whole sentence.
    #[error("{0}")]
    Taken(String),
    /// As things stand it cannot be done. A whole sentence.
    #[error("{0}")]
    Refused(String),
    /// What was given is wrong.
    #[error("{why}")]
    Wrong {
        /// Which field.
        field: &'static str,
        /// A whole sentence.
        why: String,
    },
    /// The database has a rule against it. Its name is a phrase that says what has to hold.
    #[error("the database accepts only values of which this is true: {0}")]
    Rule(String),
    /// The query, or what it declares, makes no sense.
    #[error(transparent)]
    Parameters(#[from] Invalid),
    /// The query is none.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A webhook may not have this address.
    #[error(transparent)]
    Address(#[from] guard::Refused),
    /// The queue did not do what it was asked.
    #[error(transparent)]
    Queue(#[from] crate::queue::Error),
    /// The database did not do what it was asked.
    #[error("the store did not answer: {0}")]
    Database(#[from] sqlx::Error),
}

impl RegisterError {
    /// The error of an insert; `taken` is said when the row is there already.
    pub(super) fn of_insert(error: sqlx::Error, taken: String) -> Self {
        let Some(answer) = error.as_database_error() else { return error.into() };
        match answer.kind() {
            ErrorKind::UniqueViolation => Self::Taken(taken),
            ErrorKind::CheckViolation => {
                Self::Rule(answer.constraint().unwrap_or_default().replace('_', " "))
            }
            _ => error.into(),
        }
    }

    pub(super) fn unknown(what: &'static str, id: impl Into<String>) -> Self {
        Self::Unknown { what, id: id.into() }
    }

    pub(super) fn wrong(field: &'static str, why: impl Into<String>) -> Self {
        Self::Wrong { field, why: why.into() }
    }
}
