//! Claims: only jobs that may run are given, in order, and none is left lying that could run.

use super::checks::within_rate;
use super::expected::{Job, Phase, Place, RunAt};
use super::snapshot::{LaneRow, lanes};
use super::world::World;
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::queue::session::SessionId;
use recomamp::queue::share::Slots;
use recomamp::queue::store::{Ask, Lease, Store};
use std::collections::BTreeMap;

/// So many calls in a row may say that there is more.
const MOST_CALLS: usize = 40;

impl World {
    pub async fn claim(
        &mut self,
        at: usize,
        slots: usize,
        queue: &'static str,
        old: bool,
        dry: bool,
    ) -> Result<()> {
        let session = SessionId(self.sessions[at].id);
        if self.sessions[at].ended {
            let ask = Ask { queue, slots: Slots::free_of_all(slots), kinds: Self::kinds(old) };
            let claimed = self.stores[at].claim(session, &ask).await?;
            ensure!(claimed.leases.is_empty(), "a lost session got {:?}", claimed.leases);
            self.check().await?;
            return self.begin_session(at).await;
        }
        for _ in 0..MOST_CALLS {
            let mut slots = Slots::free_of_all(slots);
            slots.used = self.used(session.0, queue);
            let before = self.now;
            let ask = Ask { queue, slots, kinds: Self::kinds(old) };
            let claimed = self.stores[at].claim(session, &ask).await?;
            ensure!(claimed.leases.len() <= slots.free(), "more than there are slots");
            let full = claimed.leases.len() == slots.free();
            self.taken(session, queue, old, before, &claimed.leases).await?;
            if !claimed.more && !full {
                return self.none_is_left_lying(queue, old, before).await;
            }
            if !dry || full {
                return Ok(());
            }
        }
        anyhow::bail!("{MOST_CALLS} claims said that there is more")
    }

    /// Takes over what was claimed, and checks that it might be.
    async fn taken(
        &mut self,
        session: SessionId,
        queue: &str,
        old: bool,
        before: DateTime<Utc>,
        leases: &[Lease],
    ) -> Result<()> {
        let seen = self.snapshot().await?;
        let was = self.model.jobs.clone();
        self.let_probes_in(seen.now, &seen.resources);
        for lease in leases {
            let row = seen.jobs.get(&lease.job_id).context("a lease on a lost job")?;
            let job = was.get(&lease.job_id).context("a lease on an unknown job")?;
            ensure!(job.may_run_by(seen.now), "not to be run now: {job:?}");
            ensure!(job.queue() == queue && Self::knows(old, &job.plan), "{job:?}");
            ensure!(lease.fence == job.fence + 1 && lease.attempt == job.attempt + 1, "{lease:?}");
            self.pass_gates(lease, job, row.gated, &row.slots, before)
                .with_context(|| format!("{job:?}"))?;
            let job = self.model.jobs.get_mut(&lease.job_id).context("it was there")?;
            ensure!(job.place == Place::Waiting, "leased twice");
            job.place = Place::Running(session.0);
            (job.fence, job.attempt) = (lease.fence, lease.attempt);
            (job.claimed_at, job.gated) = (Some(lease.claimed_at), row.gated);
            job.slots = row.slots.iter().cloned().collect();
            job.wants_hold &= !row.gated;
            self.leases.insert(lease.job_id, lease.clone());
        }
        self.within_limits(leases, &was)?;
        in_order(leases, &was, before, |id| matches!(self.model.jobs[&id].place, Place::Waiting))?;
        self.check().await
    }

    /// A breaker whose cool-down is over asks.
    fn let_probes_in(&mut self, now: DateTime<Utc>, rows: &[super::snapshot::ResourceRow]) {
        use recomamp::queue::gate::breaker::Phase as Theirs;
        for row in rows {
            let theirs = row.breaker.as_ref().map(|breaker| breaker.phase());
            let Some(ours) = &mut self.model.resource(&row.name).breaker else { continue };
            if matches!(ours.phase, Phase::Open(Some(until)) if until <= now)
                && theirs == Some(Theirs::HalfOpen)
            {
                ours.half_open();
            }
        }
    }

    fn pass_gates(
        &mut self,
        lease: &Lease,
        job: &Job,
        gated: bool,
        slots: &[String],
        before: DateTime<Utc>,
    ) -> Result<()> {
        let holder = job.plan.holder.map(|holder| format!("h{holder}"));
        for name in job.resources() {
            let cost = job.cost(&name);
            let resource = self.model.resource(&name);
            ensure!(gated || !resource.is_gated(), "it did not ask {name}");
            ensure!(!resource.is_paused(lease.claimed_at), "{name} is paused");
            ensure!(
                resource.not_before.is_none_or(|at| at <= lease.claimed_at),
                "{name}: too early"
            );
            ensure!(
                slots.contains(&name) == resource.max_running.is_some(),
                "{name} does not count it as it should"
            );
            if resource.max_holds.is_some() && job.holds(&name) {
                resource.holders.extend(holder.clone());
            }
            if resource.rate.is_some() {
                resource.started.push((lease.claimed_at, cost));
            }
            if resource.quota.is_some() {
                resource.started_under_quota.push((lease.claimed_at, cost));
            }
            match resource.breaker.as_mut().map(|breaker| &mut breaker.phase) {
                Some(Phase::Open(until)) => anyhow::bail!("{name}'s breaker is open: {until:?}"),
                Some(Phase::HalfOpen { left, probes, .. }) => {
                    ensure!(*left > 0, "{name}: more probes than there may be");
                    *left -= 1;
                    probes.insert((lease.job_id, i64::from(lease.fence)));
                }
                _ => {}
            }
        }
        ensure!(lease.claimed_at >= before, "claimed in the past");
        Ok(())
    }

