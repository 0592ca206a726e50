//! Lets a process end with the one that started it, however that one ended.

use crate::shutdown::Shutdown;
use clap::Args;
use std::io;

/// The flag of [`Lifeline`], for whoever starts such a process.
pub const FLAG: &str = "--until-stdin-closes";

/// A process whose standard input is a pipe that its parent holds open. The kernel closes the pipe
/// when the parent ends, `kill -9` included.
#[derive(Debug, Clone, Copy, Args)]
pub struct Lifeline {
    /// Stop, as with SIGTERM, when standard input ends.
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

impl Lifeline {
    /// Begins the shutdown when standard input ends, if that was asked for.
    pub fn hold(self, shutdown: &Shutdown) {
        if !self.until_stdin_closes {
            return;
        }
        let shutdown = shutdown.clone();
        // A thread of its own, because a runtime waits for its own before it ends.
        std::thread::spawn(move || {
            // An error is an end too.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            shutdown.begin();
        });
    }
}
