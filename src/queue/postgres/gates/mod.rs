//! Gates on Postgres: who may pass, what they hear of how it went, and who may open and shut them.
//!
//! One row of `engine.resources` is one lock. Whoever counts on a resource holds it. Jobs are locked before
//! resources, and both in order; a claim takes the jobs that nobody has and waits for none.

mod admit;
mod asked;
mod hand;
mod holds;
mod lanes;
mod limits;
mod resources;
mod rules;
mod settle;
mod standing;
mod sweep;
mod turns;

pub(super) use admit::admit;
pub(super) use holds::release;
pub(super) use resources::note;
pub(super) use rules::{give_breaker, give_holds, open, pause, resume, set};
pub(super) use settle::{Ended, Quiet, settle};
pub(super) use standing::Standings;
pub(super) use sweep::sweep;
pub(super) use turns::pass_turns_on;
