//! Steps of those who steer jobs that are there already: hasten, cancel, discard, replay.

use super::expected::{Job, KINDS, Past, Place, RunAt};
use super::steps::{Choice, Recent};
use super::world::World;
use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use recomamp::queue::retry::MAX_RESCUES;
use recomamp::queue::session::SessionId;
use recomamp::queue::steer::{
    Because, Cancelled, Chosen, Discarded, Finished, Replay, Replayed, Replays, Unfinished,
};
use recomamp::queue::store::Store;
use recomamp::queue::{Queue, State};
use std::collections::BTreeSet;

const ADA: Because<'_> = Because { by: "ada", why: "because" };

fn state(place: Place) -> State {
    match place {
        Place::Waiting => State::Waiting,
        Place::Running(_) => State::Running,
        Place::Done => State::Done,
        Place::Discarded => State::Discarded,
        Place::Cancelled => State::Cancelled,
    }
}

impl Choice {
    fn takes(&self, job: &Job) -> bool {
        job.plan.kind == self.kind
            && job.plan.share == self.share
            && self.resource.is_none_or(|name| job.resources().iter().any(|used| used == name))
            && self.state.is_none_or(|wanted| state(job.place) == wanted)
    }

    fn filter(&self) -> Unfinished {
        Unfinished {
            kind: Some(KINDS[self.kind].to_owned()),
            share: Some(self.share),
            resource: self.resource.map(str::to_owned),
            state: self.state,
            ..Unfinished::default()
        }
    }
}

impl World {
    pub async fn hasten(&mut self, key: u8) -> Result<()> {
        let key = key.to_string();
        let hastened = Queue::new().hasten(self.connection(), KINDS[0], &key).await?;
        let now = recomamp::clock::now(self.connection()).await?;
        let with_key = self.model.with_key(&format!("{}:{key}", KINDS[0]));
        let job = with_key.and_then(|id| self.model.jobs.get_mut(&id));
        match job.filter(|job| job.place == Place::Waiting && !job.is_due_by(self.now)) {
            Some(job) if hastened => {
                job.run_at = RunAt::After(TimeDelta::zero(), TimeDelta::zero());
            }
            // It may have become due by itself in the moment between.
            Some(job) => ensure!(job.is_due_by(now), "{job:?} was not hastened"),
            None => ensure!(!hastened, "nothing was to be hastened"),
        }
        Ok(())
    }

    /// Half of them of those that run; the others of all unfinished jobs, a few that have finished, and
    /// one that never was.
    fn pick(&self, which: &[usize]) -> Vec<i64> {
        let running: Vec<i64> = self.leases.keys().copied().collect();
        let finished = self.model.past.keys().rev().take(3);
        let all: Vec<i64> = self.model.jobs.keys().chain(finished).copied().chain([0]).collect();
        let of = |nth: &usize| {
            let among = if nth.is_multiple_of(2) && !running.is_empty() { &running } else { &all };
            among[nth / 2 % among.len()]
        };
        which.iter().map(of).collect()
    }

    fn chosen(&self, choice: &Choice) -> Vec<i64> {
        let jobs = self.model.jobs.iter();
        jobs.filter(|(_, job)| choice.takes(job)).map(|(id, _)| *id).collect()
    }

    /// In which state it is, or ended.
    fn state(&self, id: i64) -> Option<State> {
        let past = || self.model.past.get(&id).map(|past| &past.job);
        self.model.jobs.get(&id).or_else(past).map(|job| state(job.place))
    }

    pub async fn cancel(&mut self, which: &[usize]) -> Result<()> {
        let ids = self.pick(which);
        let answers = Queue::new().cancel(self.connection(), &ids, &ADA).await?;
        let expected = ids.iter().map(|id| match self.state(*id) {
            Some(State::Waiting) => Cancelled::Cancelled,
            Some(State::Running) => Cancelled::Requested,
            Some(ended) => Cancelled::AlreadyFinished(ended),
            None => Cancelled::Unknown,
        });
        ensure!(answers == expected.collect::<Vec<_>>(), "cancelled {ids:?}: {answers:?}");
        self.nobody_wants(&ids).await
    }

