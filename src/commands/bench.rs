//! Measures the queue on a database of its own: enqueue, drain, what gates cost, pickup.

use crate::queue::dispatcher::Settings;
use crate::queue::gate::rate::Rate;
use crate::queue::gate::{Rule, breaker};
use crate::queue::postgres::{Mode, PgStore};
use crate::queue::{Attempt, Catalog, Failure, Job, NewJob, Outcome, Queue, worker};
use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Measures the queue: enqueue one by one and in bulk, drain without and with gates, pickup latency.
///
/// It makes a database named `recomamp_bench` on the server and drops it again; it touches nothing else.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  recomamp bench --database-url postgres://postgres@localhost/postgres --json"
)]
pub struct Bench {
    /// A database of the server to measure on; the role must be allowed to make databases.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// Jobs to drain.
    #[arg(long, default_value_t = 50_000)]
    jobs: usize,
    /// Attempts run at once while draining.
    #[arg(long, default_value_t = 1000)]
    slots: usize,
    /// Times each figure is measured; the median is given, with the lowest and the highest.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// One figure, measured several times.
#[derive(Debug, Serialize)]
struct Figure {
    name: &'static str,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
}

impl Figure {
    fn of(name: &'static str, unit: &'static str, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self { name, unit, median: at(last / 2), min: at(0), max: at(last) }
    }
}

impl Bench {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        let server = PgPool::connect(&self.database_url)
            .await
            .context("cannot reach the server to measure on: is --database-url right?")?;
        let mut enqueue_one = Vec::new();
        let mut enqueue_bulk = Vec::new();
        let mut drain_rate = Vec::new();
        let mut gated_rate = Vec::new();
        let mut gates_cost = Vec::new();
        let mut pickup = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let db = fresh_database(&server, &self.database_url).await?;
            enqueue_one.push(one_by_one(&db, 4000, 8).await?);
            sqlx::query("truncate engine.jobs").execute(&db).await?;
            enqueue_bulk.push(in_bulk(&db, self.jobs, false).await?);
            sqlx::query("truncate engine.jobs").execute(&db).await?;
            let (plain, gated) = self.drains(&db, round).await?;
            drain_rate.push(plain);
            gated_rate.push(gated);
            gates_cost.push((1.0 - gated / plain) * 100.0);
            let (p50, p95, p99) = latencies(&db, 500).await?;
            pickup.0.push(p50);
            pickup.1.push(p95);
            pickup.2.push(p99);
            db.close().await;
        }
        drop_database(&server).await?;
        self.print(&[
            Figure::of("enqueue one by one, 8 at once", "jobs/s", enqueue_one),
            Figure::of("enqueue 1000 at a time", "jobs/s", enqueue_bulk),
            Figure::of("drain", "jobs/s", drain_rate),
            Figure::of("drain through gates", "jobs/s", gated_rate),
            Figure::of("what gates cost", "%", gates_cost),
            Figure::of("pickup p50", "ms", pickup.0),
            Figure::of("pickup p95", "ms", pickup.1),
            Figure::of("pickup p99", "ms", pickup.2),
        ])
    }

    /// Drains as many jobs without gates and through them, now the one first and now the other.
    async fn drains(&self, db: &PgPool, round: usize) -> Result<(f64, f64)> {
        let mut rates = [0.0; 2];
        for through_gates in [!round.is_multiple_of(2), round.is_multiple_of(2)] {
            if through_gates {
                set_gates(db).await?;
            }
            in_bulk(db, self.jobs, through_gates).await?;
            sqlx::query("vacuum analyze engine.jobs").execute(db).await?;
            rates[usize::from(through_gates)] = drain(db, self.jobs, self.slots).await?;
        }
        Ok((rates[0], rates[1]))
    }

    fn print(&self, figures: &[Figure]) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(figures)?);
            return Ok(());
        }
        println!("{:<32}{:>12}{:>12}{:>12}", "", "median", "min", "max");
        for figure in figures {
            let Figure { name, unit, median, min, max } = figure;
            let digits = match *unit {
                "ms" => 2,
                "%" => 1,
                _ => 0,
            };
            println!("{name:<32}{median:>12.digits$}{min:>12.digits$}{max:>12.digits$}  {unit}");
        }
        Ok(())
    }
}

const DATABASE: &str = "recomamp_bench";

async fn drop_database(server: &PgPool) -> Result<()> {
    sqlx::query("drop database if exists recomamp_bench with (force)").execute(server).await?;
    Ok(())
}

async fn fresh_database(server: &PgPool, url: &str) -> Result<PgPool> {
    drop_database(server).await?;
    sqlx::query("create database recomamp_bench").execute(server).await?;
    let mut url = url::Url::parse(url).context("--database-url is not a URL")?;
    url.set_path(DATABASE);
    let db = super::connect::pool().max_connections(16).connect(url.as_str()).await?;
    crate::schema::MIGRATIONS.run(&db).await?;
    Ok(db)
}

/// Does nothing, and says so.
#[derive(Serialize, Deserialize)]
struct Nothing {
    at: usize,
}

struct Counter {
    done: AtomicUsize,
    wanted: usize,
    all: Notify,
}

impl Job for Nothing {
    type Tools = Counter;
    const KIND: &'static str = "nothing";

