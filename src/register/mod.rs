//! What an installation is told by people and programs: in whose name it works and with which tokens, the
//! accounts and instances there are, the queries it runs, and who is told of what happens.
//!
//! The command line and HTTP read what they are given, each in its own way, and hand it over here. Whoever
//! calls commits.

pub mod accounts;
mod error;
pub mod instances;
pub mod tokens;
pub mod users;
pub mod webhooks;
pub mod workflows;

pub use error::RegisterError;
