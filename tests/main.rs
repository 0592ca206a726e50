//! The promises, end to end: one test program.

mod backfill;
mod embedded;
mod harness;
mod harness_itself;
mod migrations;
mod processes;
mod queue;
mod simulator;
mod sources;
mod statements;
mod tidy;
