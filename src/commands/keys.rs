//! `recomamp keys`: the keys that encrypt secrets at rest.

use super::{connect, output};
use crate::config::{Database, Keys as Ring};
use crate::telemetry::Mode;
use crate::tools::rotation::{self, Sealing, Sealings};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use fernet::Fernet;

/// What `check` and `rotate` say last.
const OLDER: &str = "an older key is needed for";

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
            tell("the first key alone opens", &sealing, |one| one.newest)?;
            tell(OLDER, &sealing, |one| one.older)?;
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
            tell("encrypted anew:", &done, |one| one.older)?;
            if !done.said(|one| one.newest).is_empty() {
                tell("encrypted with the first key already:", &done, |one| one.newest)?;
            }
        }
        all_open(&done)?;
        // Processes whose first key is still the old one may have stored something meanwhile.
        let left = rotation::look(&db, &keys).await?;
        let needed = left.said(|one| one.older);
        if !needed.is_empty() {
            bail!(
                "an older key is needed again for {needed}: a process still encrypts with it; restart \
                 it with the new key in front, and run this once more"
            );
        }
        if !self.json {
            tell(OLDER, &left, |one| one.older)?;
        }
        Ok(())
    }
}

fn tell(what: &str, sealings: &Sealings, number: impl Fn(&Sealing) -> u64) -> Result<()> {
    let said = sealings.said(number);
    output::line(format!("{what} {}", if said.is_empty() { "nothing" } else { &said }))
}

fn all_open(sealings: &Sealings) -> Result<()> {
    let shut = sealings.said(|one| one.shut);
    if shut.is_empty() {
        return Ok(());
    }
    let anew = match (sealings.tokens.shut, sealings.webhooks.shut) {
        (0, _) => "add the webhooks anew",
        (_, 0) => "let the users log in again and run `recomamp users authorise`",
        _ => "let the users log in again and add the webhooks anew",
    };
    bail!(
        "no key opens {shut}: put the key they were encrypted with behind the others in \
         RECOMAMP_ENCRYPTION_KEYS, or {anew}"
    )
}
