//! What a command that steers is told, and how it answers: the same for collections, plans and batches.

use super::person::Person;
use super::{connect, output, settings};
use crate::config::Database;
use crate::steering::Because;
use crate::telemetry::Mode;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use sqlx::{Postgres, Transaction};

/// What is steered, who asks, and how to answer.
#[derive(Debug, Args)]
pub struct Asked {
    /// Which one, by its id.
    pub id: String,
    #[command(flatten)]
    person: Person,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Asked {
    /// Who asks, and why.
    pub fn because<'a>(&'a self, why: Option<&'a str>) -> Because<'a> {
        self.person.because(why)
    }

    /// Commits what was done, and says so: in a sentence, or all of it as JSON.
    ///
    /// # Errors
    /// The database's and the terminal's.
    pub async fn done(
        &self,
        transaction: Transaction<'static, Postgres>,
        steered: &impl Serialize,
        said: &str,
    ) -> Result<()> {
        transaction.commit().await?;
        if self.json { output::json(steered) } else { output::line(said) }
    }
}

/// A transaction in the database that the settings name.
///
/// # Errors
/// One line that says what is wrong with the settings or the database.
pub async fn begin() -> Result<Transaction<'static, Postgres>> {
    let database: Database = settings(Mode::Command)?;
    Ok(crate::transaction::begin(&connect::ready(&database, 1).await?).await?)
}
