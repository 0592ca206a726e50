//! What the database's refusals mean to a person.

use anyhow::anyhow;
use sqlx::error::ErrorKind;

/// The error of an insert; `taken` is said when the row is there already.
pub fn insert(error: sqlx::Error, taken: String) -> anyhow::Error {
    let Some(answer) = error.as_database_error() else { return error.into() };
    match answer.kind() {
        ErrorKind::UniqueViolation => anyhow!(taken),
        // Its name is a phrase that says what has to hold.
        ErrorKind::CheckViolation => {
            let rule = answer.constraint().unwrap_or_default().replace('_', " ");
            anyhow!("the database accepts only values of which this is true: {rule}")
        }
        _ => error.into(),
    }
}
