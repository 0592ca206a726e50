//! A fleet of real processes on one Postgres: real signals, and a counter outside of it.

mod dead_resource;
mod gates;
mod outside;
mod poison;
mod sleeper;
mod throttled;
mod worker;

use crate::harness::database::TestDatabase;
use crate::harness::eventually::eventually;
use crate::harness::process::{Process, Program};
use nix::sys::signal::Signal;
use outside::Outside;
use recomamp::queue::gate::Rule;
use recomamp::queue::{NewJob, Queue};
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use std::time::Duration;

/// Processes, the store they share and the outside that their jobs call.
pub struct Fleet {
    pub workers: Vec<Process>,
    pub outside: Outside,
    pub db: TestDatabase,
    slots: usize,
    /// How many have died.
    buried: i64,
}

impl Fleet {
    /// Nobody works yet; each process will run so many jobs at once.
    pub async fn with_slots(slots: usize) -> Self {
        Self::on(TestDatabase::new().await, slots)
    }

    pub fn on(db: TestDatabase, slots: usize) -> Self {
        Self { workers: Vec::new(), outside: Outside::open(), db, slots, buried: 0 }
    }

    /// Starts so many more, and waits until they work.
    pub async fn start(&mut self, processes: usize) {
        let first = self.workers.len();
        for _ in 0..processes {
            let worker = self.spawn().await;
            self.workers.push(worker);
        }
        for worker in &mut self.workers[first..] {
            worker.line("working session").await;
        }
    }

    async fn spawn(&self) -> Process {
        let program = std::env::current_exe().expect("it has a path");
        Program::at(&program.to_string_lossy(), &worker::ARGUMENTS)
            .env(worker::DATABASE, self.db.url())
            .env(worker::OUTSIDE, &self.outside.path().to_string_lossy())
            .env(worker::SLOTS, &self.slots.to_string())
            .start()
            .await
    }

    /// `kill -9` on one of them. The store takes it for silent from now on.
    pub async fn kill(&mut self, index: usize) {
        let worker = self.workers.swap_remove(index);
        worker.signal(Signal::SIGKILL);
        self.bury(worker).await;
    }

    /// Waits for the end of a process that dies, and tells the store and the outside of it.
    pub async fn bury(&mut self, worker: Process) -> String {
        let pid = worker.pid();
        let ended = worker.finish().await;
        assert!(!ended.status.success(), "it died");
        self.outside.gone(pid);
        // Postgres may still be doing what it had asked for, such as a renewal.
        let connections = "select count(*) from pg_stat_activity
            where datname = current_database() and application_name = 'fleet-' || $1";
        eventually("its connections are closed", async || {
            let open = sqlx::query_scalar::<_, i64>(connections).bind(i64::from(pid));
            open.fetch_one(self.db.pool()).await.expect("the store answers") == 0
        })
        .await;
        self.fell_silent(pid).await;
        self.buried += 1;
        ended.status.to_string()
    }

    /// As if it had not renewed its leases for longer than it is waited for.
    pub async fn fell_silent(&self, pid: u32) {
        sqlx::query("update engine.sessions set seen_at = seen_at - $2 where pid = $1")
            .bind(i64::from(pid))
            .bind(2 * worker::PATIENCE)
            .execute(self.db.pool())
            .await
            .expect("the store answers");
    }

    /// Ends all of them as a deploy does.
    pub async fn stop(&mut self) {
        for worker in &self.workers {
            worker.signal(Signal::SIGTERM);
        }
        for worker in self.workers.drain(..) {
            let ended = worker.finish().await;
            assert!(ended.status.success(), "{}", ended.stdout);
        }
    }

    pub async fn enqueue(&self, jobs: &[NewJob]) -> Vec<i64> {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        let answers = Queue::new().enqueue(&mut connection, jobs).await.expect("enqueued");
        answers.into_iter().map(recomamp::queue::Enqueued::id).collect()
    }

    pub async fn gate(&self, resource: &str, rule: Rule) {
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        Queue::new().set_gate(&mut connection, resource, rule).await.expect("a gate");
    }

    /// Lets time pass. Who would have been woken by a timer meanwhile is woken now.
    pub async fn wait(&self, time: Duration) {
        self.db.advance_clock(time).await;
        sqlx::query("select pg_notify('engine_wake', 'default')")
            .execute(self.db.pool())
            .await
            .expect("the store answers");
    }

    /// The only row of this question.
    pub async fn ask<T>(&self, question: &'static str) -> T
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        sqlx::query_as(question).fetch_one(self.db.pool()).await.expect("the store answers")
    }

    pub async fn count(&self, question: &'static str) -> i64 {
        self.ask::<(i64,)>(question).await.0
    }

    pub async fn until_all_is_done(&self) {
        eventually("no job is left", async || {
            self.count("select count(*) from engine.jobs").await == 0
        })
        .await;
    }

    /// No count is wrong, no place and no slot is taken, nobody waits at an open gate.
    pub async fn assert_nothing_leaked(&self) {
        let taken = "select count(*) from engine.resources where held <> 0 or running <> 0";
        assert_eq!(self.count(taken).await, 0, "a slot or a place is still taken");
        let mut connection = self.db.pool().acquire().await.expect("a connection");
        let mended = Queue::new().sweep(&mut connection).await.expect("swept");
        assert_eq!(mended, 0, "there was something to mend");
    }
}
