//! waiting → discarded, by somebody who has given the work up; what it named for that case follows.

use super::{chosen, events};
use crate::queue::error::Error;
use crate::queue::state::State;
use crate::queue::steer::{Because, Discarded, Unfinished};
use sqlx::PgConnection;

/// Discards these jobs, if they wait. The answers are in their order.
pub(super) async fn discard(
    connection: &mut PgConnection,
    ids: &[i64],
    because: &Because<'_>,
) -> Result<Vec<Discarded>, Error> {
    let because = because.checked()?;
    let locked = chosen::lock(connection, ids).await?;
    let missing: Vec<i64> = ids.iter().filter(|id| !locked.contains_key(id)).copied().collect();
    let ended = chosen::ended(connection, &missing).await?;
    let waiting: Vec<i64> =
        locked.iter().filter(|(_, state)| **state == State::Waiting).map(|(id, _)| *id).collect();
    chosen::end_waiting(connection, &waiting, State::Discarded, because).await?;
    events::of_jobs(connection, &waiting, "discarded", because).await?;
    let answer = |id: &i64| match (locked.get(id), ended.get(id)) {
        (Some(State::Running), _) => Discarded::Running,
        (Some(_), _) => Discarded::Discarded,
        (None, Some(state)) => Discarded::AlreadyFinished(*state),
        (None, None) => Discarded::Unknown,
    };
    Ok(ids.iter().map(answer).collect())
}

/// Discards the waiting jobs of this choice that there are now. How many.
pub(super) async fn discard_all(
    connection: &mut PgConnection,
    filter: &Unfinished,
    because: &Because<'_>,
) -> Result<u64, Error> {
    let because = because.checked()?;
    let found = chosen::unfinished(connection, filter).await?;
    let waiting = found.iter().filter(|job| job.state == State::Waiting);
    let ids: Vec<i64> = waiting.map(|job| job.id).collect();
    let mut locked = chosen::lock(connection, &ids).await?;
    locked.retain(|_, state| *state == State::Waiting);
    let ids: Vec<i64> = locked.into_keys().collect();
    chosen::end_waiting(connection, &ids, State::Discarded, because).await?;
    events::of_choice(connection, &filter.to_string(), "discarded", ids.len(), because).await?;
    Ok(u64::try_from(ids.len()).unwrap_or(u64::MAX))
}
