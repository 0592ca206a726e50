//! Why there is no private Postgres, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why there is no private Postgres, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable `initdb` and `postgres` anywhere.
    #[error(
        "Postgres {wanted} is not installed: `apt-get install -y postgresql` on Debian and Ubuntu, \
         `dnf install postgresql-server` on Fedora, `brew install postgresql@17` on macOS"
    )]
    NotInstalled {
        /// Which version would do, such as `14 or later`.
        wanted: String,
    },

    /// Another process of ours, or a server that somebody started by hand, has it.
    #[error(
        "a Postgres is already running in {folder}: stop the command that started it, or choose \
         another folder"
    )]
    Running {
        /// Where.
        folder: PathBuf,
    },

    /// There is something in the folder, and it is not a server of ours.
    #[error("{folder} holds other things than a private Postgres: choose an empty or a new folder")]
    NotOurs {
        /// Where.
        folder: PathBuf,
    },

    /// The account that the server has to run as cannot come in.
    #[error(
        "{folder} cannot be entered by the account {account}, as which the server has to run: \
         choose a folder that it can, such as one under /var/lib"
    )]
    Unreachable {
        /// Where.
        folder: PathBuf,
        /// Who.
        account: String,
    },

    /// We are root, and there is nobody else to be.
    #[error(
        "Postgres does not run as root, and there is no account `postgres` or `nobody`: add one"
    )]
    NoAccount,

    /// A file or a process was refused to us.
    #[error("could not {doing} {path}")]
    Io {
        /// As a verb.
        doing: &'static str,
        /// Which file or program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// `initdb` or `postgres` ended by itself.
    #[error("{program} failed:\n{output}")]
    Failed {
        /// Which one.
        program: &'static str,
        /// The last it said.
        output: String,
    },

    /// It runs and does not answer.
    #[error("the private Postgres did not answer within {seconds} s; its log is {log}")]
    Silent {
        /// How long we waited.
        seconds: u64,
        /// Where to look.
        log: PathBuf,
    },
}

impl Error {
    /// For `map_err` on file and process calls.
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}
