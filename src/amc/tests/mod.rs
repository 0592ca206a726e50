//! The client's promises, kept against small servers on this machine.

mod download;
mod harness;
mod read;
mod submit;
mod token;
