//! Fires schedules: one run for each time that was due, with its job, in one transaction.
//!
//! Any number of schedulers may do it, and none leads. A schedule that is due is locked by one of them
//! and skipped by the others. In one transaction every time that was due gets its row, those that are
//! to run get their job, and the schedule is settled until now: a scheduler that dies in between has
//! done nothing, and the next one does all of it. Should everything else fail, the runs of a schedule
//! are unique by their due time.

use super::Desk;
use super::due::{self, Unreadable};
use super::misfire;
use super::pauses;
use super::window::WindowRule;
use crate::jobs::run_schedule;
use crate::queue::Queue;
use crate::store::ScheduleRunUuid;
use crate::store::runs::{self, NewRun, Run, RunStatus};
use crate::store::schedules::{self, OverlapPolicy, Pause, Schedule, ScheduleStatus};
use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use rand::Rng;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long it is waited at most before the next look: for schedules that were added meanwhile, and for
/// clocks that were moved.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The shortest wait, so that schedules that are due every minute do not keep a scheduler spinning.
const BREATH: Duration = Duration::from_millis(100);
/// The most times that one transaction settles as missed; what is left is settled by the next one.
const CHUNK: usize = 5_000;

/// What one look has fired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fired {
    /// Schedules that were due.
    pub schedules: usize,
    /// Runs that were begun.
    pub runs: usize,
}

