//! The promises, end to end: one test program.

mod api;
mod backfill;
mod commands;
mod demo;
mod embedded;
mod fleet;
mod harness;
mod harness_itself;
mod migrations;
mod model;
mod processes;
mod queue;
mod schedules;
mod simulator;
mod sources;
mod statements;
mod tidy;
mod transactions;
mod webhooks;
mod weekend;
