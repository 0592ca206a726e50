//! `submit_attempts`: the requests that may start an execution at AMC, each written down before it is sent.
//!
//! AMC has no idempotency key: a request sent twice runs twice. So an execution is sent only after
//! [`begin`] has committed, and never again until it is certain that AMC does not have it.
//!
//! ```text
//!           ┌──────────────── refused ────────────────┐
//!           ▼                                          │
//!        queued ──────────────── begin ──────────▶ submitting ──accepted──▶ pending
//!           ▲                                          │ unknown               ▲
//!           └──── proven_absent ──── submit_unknown ◀──┘                       │
//!                                          └──────────── accepted ─────────────┘
//! ```

mod row;
mod steps;

pub use row::{SubmitAttempt, SubmitOutcome, UnknownSubmit, list, list_unknown};
pub use steps::{Accepted, Answer, Intent, accepted, begin, proven_absent, refused, unknown};
