//! Weeks are collected once more: because they failed, or because AMC may have restated their data.

use super::{Because, SteerError, Steered, done, locked, unchanged, weeks as some_weeks};
use crate::backfill::plan::WEEKS_MAX;
use crate::jobs::{entry, feed, finish_plan};
use crate::queue::Queue;
use crate::store::collections::{self, Collection, CollectionStatus};
use crate::store::weeks::{self, Filter};
use chrono::{Days, NaiveDate};
use serde_json::json;
use sqlx::PgConnection;

/// Takes up the failed and the cancelled weeks of a collection, or the one that begins on this day, as
/// if they had never been tried. The collection goes on, unless a person has paused it, and has a new
/// report at its end.
pub async fn retry(
    transaction: &mut PgConnection,
    queue: &Queue,
    collection_id: &str,
    week: Option<NaiveDate>,
    because: &Because<'_>,
) -> Result<Steered, SteerError> {
    let collection = locked(transaction, collection_id).await?;
    if let Some(day) = week {
        if !(collection.period_start..collection.period_end).contains(&day) {
            return Err(SteerError::NoSuchWeek(day));
        }
        let only =
            Filter { after: day.checked_sub_days(Days::new(1)), limit: Some(1), status: None };
        let found = weeks::list(&mut *transaction, collection.id, &only).await?;
        if found.first().is_none_or(|found| found.week_start_date != day) {
            return Err(SteerError::NoSuchWeek(day));
        }
    }
    let retried = weeks::retry(&mut *transaction, collection.id, week).await?;
    if retried == 0 {
        return Ok(unchanged(&collection, "has nothing to retry"));
    }
    let said = go_on(transaction, queue, &collection, because).await?;
    let takes_up = match week {
        Some(day) => format!("takes up the week of {day}"),
        None => format!("takes up {}", some_weeks(retried)),
    };
    let why = because.and(&takes_up);
    let because = &Because { why: Some(&why), ..*because };
    let said = format!("takes up {}{said}", some_weeks(retried));
    done(transaction, &collection, because, (retried, said), json!({"retry": week})).await
}

/// Asks AMC again for the last so many weeks of a collection, those of them that have succeeded. Their rows
/// stay until the new ones are stored; where AMC says the same as before, nothing changes. Other
/// collections that took over the old rows keep them.
pub async fn recollect(
    transaction: &mut PgConnection,
    queue: &Queue,
    collection_id: &str,
    last: u32,
    because: &Because<'_>,
) -> Result<Steered, SteerError> {
    let collection = locked(transaction, collection_id).await?;
    if !(1..=WEEKS_MAX).contains(&last) {
        return Err(SteerError::WeekCount(last));
    }
    let again = weeks::collect_again(&mut *transaction, collection.id, i64::from(last)).await?;
    if again == 0 {
        let id = &collection.collection_id;
        let said = format!(
            "has no stored week among its last {last} that is not being collected already: \
             `recomamp collections retry {id}` takes up what failed or was cancelled"
        );
        return Ok(unchanged(&collection, &said));
    }
    let said = go_on(transaction, queue, &collection, because).await?;
    let why = because.and(&match again {
        _ if again == u64::from(last) => format!("re-collects the last {}", some_weeks(again)),
        _ => format!("re-collects {} of the last {last}", some_weeks(again)),
    });
    let because = &Because { why: Some(&why), ..*because };
    let said = format!("collects {} again{said}", some_weeks(again));
    done(transaction, &collection, because, (again, said), json!({"recollect": last})).await
}

/// There is work again, which waits when Amazon refuses the user. What more there is to say.
pub(super) async fn go_on(
    transaction: &mut PgConnection,
    queue: &Queue,
    collection: &Collection,
    because: &Because<'_>,
) -> Result<&'static str, SteerError> {
    if collection.status.is_terminal() {
        let by = because.by;
        finish_plan::collection_reopened(queue, &mut *transaction, collection.id, by).await?;
    }
    let status = collections::reopen(&mut *transaction, collection.id).await?;
    if status == CollectionStatus::Paused {
        return Ok(" when it is resumed: it is paused");
    }
    if let Some(kept_out) = entry::of_user(&mut *transaction, collection.user_id).await? {
        feed::wait(transaction, collection, &kept_out.reason, &kept_out.opens).await?;
        return Ok(" once Amazon lets it in: it is paused");
    }
    feed::top_up(queue, transaction, collection.id).await?;
    Ok("")
}
