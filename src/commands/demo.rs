//! `recomamp demo`: a backfill from nothing to its report, with everything it needs, in one command.

mod children;
mod finale;
mod folder;
mod install;
mod watch;

use super::{Exit, connect, output, simulate};
use crate::config::{self, Keys, Limits, Settings as _};
use crate::embedded::{self, Embedded};
use crate::schema::MIGRATIONS;
use crate::shutdown::Shutdown;
use crate::simulator::{self, Simulator};
use anyhow::{Context, Result, bail};
use children::Children;
use clap::{Args, ValueEnum};
use finale::Finale;
use folder::{Folder, Left, Unfinished};
use secrecy::ExposeSecret;
use sqlx::PgPool;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use watch::Watched;

/// The processes, as in the Procfile.
const PROCESSES: [&str; 3] = ["serve", "work", "schedule"];
/// Connections of our own.
const CONNECTIONS: u32 = 3;
/// How long everything may take to stop after the first Ctrl-C; a second one is faster.
const GRACE: Duration = Duration::from_secs(40);
/// The simulator's seed: every demonstration shows the same numbers.
const SEED: u64 = 1;

/// Runs a backfill end to end, with everything it needs: Postgres, a simulated Amazon, the API, a
/// worker and the scheduler.
///
/// It collects the weeks, shows how far it is, and compares what it stored with what the simulator
/// knows to be right. Ctrl-C stops everything; the next run in the same folder goes on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  recomamp demo
  recomamp demo --faults storm
  recomamp demo --weeks 12 --keep

Exit code 1 when a week is missing, a total differs or a week was submitted twice.")]
pub struct Demo {
    /// What goes wrong: `storm` is everything that does on a bad weekend, a killed worker included.
    #[arg(long, value_enum)]
    faults: Option<Faults>,
    /// How many weeks to collect [default: 52].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=520))]
    weeks: Option<u32>,
    /// Where everything is kept.
    #[arg(long, default_value = "./.recomamp/demo")]
    folder: PathBuf,
    /// Start over, whatever an earlier run left.
    #[arg(long, conflicts_with = "resume")]
    anew: bool,
    /// Go on with what an earlier run left, or fail: what happens anyway when it can.
    #[arg(long)]
    resume: bool,
    /// Seconds of AMC's time per second.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    speed: u32,
    /// Print the end as JSON.
    #[arg(long)]
    json: bool,
    /// Keep everything running at the end, to look around, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Faults {
    Storm,
}

/// What has been started so far.
#[derive(Default)]
struct Running {
    postgres: Option<Embedded>,
    amazon: Option<Simulator>,
    children: Option<Children>,
    /// Whether all was well, once that is known.
    ok: Option<bool>,
}

impl Demo {
    /// Runs it.
    pub async fn run(self) -> Result<Exit> {
        let folder = Folder::take(&self.folder)?;
        let shutdown = Shutdown::on_signals(GRACE)?;
        let mut running = Running::default();
        let ended = tokio::select! {
            ended = self.play(&folder, &mut running) => ended,
            () = shutdown.soft().cancelled() => {
                eprintln!("\nStopping…");
                Ok(())
            }
        };
        let ok = running.ok;
        tokio::select! {
            stopped = running.stop() => stopped?,
            () = shutdown.hard().cancelled() => {}
        }
        ended?;
        let Some(ok) = ok else {
            if matches!(folder.left()?, Left::Unfinished(_)) {
                eprintln!(
                    "Stopped. The same command goes on where this one stopped; --anew starts over."
                );
            }
            return Ok(Exit::Interrupted);
        };
        if !ok {
            bail!(
                "the demonstration did not end as it should; the logs are in {}",
                folder.logs()?.display()
            );
        }
        Ok(Exit::Done)
    }

    /// Everything up to the end.
    async fn play(&self, folder: &Folder, running: &mut Running) -> Result<()> {
        let began = Instant::now();
        let unfinished = self.choose(folder).await?;
        let storm = unfinished.as_ref().map_or(self.faults.is_some(), |left| left.storm);
        let weeks = unfinished.as_ref().map_or(self.weeks.unwrap_or(52), |left| left.weeks);

        let postgres = embedded::start(folder.postgres(), embedded::Options::default()).await?;
        let postgres = running.postgres.insert(postgres);
        let url = postgres.database_url().clone();
        let database = config::Database { url, polling_only: false };
        let db = connect::database(&database, CONNECTIONS).await?;
        MIGRATIONS.run(&db).await.context("cannot migrate the database")?;
        let amazon = running.amazon.insert(simulator::start(self.amazon(folder, storm)).await?);
        folder.amazon_runs()?;

        let environment = environment(folder, &database, amazon)?;
        let (keys, limits) = <(Keys, Limits)>::load(&|name| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        })?;
        let collection_id = match unfinished {
            Some(left) => left.collection_id,
            None => begin(&db, folder, amazon, (&keys, &limits), weeks, storm).await?,
        };
        let children = running.children.insert(Children::new(folder.logs()?, environment)?);
        for command in PROCESSES {
            children.start(command)?;
        }
        let api = children.said("serve", "serving", "address").await?;
        let amc = amazon.base_url();
        eprintln!("AMC is simulated at {amc}, the API answers at http://{api}.");
        eprintln!("Logs are in {}.", folder.logs()?.display());

