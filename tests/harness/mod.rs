//! What the promises are checked with.

pub mod contract;
