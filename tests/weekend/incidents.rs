//! What goes wrong, and when.

use super::cast::House;
use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::signal::Signal;
use recomamp::simulator::{Effect, Fault, Kind};

/// Friday, 9 January 2026, 18:00.
pub const START: DateTime<Utc> = DateTime::from_timestamp(1_767_981_600, 0).expect("a time");

/// The instances of the region that dies.
pub const DEAD: [&str; 3] = ["amcdemous01", "amcdemous02", "amcdemosbx1"];

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incident {
    WorkerIsKilled,
    BobIsRevoked,
    AmazonDies,
    AmazonIsBack,
    Deploy,
    PostgresRestarts,
    BobLogsIn,
    End,
}

/// What happens when, from the first to the last.
pub struct Script {
    pub weeks: u32,
    pub incidents: Vec<(DateTime<Utc>, Incident)>,
}

impl Script {
    /// Two days without an Amazon.
    pub fn weekend() -> Self {
        Self::with(52, TimeDelta::hours(48), TimeDelta::minutes(828))
    }

    /// Two hours without it.
    pub fn evening() -> Self {
        Self::with(24, TimeDelta::hours(2), TimeDelta::minutes(40))
    }

    /// `absence`: how long after the outage Bob comes back.
    fn with(weeks: u32, outage: TimeDelta, absence: TimeDelta) -> Self {
        let after = |minutes| START + TimeDelta::minutes(minutes);
        let back = after(12) + outage;
        let then = |minutes| back + TimeDelta::minutes(minutes);
        let incidents = vec![
            (after(4), Incident::WorkerIsKilled),
            (after(8), Incident::BobIsRevoked),
            (after(12), Incident::AmazonDies),
            (after(12) + outage / 5, Incident::Deploy),
            (after(12) + outage * 3 / 4, Incident::WorkerIsKilled),
            (back, Incident::AmazonIsBack),
            (then(4), Incident::PostgresRestarts),
            (then(8), Incident::Deploy),
            (back + absence, Incident::BobLogsIn),
            (back + absence + TimeDelta::hours(2), Incident::End),
        ];
        Self { weeks, incidents }
    }

    /// When North America dies and comes back.
    pub fn outage(&self) -> [DateTime<Utc>; 2] {
        [Incident::AmazonDies, Incident::AmazonIsBack].map(|which| {
            let found = self.incidents.iter().find(|(_, incident)| *incident == which);
            found.map_or(START, |(moment, _)| *moment)
        })
    }
}

impl House {
    /// Lets it happen.
    pub async fn meet(&mut self, incident: Incident) {
        let (now, steps) = (self.now().await.format("%a %H:%M:%S"), self.steps);
        println!("{now}  {incident:?} (step {steps}, {:?})", self.began.elapsed());
        match incident {
            Incident::WorkerIsKilled => {
                let worker = self.workers.swap_remove(0);
                self.dead.push(i64::from(worker.pid()));
                worker.signal(Signal::SIGKILL);
                assert!(!worker.finish().await.status.success());
                let next = self.start_worker().await;
                self.workers.push(next);
            }
            Incident::BobIsRevoked => self.amc.revoke(super::cast::BOBS_TOKEN, None),
            Incident::AmazonDies => {
                for instance in DEAD {
                    let down = Kind::ServerError { status: 503, effect: Effect::Before };
                    self.amc.set_fault(Fault::new(down).in_instance(instance));
                }
            }
            Incident::AmazonIsBack => self.amc.lift_faults(),
            Incident::Deploy => self.deploy().await,
            Incident::PostgresRestarts => {
                self.postgres.stop().await;
                self.postgres.start_again().await;
            }
            Incident::BobLogsIn => {
                self.amc.restore(super::cast::BOBS_TOKEN);
                self.command("users authorise bob@example.com", super::cast::BOBS_TOKEN).await;
            }
            Incident::End => {}
        }
    }

    /// New processes start, the old ones are told to stop.
    async fn deploy(&mut self) {
        let mut old: Vec<_> = self.workers.drain(..).chain(self.schedulers.drain(..)).collect();
        self.start_processes().await;
        for process in &old {
            process.signal(Signal::SIGTERM);
        }
        for process in old.drain(..) {
            let ended = process.finish().await;
            assert!(ended.status.success(), "{}", ended.stderr);
        }
    }
}