    pub async fn cancel_all(&mut self, choice: &Choice) -> Result<()> {
        let ids = self.chosen(choice);
        let count = Queue::new().cancel_all(self.connection(), &choice.filter(), &ADA).await?;
        let waiting = ids.iter().filter(|id| self.state(**id) == Some(State::Waiting)).count();
        let expected = Chosen {
            waiting: u64::try_from(waiting)?,
            running: u64::try_from(ids.len() - waiting)?,
        };
        ensure!(count == expected, "cancelled {count:?}, not {expected:?}");
        self.nobody_wants(&ids).await
    }

    /// Those that wait have ended; the processes of those that run are told.
    async fn nobody_wants(&mut self, ids: &[i64]) -> Result<()> {
        self.end_waiting(ids, Place::Cancelled)?;
        for id in ids {
            if let Some(job) = self.model.jobs.get_mut(id).filter(|job| !job.is_finished()) {
                job.cancel_asked = true;
            }
        }
        for (store, session) in self.stores.iter().zip(&self.sessions) {
            let asked =
                super::world::patiently(async || store.to_cancel(SessionId(session.id)).await);
            let told: BTreeSet<(i64, i32)> =
                asked.await?.iter().map(|asked| (asked.job_id, asked.fence)).collect();
            let its = Place::Running(session.id);
            let jobs = self.model.jobs.iter();
            let wanted = jobs.filter(|(_, job)| job.place == its && job.cancel_asked);
            let wanted: BTreeSet<_> = wanted.map(|(id, job)| (*id, job.fence)).collect();
            ensure!(told == wanted, "{session:?} is told of {told:?}, not of {wanted:?}");
        }
        Ok(())
    }

    fn end_waiting(&mut self, ids: &[i64], place: Place) -> Result<()> {
        for id in ids {
            let job = self.model.jobs.get_mut(id).filter(|job| job.place == Place::Waiting);
            if let Some(job) = job {
                job.place = place;
                self.if_finished(*id)?;
                self.leave_will(*id)?;
            }
        }
        Ok(())
    }

    pub async fn discard(&mut self, which: &[usize]) -> Result<()> {
        let ids = self.pick(which);
        let answers = Queue::new().discard(self.connection(), &ids, &ADA).await?;
        let expected = ids.iter().map(|id| match self.state(*id) {
            Some(State::Waiting) => Discarded::Discarded,
            Some(State::Running) => Discarded::Running,
            Some(ended) => Discarded::AlreadyFinished(ended),
            None => Discarded::Unknown,
        });
        ensure!(answers == expected.collect::<Vec<_>>(), "discarded {ids:?}: {answers:?}");
        self.end_waiting(&ids, Place::Discarded)
    }

    pub async fn discard_all(&mut self, choice: &Choice) -> Result<()> {
        let mut ids = self.chosen(choice);
        ids.retain(|id| self.state(*id) == Some(State::Waiting));
        let count = Queue::new().discard_all(self.connection(), &choice.filter(), &ADA).await?;
        ensure!(count == u64::try_from(ids.len())?, "discarded {count} of {ids:?}");
        self.end_waiting(&ids, Place::Discarded)
    }

    pub async fn replay(&mut self, which: usize, how: &Replay) -> Result<()> {
        let finished = self.model.past.keys();
        let unfinished = self.model.jobs.keys().take(1);
        let all: Vec<i64> = finished.chain(unfinished).copied().chain([0]).collect();
        let id = all[which % all.len()];
        let answer = Queue::new().replay(self.connection(), id, how, &ADA).await?;
        let new = if let Replayed::Replayed(new) = answer { new } else { 0 };
        let expected = match self.model.past.get(&id) {
            Some(Past { replayed_as: Some(new), .. }) => Replayed::AlreadyReplayed(*new),
            Some(past) if past.is_poison() && !how.force => Replayed::Poison,
            Some(past) if past.job.place == Place::Done && !how.done => Replayed::Done,
            Some(past) => match past.job.key().and_then(|key| self.model.with_key(&key)) {
                Some(other) => Replayed::Existing(other),
                None => Replayed::Replayed(new),
            },
            None => self.state(id).map_or(Replayed::Unknown, Replayed::Unfinished),
        };
        ensure!(answer == expected, "replayed {id}: {answer:?}, not {expected:?}");
        if matches!(answer, Replayed::Replayed(_)) {
            self.again(id, new, TimeDelta::zero())?;
        }
        Ok(())
    }

