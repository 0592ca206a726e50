//! A private Postgres in a folder of its own, so that one command runs everything.
//!
//! It is an ordinary Postgres, installed by the system's own means, that nobody else knows of:
//!
//! - **One way in.** It listens on 127.0.0.1 alone, on a port that was free, and asks for a random
//!   password (SCRAM) that lies in the folder, readable by its owner only. So it is safe on a
//!   machine that others use, any client can reach it by its URL, and the length of the folder's
//!   path does not matter, as it would for a Unix socket.
//! - **One owner.** A lock in the folder keeps a second process out, and any number of folders work
//!   side by side. A folder that is in use is never touched; what a crash left behind is recovered.
//! - **No orphan.** The server holds the reading end of a pipe whose other end we hold. When we stop,
//!   drop it or die in any way, `kill -9` included, the pipe closes and the server shuts down.
//! - **Root or not.** Postgres refuses to run as root, so for root it runs as `postgres`, or as
//!   `nobody` where there is no such account.
//!
//! What the folder holds: `data` (the database), `password`, `port` (the last one, used again when
//! it is free), `log` (of the last start), `lock`.

mod binaries;
mod error;
mod folder;
mod note;
mod owner;
mod server;

pub use error::Error;
pub use folder::erase;
pub use server::{Embedded, Options, start};
