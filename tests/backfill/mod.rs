//! Whole backfills: real Postgres, real HTTP to the simulated Amazon, workers in this process or of
//! their own.

mod faults;
mod flow;
mod site;
