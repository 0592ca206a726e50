//! Whole backfills: real Postgres, real HTTP to the simulated Amazon, workers in this process.

mod batches;
mod endings;
mod first_version;
mod flow;
mod health;
mod installation;
mod keys;
mod outage;
mod plans;
mod sharing;
pub mod site;
mod steering;
mod submits;
mod surprises;
mod tokens;
mod weather;
