//! The promises, end to end: one test program.

mod embedded;
mod harness;
mod harness_itself;
mod migrations;
mod sources;
mod statements;
mod tidy;
