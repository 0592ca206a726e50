//! Why a backfill is not steered. Each says what to do instead, after the last colon.

use crate::backfill::plan::PlanError;
use crate::store::collections::CollectionStatus;
use chrono::NaiveDate;

/// What can still be done with a collection that has ended so.
fn instead(id: &str, status: CollectionStatus) -> String {
    match status {
        CollectionStatus::Completed => {
            format!("`recomamp collections recollect {id}` asks AMC again")
        }
        _ => format!("`recomamp collections retry {id}` takes up what failed or was cancelled"),
    }
}

/// Why a backfill is not steered.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// There is none.
    #[error("there is no collection {0:?}: `recomamp collections list` shows those there are")]
    Unknown(String),
    /// There is no such plan.
    #[error("there is no plan {0:?}: `recomamp plans list` shows those there are")]
    UnknownPlan(String),
    /// It has ended.
    #[error(
        "collection {id:?} has ended ({status}), and nothing of it is left to do: {}", instead(id, *status)
    )]
    Ended {
        /// Which one.
        id: String,
        /// How.
        status: CollectionStatus,
    },
    /// Amazon does not let it in.
    #[error("collection {id:?} stays paused: {reason}")]
    KeptOut {
        /// Which one.
        id: String,
        /// What Amazon said, and what to do about it.
        reason: String,
    },
    /// It is about to be stopped or paused, and nobody says why.
    #[error("no reason is given: say why in one sentence")]
    NoReason,
    /// Resumed before it is paused.
    #[error("the time to resume has passed: give one that is still to come")]
    ResumesTooEarly,
    /// It has no such week.
    #[error("no week of it begins on {0}: `recomamp collections show` lists them")]
    NoSuchWeek(NaiveDate),
    /// A number of weeks that makes no sense.
    #[error("weeks is {0}: give between 1 and {max}", max = crate::backfill::plan::WEEKS_MAX)]
    WeekCount(u32),
    /// Neither end is given.
    #[error("neither from nor until is given: give the new first day, or the new end, or both")]
    NoBounds,
    /// The new bounds are not beyond the old ones.
    #[error("the collection covers {from} to {until}: give an earlier from or a later until")]
    NotWider {
        /// Its first day.
        from: NaiveDate,
        /// The day after its last.
        until: NaiveDate,
    },
    /// Nothing would be left.
    #[error("no week would be left: cancel it instead")]
    NothingLeft,
    /// The weeks cannot be collected.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What is stored of it cannot be read.
    #[error("the collection's {field} is {value:?}, which nobody can read: mend the row")]
    Unreadable {
        /// Which column.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// The queue did not do what it was asked.
    #[error(transparent)]
    Queue(#[from] crate::queue::Error),
    /// The database did not do what it was asked.
    #[error("the store did not answer: {0}")]
    Database(#[from] sqlx::Error),
}
