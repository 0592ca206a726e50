//! Whole backfills by processes of their own: real signals, real restarts, real logs.

mod deaths;
mod fleet;
mod poison;
mod postgres;
mod secrets;
mod stops;

use crate::backfill::site::{Site, quick};
use recomamp::simulator::{Effect, Fault, Kind, Operation};
use std::time::Duration;

/// Longer than a process may be silent before its jobs are taken back.
const PATIENCE: Duration = Duration::from_secs(10);

/// A site where a submit that may still be under way has time to arrive before it is proven absent.
async fn site() -> Site {
    Site::with(quick(), &[("RECOMAMP_SUBMIT_LOOKUP", "4s")]).await
}

/// A call that is kept waiting, after so many that are not.
fn held(operation: Operation, effect: Effect, after: u32) -> Fault {
    Fault::new(Kind::Hold { effect }).on([operation]).after(after).times(1)
}
