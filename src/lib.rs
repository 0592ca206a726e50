//! The map of the house. A module may use only the groups above its own.

// The ground.
pub mod clock;
pub mod metrics;

// The islands. None knows another.
pub mod queue;

// The edges.
pub mod commands;

/// The database's schema, step by step.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