/// Fires what is due, again and again, until `stop` is cancelled.
pub async fn run(desk: Desk, stop: CancellationToken) {
    loop {
        let pause = match look(&desk).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "firing will be tried again");
                LOOK_AGAIN.mul_f64(rand::rng().random_range(0.1..0.5))
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Fires what is due, and says how long there is nothing to do.
async fn look(desk: &Desk) -> Result<Duration> {
    due_now(&desk.db, &desk.queue).await?;
    let next = schedules::next_look(&desk.db).await?;
    let pause =
        next.map_or(LOOK_AGAIN, |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(BREATH));
    Ok(pause.clamp(BREATH, LOOK_AGAIN))
}

/// Fires everything that is due now, each schedule in a transaction of its own. One that cannot be fired
/// keeps no other one from it; the last error is given back when all have had their turn.
pub async fn due_now(db: &PgPool, queue: &Queue) -> Result<Fired> {
    let mut fired = Fired::default();
    let (mut failed, mut trouble) = (Vec::new(), None);
    loop {
        let mut transaction = crate::transaction::begin(db).await?;
        let resuming = schedules::claim_resuming(&mut *transaction, &failed).await?;
        let (schedule, resumes) = match resuming {
            Some(schedule) => (schedule, true),
            None => match schedules::claim_due(&mut *transaction, &failed).await? {
                Some(schedule) => (schedule, false),
                None => return trouble.map_or(Ok(fired), Err),
            },
        };
        let done = if resumes {
            let resumed = due::resume_in_time(&mut transaction, &schedule).await;
            resumed.map(|()| 0).map_err(anyhow::Error::from)
        } else {
            one(&mut transaction, queue, &schedule).await
        };
        match done {
            Ok(runs) => {
                transaction.commit().await?;
                fired.schedules += usize::from(!resumes);
                fired.runs += runs;
            }
            Err(error) => {
                tracing::error!(%error, schedule = schedule.schedule_id, "it could not be fired");
                failed.push(schedule.id);
                trouble = Some(error);
            }
        }
    }
}

/// Fires one schedule that the caller has locked. How many runs have begun.
pub(super) async fn one(
    transaction: &mut PgConnection,
    queue: &Queue,
    schedule: &Schedule,
) -> Result<usize> {
    let (due, rule) = match due::read(schedule) {
        Ok(read) => read,
        Err(unreadable) => {
            stop_unreadable(transaction, schedule, &unreadable).await?;
            return Ok(0);
        }
    };
    let max = usize::try_from(schedule.catch_up_max).unwrap_or(1);
    let times: Vec<_> =
        due.between(schedule.settled_until, schedule.now).take(CHUNK + max).collect();
    if times.len() == CHUNK + max {
        // There may be more: those that have as many as may fire after them are missed in any case.
        let missed = &times[..CHUNK];
        write_missed(transaction, schedule, missed).await?;
        let until = missed[CHUNK - 1];
        schedules::settle(&mut *transaction, schedule.id, until, None, Some(schedule.now)).await?;
        return Ok(0);
    }
    let divided = misfire::divide(times, schedule.catch_up, max, schedule.now);
    write_missed(transaction, schedule, &divided.missed).await?;
    let begun = begin(transaction, queue, schedule, rule, due.zone(), &divided.fire).await?;
    let fired = divided.fire.last().map(|_| schedule.now);
    let next = due.next_after(schedule.now);
    schedules::settle(&mut *transaction, schedule.id, schedule.now, fired, next).await?;
    Ok(begun)
}

async fn write_missed(
    transaction: &mut PgConnection,
    schedule: &Schedule,
    times: &[DateTime<Utc>],
) -> Result<()> {
    if times.is_empty() {
        return Ok(());
    }
    let pauses = pauses::of(&mut *transaction, &schedule.schedule_id).await?;
    let mut missed: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
    for time in times {
        missed.entry(pauses::why_missed(&pauses, *time)).or_default().push(*time);
    }
    for (why, times) in &missed {
        let catch_up = schedule.catch_up;
        let reason = format!("{why}, and catch_up is {catch_up}: run it by hand if it is needed");
        runs::insert_unfired(&mut *transaction, schedule.id, times, RunStatus::Missed, &reason)
            .await?;
    }
    tracing::warn!(
        schedule = schedule.schedule_id,
        missed = times.len(),
        "due times passed while nothing could fire"
    );
    Ok(())
}

/// Begins a run for each of these times, as far as the runs that are unfinished allow it.
async fn begin(
    transaction: &mut PgConnection,
    queue: &Queue,
    schedule: &Schedule,
    rule: WindowRule,
    zone: Tz,
    times: &[DateTime<Utc>],
) -> Result<usize> {
    let mut begun = 0;
    if times.is_empty() {
        return Ok(begun);
    }
    let unfinished = runs::unfinished(&mut *transaction, schedule.id).await?;
    if let Some(reason) = in_the_way(schedule.overlap, &unfinished) {
        let skipped = RunStatus::Skipped;
        runs::insert_unfired(transaction, schedule.id, times, skipped, &reason).await?;
        tracing::info!(schedule = schedule.schedule_id, reason, "a run was skipped");
        return Ok(begun);
    }
    if schedule.overlap == OverlapPolicy::CancelOld {
        for run in &unfinished {
            let reason = "the next run was due before it had finished";
            run_schedule::cancel(queue, transaction, run, "scheduler", reason).await?;
        }
    }
    for time in times {
        let lateness = schedule.now - *time;
        let delay = jitter(&schedule.schedule_id, *time, schedule.jitter_seconds) - lateness;
        let run = insert(transaction, queue, schedule, (rule, zone), Some(*time), delay).await?;
        begun += usize::from(run.is_some());
    }
    Ok(begun)
}

/// Why no further run may be added, if so. Those that catch up wait for each other and are not in each
/// other's way.
fn in_the_way(policy: OverlapPolicy, unfinished: &[Run]) -> Option<String> {
    let oldest = unfinished.first()?;
    let named = oldest.scheduled_for.map_or_else(
        || "the run that a person asked for".to_owned(),
        |time| format!("the run of {}", time.format("%Y-%m-%d %H:%M UTC")),
    );
    match policy {
        OverlapPolicy::Skip => Some(format!("{named} had not finished, and overlap is skip")),
        OverlapPolicy::QueueOne if unfinished.len() > 1 => Some(format!(
            "another one waits already for {named} to finish, and overlap is queue_one"
        )),
        OverlapPolicy::QueueOne | OverlapPolicy::CancelOld => None,
    }
}

/// Adds one run with its job, both or none.
pub(super) async fn insert(
    transaction: &mut PgConnection,
    queue: &Queue,
    schedule: &Schedule,
    (rule, zone): (WindowRule, Tz),
    time: Option<DateTime<Utc>>,
    delay: TimeDelta,
) -> Result<Option<ScheduleRunUuid>> {
    let Some(days) = rule.days(time.unwrap_or(schedule.now), zone) else { return Ok(None) };
    let run = NewRun {
        schedule: schedule.id,
        scheduled_for: time,
        window_start: days.start,
        window_end: days.end,
        window_tz: zone.name(),
    };
    let Some(id) = runs::insert(&mut *transaction, &run).await? else {
        if let Some(time) = time {
            let reason = "its workflow was put away or has no query";
            let skipped = RunStatus::Skipped;
            runs::insert_unfired(transaction, schedule.id, &[time], skipped, reason).await?;
        }
        return Ok(None);
    };
    let job = run_schedule::job(id)?.after(delay.to_std().unwrap_or(Duration::ZERO));
    queue.enqueue(transaction, &[job]).await?;
    Ok(Some(id))
}

/// By how much the work of a run is put off: the same for the same due time, whoever asks.
pub fn jitter(schedule_id: &str, time: DateTime<Utc>, at_most: i32) -> TimeDelta {
    let mut hash = Sha256::new();
    hash.update(schedule_id);
    hash.update([0]);
    hash.update(time.timestamp().to_be_bytes());
    let digest = hash.finalize();
    let number = digest[..8].iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let range = u64::try_from(at_most).unwrap_or(0) + 1;
    TimeDelta::seconds(i64::try_from(number % range).unwrap_or(0))
}

/// What cannot be understood never fires; it is paused, so that a person sees it.
async fn stop_unreadable(
    transaction: &mut PgConnection,
    schedule: &Schedule,
    unreadable: &Unreadable,
) -> Result<()> {
    let reason = format!("it cannot be understood: {unreadable}");
    let pause = Pause {
        status: ScheduleStatus::AutoPaused,
        reason: &reason,
        resume_at: None,
        paused_for: None,
    };
    due::pause(transaction, schedule, &pause, "scheduler").await?;
    tracing::error!(schedule = schedule.schedule_id, reason, "the schedule is paused");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_the_same_for_everybody_and_spreads_over_its_range() {
        let time = |hour| DateTime::UNIX_EPOCH + TimeDelta::hours(hour);
        assert_eq!(jitter("a", time(1), 600), jitter("a", time(1), 600));
        assert_eq!(jitter("a", time(1), 0), TimeDelta::zero());
        let delays: Vec<_> = (0..200).map(|hour| jitter("a", time(hour), 600)).collect();
        assert!(delays.iter().all(|delay| (0..=600).contains(&delay.num_seconds())));
        assert!(delays.iter().any(|delay| delay.num_seconds() > 400));
        assert!(delays.iter().any(|delay| delay.num_seconds() < 200));
    }
}
