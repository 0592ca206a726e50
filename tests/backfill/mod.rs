//! Whole backfills: real Postgres, real HTTP to the simulated Amazon, workers in this process.

mod endings;
mod first_version;
mod flow;
mod installation;
mod outage;
mod sharing;
pub mod site;
mod submits;
mod surprises;
mod tokens;
mod weather;
