//! The map of the house. A module may use only the groups above its own.

// The ground.
pub mod clock;
pub mod config;
pub mod embedded;
pub mod shutdown;
pub mod telemetry;

// The islands. None knows another.
pub mod store;

// What unit tests share with the test program in `tests/`, which knows this crate by its name.
#[cfg(test)]
extern crate self as recomamp;
#[cfg(test)]
#[path = "../tests/harness/mod.rs"]
#[expect(dead_code, reason = "unit tests start no processes")]
mod harness;
