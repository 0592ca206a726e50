//! `recomamp keys`: the keys that encrypt tokens at rest.

use super::output;
use anyhow::Result;
use clap::Subcommand;
use fernet::Fernet;

/// Makes the keys that encrypt tokens at rest.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Prints a new key for `RECOMAMP_ENCRYPTION_KEYS`.
    ///
    /// Keep it where you keep passwords: without it the stored tokens cannot be read. To rotate, put
    /// the new key before the old one, separated by a comma: the first encrypts, all decrypt.
    #[command(after_help = "Example:\n  export RECOMAMP_ENCRYPTION_KEYS=$(recomamp keys generate)")]
    Generate,
}

impl Keys {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        match self {
            Self::Generate => output::line(Fernet::generate_key()),
        }
    }
}
