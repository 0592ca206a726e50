//! A backfill on paper: which weeks, how far, and when two weeks are the same work.
//!
//! Everything here is a pure function of its arguments: no clock, no database, no network.
//!
//! - [`week`]: what a week is, to the second, in any zone.
//! - [`plan`]: a request ("the last 52") becomes weeks.
//! - [`progress`]: counts become "38 of 52 weeks done".
//! - [`fingerprint`]: the key under which the same slice of the same SQL is recognised.

pub mod fingerprint;
pub mod plan;
pub mod progress;
pub mod week;
