//! A turn that its job cannot take any more is given to the next lane.

use super::{admit, lanes, resources};
use crate::queue::error::Error;
use crate::queue::gate::{Gate, Gates};
use sqlx::PgConnection;
use std::collections::BTreeSet;

/// Jobs that used these resources wait no longer. A lane may have been opened because there was a
/// place for one of them: where there is room, whoever waits longest comes next. Or they stood in a
/// rate's line: those behind them line up anew.
///
/// The caller holds jobs, perhaps running ones, while the handler of such a job may hold a resource and
/// wait for the job. So a resource that somebody else has is left to him, and to the next sweep.
pub(in crate::queue::postgres) async fn pass_turns_on(
    connection: &mut PgConnection,
    used: &BTreeSet<String>,
) -> Result<(), Error> {
    let limited: Vec<String> = sqlx::query_scalar(
        "-- find_limited
        select name from engine.resources
        where name = any($1)
          and (max_holds is not null or max_running is not null or rate is not null)",
    )
    .bind(used.iter().map(String::as_str).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    if limited.is_empty() {
        return Ok(());
    }
    let resources::Locked { resources, now } = resources::lock_free(connection, &limited).await?;
    let mut gates = Gates { resources, changes: Vec::new() };
    admit::pass_on(connection, &gates).await?;
    gates
        .resources
        .retain(|_, resource| resource.rate.as_mut().is_some_and(|rate| rate.line_up_anew(now)));
    resources::write(connection, &gates, "engine").await?;
    for name in gates.resources.keys() {
        lanes::open(connection, name, &[Gate::Rate], i64::MAX).await?;
    }
    Ok(())
}
