//! The map of the house. A module may use only the groups above its own.

// The ground.
pub mod clock;

// What the domain computes.
pub mod backfill;
pub mod reports;