    /// What has just started has found room.
    fn within_limits(&mut self, leases: &[Lease], was: &BTreeMap<i64, Job>) -> Result<()> {
        for lease in leases {
            let job = &was[&lease.job_id];
            for name in job.resources() {
                let running = self.model.running_on(&name);
                let resource = self.model.resource(&name);
                let fits = |max: Option<i32>, used: usize| {
                    max.is_none_or(|max| used <= usize::try_from(max).unwrap_or(0))
                };
                ensure!(fits(resource.max_running, running), "{running} run on {name}");
                ensure!(
                    !job.holds(&name) || fits(resource.max_holds, resource.holders.len()),
                    "{:?} hold {name}",
                    resource.holders
                );
                if let Some(rate) = resource.rate {
                    within_rate(&resource.started, rate).context(name.clone())?;
                }
                if let Some(limit) = resource.quota {
                    let used = resource.used_of_quota(lease.claimed_at);
                    ensure!(used <= limit, "{name}: {used} started today, not {limit}");
                }
            }
        }
        Ok(())
    }

    /// The store has said that there is nothing more to do.
    async fn none_is_left_lying(
        &mut self,
        queue: &str,
        old: bool,
        before: DateTime<Utc>,
    ) -> Result<()> {
        let lanes = lanes(self.connection()).await?;
        let seen = self.snapshot().await?;
        let lying = self.model.jobs.iter().filter(|(_, job)| {
            job.queue() == queue && job.may_run_by(before) && Self::knows(old, &job.plan)
        });
        let width = i32::try_from(lanes.len())?;
        for (id, job) in lying {
            let lane = seen.jobs.get(id).and_then(|row| lanes.get(&row.lane));
            ensure!(
                job.resources().iter().any(|name| self.is_shut(job, name, before, lane, width)),
                "left lying, though no gate is shut: {id} {job:?}\n  in {lane:?}, at {before}\n  {}",
                self.gates_of(job)
            );
        }
        Ok(())
    }

    fn gates_of(&self, job: &Job) -> String {
        let of = |name: &String| {
            self.model.resources.get(name).map(|resource| {
                format!("{name}: {} run, {resource:?}\n  ", self.model.running_on(name))
            })
        };
        job.resources().iter().filter_map(of).collect()
    }

    /// Whether this resource keeps the job back.
    fn is_shut(
        &self,
        job: &Job,
        name: &str,
        now: DateTime<Utc>,
        lane: Option<&LaneRow>,
        lanes: i32,
    ) -> bool {
        let Some(resource) = self.model.resources.get(name) else { return false };
        let full = |max: Option<i32>, used: usize| {
            max.is_some_and(|max| used >= usize::try_from(max).unwrap_or(0))
        };
        let breaker = match resource.breaker.as_ref().map(|breaker| &breaker.phase) {
            Some(Phase::Open(until)) => until.is_none_or(|until| until > now),
            Some(Phase::HalfOpen { left, .. }) => *left == 0,
            _ => false,
        };
        // Nobody is let in at the same moment as all the others.
        let spread = TimeDelta::milliseconds(600);
        let quota = resource
            .quota
            .is_some_and(|limit| resource.used_of_quota(now) + job.cost(name).min(limit) > limit);
        // Its turn comes, at the latest when all before it have had theirs.
        let rate = resource.rate.is_some_and(|(tokens, seconds)| {
            let slowed = if resource.was_slowed { 20 } else { 1 };
            let interval = TimeDelta::milliseconds(
                i64::try_from(seconds * 1_100 / u64::from(tokens)).unwrap_or(i64::MAX),
            );
            let bound = interval * 2 * slowed * (lanes + 2);
            lane.is_some_and(|lane| {
                lane.shut_by.as_deref() == Some(name)
                    && lane.shut_gate.as_deref() == Some("rate")
                    && lane.opens_at.is_some_and(|at| at > now && at <= now + bound)
            })
        });
        resource.is_paused(now)
            || breaker
            || resource.not_before.is_some_and(|at| at + spread > now)
            || full(resource.max_running, self.model.running_on(name))
            || (job.holds(name) && full(resource.max_holds, resource.holders.len()))
            || quota
            || rate
    }
}

/// Of each lane, nobody was passed over.
fn in_order(
    leases: &[Lease],
    was: &BTreeMap<i64, Job>,
    before: DateTime<Utc>,
    still_waits: impl Fn(i64) -> bool,
) -> Result<()> {
    for lease in leases {
        let job = &was[&lease.job_id];
        for (id, other) in was {
            if other.may_run_by(before)
                && other.lane() == job.lane()
                && matches!(other.run_at, RunAt::Exactly(_))
                && other.rank(*id) < job.rank(lease.job_id)
            {
                ensure!(!still_waits(*id), "{id} {other:?} was passed over for {job:?}");
            }
        }
    }
    Ok(())
}
