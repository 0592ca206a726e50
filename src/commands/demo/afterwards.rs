//! What a person can do when the demonstration has ended, or still runs.

use super::folder::Folder;
use crate::commands::output;
use crate::config::Database;
use crate::simulator::Simulator;
use anyhow::Result;
use secrecy::ExposeSecret;

/// Where everything is while it still runs.
pub fn look_around(database: &Database, api: &str, amazon: &Simulator) {
    let amc = amazon.base_url();
    let (url, program) = (database.url.expose_secret(), program());
    eprintln!("\nEverything still runs. In another terminal:\n");
    eprintln!("  export DATABASE_URL='{url}'");
    eprintln!("  {program} status");
    eprintln!("  psql \"$DATABASE_URL\" -c 'select * from report_data_weeks limit 5'");
    eprintln!("  curl -s http://{api}/metrics");
    eprintln!("  curl -s {amc}/_sim/counts");
    eprintln!("\nCtrl-C stops it.");
}

/// What to try next.
pub fn next(folder: &Folder, storm: bool) -> Result<()> {
    let program = program();
    output::line("\nTry next:")?;
    if !storm {
        output::line(format!("  {program} demo --faults storm   the same on a bad weekend"))?;
    }
    output::line(format!("  {program} demo --keep           look around at the end"))?;
    output::line(format!(
        "  {program} simulate              an Amazon for an installation of your own"
    ))?;
    output::line(format!("Results and logs stay in {}.", folder.path().display()))
}

/// How this program was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "recomamp".to_owned())
}
