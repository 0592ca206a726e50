//! A whole product in a test: real Postgres, real processes, a clock that tests move.
//!
//! The library's own unit tests use it too, so it says `recomamp::`, never `crate::`.

pub mod database;
pub mod eventually;
pub mod process;
pub mod server;
