//! A turn that its job cannot take any more is given to the next lane.

use super::{admit, resources};
use crate::queue::error::Error;
use crate::queue::gate::Gates;
use sqlx::PgConnection;
use std::collections::BTreeSet;

/// Jobs that used these resources wait no longer. A lane may have been opened because there was a
/// place for one of them: where there is room, whoever waits longest comes next.
///
/// The caller may hold jobs, as an ack does; resources are locked after them, in the order of their
/// names.
pub(in crate::queue::postgres) async fn pass_turns_on(
    connection: &mut PgConnection,
    used: &BTreeSet<String>,
) -> Result<(), Error> {
    let limited: Vec<String> = sqlx::query_scalar(
        "-- find_limited
        select name from engine.resources
        where name = any($1) and (max_holds is not null or max_running is not null)",
    )
    .bind(used.iter().map(String::as_str).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    if limited.is_empty() {
        return Ok(());
    }
    let resources = resources::lock(connection, &limited).await?;
    admit::pass_on(connection, &Gates { resources, changes: Vec::new() }).await?;
    Ok(())
}
