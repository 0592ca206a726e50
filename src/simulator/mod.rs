//! A simulated Amazon: Amazon Marketing Cloud's reporting API, Login with Amazon and the storage
//! of results, over real HTTP, with a state, a clock of its own, and faults on demand.
//!
//! It knows nothing of the engine or its AMC client: it writes its own wire format, so that the
//! two can check each other. It keeps count of what clients do, for tests that want the truth
//! rather than the client's opinion of it, and its results are closed formulas ([`Facts`]), so
//! that every total can be computed without it.
//!
//! | word | means |
//! |---|---|
//! | **AMC's time** | the clock that executions and their timestamps follow; may run fast |
//! | **felt time** | the clock of the clients: `Retry-After`, `expires_in`, the length of a fault |
//! | **fault** | something that goes wrong, for calls that match; **set** and **lifted** |
//! | **effect** | what a call changes; a fault strikes before or after it |
//! | **witness** | the counts and the log of what clients did |
//!
//! The wire is Amazon's ["Workflow Management Service" 3.0][guide] as published, and where
//! published samples or reports of real answers differ from it, they win or are a setting.
//!
//! [guide]: https://advertising.amazon.com/API/docs/en-us/guides/amazon-marketing-cloud/overview

mod access;
mod admin;
mod answer;
mod call;
mod clock;
mod counts;
mod dice;
mod execution;
mod executions;
mod facts;
mod faults;
mod line;
mod listing;
mod memory;
mod misbehave;
mod paging;
mod progress;
mod results;
mod server;
mod settings;
mod storm;
mod tokens;
mod window;
mod workflows;
mod world;

pub use call::Operation;
pub use counts::{Counts, Entry, Exchange, Refreshes, Submits};
pub use facts::{Facts, Metrics, Row, Totals};
pub use faults::{Effect, Ending, Fault, Kind, SetFault};
pub use settings::{Account, Gzip, Instance, Lifetime, Pace, RunTime, Settings, TrailingZ, User};
pub use storm::storm;

use chrono::{DateTime, TimeDelta, Utc};
use line::{Line, Lines};
use serde::{Deserialize, Serialize};
use server::Shared;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use world::World;

/// How long open connections get to finish when the simulator stops.
const GRACE: Duration = Duration::from_secs(2);

/// Why the simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its port is not to be had.
    #[error("cannot listen on 127.0.0.1:{port}: choose another port, or 0 for a free one")]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// What an earlier run wrote cannot be read.
    #[error("cannot read the simulator's memory {}: {source}; remove it to start anew", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// Its settings contradict themselves.
    #[error("simulator settings: {0}")]
    Settings(String),
}

/// A simulator that runs. Dropped, it stops.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// How things stand, for people and for tests in other processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// AMC's time.
    pub now: DateTime<Utc>,
    /// The clients' time.
    pub felt_at: DateTime<Utc>,
    /// How many executions have which status, by instance.
    pub executions: BTreeMap<String, BTreeMap<String, u64>>,
    /// The faults that are set.
    pub faults: Vec<SetFault>,
}