        let watched =
            Watched { collection_id: &collection_id, db: &db, amazon, kill_a_worker: storm };
        let status = watched.follow(children).await?;
        let limit = limits.max_open_per_instance;
        let finale = Finale::draw(&db, &status, amazon, limit, began.elapsed()).await?;
        folder.ended()?;
        running.ok = Some(finale.ok);
        if self.json {
            output::json(&finale)?;
        } else {
            finale.print()?;
        }
        if self.keep {
            look_around(&database, &api, amazon);
            loop {
                children.check()?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        if !self.json {
            next(folder, storm)?;
        }
        Ok(())
    }

    /// Decides whether to go on with what an earlier run left, and clears the folder if not.
    async fn choose(&self, folder: &Folder) -> Result<Option<Unfinished>> {
        let shown = folder.path().display();
        match folder.left()? {
            _ if self.anew => {}
            Left::Unfinished(left) => {
                self.must_fit(&left)?;
                eprintln!(
                    "Going on with the {} weeks in {shown} (--anew starts over).",
                    left.weeks
                );
                return Ok(Some(left));
            }
            Left::Nothing | Left::Finished if self.resume => {
                bail!("nothing is unfinished in {shown}: leave --resume out to start anew")
            }
            Left::Killed if self.resume => bail!(
                "the demonstration in {shown} was killed, and its Amazon has forgotten its executions: \
                 leave --resume out to start anew"
            ),
            Left::Nothing => {}
            Left::Finished => {
                eprintln!("The demonstration in {shown} was finished: starting anew.")
            }
            Left::Killed => eprintln!("The demonstration in {shown} was killed: starting anew."),
        }
        folder.clear().await?;
        Ok(None)
    }

    /// What was asked for must not contradict what is unfinished.
    fn must_fit(&self, left: &Unfinished) -> Result<()> {
        if self.weeks.is_some_and(|weeks| weeks != left.weeks) {
            bail!(
                "{} holds an unfinished backfill of {} weeks: leave --weeks out to go on with it, \
                 or add --anew to start over",
                self.folder.display(),
                left.weeks
            );
        }
        if self.faults.is_some() && !left.storm {
            bail!(
                "{} holds an unfinished backfill in good weather: leave --faults out to go on with it, \
                 or add --anew to start over",
                self.folder.display()
            );
        }
        Ok(())
    }

    fn amazon(&self, folder: &Folder, storm: bool) -> simulator::Settings {
        simulator::Settings {
            seed: SEED,
            speed: self.speed,
            faults: if storm { simulator::storm(SEED) } else { Vec::new() },
            memory: Some(folder.amazon()),
            ..simulator::Settings::demo()
        }
    }
}

impl Running {
    /// Stops everything, the last first.
    async fn stop(self) -> Result<()> {
        if let Some(children) = self.children {
            children.stop().await;
        }
        if let Some(amazon) = self.amazon {
            amazon.stop().await.context("the simulator cannot write its memory")?;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await?;
        }
        Ok(())
    }
}

/// The settings of the processes: pauses fit the simulator's pace.
fn environment(
    folder: &Folder,
    database: &config::Database,
    amazon: &Simulator,
) -> Result<Vec<(&'static str, String)>> {
    let mut environment = simulate::environment(amazon).to_vec();
    environment.extend([
        ("DATABASE_URL", database.url.expose_secret().to_owned()),
        ("RECOMAMP_ENCRYPTION_KEYS_FILE", folder.keys()?.display().to_string()),
        ("RECOMAMP_RESULTS_URL", folder.results().display().to_string()),
        ("RECOMAMP_HTTP_ADDR", "127.0.0.1:0".to_owned()),
        ("RECOMAMP_POLL_FIRST", "200ms".to_owned()),
        ("RECOMAMP_POLL_MAX", "1s".to_owned()),
        ("RECOMAMP_SUBMIT_LOOKUP", "3s".to_owned()),
        ("RECOMAMP_SHUTDOWN_GRACE", "5s".to_owned()),
    ]);
    Ok(environment)
}

/// Makes the installation and asks for the weeks.
async fn begin(
    db: &PgPool,
    folder: &Folder,
    amazon: &Simulator,
    (keys, limits): (&Keys, &Limits),
    weeks: u32,
    storm: bool,
) -> Result<String> {
    let mut transaction = db.begin().await?;
    install::installation(&mut transaction, &amazon.settings(), keys, limits).await?;
    let created = install::backfill(&mut transaction, weeks, limits).await?;
    transaction.commit().await?;
    let collection_id = created.collection_id;
    folder.begun(&Unfinished { collection_id: collection_id.clone(), weeks, storm })?;
    Ok(collection_id)
}

fn look_around(database: &config::Database, api: &str, amazon: &Simulator) {
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

fn next(folder: &Folder, storm: bool) -> Result<()> {
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
