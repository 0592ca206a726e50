//! What is checked after every step: the store has come to what the model says, and nothing else.

use super::expected::{Job, Phase, Place, Resource, RunAt};
use super::snapshot::{JobRow, ResourceRow, Snapshot};
use super::world::World;
use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::queue::gate::breaker::State;
use std::collections::BTreeSet;

impl World {
    /// Compares everything, and reads back what has jitter.
    pub async fn check(&mut self) -> Result<()> {
        let seen = self.snapshot().await?;
        self.adopt(&seen)?;
        for job_id in &self.finishing {
            let row = seen.jobs.get(job_id).with_context(|| format!("job {job_id} is lost"))?;
            let job = self.model.jobs.remove(job_id).context("it finished twice")?;
            same(&job, row)?;
            self.finished += 1;
        }
        ensure!(
            seen.finished == self.finished,
            "{} have finished, not {}",
            seen.finished,
            self.finished
        );
        let between = (self.now, seen.now);
        for (id, job) in &mut self.model.jobs {
            let row = seen.jobs.get(id).with_context(|| format!("job {id} is lost: {job:?}"))?;
            same(job, row)?;
            read_run_at(job, row, between)?;
        }
        let known = self.model.jobs.len() + self.finishing.len();
        ensure!(seen.jobs.len() == known, "{} jobs, not {known}", seen.jobs.len());
        self.finishing.clear();
        for row in &seen.resources {
            let running = self.model.running_on(&row.name);
            let resource = self.model.resource(&row.name);
            same_resource(resource, row, running, between)
                .with_context(|| format!("{} was to be {resource:?}", row.name))?;
        }
        self.now = seen.now;
        Ok(())
    }

    /// Learns the ids of the jobs that were enqueued.
    fn adopt(&mut self, seen: &Snapshot) -> Result<()> {
        for row in seen.jobs.values() {
            if self.model.jobs.contains_key(&row.id) {
                continue;
            }
            let job = self.model.coming.remove(&row.name);
            let job = job.with_context(|| format!("nobody asked for {row:?}"))?;
            ensure!(row.parent_id == job.parent, "{row:?} has another parent: {job:?}");
            self.model.jobs.insert(row.id, job);
        }
        ensure!(self.model.coming.is_empty(), "never enqueued: {:?}", self.model.coming);
        Ok(())
    }

    /// Those that have waited long enough for a credential look by themselves.
    pub fn wake_overdue(&mut self) {
        for job in self.model.jobs.values_mut().filter(|job| job.blocked_by.is_some()) {
            let RunAt::Exactly(run_at) = job.run_at else { continue };
            if run_at <= self.now {
                job.blocked_by = None;
            }
        }
    }
}

fn same(job: &Job, row: &JobRow) -> Result<()> {
    let (state, session) = match job.place {
        Place::Waiting => ("waiting", None),
        Place::Running(session) => ("running", Some(session)),
        Place::Done => ("done", None),
        Place::Discarded => ("discarded", None),
        Place::Cancelled => ("cancelled", None),
    };
    let counters = (job.attempt, job.snoozes, job.throttles, job.denials, job.rescues);
    let same = row.name == job.name
        && row.state == state
        && row.session == session
        && (row.attempt, row.snoozes, row.throttles, row.denials, row.rescues) == counters
        && row.interruptions == job.interruptions
        && row.blocked_by.as_deref() == job.blocked_by
        && (job.is_finished() || (row.fence, row.wants_hold) == (job.fence, job.wants_hold));
    ensure!(same, "this job\n  {row:?}\nwas to be\n  {job:?}");
    Ok(())
}

fn read_run_at(job: &mut Job, row: &JobRow, between: (DateTime<Utc>, DateTime<Utc>)) -> Result<()> {
    let run_at = row.run_at.context("an unfinished job has a time")?;
    let right = match job.run_at {
        RunAt::Exactly(at) => at == run_at,
        RunAt::After(least, most) => run_at >= between.0 + least && run_at <= between.1 + most,
    };
    ensure!(right, "{run_at} of {job:?}, a step between {between:?}");
    ensure!(!row.due || run_at <= between.1, "due before its time: {row:?}");
    job.run_at = RunAt::Exactly(run_at);
    Ok(())
}

fn same_resource(
    resource: &mut Resource,
    row: &ResourceRow,
    running: usize,
    between: (DateTime<Utc>, DateTime<Utc>),
) -> Result<()> {
    let holders: BTreeSet<String> = row.holders.iter().cloned().collect();
    ensure!(holders == resource.holders, "holders {holders:?}");
    ensure!(usize::try_from(row.held)? == holders.len(), "{} held", row.held);
    ensure!(usize::try_from(row.running)? == running, "{} running, not {running}", row.running);
    if let Some(pause) = resource.asked_for_quiet.take() {
        let until = row.not_before.context("it was to be left alone")?;
        let new = until >= between.0 + pause && until <= between.1 + pause;
        let old = resource.not_before.is_some_and(|old| old == until && old >= between.0 + pause);
        ensure!(new || old, "left alone until {until}");
        resource.not_before = row.not_before;
    }
    ensure!(row.not_before == resource.not_before, "left alone until {:?}", row.not_before);
    if let Some(until) = &mut resource.paused {
        ensure!(until.is_some() == row.paused_until.is_some(), "{row:?}");
        *until = row.paused_until;
    }
    resource.opened_at = row.opened_at;
    let (Some(ours), Some(theirs)) = (&mut resource.breaker, &row.breaker) else {
        ensure!(resource.breaker.is_none() && row.breaker.is_none(), "{:?}", row.breaker);
        return Ok(());
    };
    match (&mut ours.phase, theirs.state()) {
        (Phase::Closed, State::Closed { since }) => ours.closed_since = *since,
        (Phase::Open(until), State::Open { until: read, .. }) => {
            ensure!(until.is_none() || until == read, "it opened again: {read:?}");
            *until = *read;
        }
        (Phase::HalfOpen { left, good, probes }, State::HalfOpen { .. }) => {
            let read = theirs.state();
            let State::HalfOpen { left: l, good: g, probes: p, .. } = read else {
                bail!("{read:?}")
            };
            let same =
                (l, g) == (&*left, &*good) && p.iter().copied().collect::<BTreeSet<_>>() == *probes;
            ensure!(same, "the breaker is {read:?}");
            ensure!(*left + u32::try_from(probes.len())? > 0, "stuck half-open");
        }
        (_, read) => bail!("the breaker is {read:?}"),
    }
    Ok(())
}

/// No lane of starts, wherever a window begins, has more than the rule says.
pub fn within_rate(started: &[(DateTime<Utc>, u32)], (tokens, seconds): (u32, u64)) -> Result<()> {
    // A job is claimed a moment after it was let through.
    let window = TimeDelta::seconds(i64::try_from(seconds)?) - TimeDelta::milliseconds(500);
    for (begins, _) in started {
        let inside = started.iter().filter(|(at, _)| at >= begins && *at < *begins + window);
        let taken: u32 = inside.map(|(_, cost)| (*cost).min(tokens)).sum();
        ensure!(taken <= tokens, "{taken} started in one window of {seconds} s, not {tokens}");
    }
    Ok(())
}