/// Starts a simulator on 127.0.0.1, as `settings` say.
pub async fn start(settings: Settings) -> Result<Simulator, Error> {
    settings.check().map_err(Error::Settings)?;
    let port = settings.port;
    let bind = |source| Error::Bind { port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let memory = settings.memory.clone();
    let mut world = World::new(settings, format!("http://{address}"));
    if let Some(path) = memory {
        memory::recall(&mut world, &path)?;
    }
    let shared = Arc::new(Shared::new(world));
    let service = server::router(Arc::clone(&shared)).into_make_service_with_connect_info::<Line>();
    let stop = shared.stop.clone();
    let task = tokio::spawn(async move {
        let serve = axum::serve(Lines(listener), service);
        if let Err(error) = serve.with_graceful_shutdown(stop.cancelled_owned()).await {
            tracing::error!(%error, "the simulator has stopped serving");
        }
    });
    Ok(Simulator { shared, address, task })
}

impl Simulator {
    /// Where AMC answers, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where Login with Amazon answers.
    pub fn token_url(&self) -> String {
        format!("http://{}/auth/o2/token", self.address)
    }

    /// The settings it was started with.
    pub fn settings(&self) -> Settings {
        self.shared.world().settings.clone()
    }

    /// How things stand.
    pub fn state(&self) -> State {
        State::of(&mut self.shared.world())
    }

    /// What clients did.
    pub fn counts(&self) -> Counts {
        let mut world = self.shared.world();
        world.settle();
        world.witness.counts.clone()
    }

    /// Every call, oldest first.
    pub fn log(&self) -> Vec<Entry> {
        self.shared.world().witness.log.iter().cloned().collect()
    }

    /// Every call with its bodies; empty unless [`Settings::record_bodies`].
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.world().witness.exchanges.clone()
    }

    /// Returns once the counts are as wished; looks after every call.
    pub async fn until(&self, wish: impl Fn(&Counts) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        let come_true = changes.wait_for(|_| wish(&self.shared.world().witness.counts));
        come_true.await.expect("the sender lives as long as the simulator");
    }

    /// Returns once a fault has met this many calls, or has been lifted.
    pub async fn until_met(&self, fault: u64, calls: u32) {
        let mut changes = self.shared.changes.subscribe();
        let met = |_: &u64| {
            let world = self.shared.world();
            let set = world.faults.all().iter().find(|set| set.id == fault);
            set.is_none_or(|set| set.met >= calls)
        };
        changes.wait_for(met).await.expect("the sender lives as long as the simulator");
    }

    /// What the instance's results add up to.
    pub fn facts(&self, instance: &str) -> Facts {
        let settings = &self.shared.world().settings;
        Facts::new(settings.seed, instance, settings.campaigns)
    }

    /// Sets a fault; gives the id to lift it by.
    pub fn set_fault(&self, fault: Fault) -> u64 {
        self.shared.change(|world| world.faults.add(fault))
    }

    /// Lifts a fault; false when it is not set.
    pub fn lift_fault(&self, id: u64) -> bool {
        self.shared.change(|world| world.faults.lift(Some(id))) > 0
    }

    /// Lifts all faults.
    pub fn lift_faults(&self) {
        self.shared.change(|world| world.faults.lift(None));
    }

    /// Moves AMC's time and felt time forward.
    pub fn advance(&self, by: Duration) {
        self.shared.change(|world| world.clock.advance(by));
    }

    /// AMC's time.
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.world().clock.now()
    }

    /// Makes a refresh token, and the access tokens it gave, worthless: for so long, as clients
    /// feel it, or until it is restored.
    pub fn revoke(&self, refresh_token: &str, length: Option<Duration>) {
        self.shared.change(|world| {
            let length = length.map(|length| TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX));
            let felt = world.clock.felt();
            let until = length.and_then(|length| felt.checked_add_signed(length));
            world.tokens.revoke(refresh_token, until.unwrap_or(DateTime::<Utc>::MAX_UTC));
        });
    }

    /// Makes a refresh token good again.
    pub fn restore(&self, refresh_token: &str) {
        self.shared.change(|world| world.tokens.restore(refresh_token));
    }

    /// Deletes every saved workflow, as somebody else may.
    pub fn forget_workflows(&self) {
        self.shared.change(|world| world.workflows.clear());
    }

    /// Makes every access token issued so far worthless.
    pub fn forget_tokens(&self) {
        self.shared.change(|world| world.tokens.forget());
    }

    /// Stops: answers what it has begun, for a moment, frees the port, and writes its memory if
    /// it is to have one.
    pub async fn stop(mut self) -> std::io::Result<()> {
        self.shared.stop.cancel();
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
        let mut world = self.shared.world();
        match world.settings.memory.clone() {
            Some(path) => memory::keep(&mut world, &path),
            None => Ok(()),
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl State {
    fn of(world: &mut World) -> Self {
        world.settle();
        let mut executions: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for execution in world.executions.all() {
            let statuses = executions.entry(execution.instance.clone()).or_default();
            *statuses.entry(execution.status.word().to_owned()).or_default() += 1;
        }
        let [now, felt_at] = world.clocks();
        Self { now, felt_at, executions, faults: world.faults.all().to_vec() }
    }
}
