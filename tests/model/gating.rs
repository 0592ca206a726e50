//! Steps that steer gates: set, paused, resumed, opened; and places that are let go of.

use super::expected::{Job, Place, RunAt};
use super::resources::{Phase, Resource};
use super::steps::Set;
use super::world::World;
use anyhow::{Result, ensure};
use chrono::TimeDelta;
use recomamp::queue::Queue;
use recomamp::queue::gate::quota::Quota;
use recomamp::queue::gate::rate::Rate;
use recomamp::queue::gate::{Rule, breaker};
use std::time::Duration;

impl World {
    pub async fn pause(&mut self, name: &'static str, lasts: Option<u64>) -> Result<()> {
        let lasts = lasts.map(Duration::from_secs);
        Queue::new().pause(self.connection(), name, "ada", "because", lasts).await?;
        // When it ends is read back.
        self.model.resource(name).paused = Some(lasts.map(|_| self.now));
        Ok(())
    }

    pub async fn open(&mut self, name: &'static str) -> Result<()> {
        let opened = Queue::new().open(self.connection(), name).await?;
        let blocked = self.model.jobs.values_mut().filter(|job| job.blocked_by == Some(name));
        let mut expected = 0;
        for job in blocked {
            job.blocked_by = None;
            if !job.is_due_by(self.now) {
                job.run_at = RunAt::After(TimeDelta::zero(), TimeDelta::zero());
            }
            expected += 1;
        }
        ensure!(opened == expected, "opened {opened} of {expected}");
        Ok(())
    }

    /// Mends nothing, because nobody broke anything. Those that have waited long enough for a
    /// credential look by themselves.
    pub async fn sweep(&mut self) -> Result<()> {
        let mended = Queue::new().sweep(self.connection()).await?;
        ensure!(mended == 0, "nobody broke anything, but {mended} were mended");
        let seen = self.look().await?;
        for (id, job) in &mut self.model.jobs {
            // Some come to their time in the moment in which it looks.
            let is_woken = || seen.jobs.get(id).is_some_and(|row| row.blocked_by.is_none());
            if job.is_due_by(self.now) || (job.is_due_by(seen.now) && is_woken()) {
                job.blocked_by = None;
            }
        }
        Ok(())
    }

    pub async fn release(&mut self, which: usize) -> Result<()> {
        let holders = |resource: &Resource| resource.holders.clone();
        let mut all: Vec<String> =
            self.model.resources.values().flat_map(holders).chain(["nobody".to_owned()]).collect();
        all.sort();
        all.dedup();
        let holder = &all[which % all.len()];
        let released = Queue::new().release(self.connection(), holder).await?;
        let mut expected = false;
        for resource in self.model.resources.values_mut() {
            expected |= resource.holders.remove(holder);
        }
        ensure!(released == expected, "released {holder}: {released}, not {expected}");
        Ok(())
    }

    pub async fn resume(&mut self, name: &'static str) -> Result<()> {
        let resumed = Queue::new().resume(self.connection(), name, "ada").await?;
        let resource = self.model.resource(name);
        let mut expected = resource.paused.take().is_some();
        if let Some(breaker) = &mut resource.breaker {
            expected |= breaker.phase != Phase::Closed;
            breaker.resume();
        }
        ensure!(resumed == expected, "resumed {name}: {resumed}, not {expected}");
        Ok(())
    }

    pub async fn set_gate(&mut self, name: &'static str, set: &Set) -> Result<()> {
        let rule = match set {
            Set::Holds(max) => Rule::Holds(*max),
            Set::Running(max) => Rule::Running(*max),
            Set::Rate(rate) => {
                let rate = rate.map(|(tokens, s)| Rate::new(tokens, Duration::from_secs(s)));
                Rule::Rate(rate.transpose()?)
            }
            Set::Quota(limit) => {
                Rule::Quota(limit.map(|most| Quota::new(most, "UTC")).transpose()?)
            }
            Set::Breaker(rule) => Rule::Breaker(rule.map(|(k, probes, cool_down, manual)| {
                let trips = vec![breaker::Trip::Consecutive { k }];
                let cool_downs_s = vec![cool_down];
                breaker::Rule { trips, probes, cool_downs_s, manual, ..breaker::Rule::default() }
            })),
            Set::Weight(weight) => Rule::Weight(*weight),
        };
        Queue::new().set_gate(self.connection(), name, rule).await?;
        self.model.resource(name).set(set);
        if matches!(set, Set::Running(Some(_))) {
            let runs = |job: &&mut Job| matches!(job.place, Place::Running(_));
            for job in self.model.jobs.values_mut().filter(runs) {
                // What runs already counts, and will be heard of.
                if job.resources().iter().any(|used| used == name)
                    && job.slots.insert(name.to_owned())
                {
                    job.gated = true;
                }
            }
        }
        Ok(())
    }
}
