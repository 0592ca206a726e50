//! Steps that end attempts: ack, rescue, give back. What should follow is written here a second time,
//! apart from the store's policy.

use super::expected::{Place, RunAt};
use super::jobs::{MAX_ATTEMPTS, last_will, result};
use super::resources::Said;
use super::steps::How;
use super::world::{PATIENCE, World, patiently};
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::queue::retry;
use recomamp::queue::session::SessionId;
use recomamp::queue::store::{Lease, Store};
use std::collections::BTreeSet;
use std::time::Duration;

fn after(least: f64, most: f64) -> RunAt {
    let ms = |seconds: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "minutes")]
        TimeDelta::milliseconds((seconds * 1000.0) as i64)
    };
    RunAt::After(ms(least), ms(most) + TimeDelta::milliseconds(1))
}

impl World {
    pub async fn ack(&mut self, ends: &[(usize, How)]) -> Result<()> {
        let mut chosen: Vec<(Lease, &How, Vec<String>)> = Vec::new();
        for (which, how) in ends {
            let Some(lease) = self.lease(*which) else { continue };
            if chosen.iter().any(|(other, ..)| other.job_id == lease.job_id) {
                continue;
            }
            let follow = if let How::Then(plans) = how { plans.len() } else { 0 };
            let names = (0..follow).map(|_| self.model.new_name()).collect();
            chosen.push((lease, how, names));
        }
        // In which order a breaker hears of a batch is not said.
        let together = self.model.resources.values().all(|resource| resource.breaker.is_none());
        let size = if together { chosen.len().max(1) } else { 1 };
        for batch in chosen.chunks(size) {
            let acks: Vec<_> = batch
                .iter()
                .filter_map(|(lease, how, names)| retry::verdict(lease, result(how, names)))
                .collect();
            let acked = self.stores[0].ack(&acks).await?;
            ensure!(acked.stale.is_empty(), "current attempts were refused: {:?}", acked.stale);
            for (lease, how, _) in batch {
                self.ended(lease.job_id, how).with_context(|| format!("{lease:?}"))?;
            }
            self.children(batch)?;
            if batch.len() < chosen.len() {
                self.check().await?;
            }
        }
        Ok(())
    }

    pub async fn ack_stale(&mut self, which: usize, how: &How) -> Result<()> {
        if self.stale.is_empty() {
            return Ok(());
        }
        let lease = self.stale.remove(which % self.stale.len());
        let names: Vec<String> = if let How::Then(plans) = how {
            plans.iter().map(|_| "never".to_owned()).collect()
        } else {
            vec![]
        };
        let ack = retry::verdict(&lease, result(how, &names)).context("always something")?;
        let acked = self.stores[0].ack(&[ack]).await?;
        ensure!(acked.stale == [(lease.job_id, lease.fence)], "a stale write was taken: {lease:?}");
        // It was told so all the same.
        if let How::Throttled(told, resource) = how {
            self.left_alone(resource, *told, lease.throttles);
        }
        Ok(())
    }

    /// The table of `queue::retry`, once more.
    fn ended(&mut self, job_id: i64, how: &How) -> Result<()> {
        // Said once more, it would be refused.
        self.stale.extend(self.leases.remove(&job_id));
        let said = match how {
            How::Done | How::Then(_) | How::Snooze(_) => Said::Good,
            How::Transient => Said::Failed,
            _ => Said::Nothing,
        };
        self.tell_breakers(job_id, said);
        let job = self.model.jobs.get_mut(&job_id).context("an unknown job")?;
        // It was told so, also when the job is to end.
        let quiet = if let How::Throttled(told, resource) = how {
            Some((*resource, *told, job.throttles))
        } else {
            None
        };
        match how {
            How::Done | How::Then(_) => job.place = Place::Done,
            How::Permanent => job.place = Place::Discarded,
            How::Transient if job.attempt >= MAX_ATTEMPTS => job.place = Place::Discarded,
            How::Cancelled => job.place = Place::Cancelled,
            _ if job.cancel_asked => job.place = Place::Cancelled,
            _ => self.waits_again(job_id, how)?,
        }
        self.if_finished(job_id)?;
        if let Some((resource, told, throttles)) = quiet {
            self.left_alone(resource, told, throttles);
        }
        Ok(())
    }

