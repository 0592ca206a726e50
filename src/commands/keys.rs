//! `recomamp keys`: the keys that encrypt secrets at rest.

use super::{connect, output};
use crate::config::{Database, Keys as Ring};
use crate::telemetry::Mode;
use crate::tools::rotation::{self, Sealing};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use fernet::Fernet;

/// Makes, checks and rotates the keys that encrypt secrets at rest.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Prints a new key for `RECOMAMP_ENCRYPTION_KEYS`.
    ///
    /// Keep it where you keep passwords: without it the stored tokens cannot be read.
    #[command(after_help = "Example:\n  export RECOMAMP_ENCRYPTION_KEYS=$(recomamp keys generate)")]
    Generate,
    Check(Check),
    Rotate(Rotate),
}

/// Says how many stored secrets still need an older key than the first. Fails when no key opens one.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp keys check")]
pub struct Check {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Encrypts every stored secret with the first key, while workers run.
///
/// First put the new key behind the old one in `RECOMAMP_ENCRYPTION_KEYS`, separated by a comma, and
/// restart every process: from then on all can read it. Then put it in front, restart, and run this. What
/// it prints last says when the old key is needed no more. It may be stopped, and run again, at any time.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  recomamp keys rotate")]
pub struct Rotate {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Keys {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Generate => output::line(Fernet::generate_key()),
            Self::Check(command) => command.run().await,
            Self::Rotate(command) => command.run().await,
        }
    }
}

impl Check {
    async fn run(self) -> Result<()> {
        let (database, keys): (Database, Ring) = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let sealing = rotation::look(&db, &keys).await?;
        if self.json {
            output::json(&sealing)?;
        } else {
            let Sealing { newest, older, .. } = sealing;
            output::line(format!("{newest} need the first key alone, {older} an older one."))?;
        }
        all_open(&sealing)
    }
}

impl Rotate {
    async fn run(self) -> Result<()> {
        let (database, keys): (Database, Ring) = super::settings(Mode::Command)?;
        let db = connect::ready(&database, 1).await?;
        let done = rotation::rotate(&db, &keys).await?;
        if self.json {
            output::json(&done)?;
        } else {
            let Sealing { newest, older, .. } = done;
            output::line(format!("{older} were encrypted anew, {newest} were already."))?;
        }
        all_open(&done)?;
        // Processes whose first key is still the old one may have stored something meanwhile.
        let left = rotation::look(&db, &keys).await?;
        if left.older > 0 {
            bail!(
                "{} need an older key again: a process still encrypts with it; restart it with the \
                 new key in front, and run this once more",
                left.older
            );
        }
        Ok(())
    }
}

fn all_open(sealing: &Sealing) -> Result<()> {
    if sealing.shut > 0 {
        bail!(
            "no key opens {}: put the key they were encrypted with behind the others in \
             RECOMAMP_ENCRYPTION_KEYS, or let their users log in again",
            sealing.shut
        );
    }
    Ok(())
}
