//! `/v1/collections/{id}/pause` and its like: backfills that are there already are steered.

use super::Api;
use super::error::Problem;
use super::fields::Fields;
use super::query::{Given, Parameters};
use crate::backfill::plan::{PlanError, WEEKS_MAX};
use crate::backfill::status::{self, Status};
use crate::given;
use crate::steering::{self, Because, Bounds, SteerError, Steered};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{Postgres, Transaction};

type Body = Result<Bytes, BytesRejection>;
type Id = Result<Path<String>, PathRejection>;
type Answer = Result<Json<Steered>, Problem>;

/// The newest backfills.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<Status>>, Problem> {
    let mut parameters = Parameters::of(query)?;
    let limit = parameters.limit()?;
    parameters.end()?;
    Ok(Json(status::newest(&mut *api.db.acquire().await?, limit).await?))
}

/// Pauses a backfill, for good or until a time.
pub async fn pause(State(api): State<Api>, id: Id, headers: HeaderMap, body: Body) -> Answer {
    let mut asked = Asked::read(id, &headers, body)?;
    let until: Option<DateTime<Utc>> =
        asked.fields.optional("until", "a time such as 2026-01-31T08:00:00Z")?;
    let (id, by, why) = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::pause(&mut tx, &id, until, &because(&by, why.as_deref())).await;
    answer(tx, steered).await
}

/// Lets a paused backfill go on.
pub async fn resume(State(api): State<Api>, id: Id, headers: HeaderMap, body: Body) -> Answer {
    let (id, by, why) = Asked::read(id, &headers, body)?.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let because = because(&by, why.as_deref());
    let steered = steering::resume(&mut tx, &api.queue, &id, &because).await;
    answer(tx, steered).await
}

/// Cancels what a backfill has left to do, at AMC too.
pub async fn cancel(State(api): State<Api>, id: Id, headers: HeaderMap, body: Body) -> Answer {
    let (id, by, why) = Asked::read(id, &headers, body)?.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let because = because(&by, why.as_deref());
    let steered = steering::cancel(&mut tx, &api.queue, &id, &because).await;
    answer(tx, steered).await
}

/// Takes up the failed and the cancelled weeks, or one of them.
pub async fn retry(State(api): State<Api>, id: Id, headers: HeaderMap, body: Body) -> Answer {
    let mut asked = Asked::read(id, &headers, body)?;
    let week: Option<NaiveDate> = asked.fields.optional("week", "a date such as 2025-01-06")?;
    let (id, by, why) = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let because = because(&by, why.as_deref());
    let steered = steering::retry(&mut tx, &api.queue, &id, week, &because).await;
    answer(tx, steered).await
}

/// Asks AMC again for the last weeks.
pub async fn recollect(State(api): State<Api>, id: Id, headers: HeaderMap, body: Body) -> Answer {
    let mut asked = Asked::read(id, &headers, body)?;
    let weeks: u32 = asked.fields.required_number("weeks", 1..=WEEKS_MAX)?;
    let (id, by, why) = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let because = because(&by, why.as_deref());
    let steered = steering::recollect(&mut tx, &api.queue, &id, weeks, &because).await;
    answer(tx, steered).await
}

/// Adds earlier or later weeks.
pub async fn widen(State(api): State<Api>, id: Id, headers: HeaderMap, body: Body) -> Answer {
    let mut asked = Asked::read(id, &headers, body)?;
    let bounds = asked.bounds()?;
    let (id, by, why) = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let because = because(&by, why.as_deref());
    let steered = steering::widen(&mut tx, &api.queue, &id, bounds, &because).await;
    answer(tx, steered).await
}

/// Skips the weeks outside that have not begun.
pub async fn shrink(State(api): State<Api>, id: Id, headers: HeaderMap, body: Body) -> Answer {
    let mut asked = Asked::read(id, &headers, body)?;
    let bounds = asked.bounds()?;
    let (id, by, why) = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let because = because(&by, why.as_deref());
    let steered = steering::shrink(&mut tx, &api.queue, &id, bounds, &because).await;
    answer(tx, steered).await
}

/// Which backfill or plan, and what every verb understands besides its own fields.
pub(super) struct Asked {
    id: String,
    pub(super) fields: Fields,
}

impl Asked {
    pub(super) fn read(id: Id, headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        let Path(id) = id.map_err(|_| Problem::not_found("the id is not text"))?;
        if id.contains('\0') {
            return Err(Problem::not_found("no id has a NUL character in it"));
        }
        Ok(Self { id, fields: Fields::from_request(headers, body)? })
    }

    fn bounds(&mut self) -> Result<Bounds, Problem> {
        const MUST_BE: &str = "a date such as 2025-01-06";
        let from = self.fields.optional("from", MUST_BE)?;
        Ok(Bounds { from, until: self.fields.optional("until", MUST_BE)? })
    }

    /// The backfill, who asks, and why.
    pub(super) fn end(mut self) -> Result<(String, String, Option<String>), Problem> {
        let why = self.fields.text("why", given::reason)?;
        let by = self.fields.who()?;
        self.fields.end()?;
        Ok((self.id, by, why))
    }
}

pub(super) fn because<'a>(by: &'a str, why: Option<&'a str>) -> Because<'a> {
    Because { by, why }
}

/// Commits what was done, and says so.
pub(super) async fn answer<T>(
    transaction: Transaction<'static, Postgres>,
    steered: Result<T, SteerError>,
) -> Result<Json<T>, Problem> {
    let steered = steered.map_err(explained)?;
    transaction.commit().await?;
    Ok(Json(steered))
}

/// Why it is not done, as a program is told.
fn explained(error: SteerError) -> Problem {
    let message = error.to_string();
    let (detail, remedy) = message.rsplit_once(": ").unwrap_or((&message, ""));
    let problem = match error {
        SteerError::Database(error) => return error.into(),
        SteerError::Queue(error) => return error.into(),
        SteerError::Unknown(_) | SteerError::UnknownPlan(_) => Problem::not_found(detail),
        SteerError::Ended { .. } | SteerError::Unreadable { .. } => Problem::conflict(detail),
        SteerError::NoReason => Problem::invalid("why", detail),
        SteerError::ResumesTooEarly | SteerError::Plan(PlanError::TooRecent { .. }) => {
            Problem::invalid("until", detail)
        }
        SteerError::NoSuchWeek(_) => Problem::invalid("week", detail),
        SteerError::WeekCount(_) => Problem::invalid("weeks", detail),
        SteerError::NoBounds | SteerError::NotWider { .. } | SteerError::NothingLeft => {
            Problem::invalid("from", detail)
        }
        SteerError::Plan(PlanError::NotABorder { field, .. }) => Problem::invalid(field, detail),
        SteerError::Plan(_) => Problem::invalid("from", detail),
    };
    problem.with_remedy(remedy)
}
