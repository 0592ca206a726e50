//! A backfill: which weeks, how far, and when two weeks are the same work.
//!
//! On paper, pure functions of their arguments (no clock, no database, no network):
//!
//! - [`week`]: what a week is, to the second, in any zone.
//! - [`cut`]: days, weeks or months: where a slice begins, and how many there are.
//! - [`plan`]: a request ("the last 52") becomes slices.
//! - [`select`]: which of them are asked for, taken over, or left out.
//! - [`estimate`]: what that will ask of AMC, and how long it may take.
//! - [`progress`]: counts become "38 of 52 weeks done".
//! - [`coverage`]: whether slices cover a period exactly.
//! - [`fingerprint`]: the key under which the same slice of the same SQL is recognised.
//!
//! In the store:
//!
//! - [`budget`]: how many weeks may fail before a collection is paused.
//! - [`request`]: a request is checked.
//! - [`preview`]: what it would do, before anything is created.
//! - [`start`]: it becomes collections with all their weeks, and a plan when they are several.
//! - [`plans`]: where a plan stands, which is what its collections sum up to.
//! - [`status`]: where a collection stands.
//! - [`batches`]: where a batch stands.
//! - [`completion`]: the proof that it has every day once, or what it lacks.

pub mod batches;
pub mod budget;
pub mod completion;
pub mod coverage;
pub mod cut;
pub mod estimate;
pub mod fingerprint;
pub mod plan;
pub mod plans;
pub mod preview;
pub mod progress;
pub mod request;
pub mod select;
pub mod start;
pub mod status;
pub mod week;
