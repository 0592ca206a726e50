//! The promises, end to end: one test program.

mod harness;
mod simulator;
