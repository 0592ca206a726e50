//! The map of the house. A module may use only the groups above its own.

// The ground.
pub mod clock;
pub mod config;
pub mod embedded;
pub mod given;
pub mod metrics;
pub mod plural;
pub mod schema;
pub mod shutdown;
pub mod telemetry;
pub mod transaction;

// The islands. None knows another.
pub mod amc;
pub mod queue;
pub mod store;

// Others are told.
pub mod webhooks;

// The outside, for tests and demonstrations.
pub mod simulator;

// What the domain computes.
pub mod backfill;
pub mod parameters;
pub mod reports;

// Where they meet.
pub mod tools;

#[path = "../jobs/mod.rs"]
pub mod jobs;

// The edges.
pub mod api;
pub mod commands;
pub mod register;
pub mod schedule;
pub mod steering;

pub use schema::MIGRATIONS;

// What unit tests share with the test program in `tests/`, which knows this crate by its name.
#[cfg(test)]
extern crate self as recomamp;
#[cfg(test)]
#[path = "../tests/harness/mod.rs"]
#[expect(dead_code, reason = "unit tests start no processes")]
mod harness;