    fn waits_again(&mut self, job_id: i64, how: &How) -> Result<()> {
        let job = self.model.jobs.get_mut(&job_id).context("an unknown job")?;
        job.place = Place::Waiting;
        if !matches!(how, How::Transient) {
            job.attempt -= 1;
        }
        match how {
            How::Transient => job.run_at = after(0.0, f64::from(1 << (job.attempt - 1)).min(300.0)),
            How::Snooze(ms) => {
                job.snoozes += 1;
                (job.rescues, job.throttles, job.denials) = (0, 0, 0);
                let delay = TimeDelta::milliseconds(i64::try_from(*ms)?);
                job.run_at = RunAt::After(delay, delay);
            }
            How::Throttled(told, _) => {
                let pause = pause(*told, job.throttles);
                job.throttles += 1;
                job.run_at = after(pause, pause * 1.2);
            }
            How::Unauthorized(credential) => {
                job.denials += 1;
                let opened_at =
                    self.model.resources.get(*credential).and_then(|found| found.opened_at);
                if opened_at > job.claimed_at {
                    job.run_at = after(0.0, 0.0);
                } else {
                    job.blocked_by = Some(credential);
                    job.run_at = after(900.0, 900.0);
                }
            }
            How::Interrupted => {
                job.interruptions += 1;
                job.run_at = after(0.0, 0.0);
            }
            How::Done | How::Then(_) | How::Permanent | How::Cancelled => {}
        }
        Ok(())
    }

    /// A finished job waits for nothing, and goes to the history.
    pub fn if_finished(&mut self, job_id: i64) -> Result<()> {
        let job = self.model.jobs.get_mut(&job_id).context("an unknown job")?;
        if job.is_finished() {
            job.blocked_by = None;
            self.finishing.push(job_id);
        }
        Ok(())
    }

    fn left_alone(&mut self, resource: &str, told: Option<u64>, throttles: i16) {
        #[expect(clippy::cast_possible_truncation, reason = "minutes")]
        let pause = TimeDelta::milliseconds((pause(told, throttles) * 1000.0) as i64);
        let resource = self.model.resource(resource);
        // Exactly when is read back.
        resource.asked_for_quiet = resource.asked_for_quiet.max(Some(pause));
        resource.was_slowed = true;
    }

    /// The jobs that follow, first those that a discarded one has left.
    fn children(&mut self, batch: &[(Lease, &How, Vec<String>)]) -> Result<()> {
        for (lease, ..) in batch {
            self.leave_will(lease.job_id)?;
        }
        for (lease, how, names) in batch {
            let How::Then(plans) = how else { continue };
            for (name, plan) in names.iter().zip(plans) {
                self.model.expect(name, plan, Some(lease.job_id));
            }
        }
        Ok(())
    }

    pub fn leave_will(&mut self, job_id: i64) -> Result<()> {
        let job = self.model.jobs.get(&job_id).context("an unknown job")?;
        if job.place == Place::Discarded && job.plan.if_discarded {
            let name = format!("{}d", job.name);
            self.model.expect(&name, &last_will(), Some(job_id));
        }
        Ok(())
    }

    fn tell_breakers(&mut self, job_id: i64, said: Said) {
        let Some(job) = self.model.jobs.get(&job_id).filter(|job| job.gated).cloned() else {
            return;
        };
        for name in job.resources() {
            if let Some(breaker) = &mut self.model.resource(&name).breaker {
                let claimed_at = job.claimed_at.expect("it ran");
                breaker.heard((job_id, i64::from(job.fence)), claimed_at, said);
            }
        }
    }