    pub async fn replay_all(&mut self, recent: &Recent, how: &Replay) -> Result<()> {
        let since = self.now - TimeDelta::seconds(recent.seconds);
        let filter = Finished {
            state: recent.state,
            kind: Some(KINDS[recent.kind].to_owned()),
            finished_after: Some(since),
            ..Finished::default()
        };
        let Replays { replayed, existing } =
            Queue::new().replay_all(self.connection(), &filter, how, &ADA).await?;
        let chosen = self.model.past.iter().filter(|(_, past)| {
            let place = state(past.job.place);
            past.job.plan.kind == recent.kind
                && past.finished_at >= since
                && recent.state.map_or(place != State::Done, |wanted| place == wanted)
                && past.replayed_as.is_none()
                && (how.force || !past.is_poison())
        });
        let mut line: Vec<_> = chosen.map(|(id, past)| (past.finished_at, *id)).collect();
        line.sort_unstable();
        let gap = how.per_second.map_or(0.0, |rate| 1_000_000.0 / rate);
        #[expect(clippy::cast_possible_truncation, reason = "minutes")]
        let gap = TimeDelta::microseconds(gap as i64);
        let mut line: Vec<(TimeDelta, i64)> =
            (0..).zip(line).map(|(nth, (_, id))| (gap * nth, id)).collect();
        let ids = |line: &[(TimeDelta, i64)]| line.iter().map(|(_, id)| *id).collect::<Vec<_>>();
        let all = ids(&line);
        // Of two with the same key, the one that is due first has it.
        line.sort_unstable();
        let mut kept = Vec::new();
        for (delay, id) in line {
            let key = self.model.past[&id].job.key();
            if key.is_some_and(|key| self.model.with_key(&key).is_some()) {
                kept.push(id);
                continue;
            }
            let new = replayed.iter().find(|(old, _)| *old == id);
            let (_, new) = new.with_context(|| format!("{id} was not replayed: {replayed:?}"))?;
            self.again(id, *new, delay)?;
        }
        let again: Vec<i64> = replayed.iter().map(|(old, _)| *old).collect();
        let (existed, was_replayed): (Vec<i64>, Vec<i64>) =
            all.into_iter().partition(|id| kept.contains(id));
        ensure!(again == was_replayed, "replayed {again:?}, not {was_replayed:?}");
        ensure!(existing == existed, "{existing:?} had their keys taken, not {existed:?}");
        Ok(())
    }

    /// The new job has all that the old one was, but not what it went through. Where its holder has a
    /// place still, it takes none.
    fn again(&mut self, old: i64, new: i64, delay: TimeDelta) -> Result<()> {
        let past = self.model.past.get_mut(&old).context("it has finished")?;
        past.replayed_as = Some(new);
        let Job { name, plan, parent, .. } = &past.job;
        let mut job = Job::new(name.clone(), plan, *parent);
        job.replay_of = Some(old);
        job.run_at = RunAt::After(delay, delay);
        if let Some(holder) = job.holder() {
            let holds = |name: &str| {
                let resource = self.model.resources.get(name);
                resource.is_some_and(|resource| resource.holders.contains(&holder))
            };
            job.wants_hold.retain(|name| !holds(name));
        }
        self.model.jobs.insert(new, job);
        Ok(())
    }
}

impl Past {
    /// Its processes died under it.
    fn is_poison(&self) -> bool {
        self.job.place == Place::Discarded && self.job.rescues >= MAX_RESCUES
    }
}
