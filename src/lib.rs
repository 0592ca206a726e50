//! The map of the house. A module may use only the groups above its own.

// The ground.
pub mod clock;
pub mod config;
pub mod embedded;
pub mod shutdown;
pub mod telemetry;
