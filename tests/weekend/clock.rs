//! How time passes: from one thing that is due to the next, as soon as nobody has anything left to do.

use super::cast::House;
use crate::harness::process::Process;
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::clock;
use recomamp::schedule::Desk;
use recomamp::schedule::duties::Duty;
use recomamp::schedule::fire;
use std::time::{Duration, Instant};

/// Things that are due so soon after each other happen together.
const GRAIN: TimeDelta = TimeDelta::seconds(10);
/// Even when nothing is due, time does not pass faster than that.
const LONGEST: TimeDelta = TimeDelta::minutes(10);
/// Far longer than anything takes, so that only what is wrong runs into it.
const DEADLINE: Duration = Duration::from_mins(1);

/// Whether somebody works, or has something to begin right now; and when something is due next. Both of the
/// same moment: what a scheduler fires between two questions would be missed by both.
const STANDING: &str = "
    select
        exists (
            select from engine.jobs as job
            left join engine.lanes as lane on lane.id = job.lane
            where state = 'running'
               or (
                   state = 'waiting' and blocked_by is null and run_at <= now
                   and (lane.shut_by is null or lane.opens_at <= now)
               )
        )
        -- Also one that a scheduler fires in a transaction that nobody sees yet.
        or exists (select from workflow_schedules where status = 'active' and next_run_at <= now)
            as busy,
        least(
            (select min(run_at) from engine.jobs where state = 'waiting' and run_at > now),
            (select min(opens_at) from engine.lanes where opens_at > now),
            (select min(next_run_at) from workflow_schedules where status = 'active'),
            (select min(resume_at) from workflow_schedules where resume_at is not null)
        ) as next
    from (select engine.now() as now) as clock";

impl House {
    /// Lets time pass until this moment.
    pub async fn until(&mut self, moment: DateTime<Utc>) {
        let desk = Desk {
            db: self.db.pool().clone(),
            queue: self.queue.clone(),
            retention: Duration::from_hours(24 * 30),
        };
        loop {
            let next = self.settled(&desk).await;
            let now = self.now().await;
            if now >= moment {
                return;
            }
            let next = next.unwrap_or(moment).clamp(now + GRAIN, now + LONGEST).min(moment);
            self.move_to(next).await;
            self.steps += 1;
            // The schedulers do these by a clock of their own, which is not moved.
            for duty in [Duty::RenewTokens, Duty::TendWeeks, Duty::TendRuns] {
                let every = TimeDelta::from_std(duty.every()).expect("short").num_seconds();
                if now.timestamp() / every != next.timestamp() / every {
                    duty.fulfil(&desk, true).await.expect("the store answers");
                }
            }
        }
    }

    /// Now, by the store's clock.
    pub async fn now(&self) -> DateTime<Utc> {
        clock::now(self.db.pool()).await.expect("the store answers")
    }

    /// Moves the store's clock and Amazon's. Who lives stays alive, and hears of it.
    pub async fn move_to(&self, moment: DateTime<Utc>) {
        let mut tx = self.db.pool().begin().await.expect("the store answers");
        let before = clock::now(&mut *tx).await.expect("the store answers");
        // Nobody renews a lease by the old clock while it is moved.
        sqlx::query("lock table engine.sessions in share row exclusive mode")
            .execute(&mut *tx)
            .await
            .expect("the store answers");
        sqlx::query("update engine.clock set moved_by = $1 - clock_timestamp()")
            .bind(moment)
            .execute(&mut *tx)
            .await
            .expect("the clock moves");
        sqlx::query(
            "update engine.sessions set seen_at = seen_at + ($1 - $2)
            where ended_at is null and pid <> all ($3)",
        )
        .bind(moment)
        .bind(before)
        .bind(&self.dead)
        .execute(&mut *tx)
        .await
        .expect("they live");
        sqlx::query("select pg_notify('engine_wake', queue) from engine.jobs group by queue")
            .execute(&mut *tx)
            .await
            .expect("the store answers");
        let behind = moment - self.amc.now();
        self.amc.advance(behind.to_std().unwrap_or_default());
        tx.commit().await.expect("the store answers");
    }

    /// Waits until nobody has anything to do at this moment. When somebody has, next.
    async fn settled(&self, desk: &Desk) -> Option<DateTime<Utc>> {
        let began = Instant::now();
        loop {
            fire::due_now(&desk.db, &desk.queue).await.expect("the store answers");
            let (busy, next): (bool, Option<DateTime<Utc>>) = self.ask(STANDING).await;
            if !busy {
                return next;
            }
            let late = began.elapsed() > DEADLINE;
            assert!(!late, "still busy after {DEADLINE:?}: {}", self.what_is_left().await);
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    }

    /// The jobs, attempts and gates of this time, in their order.
    pub async fn what_happened(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> String {
        let lines: Vec<String> = sqlx::query_scalar(
            "select concat_ws(' ', at, what) from (
                select began_at as at, concat_ws(' ', job_id, kind, outcome, 'until', ended_at, causes) as what
                from engine.attempts
                union all
                select claimed_at, concat_ws(' ', id, kind, state, 'created', created_at, 'until', finished_at,
                    'snoozes', snoozes, 'denials', denials, args, last_error)
                from engine.jobs_history
                union all
                select at, concat_ws(' ', resource, what, by, why) from engine.events
            ) as line
            where at between $1 and $2
            order by at",
        )
        .bind(from)
        .bind(until)
        .fetch_all(self.db.pool())
        .await
        .expect("the store answers");
        lines.join("\n")
    }

    async fn what_is_left(&self) -> String {
        let (left,): (Option<String>,) = self
            .ask(
                "select string_agg(concat_ws(' ', kind, state, blocked_by, shut_by, shut_gate, last_error), E'\\n')
                from engine.jobs left join engine.lanes on lanes.id = lane
                where state = 'running' or run_at <= engine.now()",
            )
            .await;
        let logs = self.workers.iter().map(Process::log);
        format!("{}\n{}", left.unwrap_or_default(), logs.collect::<Vec<_>>().join("\n---\n"))
    }
}
