//! The map of the house. A module may use only the groups above its own.

// The ground.
pub mod clock;

// The outside, for tests and demonstrations.
pub mod simulator;
