//! Schedules: when they are due, that they fire once each, what their runs do, and when they pause.
//!
//! The first version's bugs that these tests would have caught (see each test's name and comment):
//! 1 and 2 done before stored, 7 and 9 submitted twice, 10 fired eight times, 11 deduplicated by five
//! minutes, 12 racing run numbers, 13 auto-pause never wired, 14 test runs that move the due time,
//! 29 UTC's day taken for the zone's, 33 two writers, 34 starvation, 35 claims that depend on the text of a time.

mod ends;
mod keeping;
mod oracle;
mod overlaps;
mod pauses;
mod wire;
mod year;

use crate::backfill::site::{self, Site};
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::clock;
use recomamp::schedule::fire::{self, Fired};
use recomamp::schedule::manage::{self, Request, WINDOW_DEFAULT};
use recomamp::store::events::{self, Because};
use recomamp::store::executions::SubmitMode;
use recomamp::store::runs::{self, Run, RunStatus};
use recomamp::store::schedules::{
    self, CatchUp, OverlapPolicy, Schedule, ScheduleStatus, ScheduleType, Timing,
};
use recomamp::store::{versions, workflows};
use serde_json::{Value, json};
use std::ops::Deref;
use std::time::Duration;

/// Who asks, for no special reason.
const ADA: Because<'_> = Because { by: "ada", why: None };

/// An installation with a workflow that can be scheduled.
pub struct House {
    site: Site,
}

impl Deref for House {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl House {
    pub async fn new() -> Self {
        Self::of(Site::new(site::quick()).await).await
    }

    pub async fn of(site: Site) -> Self {
        let db = site.db.pool();
        let workflow = workflows::by_workflow_id(db, "weekly-campaigns").await;
        let workflow = workflow.expect("the store answers").expect("there is one");
        versions::add(db, workflow.id, site::SQL, &json!([]), SubmitMode::Inline)
            .await
            .expect("the store answers");
        Self { site }
    }

    /// Sets the store's clock.
    pub async fn at(&self, time: &str) {
        sqlx::query("update engine.clock set moved_by = $1::timestamptz - clock_timestamp()")
            .bind(time.parse::<DateTime<Utc>>().expect("a time"))
            .execute(self.db.pool())
            .await
            .expect("the clock moves");
    }

    pub async fn now(&self) -> DateTime<Utc> {
        clock::now(self.db.pool()).await.expect("the store answers")
    }

    pub async fn wait(&self, by: TimeDelta) {
        self.db.advance_clock(by.to_std().expect("forwards")).await;
    }

    pub async fn add(&self, request: &Request<'_>) {
        let mut tx = self.db.pool().begin().await.expect("the store answers");
        manage::add(&mut tx, request, &ADA).await.expect("the store answers");
        tx.commit().await.expect("the store answers");
    }

    /// Fires what is due, as one scheduler does.
    pub async fn fire(&self) -> Fired {
        fire::due_now(self.db.pool(), &self.tools.queue).await.expect("the store answers")
    }

    pub async fn schedule(&self, id: &str) -> Schedule {
        schedules::by_schedule_id(self.db.pool(), id)
            .await
            .expect("the store answers")
            .expect("there is one")
    }

    /// The runs of a schedule, the earliest first.
    pub async fn runs(&self, id: &str) -> Vec<Run> {
        let mut runs = runs::list(self.db.pool(), self.schedule(id).await.id, 100_000)
            .await
            .expect("the store answers");
        runs.reverse();
        runs
    }

    /// How the runs of a schedule stand, the earliest first.
    pub async fn statuses(&self, id: &str) -> Vec<RunStatus> {
        self.runs(id).await.iter().map(|run| run.status).collect()
    }

    /// What happened to a schedule: where it went, and who did it.
    pub async fn story(&self, id: &str) -> Vec<(String, String)> {
        let events = events::of(self.db.pool(), "schedule", id).await.expect("the store answers");
        let changes = events.into_iter().filter_map(|e| e.to_status.map(|to| (to, e.actor)));
        changes.collect()
    }

    /// As if a run's work had been done somewhere else.
    pub async fn settle_runs(&self, status: &str) {
        sqlx::query(
            "update schedule_runs set status = $1::run_status, finished_at = engine.now()
            where status in ('pending', 'running')",
        )
        .bind(status)
        .execute(self.db.pool())
        .await
        .expect("the store answers");
    }

    pub async fn pause(&self, id: &str, reason: &str, resume_at: Option<DateTime<Utc>>) {
        let mut tx = self.db.pool().begin().await.expect("the store answers");
        let because = Because { why: Some(reason), ..ADA };
        let paused =
            manage::pause(&mut tx, id, resume_at, &because).await.expect("the store answers");
        assert_eq!(paused.status, ScheduleStatus::Paused);
        tx.commit().await.expect("the store answers");
    }

    pub async fn resume(&self, id: &str) {
        let mut tx = self.db.pool().begin().await.expect("the store answers");
        manage::resume(&mut tx, id, &ADA).await.expect("the store answers");
        tx.commit().await.expect("the store answers");
    }

    pub async fn trigger(&self, id: &str) {
        let mut tx = self.db.pool().begin().await.expect("the store answers");
        manage::trigger(&mut tx, &self.tools.queue, id, &ADA).await.expect("the store answers");
        tx.commit().await.expect("the store answers");
    }

    /// When the job of a run is due.
    pub async fn job_due(&self, run: &Run) -> DateTime<Utc> {
        sqlx::query_scalar("select run_at from engine.jobs where args ->> 'run_id' = $1")
            .bind(run.id.to_string())
            .fetch_one(self.db.pool())
            .await
            .expect("it has one")
    }
}

/// A schedule that is due by this expression.
pub fn cron<'a>(id: &'a str, expression: &'a str, timezone: &'a str) -> Request<'a> {
    let timing = Timing {
        schedule_type: ScheduleType::Cron,
        cron_expression: Some(expression),
        interval_days: None,
        anchor_date: None,
        anchor_time: None,
        timezone,
    };
    Request {
        schedule_id: id,
        workflow: "weekly-campaigns",
        name: None,
        timing,
        window: WINDOW_DEFAULT,
        parameters: no_parameters(),
        catch_up: (CatchUp::Latest, 10),
        overlap: OverlapPolicy::Skip,
        jitter_seconds: 0,
        max_attempts_per_run: 2,
        failure_threshold: Some(3),
    }
}

fn no_parameters() -> &'static Value {
    static NONE: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    NONE.get_or_init(|| json!({}))
}

pub fn hours(hours: i64) -> TimeDelta {
    TimeDelta::hours(hours)
}

pub fn days(days: i64) -> TimeDelta {
    TimeDelta::days(days)
}

/// A moment in which a scheduler is killed.
pub fn moment(number: u64) -> Duration {
    Duration::from_micros(200 + number * 7919 % 12_000)
}
