//! A backfill covers more weeks, or fewer.

use super::again::go_on;
use super::{Because, SteerError, Steered, done, locked, unchanged, weeks as some_weeks};
use crate::backfill::cut::Cut;
use crate::backfill::fingerprint::{Slice, fingerprint};
use crate::backfill::plan::{PlanRequest, plan};
use crate::backfill::week::Week;
use crate::clock;
use crate::jobs::feed;
use crate::queue::Queue;
use crate::store::collections::{self, Collection, CollectionStatus, NewWeek};
use crate::store::{instances, versions, weeks};
use chrono::{NaiveDate, Weekday};
use chrono_tz::Tz;
use serde_json::json;
use sqlx::PgConnection;

/// The days that a collection is to cover from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first day; as it is when not given.
    pub from: Option<NaiveDate>,
    /// The day after the last; as it is when not given.
    pub until: Option<NaiveDate>,
}

impl Bounds {
    /// Both ends, for a collection.
    fn of(self, collection: &Collection) -> Result<(NaiveDate, NaiveDate), SteerError> {
        if self.from.is_none() && self.until.is_none() {
            return Err(SteerError::NoBounds);
        }
        let from = self.from.unwrap_or(collection.period_start);
        Ok((from, self.until.unwrap_or(collection.period_end)))
    }
}

/// Adds the weeks between the new bounds and the old ones, and takes up those of them that a person had
/// skipped. They are planned as the collection was. The collection goes on, unless a person has paused it.
pub async fn widen(
    transaction: &mut PgConnection,
    queue: &Queue,
    collection_id: &str,
    bounds: Bounds,
    because: &Because<'_>,
) -> Result<Steered, SteerError> {
    let collection = locked(transaction, collection_id).await?;
    if collection.status == CollectionStatus::Cancelled {
        // Whoever called it off would be surprised.
        let (id, status) = (collection.collection_id, collection.status);
        return Err(SteerError::Ended { id, status });
    }
    let (from, until) = bounds.of(&collection)?;
    let (old_from, old_until) = (collection.period_start, collection.period_end);
    let not_wider = SteerError::NotWider { from: old_from, until: old_until };
    if from >= until {
        return Err(not_wider);
    }
    let new = planned(transaction, &collection, from, until).await?;
    let added = weeks::add(&mut *transaction, collection.id, &new).await?;
    if added == 0 {
        // Inside there may be some to take up that were skipped.
        if from > old_from || until < old_until {
            return Err(not_wider);
        }
        return Ok(unchanged(&collection, "covers these weeks already"));
    }
    collections::cover(&mut *transaction, collection.id).await?;
    let said = go_on(transaction, queue, &collection, because).await?;
    let why = because.and(&format!("collects {} more", some_weeks(added)));
    let because = &Because { why: Some(&why), ..*because };
    let said = format!("collects {} more{said}", some_weeks(added));
    let detail = json!({"from": from, "until": until});
    done(transaction, &collection, because, (added, said), detail).await
}

/// Skips the weeks outside the new bounds that have not begun, and covers no more than what is left. Weeks that
/// have begun, or have ended, stay what they are. Skipped ones say who did it, so that a hole is never a
/// riddle, and can be taken up again.
pub async fn shrink(
    transaction: &mut PgConnection,
    queue: &Queue,
    collection_id: &str,
    bounds: Bounds,
    because: &Because<'_>,
) -> Result<Steered, SteerError> {
    let collection = locked(transaction, collection_id).await?;
    let (from, until) = bounds.of(&collection)?;
    if from >= until || from >= collection.period_end || until <= collection.period_start {
        return Err(SteerError::NothingLeft);
    }
    let why = because.said().unwrap_or("not needed");
    let days = (from.max(collection.period_start), until.min(collection.period_end));
    if !weeks::any_left(&mut *transaction, collection.id, days).await? {
        return Err(SteerError::NothingLeft);
    }
    let skipped =
        weeks::skip_outside(&mut *transaction, collection.id, days, (because.by, why)).await?;
    if skipped == 0 {
        return Ok(unchanged(&collection, "has no week outside that has not begun"));
    }
    collections::cover(&mut *transaction, collection.id).await?;
    let said = format!("skips {}", some_weeks(skipped));
    let why = because.and(&said);
    let because = &Because { why: Some(&why), ..*because };
    let detail = json!({"from": from, "until": until});
    let steered = done(transaction, &collection, because, (skipped, said), detail).await?;
    // An event of its own says that this ends the collection, if it does.
    if !feed::finish_if_done(queue, &mut *transaction, &collection).await? {
        feed::top_up(queue, &mut *transaction, collection.id).await?;
        return Ok(steered);
    }
    let ended = collections::by_id(&mut *transaction, collection.id).await?;
    Ok(Steered { status: ended.map_or(steered.status, |ended| ended.status), ..steered })
}

/// The weeks of these days, as the collection plans and asks for them.
async fn planned(
    transaction: &mut PgConnection,
    collection: &Collection,
    from: NaiveDate,
    until: NaiveDate,
) -> Result<Vec<NewWeek>, SteerError> {
    let unreadable = |field, value: &dyn std::fmt::Display| SteerError::Unreadable {
        field,
        value: value.to_string(),
    };
    let zone: Tz =
        collection.timezone.parse().map_err(|_| unreadable("timezone", &collection.timezone))?;
    let lag_days = collection.lag_days;
    let lag = u16::try_from(lag_days).map_err(|_| unreadable("lag_days", &lag_days))?;
    let starts_on = weekday(collection.week_starts_on)
        .ok_or_else(|| unreadable("week_starts_on", &collection.week_starts_on))?;
    let cut = Cut::of(collection.grain, starts_on);
    let now = clock::now(&mut *transaction).await?;
    let plan = plan(now, PlanRequest::Range { from, until }, zone, lag, cut)?;
    let version = versions::by_id(&mut *transaction, collection.workflow_version_id).await?;
    let version = version.ok_or(sqlx::Error::RowNotFound)?;
    let instance = instances::by_id(&mut *transaction, collection.instance_id).await?;
    let instance = instance.ok_or(sqlx::Error::RowNotFound)?;
    let week = |week: &Week| NewWeek {
        start: week.start,
        end: week.end,
        slice_key: fingerprint(&Slice {
            amc_instance_id: &instance.instance_id,
            sql_sha256: &version.sha256,
            parameters: &collection.parameters,
            week: *week,
            zone,
        }),
    };
    Ok(plan.slices.iter().map(week).collect())
}

/// The day that this number of the store names: 1 is Monday, 7 is Sunday.
fn weekday(number: i16) -> Option<Weekday> {
    Weekday::try_from(u8::try_from(number.checked_sub(1)?).ok()?).ok()
}