    pub async fn rescue(&mut self) -> Result<()> {
        patiently(async || self.stores[0].rescue(PATIENCE).await).await?;
        let patience = TimeDelta::from_std(PATIENCE)?;
        let sessions: Vec<(i64, DateTime<Utc>, Option<DateTime<Utc>>)> =
            sqlx::query_as("select id, seen_at, ended_at from engine.sessions")
                .fetch_all(self.connection())
                .await?;
        for session in &mut self.sessions {
            let (_, seen_at, ended_at) =
                *sessions.iter().find(|(id, ..)| *id == session.id).context("it began")?;
            // One that stopped may have tried to renew after that.
            ensure!(session.ended || seen_at >= session.seen_at, "{session:?} was seen {seen_at}");
            let Some(ended_at) = ended_at else {
                ensure!(self.now - seen_at <= patience, "{session:?} was silent, since {seen_at}");
                continue;
            };
            if !session.ended {
                ensure!(ended_at - seen_at > patience, "{session:?} was seen at {seen_at}");
                (session.alive, session.ended) = (false, true);
            }
        }
        // Sessions that were replaced have ended all the same.
        let lost: BTreeSet<i64> =
            sessions.iter().filter(|(.., ended)| ended.is_some()).map(|(id, ..)| *id).collect();
        let is_dead =
            |place: Place| matches!(place, Place::Running(session) if lost.contains(&session));
        let jobs = self.model.jobs.iter();
        let dead: Vec<i64> =
            jobs.filter(|(_, job)| is_dead(job.place)).map(|(id, _)| *id).collect();
        for job_id in dead {
            self.died(job_id)?;
        }
        Ok(())
    }

    fn died(&mut self, job_id: i64) -> Result<()> {
        self.stale.extend(self.leases.remove(&job_id));
        self.tell_breakers(job_id, Said::Nothing);
        let job = self.model.jobs.get_mut(&job_id).context("an unknown job")?;
        job.rescues += 1;
        if job.cancel_asked {
            job.place = Place::Cancelled;
        } else if job.rescues >= retry::MAX_RESCUES {
            job.place = Place::Discarded;
        } else {
            job.place = Place::Waiting;
            job.attempt -= 1;
            job.run_at = after(0.0, 10.0 * f64::from(job.rescues - 1));
        }
        self.if_finished(job_id)?;
        self.leave_will(job_id)
    }

    pub async fn give_back(&mut self, at: usize, mask: u64) -> Result<()> {
        let session = self.sessions[at].id;
        let here: Vec<i64> = self
            .model
            .jobs
            .iter()
            .filter(|(_, job)| job.place == Place::Running(session) && job.queue() == "default")
            .map(|(id, _)| *id)
            .collect();
        let (known, unknown): (Vec<i64>, Vec<i64>) =
            here.into_iter().partition(|id| mask >> (id % 64) & 1 == 1);
        let known: Vec<_> = known.iter().map(|id| (*id, self.model.jobs[id].fence)).collect();
        let given = self.stores[at]
            .give_back(SessionId(session), "default", &known, Duration::ZERO)
            .await?;
        ensure!(given == u64::try_from(unknown.len())?, "gave back {given} of {unknown:?}");
        for job_id in unknown {
            self.stale.extend(self.leases.remove(&job_id));
            self.tell_breakers(job_id, Said::Nothing);
            let job = self.model.jobs.get_mut(&job_id).context("an unknown job")?;
            if job.cancel_asked {
                job.place = Place::Cancelled;
            } else {
                job.place = Place::Waiting;
                job.attempt -= 1;
            }
            self.if_finished(job_id)?;
        }
        Ok(())
    }
}

/// In seconds.
fn pause(told: Option<u64>, throttles: i16) -> f64 {
    match told {
        Some(told) => f64::from(u32::try_from(told.max(1)).expect("short")),
        None => (2.0 * f64::from(1 << throttles.min(20))).min(300.0),
    }
}
