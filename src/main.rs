//! Parses the command line, hands over to one command, and says how it ended.

use clap::Parser;
use recomamp::commands::{self, Cli};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().run().await {
        Ok(exit) => exit.into(),
        Err(error) => {
            // Several mistakes in the settings are several lines.
            for line in format!("{error:#}").lines() {
                eprintln!("recomamp: {line}");
            }
            commands::failed(&error)
        }
    }
}
