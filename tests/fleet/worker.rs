//! One process of the fleet: this test program itself, started again as a worker.

use super::outside::{Answer, Asks};
use anyhow::{Context, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use recomamp::queue::dispatcher::Settings;
use recomamp::queue::postgres::{Mode, PgStore};
use recomamp::queue::{Attempt, Catalog, Failure, Job, NewJob, Outcome, Queue, worker};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The arguments with which this test program is a worker.
pub const ARGUMENTS: [&str; 5] = [
    "--exact",
    "fleet::worker::one_process_of_the_fleet",
    "--ignored",
    "--nocapture",
    "--test-threads=1",
];

/// What a process of the fleet is told in its environment.
pub const DATABASE: &str = "FLEET_DATABASE";
pub const OUTSIDE: &str = "FLEET_OUTSIDE";
pub const SLOTS: &str = "FLEET_SLOTS";

/// How long a silent process is waited for. Nobody is given up by mistake, however slow the machine
/// is: a test that kills a process says so to the store.
pub const PATIENCE: Duration = Duration::from_secs(36_000);

/// What the fleet's jobs hold in their hands.
pub struct Tools {
    db: PgPool,
    queue: Queue,
    outside: PathBuf,
}

/// Calls the outside and does what it is told there.
#[derive(Serialize, Deserialize)]
pub struct Caller {
    pub name: String,
    pub resources: Vec<String>,
    pub holder: Option<String>,
}

impl Job for Caller {
    type Tools = Tools;
    const KIND: &'static str = "caller";
    const TIMEOUT: Duration = Duration::from_secs(3600);

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        match self.call(tools, attempt).await.map_err(Failure::transient)? {
            Answer::Good => self.let_go(tools, attempt).await,
            Answer::Fail => Err(Failure::transient(anyhow!("the outside is dead"))),
            Answer::Throttle { seconds, resource } => {
                let told = Some(Duration::from_secs(seconds));
                Err(Failure::throttled(anyhow!("429 Too Many Requests"), told, resource))
            }
            Answer::Panic => panic!("as told"),
            Answer::Overflow => Ok(Outcome::Snooze(Duration::from_secs(deeper(1)))),
            Answer::Kill => {
                kill(Pid::this(), Signal::SIGKILL).map_err(Failure::transient)?;
                std::future::pending().await
            }
        }
    }
}

impl Caller {
    async fn call(&self, tools: &Tools, attempt: &Attempt) -> anyhow::Result<Answer> {
        let asks = Asks {
            name: self.name.clone(),
            resources: self.resources.clone(),
            claimed_at: attempt.claimed_at(),
            attempt: attempt.number(),
            pid: std::process::id(),
        };
        let mut stream = UnixStream::connect(&tools.outside).await?;
        let line = format!("{}\n", serde_json::to_string(&asks)?);
        stream.write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(&mut stream).read_line(&mut answer).await?;
        serde_json::from_str(&answer).context("the outside hung up")
    }

    /// Its place is free in the same transaction in which it is done.
    async fn let_go(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(holder) = &self.holder else { return Ok(Outcome::Done) };
        let mut transaction = tools.db.begin().await?;
        tools.queue.release(&mut transaction, holder).await?;
        let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
        transaction.commit().await?;
        Ok(outcome)
    }
}

/// Has no end that the stack could hold.
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    let filler = std::hint::black_box([depth; 512]);
    deeper(depth + 1) + filler[filler.len() - 1]
}

/// A job that calls the outside for these resources.
pub fn caller(name: &str, resources: &[&str]) -> NewJob {
    let resources: Vec<String> = resources.iter().map(|name| (*name).to_owned()).collect();
    let job = Caller { name: name.to_owned(), resources: resources.clone(), holder: None };
    NewJob::of(&job).expect("it is JSON").using(resources)
}

/// The same; it keeps a place until its call went well.
pub fn holder(name: &str, resource: &str) -> NewJob {
    let resources = vec![resource.to_owned()];
    let holder = format!("holder:{name}");
    let job = Caller {
        name: name.to_owned(),
        resources: resources.clone(),
        holder: Some(holder.clone()),
    };
    NewJob::of(&job).expect("it is JSON").using(resources).holding_as(holder)
}

#[test]
#[ignore = "not a test: other tests start this program again with it, as a worker"]
fn one_process_of_the_fleet() {
    let Ok(database) = env::var(DATABASE) else { return };
    tracing_subscriber::fmt().with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(work(&database));
}

async fn work(database: &str) {
    let told = |name| env::var(name).expect("it is told");
    let options: PgConnectOptions = database.parse().expect("the database's URL is one");
    let db = PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_mins(1))
        .connect_lazy_with(options.application_name(&format!("fleet-{}", std::process::id())));
    let slots = told(SLOTS).parse().expect("a number");
    let settings = Settings {
        renew_every: Duration::from_millis(500),
        patience: PATIENCE,
        // What is not woken is not found.
        poll_every: PATIENCE,
        ..Settings::new([("default".to_owned(), slots)])
    };
    let tools = Tools { db: db.clone(), queue: Queue::new(), outside: told(OUTSIDE).into() };
    let soft = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be heard");
    let heard = soft.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        heard.cancel();
    });
    let store = PgStore::new(db, Mode::Listen);
    let catalog = Catalog::new().add::<Caller>();
    worker::run(store, catalog, Arc::new(tools), settings, soft, CancellationToken::new())
        .await
        .expect("the store answers");
}