    async fn run(&self, tools: &Counter, _: &Attempt) -> Result<Outcome, Failure> {
        if tools.done.fetch_add(1, Ordering::AcqRel) + 1 == tools.wanted {
            tools.all.notify_one();
        }
        Ok(Outcome::Done)
    }
}

async fn one_by_one(db: &PgPool, jobs: usize, at_once: usize) -> Result<f64> {
    let queue = Queue::new();
    let began = Instant::now();
    let tasks = (0..at_once).map(|_| {
        let (db, queue) = (db.clone(), queue.clone());
        tokio::spawn(async move {
            for at in 0..jobs / at_once {
                let mut connection = db.acquire().await?;
                queue.enqueue(&mut connection, &[NewJob::of(&Nothing { at })?]).await?;
            }
            anyhow::Ok(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(per_second(jobs, began.elapsed()))
}

/// What every gated job uses. Its gates are far above what is asked of them.
const RESOURCE: &str = "host:bench";

async fn set_gates(db: &PgPool) -> Result<()> {
    let queue = Queue::new();
    let mut connection = db.acquire().await?;
    for rule in [
        Rule::Running(Some(1_000_000)),
        Rule::Rate(Some(Rate::new(1_000_000, Duration::from_secs(1))?)),
        Rule::Breaker(Some(breaker::Rule::default())),
    ] {
        queue.set_gate(&mut connection, RESOURCE, rule).await?;
    }
    Ok(())
}

async fn in_bulk(db: &PgPool, jobs: usize, through_gates: bool) -> Result<f64> {
    let queue = Queue::new();
    let mut connection = db.acquire().await?;
    let began = Instant::now();
    for start in (0..jobs).step_by(1000) {
        let batch: Vec<NewJob> = (start..jobs.min(start + 1000))
            .map(|at| NewJob::of(&Nothing { at }))
            .map(|job| {
                job.map(|job| if through_gates { job.using([RESOURCE.into()]) } else { job })
            })
            .collect::<Result<_, _>>()?;
        queue.enqueue(&mut connection, &batch).await?;
    }
    Ok(per_second(jobs, began.elapsed()))
}

/// From the start of the worker until every job is durably done.
async fn drain(db: &PgPool, jobs: usize, slots: usize) -> Result<f64> {
    let tools = Arc::new(Counter { done: AtomicUsize::new(0), wanted: jobs, all: Notify::new() });
    let stop = CancellationToken::new();
    let store = PgStore::new(db.clone(), Mode::Listen);
    let catalog = Catalog::new().add::<Nothing>();
    let settings = Settings::new([("default".to_owned(), slots)]);
    let began = Instant::now();
    let work = worker::run(
        store,
        catalog,
        tools.clone(),
        settings,
        stop.clone(),
        CancellationToken::new(),
    );
    let all_done = async {
        tools.all.notified().await;
        stop.cancel();
    };
    let (worked, ()) = tokio::join!(work, all_done);
    worked?;
    let took = began.elapsed();
    let left: i64 =
        sqlx::query_scalar("-- bench_left\nselect count(*) from engine.jobs").fetch_one(db).await?;
    anyhow::ensure!(left == 0, "{left} jobs were not drained");
    Ok(per_second(jobs, took))
}

/// Says when it started.
#[derive(Serialize, Deserialize)]
struct Ping {
    at: usize,
}

struct Pings(mpsc::UnboundedSender<(usize, Instant)>);

impl Job for Ping {
    type Tools = Pings;
    const KIND: &'static str = "ping";

    async fn run(&self, tools: &Pings, _: &Attempt) -> Result<Outcome, Failure> {
        let _ = tools.0.send((self.at, Instant::now()));
        Ok(Outcome::Done)
    }
}

/// From the enqueuer's commit to the start of the handler, one job every 20 ms; in milliseconds.
async fn latencies(db: &PgPool, jobs: usize) -> Result<(f64, f64, f64)> {
    let (send, mut receive) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let store = PgStore::new(db.clone(), Mode::Listen);
    let settings = Settings::new([("default".to_owned(), 24)]);
    let catalog = Catalog::new().add::<Ping>();
    let hard = CancellationToken::new();
    let work = worker::run(store, catalog, Arc::new(Pings(send)), settings, stop.clone(), hard);
    let measure = async {
        let queue = Queue::new();
        let mut values = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        // The first jobs find a worker that is still connecting.
        for at in 0..jobs + 20 {
            tick.tick().await;
            let mut connection = db.acquire().await?;
            queue.enqueue(&mut connection, &[NewJob::of(&Ping { at })?]).await?;
            let committed = Instant::now();
            drop(connection);
            let (_, started) = receive.recv().await.context("the worker stopped")?;
            if at >= 20 {
                values.push(started.saturating_duration_since(committed).as_secs_f64() * 1000.0);
            }
        }
        stop.cancel();
        anyhow::Ok(values)
    };
    let (worked, values) = tokio::join!(work, measure);
    worked?;
    let mut values = values?;
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| values.get(values.len() * percent / 100).copied().unwrap_or(f64::NAN);
    Ok((at(50), at(95), at(99)))
}

fn per_second(jobs: usize, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of jobs is far below 2^52")]
    let jobs = jobs as f64;
    jobs / took.as_secs_f64()
}
