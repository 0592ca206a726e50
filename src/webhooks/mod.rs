//! Tells others over HTTP what happened: who may be told, in which words, signed how, and the sending.
//!
//! [`guard`] keeps us from being sent into our own network, [`message`] writes what is said, [`sign`] signs
//! it by the scheme of <https://www.standardwebhooks.com>, and [`send`] sends it.

pub mod guard;
pub mod message;
pub mod send;
pub mod sign;

pub use guard::Allowed;
pub use send::Sender;
