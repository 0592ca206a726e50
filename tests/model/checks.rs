//! What is checked after every step: the store has come to what the model says, and nothing else.

use super::expected::{Job, Past, Place, RunAt};
use super::resources::{Phase, Resource};
use super::snapshot::{JobRow, ResourceRow, Snapshot};
use super::world::World;
use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::queue::gate::breaker::State;
use std::collections::BTreeSet;

impl World {
    /// Compares everything, and reads back what has jitter.
    pub async fn check(&mut self) -> Result<()> {
        let seen = self.look().await?;
        self.compare(&seen)
    }

    pub fn compare(&mut self, seen: &Snapshot) -> Result<()> {
        self.adopt(seen)?;
        for job_id in std::mem::take(&mut self.finishing) {
            let row = seen.jobs.get(&job_id).with_context(|| format!("job {job_id} is lost"))?;
            let job = self.model.jobs.remove(&job_id).context("it finished twice")?;
            same(&job, row)?;
            let finished_at = row.finished_at.with_context(|| format!("not finished: {row:?}"))?;
            self.model.past.insert(job_id, Past { job, finished_at, replayed_as: None });
        }
        let (unfinished, finished) = (self.model.jobs.len(), self.model.past.len());
        let right = usize::try_from(seen.unfinished)? == unfinished
            && usize::try_from(seen.finished)? == finished;
        ensure!(
            right,
            "{} jobs and {} in the history, not {unfinished} and {finished}",
            seen.unfinished,
            seen.finished
        );
        let between = (self.now, seen.now);
        for (id, job) in &mut self.model.jobs {
            let row = seen.jobs.get(id).with_context(|| format!("job {id} is lost: {job:?}"))?;
            same(job, row)?;
            read_run_at(job, row, between)?;
        }
        let running = self.model.running();
        for row in &seen.resources {
            let running = running.get(&row.name).copied().unwrap_or(0);
            let resource = self.model.resource(&row.name);
            same_resource(resource, row, running, between)
                .with_context(|| format!("{} was to be {resource:?}", row.name))?;
        }
        self.now = seen.now;
        Ok(())
    }

    /// Learns the ids of the jobs that were enqueued.
    fn adopt(&mut self, seen: &Snapshot) -> Result<()> {
        for row in &seen.changed {
            if self.model.jobs.contains_key(&row.id) || self.model.past.contains_key(&row.id) {
                continue;
            }
            let job = self.model.coming.remove(&row.name);
            let job = job.with_context(|| format!("nobody asked for {row:?}"))?;
            self.model.jobs.insert(row.id, job);
        }
        ensure!(self.model.coming.is_empty(), "never enqueued: {:?}", self.model.coming);
        Ok(())
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
    let wants_hold = || {
        let mut wanted = row.wants_hold.iter();
        row.wants_hold.len() == job.wants_hold.len()
            && wanted.all(|name| job.wants_hold.contains(name.as_str()))
    };
    let same = row.name == job.name
        && row.state == state
        && (row.parent_id, row.replay_of) == (job.parent, job.replay_of)
        && row.session == session
        && (row.attempt, row.snoozes, row.throttles, row.denials, row.rescues) == counters
        && row.interruptions == job.interruptions
        && row.blocked_by.as_deref() == job.blocked_by
        && (job.is_finished()
            || (row.fence == job.fence && row.cancel_asked == job.cancel_asked && wants_hold()));
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

/// Wherever a window begins, no more have started in it than the rule says.
pub fn within_rate(
    started: &mut Vec<(DateTime<Utc>, u32)>,
    (tokens, seconds): (u32, u64),
) -> Result<()> {
    let window = TimeDelta::seconds(i64::try_from(seconds)?);
    let last = started.iter().map(|(at, _)| *at).max();
    for (begins, _) in &*started {
        let inside = started.iter().filter(|(at, _)| at >= begins && *at < *begins + window);
        let taken: u32 = inside.map(|(_, cost)| (*cost).min(tokens)).sum();
        ensure!(taken <= tokens, "{taken} started in one window of {seconds} s, not {tokens}");
    }
    // No window of theirs is still open.
    started.retain(|(at, _)| last.is_none_or(|last| *at + window > last));
    Ok(())
}
