//! Parses the command line and hands over to one command.

use clap::Parser;
use recomamp::commands::Cli;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    Cli::parse().run().await
}
