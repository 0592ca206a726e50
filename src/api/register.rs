//! Why what an installation is told is not taken, as a program is told.

use super::collections::body::{halves, parameter_field};
use super::error::Problem;
use crate::register::RegisterError;

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        let message = error.to_string();
        let (detail, remedy) = halves(&message);
        let problem = match error {
            RegisterError::Database(error) => return error.into(),
            RegisterError::Queue(error) => return error.into(),
            RegisterError::Unknown { what, .. } => Self::not_found(detail).with_field(what),
            RegisterError::Taken(_) | RegisterError::Refused(_) => Self::conflict(detail),
            RegisterError::Wrong { field, .. } => Self::invalid(field, detail),
            RegisterError::Rule(_) => Self::unreadable(detail),
            RegisterError::Parameters(wrong) => Self::invalid(parameter_field(&wrong), detail),
            RegisterError::Sql(_) => Self::invalid("sql", detail),
            RegisterError::Address(_) => Self::invalid("url", detail),
        };
        problem.with_remedy(remedy)
    }
}
