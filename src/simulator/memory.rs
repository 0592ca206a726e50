//! What outlives a stop, so that a client that stopped too can go on with its executions.

use super::Error;
use super::clock::Clock;
use super::counts::{Counts, Witness};
use super::execution::Execution;
use super::progress::Executions;
use super::workflows::Workflow;
use super::world::World;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Everything but tokens, addresses and faults, which clients can ask for or set again.
#[derive(Serialize, Deserialize)]
struct Memory {
    now: DateTime<Utc>,
    workflows: BTreeMap<String, BTreeMap<String, Workflow>>,
    executions: Vec<Execution>,
    counts: Counts,
}

/// Puts back what an earlier run wrote; a file that is not there changes nothing.
pub(crate) fn recall(world: &mut World, path: &Path) -> Result<(), Error> {
    let error = |source| Error::Memory { path: path.to_owned(), source };
    let bytes = match std::fs::read(path) {
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(error)?,
    };
    let memory: Memory =
        serde_json::from_slice(&bytes).map_err(|source| error(io::Error::from(source)))?;
    // AMC's time never goes back, though it ran faster than the machine's.
    let now = world.clock.now().max(memory.now);
    world.clock = Clock::new(now, world.settings.speed);
    world.workflows = memory.workflows;
    world.executions = Executions::resume(memory.executions, &world.settings);
    world.witness = Witness::resume(memory.counts);
    Ok(())
}

/// Writes what the next run is to know.
pub(crate) fn keep(world: &mut World, path: &Path) -> io::Result<()> {
    world.settle();
    let memory = Memory {
        now: world.clock.now(),
        workflows: world.workflows.clone(),
        executions: world.executions.all().to_vec(),
        counts: world.witness.counts.clone(),
    };
    std::fs::write(path, serde_json::to_vec(&memory)?)
}
