//! A collection is a group of the queue: its weeks are the members, and its report is what follows when
//! all have ended. The queue counts them, so that whoever ends the last week asks for the report, once.
//!
//! A week is a member by name, because it outlives its jobs: a blocked one has none, and one that takes
//! over another's rows never had an execution. It ends when its status does.

use crate::queue::group::{Progress, Rule, Standing};
use crate::queue::{Error, NewGroup, NewJob, Queue, State};
use crate::store::weeks::WeekStatus;
use crate::store::{CollectionUuid, WeekId};
use sqlx::PgConnection;

/// Makes the group of a collection that begins. Should a week succeed when all is over, the report is
/// asked for again.
pub async fn make(
    queue: &Queue,
    connection: &mut PgConnection,
    collection: CollectionUuid,
    weeks: &[WeekId],
    report: NewJob,
) -> Result<(), Error> {
    let group = NewGroup::new(name(collection), Rule::AllFinished).then(report).reopening();
    let group = queue.make_group(&mut *connection, &group).await?.id();
    let members: Vec<String> = weeks.iter().map(|week| member(*week)).collect();
    queue.add_members(&mut *connection, group, &members).await?;
    queue.seal(connection, group).await?;
    Ok(())
}

/// The collection's group; none for one that began before there were groups.
pub async fn find(
    queue: &Queue,
    connection: &mut PgConnection,
    collection: CollectionUuid,
) -> Result<Option<Progress>, Error> {
    queue.find_group(connection, &name(collection)).await
}

/// Ends weeks in the group; those that have not ended stay open. Whether it is still to be decided.
pub async fn end_weeks(
    queue: &Queue,
    connection: &mut PgConnection,
    group: i64,
    weeks: impl IntoIterator<Item = (WeekId, WeekStatus)>,
) -> Result<bool, Error> {
    let ended: Vec<(String, State)> = weeks
        .into_iter()
        .filter_map(|(week, status)| Some((member(week), state(status)?)))
        .collect();
    queue.end_members(&mut *connection, group, &ended).await?;
    let group = queue.group(connection, group).await?;
    Ok(group.is_some_and(|group| group.state == Standing::Open))
}

fn name(collection: CollectionUuid) -> String {
    format!("collection:{collection}")
}

fn member(week: WeekId) -> String {
    format!("week:{week}")
}

/// How a week ended, in the queue's words.
fn state(status: WeekStatus) -> Option<State> {
    match status {
        WeekStatus::Succeeded | WeekStatus::Skipped => Some(State::Done),
        WeekStatus::Failed => Some(State::Discarded),
        WeekStatus::Cancelled => Some(State::Cancelled),
        WeekStatus::Pending | WeekStatus::Running | WeekStatus::Blocked => None,
    }
}
