//! The promises, end to end: one test program.

mod api;
mod backfill;
mod commands;
mod demo;
mod embedded;
mod harness;
mod harness_itself;
mod migrations;
mod processes;
mod queue;
mod schedules;
mod simulator;
mod sources;
mod statements;
mod tidy;
