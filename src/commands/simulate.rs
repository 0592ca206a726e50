//! `recomamp simulate`: an Amazon to point the engine at, until it is stopped.

use super::{output, wrong};
use crate::config::Process;
use crate::shutdown::Shutdown;
use crate::simulator::{self, Fault, Settings, Simulator};
use crate::telemetry::Mode;
use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The port, unless one is asked for.
const PORT: u16 = 8090;

/// Simulates Amazon Marketing Cloud, Login with Amazon and the storage of results, over HTTP.
///
/// Its executions, files and tokens behave like Amazon's and its numbers are closed formulas. It
/// listens on this machine alone. `curl <address>/_sim/counts` shows what clients did.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp simulate --speed 60
  recomamp simulate --port 0 --faults storm --json
  recomamp simulate --settings simulator.json --memory simulator-memory.json")]
pub struct Simulate {
    /// Port on 127.0.0.1, 8090 when neither this nor the settings say; 0 takes a free one.
    #[arg(long)]
    port: Option<u16>,
    /// Decides every number in the results, every run time and every chance.
    #[arg(long)]
    seed: Option<u64>,
    /// Seconds of AMC's time per second.
    #[arg(long)]
    speed: Option<u32>,
    /// What goes wrong: `storm`, or a JSON file with a list of faults.
    #[arg(long, value_name = "storm|FILE")]
    faults: Option<String>,
    /// A JSON file with settings; those of a demonstration when not given.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Where executions are kept between two runs.
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
    /// Print the addresses as JSON.
    #[arg(long)]
    json: bool,
}

/// What a client has to know.
#[derive(Debug, Serialize)]
struct Addresses {
    base_url: String,
    token_url: String,
    refresh_token: String,
    environment: BTreeMap<&'static str, String>,
    installation: Vec<String>,
}

impl Simulate {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        let process: Process = super::settings(Mode::Command)?;
        let json = self.json;
        let shutdown = Shutdown::on_signals(process.shutdown_grace)?;
        let amazon = simulator::start(self.read()?).await?;
        let addresses = Addresses::of(&amazon);
        if json {
            output::json(&addresses)?;
        } else {
            addresses.print()?;
        }
        shutdown.soft().cancelled().await;
        amazon.stop().await.context("cannot write the file of --memory")
    }

    fn read(self) -> Result<Settings> {
        let mut settings: Settings = match &self.settings {
            Some(file) => read_json(file)?,
            None => Settings { port: PORT, ..Settings::demo() },
        };
        settings.port = self.port.unwrap_or(settings.port);
        settings.seed = self.seed.unwrap_or(settings.seed);
        settings.speed = self.speed.unwrap_or(settings.speed);
        settings.memory = self.memory.or(settings.memory);
        match self.faults.as_deref() {
            None => {}
            Some("storm") => settings.faults.extend(simulator::storm(settings.seed)),
            Some(file) => settings.faults.extend(read_json::<Vec<Fault>>(Path::new(file))?),
        }
        Ok(settings)
    }
}

fn read_json<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let (text, file) = (fs::read(file), file.display());
    let text = text.map_err(|error| wrong(format!("cannot read {file}: {error}")))?;
    serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("{file} is not as it should be: {error}")))
}

impl Addresses {
    fn of(amazon: &Simulator) -> Self {
        let first = amazon.settings().users.into_iter().next();
        Self {
            base_url: amazon.base_url(),
            token_url: amazon.token_url(),
            refresh_token: first.map(|user| user.refresh_token).unwrap_or_default(),
            environment: environment(amazon).into_iter().collect(),
            installation: installation(amazon),
        }
    }

    fn print(&self) -> Result<()> {
        output::line(format!("AMC answers at        {}", self.base_url))?;
        output::line(format!("Tokens are sold at    {}", self.token_url))?;
        output::line(format!("A refresh token is    {}", self.refresh_token))?;
        output::line("\nTo point the engine at it:\n")?;
        for (name, value) in &self.environment {
            output::line(format!("export {name}='{value}'"))?;
        }
        output::line("\nTo tell the engine what is there:\n")?;
        for command in &self.installation {
            output::line(command)?;
        }
        output::line("\nCtrl-C stops it.")
    }
}

/// The commands that tell an installation of the first user's accounts and their instances.
fn installation(amazon: &Simulator) -> Vec<String> {
    let settings = amazon.settings();
    let Some(user) = settings.users.first() else { return Vec::new() };
    let mut commands = vec![format!(
        "echo '{}' | recomamp users add --email ada@example.com --name Ada --region na",
        user.refresh_token
    )];
    // A user without a list sees all accounts.
    let sees = |id: &String| user.accounts.is_empty() || user.accounts.contains(id);
    for account in settings.accounts.iter().filter(|account| sees(&account.account_id)) {
        commands.push(format!(
            "recomamp accounts add --account-id {} --name '{}' --marketplace {} --user ada@example.com",
            account.account_id, account.name, account.marketplace_id
        ));
        commands.extend(account.instances.iter().map(|instance| {
            format!(
                "recomamp instances add --instance-id {} --name '{}' --account {}",
                instance.instance_id, instance.name, account.account_id
            )
        }));
    }
    commands
}

/// The variables that make the engine take this simulator for Amazon.
pub fn environment(amazon: &Simulator) -> [(&'static str, String); 8] {
    let settings = amazon.settings();
    [
        ("RECOMAMP_AMC_URL_NA", amazon.base_url()),
        ("RECOMAMP_AMC_URL_EU", amazon.base_url()),
        ("RECOMAMP_AMC_URL_FE", amazon.base_url()),
        ("RECOMAMP_LWA_TOKEN_URL_NA", amazon.token_url()),
        ("RECOMAMP_LWA_TOKEN_URL_EU", amazon.token_url()),
        ("RECOMAMP_LWA_TOKEN_URL_FE", amazon.token_url()),
        ("RECOMAMP_LWA_CLIENT_ID", settings.client_id),
        ("RECOMAMP_LWA_CLIENT_SECRET", settings.client_secret),
    ]
}
