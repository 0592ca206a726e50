//! A backfill: which weeks, how far, and when two weeks are the same work.
//!
//! On paper, pure functions of their arguments (no clock, no database, no network):
//!
//! - [`week`]: what a week is, to the second, in any zone.
//! - [`plan`]: a request ("the last 52") becomes weeks.
//! - [`progress`]: counts become "38 of 52 weeks done".
//! - [`fingerprint`]: the key under which the same slice of the same SQL is recognised.
//!
//! In the store:
//!
//! - [`start`]: a request becomes a collection with all its weeks.
//! - [`budget`]: how many weeks may fail before a collection is paused.
//! - [`status`]: where a collection stands.

pub mod budget;
pub mod fingerprint;
pub mod plan;
pub mod progress;
pub mod start;
pub mod status;
pub mod week;
