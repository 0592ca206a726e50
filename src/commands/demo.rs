//! `recomamp demo`: a backfill from nothing to its report, with everything it needs, in one command.

mod afterwards;
mod children;
mod finale;
mod folder;
mod install;
mod watch;

use super::{Exit, connect, output};
use crate::config::{self, Keys, Limits, Settings as _};
use crate::embedded::{self, Embedded};
use crate::plural::counted;
use crate::schema::MIGRATIONS;
use crate::shutdown::Shutdown;
use crate::simulator::{self, Simulator};
use anyhow::{Context, Result, bail};
use children::Children;
use clap::{Args, ValueEnum};
use finale::Finale;
use folder::{Folder, Left, Unfinished};
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
    #[command(flatten)]
    earlier: Earlier,
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

/// What becomes of an earlier run; without either it goes on when it can.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Earlier {
    /// Start over, whatever an earlier run left.
    #[arg(long)]
    anew: bool,
    /// Go on with what an earlier run left, or fail: what happens anyway when it can.
    #[arg(long)]
    resume: bool,
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
        let stopped = tokio::select! {
            stopped = running.stop() => stopped,
            () = shutdown.hard().cancelled() => Ok(()),
        };
        ended.and(stopped)?;
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

        let environment = install::environment(folder, &database, amazon)?;
        let (keys, limits) = <(Keys, Limits)>::load(&|name| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        })?;
        let collection_id = match unfinished {
            Some(left) => left.collection_id,
            None => install::begin(&db, folder, amazon, (&keys, &limits), weeks, storm).await?,
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
            afterwards::look_around(&database, &api, amazon);
            loop {
                children.check()?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        if !self.json {
            afterwards::next(folder, storm)?;
        }
        Ok(())
    }

    /// Decides whether to go on with what an earlier run left, and clears the folder if not.
    async fn choose(&self, folder: &Folder) -> Result<Option<Unfinished>> {
        let shown = folder.path().display();
        match folder.left()? {
            _ if self.earlier.anew => {}
            Left::Unfinished(left) => {
                self.must_fit(&left)?;
                eprintln!(
                    "Going on with {} in {shown} (--anew starts over).",
                    counted(left.weeks, "week", "weeks")
                );
                return Ok(Some(left));
            }
            Left::Nothing | Left::Finished if self.earlier.resume => {
                bail!("nothing is unfinished in {shown}: leave --resume out to start anew")
            }
            Left::Killed if self.earlier.resume => bail!(
                "the demonstration in {shown} was killed, and its Amazon has forgotten its executions: \
                 leave --resume out to start anew"
            ),
            Left::Nothing => {}
            Left::Finished => {
                eprintln!("The demonstration in {shown} was finished: starting anew.");
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
                "{} holds an unfinished backfill of {}: leave --weeks out to go on with it, \
                 or add --anew to start over",
                self.folder.display(),
                counted(left.weeks, "week", "weeks")
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
