//! Whole backfills: real Postgres, real HTTP to the simulated Amazon, workers in this process.

mod batches;
mod checks;
mod endings;
mod first_version;
mod flow;
mod health;
mod installation;
mod keeping;
mod keys;
mod outage;
mod parameters;
mod plans;
mod refusals;
mod reuse;
mod saved;
mod sharing;
pub mod site;
mod steering;
mod submits;
mod surprises;
mod tokens;
mod weather;
