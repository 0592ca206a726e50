//! Claims: only jobs that may run are given, in order, and none is left lying that could run.

use super::checks::within_rate;
use super::expected::{Job, Place};
use super::resources::Phase;
use super::snapshot::{ResourceRow, Snapshot, Turn, turns};
use super::world::World;
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::queue::session::SessionId;
use recomamp::queue::share::Slots;
use recomamp::queue::store::{Ask, Lease, Store};
use std::collections::{BTreeMap, BTreeSet};

/// So many calls in a row may say that there is more.
const MOST_CALLS: usize = 40;

/// What decides whether a gate is shut.
struct Moment {
    now: DateTime<Utc>,
    running: BTreeMap<String, usize>,
    turns: BTreeMap<i64, Turn>,
    /// How many there are.
    lanes: i32,
}

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
                let lying = self.none_is_left_lying(queue, old, before).await;
                return lying
                    .with_context(|| format!("it comes again in {:?}", claimed.next_due_in));
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
        let seen = self.look().await?;
        self.let_probes_in(seen.now, &seen.resources);
        self.in_order(leases, before)?;
        let mut started = Vec::new();
        for lease in leases {
            let job = self.take(session, lease, &seen, before)?;
            ensure!(job.queue() == queue && Self::knows(old, &job.plan), "{job:?}");
            started.push((lease, job));
        }
        self.within_limits(&started)?;
        self.compare(&seen)
    }

    /// Takes one over. What it was.
    fn take(
        &mut self,
        session: SessionId,
        lease: &Lease,
        seen: &Snapshot,
        before: DateTime<Utc>,
    ) -> Result<Job> {
        let row = seen.jobs.get(&lease.job_id).context("a lease on a lost job")?;
        let was = self.model.jobs.get(&lease.job_id).context("a lease on an unknown job")?.clone();
        ensure!(was.may_run_by(seen.now), "not to be run now: {was:?}");
        ensure!(lease.fence == was.fence + 1 && lease.attempt == was.attempt + 1, "{lease:?}");
        self.pass_gates(lease, &was, row.gated, &row.slots, before)
            .with_context(|| format!("{was:?}"))?;
        let job = self.model.jobs.get_mut(&lease.job_id).context("it was there")?;
        job.place = Place::Running(session.0);
        (job.fence, job.attempt) = (lease.fence, lease.attempt);
        (job.claimed_at, job.gated) = (Some(lease.claimed_at), row.gated);
        job.slots = row.slots.iter().cloned().collect();
        if row.gated {
            job.wants_hold.clear();
        }
        self.leases.insert(lease.job_id, lease.clone());
        Ok(was)
    }

    /// Of each lane, nobody was passed over.
    fn in_order(&self, leases: &[Lease], before: DateTime<Utc>) -> Result<()> {
        let leased: BTreeSet<i64> = leases.iter().map(|lease| lease.job_id).collect();
        let mut first: BTreeMap<String, (i16, DateTime<Utc>, i64)> = BTreeMap::new();
        let waiting = self.model.jobs.iter().filter(|(_, job)| job.may_run_by(before));
        for (id, job) in waiting.filter(|(id, _)| !leased.contains(id)) {
            let rank = job.rank(*id);
            first.entry(job.lane()).and_modify(|other| *other = rank.min(*other)).or_insert(rank);
        }
        for id in &leased {
            let job = self.model.jobs.get(id).context("a lease on an unknown job")?;
            let passed_over = first.get(&job.lane()).filter(|rank| **rank < job.rank(*id));
            ensure!(passed_over.is_none(), "{passed_over:?} was passed over for {job:?}");
        }
        Ok(())
    }

    /// A breaker whose cool-down is over asks.
    fn let_probes_in(&mut self, now: DateTime<Utc>, rows: &[ResourceRow]) {
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
        for name in job.resources() {
            let cost = job.cost(&name);
            let resource = self.model.resource(&name);
            ensure!(gated || !resource.is_gated(lease.claimed_at), "it did not ask {name}");
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
                resource.holders.extend(job.holder());
            }
            if resource.rate.is_some() {
                resource.started.push((lease.claimed_at, cost));
            }
            if resource.quota.is_some() && (resource.max_holds.is_none() || job.holds(&name)) {
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
    fn within_limits(&mut self, started: &[(&Lease, Job)]) -> Result<()> {
        let names: BTreeSet<String> = started.iter().flat_map(|(_, job)| job.resources()).collect();
        let running = self.model.running();
        for name in names {
            let running = running.get(&name).copied().unwrap_or(0);
            let resource = self.model.resource(&name);
            let fits = |max: Option<i32>, used: usize| {
                max.is_none_or(|max| used <= usize::try_from(max).unwrap_or(0))
            };
            ensure!(fits(resource.max_running, running), "{running} run on {name}");
            ensure!(
                !started.iter().any(|(_, job)| job.holds(&name))
                    || fits(resource.max_holds, resource.holders.len()),
                "{:?} hold {name}",
                resource.holders
            );
            if let Some(rate) = resource.rate {
                within_rate(&mut resource.started, rate).context(name.clone())?;
            }
            if let Some(limit) = resource.quota {
                for (lease, _) in started.iter().filter(|(_, job)| job.resources().contains(&name))
                {
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
        let (turns, lanes) = turns(self.connection()).await?;
        let moment = Moment { now: before, running: self.model.running(), turns, lanes };
        let rows = super::snapshot::lane_rows(self.connection()).await?;
        let lying = self.model.jobs.iter().filter(|(_, job)| {
            job.queue() == queue && job.may_run_by(before) && Self::knows(old, &job.plan)
        });
        for (id, job) in lying {
            let lane = self.reader.lane(*id).context("it waits somewhere")?;
            ensure!(
                job.resources().iter().any(|name| self.is_shut(job, lane, name, &moment)),
                "left lying, though no gate is shut: {id} {job:?}\n  in {lane}: {:?}, at {before}\n  {:?}",
                rows.get(&lane),
                job.resources()
                    .iter()
                    .map(|name| self.model.resources.get(name))
                    .collect::<Vec<_>>()
            );
        }
        Ok(())
    }

    /// Whether this resource keeps the job back.
    fn is_shut(
        &self,
        job: &Job,
        lane: i64,
        name: &str,
        Moment { now, running, turns, lanes }: &Moment,
    ) -> bool {
        let now = *now;
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
        let counts = resource.max_holds.is_none() || job.holds(name);
        let quota = resource.quota.filter(|_| counts);
        let quota = quota
            .is_some_and(|limit| resource.used_of_quota(now) + job.cost(name).min(limit) > limit);
        // Its turn comes, at the latest when all before it have had theirs.
        let rate = resource.rate.is_some_and(|(tokens, seconds)| {
            let slowed = if resource.was_slowed { 20 } else { 1 };
            let interval = TimeDelta::milliseconds(
                i64::try_from(seconds * 1_100 / u64::from(tokens)).unwrap_or(i64::MAX),
            );
            let bound = interval * 2 * slowed * (lanes + 2);
            turns.get(&lane).is_some_and(|turn| {
                turn.shut_by == name && turn.opens_at > now && turn.opens_at <= self.now + bound
            })
        });
        resource.is_paused(now)
            || breaker
            || resource.not_before.is_some_and(|at| at + spread > now)
            || full(resource.max_running, running.get(name).copied().unwrap_or(0))
            || (job.holds(name) && full(resource.max_holds, resource.holders.len()))
            || quota
            || rate
    }
}
