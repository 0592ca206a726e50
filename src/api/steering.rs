//! `/v1/collections/{id}/pause` and its like: backfills that are there already are steered.

use super::Api;
use super::asked::{Asked, answer};
use super::error::Problem;
use super::query::{Given, Parameters};
use crate::backfill::plan::{PlanError, WEEKS_MAX};
use crate::backfill::status::{self, Status};
use crate::steering::{self, Bounds, SteerError, Steered};
use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;

type Answer = Result<Json<Steered>, Problem>;

/// The newest backfills.
pub async fn list(State(api): State<Api>, query: Given) -> Result<Json<Vec<Status>>, Problem> {
    let mut parameters = Parameters::of(query)?;
    let limit = parameters.limit()?;
    parameters.end()?;
    Ok(Json(status::newest(&mut *api.db.acquire().await?, limit).await?))
}

/// Pauses a backfill, for good or until a time.
pub async fn pause(State(api): State<Api>, mut asked: Asked) -> Answer {
    let until = asked.until()?;
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::pause(&mut tx, &asked.id, until, &asked.because()).await;
    answer(tx, steered).await
}

/// Lets a paused backfill go on.
pub async fn resume(State(api): State<Api>, asked: Asked) -> Answer {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::resume(&mut tx, &api.queue, &asked.id, &asked.because()).await;
    answer(tx, steered).await
}

/// Cancels what a backfill has left to do, at AMC too.
pub async fn cancel(State(api): State<Api>, asked: Asked) -> Answer {
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::cancel(&mut tx, &api.queue, &asked.id, &asked.because()).await;
    answer(tx, steered).await
}

/// Takes up the failed and the cancelled weeks, or one of them.
pub async fn retry(State(api): State<Api>, mut asked: Asked) -> Answer {
    let week: Option<NaiveDate> = asked.fields.optional("week", "a date such as 2025-01-06")?;
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::retry(&mut tx, &api.queue, &asked.id, week, &asked.because()).await;
    answer(tx, steered).await
}

/// Asks AMC again for the last weeks.
pub async fn recollect(State(api): State<Api>, mut asked: Asked) -> Answer {
    let weeks: u32 = asked.fields.required_number("weeks", 1..=WEEKS_MAX)?;
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered =
        steering::recollect(&mut tx, &api.queue, &asked.id, weeks, &asked.because()).await;
    answer(tx, steered).await
}

/// Adds earlier or later weeks.
pub async fn widen(State(api): State<Api>, mut asked: Asked) -> Answer {
    let bounds = bounds(&mut asked)?;
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::widen(&mut tx, &api.queue, &asked.id, bounds, &asked.because()).await;
    answer(tx, steered).await
}

/// Skips the weeks outside that have not begun.
pub async fn shrink(State(api): State<Api>, mut asked: Asked) -> Answer {
    let bounds = bounds(&mut asked)?;
    let asked = asked.end()?;
    let mut tx = crate::transaction::begin(&api.db).await?;
    let steered = steering::shrink(&mut tx, &api.queue, &asked.id, bounds, &asked.because()).await;
    answer(tx, steered).await
}

/// The days that a backfill is to cover.
fn bounds(asked: &mut Asked) -> Result<Bounds, Problem> {
    const MUST_BE: &str = "a date such as 2025-01-06";
    let from = asked.fields.optional("from", MUST_BE)?;
    Ok(Bounds { from, until: asked.fields.optional("until", MUST_BE)? })
}

/// Why it is not done, as a program is told.
impl From<SteerError> for Problem {
    fn from(error: SteerError) -> Self {
        let message = error.to_string();
        let (detail, remedy) = message.rsplit_once(": ").unwrap_or((&message, ""));
        let problem = match error {
            SteerError::Database(error) => return error.into(),
            SteerError::Queue(error) => return error.into(),
            SteerError::Unknown(_) | SteerError::UnknownPlan(_) => Self::not_found(detail),
            SteerError::Ended { .. }
            | SteerError::KeptOut { .. }
            | SteerError::Unreadable { .. } => Self::conflict(detail),
            SteerError::NoReason => Self::invalid("why", detail),
            SteerError::ResumesTooEarly
            | SteerError::Plan(PlanError::TooRecent { .. } | PlanError::Backwards { .. }) => {
                Self::invalid("until", detail)
            }
            SteerError::NoSuchWeek(_) => Self::invalid("week", detail),
            SteerError::WeekCount(_) => Self::invalid("weeks", detail),
            SteerError::NoBounds | SteerError::NotWider { .. } | SteerError::NothingLeft => {
                Self::invalid("from", detail)
            }
            SteerError::Plan(PlanError::NotABorder { field, .. }) => Self::invalid(field, detail),
            SteerError::Plan(_) => Self::invalid("from", detail),
        };
        problem.with_remedy(remedy)
    }
}
