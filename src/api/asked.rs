//! What a verb that changes something is told, and how it answers: the same for whatever is changed.

use super::error::Problem;
use super::fields::Fields;
use super::query::Parameters;
use crate::given;
use crate::steering::Because;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction};

/// What is to be steered, and the fields of the body that only this verb understands.
#[derive(Debug)]
pub struct Asked {
    /// The public id of what is to be steered.
    pub id: String,
    /// Read them before [`Asked::end`].
    pub fields: Fields,
}

/// What is to be steered, who asks, and why.
#[derive(Debug)]
pub struct Asker {
    /// The public id of what is to be steered.
    pub id: String,
    person: Person,
}

/// Who asks, and why.
#[derive(Debug)]
pub struct Person {
    by: String,
    why: Option<String>,
}

impl<S: Send + Sync> FromRequest<S> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let id = Path::<String>::from_request_parts(&mut parts, state).await;
        let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
        if id.contains('\0') {
            return Err(Problem::not_found("no id has a NUL character in it"));
        }
        let headers = parts.headers.clone();
        let body = Bytes::from_request(Request::from_parts(parts, body), state).await;
        Ok(Self { id, fields: Fields::from_request(&headers, body)? })
    }
}

impl Asked {
    /// When what is paused goes on by itself.
    pub fn until(&mut self) -> Result<Option<DateTime<Utc>>, Problem> {
        self.fields.optional("until", "a time such as 2026-01-31T08:00:00Z")
    }

    /// Reads what every verb understands. Any other field is refused.
    pub fn end(self) -> Result<Asker, Problem> {
        Ok(Asker { id: self.id, person: Person::of(self.fields)? })
    }
}

impl Asker {
    /// Who asks, and why.
    pub fn because(&self) -> Because<'_> {
        self.person.because()
    }
}

impl Person {
    /// Who sent this body, and why. Any field that has not been read yet is refused.
    pub fn of(mut fields: Fields) -> Result<Self, Problem> {
        let why = fields.text("why", given::reason)?;
        let by = fields.who()?;
        fields.end()?;
        Ok(Self { by, why })
    }

    /// The same, where a reason has to be given.
    pub fn with_reason(mut fields: Fields) -> Result<Self, Problem> {
        let why = fields.why()?;
        Ok(Self { why: Some(why), ..Self::of(fields)? })
    }

    /// Who sent a request without a body, and why: its address says so.
    pub fn of_address(mut parameters: Parameters) -> Result<Self, Problem> {
        let why = parameters.text("why", given::reason)?;
        let by = parameters.who()?;
        parameters.end()?;
        Ok(Self { by, why })
    }

    /// Who asks, and why.
    pub fn because(&self) -> Because<'_> {
        Because { by: &self.by, why: self.why.as_deref() }
    }
}

/// Commits what was done, and says so.
pub async fn answer<T, E: Into<Problem>>(
    transaction: Transaction<'static, Postgres>,
    steered: Result<T, E>,
) -> Result<Json<T>, Problem> {
    let steered = steered.map_err(Into::into)?;
    transaction.commit().await?;
    Ok(Json(steered))
}
