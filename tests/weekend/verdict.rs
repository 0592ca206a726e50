//! What has to be true in the end, as a person would look for it.

use super::cast::{House, SLOTS, WORKERS};
use super::incidents::{DEAD, Script};
use chrono::{DateTime, TimeDelta, Utc};
use recomamp::queue::gate::breaker::Trip;
use recomamp::tools::{gates, resources};
use std::fmt::Write as _;
use std::fs;

/// A live run of somebody whose Amazon is well begins at most so many seconds late.
const LATE_MAX: i64 = 60;

/// What was looked at, and what is wrong.
#[derive(Default)]
struct Findings {
    lines: Vec<String>,
    wrong: Vec<String>,
}

impl Findings {
    fn say(&mut self, line: String) {
        self.lines.push(line);
    }

    fn expect(&mut self, holds: bool, line: String) {
        if holds {
            self.lines.push(line);
        } else {
            self.wrong.push(line);
        }
    }
}

/// Bob's work stands still and says why; nothing of his has failed.
pub async fn before_bob_is_back(house: &House) {
    let (state,): (String,) = house
        .ask(
            "select token_state::text from lwa_credentials
            join users on users.id = user_id where email = 'bob@example.com'",
        )
        .await;
    assert_eq!(state, "needs_reauth");
    let (status, why): (String, String) = house
        .ask(
            "select status::text, pause_reason from workflow_schedules
            where schedule_id = 'bob-hourly'",
        )
        .await;
    println!("bob-hourly is {status}: {why}");
    assert_eq!(status, "auto_paused");
    assert!(why.contains("invalid_grant") && why.contains("users authorise"), "{why}");
    let collection = &house.collections["amcdemosbx1"];
    let told = house.json(&format!("status {collection} --json")).await;
    println!("{collection} is {}: {}", told["status"], told["pause_reason"]);
    let why = told["pause_reason"].as_str().unwrap_or_default();
    assert_eq!((told["status"].as_str(), &told["auto_paused"]), (Some("paused"), &true.into()));
    assert!(why.contains("invalid_grant") && why.contains("users authorise"), "{why}");
    assert_eq!(told["progress"]["failed"], 0);
}

/// Everything is finished or paused with its reason. Prints what it saw, and the verdict last.
pub async fn at_the_end(house: &mut House, script: &Script) {
    let mut found = Findings::default();
    collections(house, script, &mut found).await;
    schedules(house, &mut found).await;
    submits(house, &mut found).await;
    wasted_calls(house, script, &mut found).await;
    leaks(house, &mut found).await;
    report(house, &found);
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
}

async fn collections(house: &House, script: &Script, found: &mut Findings) {
    for (instance, id) in &house.collections {
        let status = house.json(&format!("status {id} --json")).await;
        let (word, done) = (&status["status"], &status["progress"]["done"]);
        let line = format!("{instance}: {} is {word}, {done} of {} weeks", id, script.weeks);
        found.expect(word == "completed" && *done == script.weeks, line);
    }
}

async fn schedules(house: &House, found: &mut Findings) {
    for schedule in ["ada-hourly", "bob-hourly", "carol-hourly"] {
        let counts: Vec<(String, i64)> = sqlx::query_as(
            "select schedule_runs.status::text, count(*) from schedule_runs
            join workflow_schedules as schedule on schedule.id = schedule_runs.schedule_id
            where schedule.schedule_id = $1 group by 1 order by 1",
        )
        .bind(schedule)
        .fetch_all(house.db.pool())
        .await
        .expect("the store answers");
        let told: Vec<String> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
        let (status, failures): (String, i32) = sqlx::query_as(
            "select status::text, consecutive_failures from workflow_schedules
            where schedule_id = $1",
        )
        .bind(schedule)
        .fetch_one(house.db.pool())
        .await
        .expect("the store answers");
        let line = format!("{schedule}: {status}, {}", told.join(", "));
        let failed = counts.iter().any(|(word, _)| word == "failed");
        found.expect(status == "active" && failures == 0 && !failed, line);
    }
    let (gaps,): (i64,) = house
        .ask(
            "select count(*) from (
                select scheduled_for - lag(scheduled_for) over (
                    partition by schedule_runs.schedule_id order by scheduled_for
                ) as gap
                from schedule_runs
                join workflow_schedules as schedule on schedule.id = schedule_runs.schedule_id
                where schedule.schedule_id in ('ada-hourly', 'carol-hourly')
            ) as gaps where gap <> interval '1 hour'",
        )
        .await;
    found.expect(gaps == 0, format!("due times without a run: {gaps}"));
    lateness(house, found).await;
    let (unfinished,): (i64,) = house
        .ask(
            "select count(*) from schedule_runs
            join workflow_schedules as schedule on schedule.id = schedule_runs.schedule_id
            where schedule.schedule_id = 'carol-hourly' and schedule_runs.status <> 'succeeded'
              and scheduled_for < engine.now() - interval '15 minutes'",
        )
        .await;
    found.expect(unfinished == 0, format!("Carol's runs that did not succeed: {unfinished}"));
}

/// How late the latest of Carol's live runs was, and what kept it.
async fn lateness(house: &House, found: &mut Findings) {
    let runs: Vec<(DateTime<Utc>, Option<DateTime<Utc>>, String)> = sqlx::query_as(
        "select scheduled_for, execution.submitted_at, concat(run.id, ' ', execution.id)
        from schedule_runs as run
        join workflow_schedules as schedule on schedule.id = run.schedule_id
        join workflow_executions as execution on execution.schedule_run_id = run.id
        where schedule.schedule_id = 'carol-hourly'",
    )
    .fetch_all(house.db.pool())
    .await
    .expect("the store answers");
    let late = |submitted: Option<DateTime<Utc>>, due: DateTime<Utc>| {
        submitted.map_or(TimeDelta::MAX, |submitted| submitted - due)
    };
    let latest = runs.iter().max_by_key(|(due, submitted, _)| late(*submitted, *due));
    let (due, submitted, ids) = latest.expect("she has runs");
    let (seconds, count) = (late(*submitted, *due).num_seconds(), runs.len());
    let line = format!(
        "Carol's {count} live runs were at AMC at most {seconds} s after they were due (the one of {due})"
    );
    let holds = seconds <= LATE_MAX;
    found.expect(holds, line);
    if !holds {
        let (from, until) = (*due - TimeDelta::minutes(2), *due + TimeDelta::minutes(5));
        println!("{ids}\n{}", house.what_happened(from, until).await);
    }
}

async fn submits(house: &House, found: &mut Findings) {
    let accepted = house.amc.counts().accepted();
    let known =
        house.count("select count(distinct amc_execution_id) from workflow_executions").await;
    let line = format!("AMC accepted {accepted} executions, the store knows {known}");
    found.expect(u64::try_from(known) == Ok(accepted), line);
    let twice = house
        .count(
            "select count(*) from (
                select week_id from workflow_executions
                where week_id is not null and amc_execution_id is not null
                group by week_id having count(*) > 1
            ) as twice",
        )
        .await;
    found.expect(twice == 0, format!("weeks that were submitted twice: {twice}"));
}

/// Until an instance's breaker opens, whoever has begun may fail; from then on its probes alone.
async fn wasted_calls(house: &House, script: &Script, found: &mut Findings) {
    let [from, until] = script.outage();
    let calls = house.amc.log();
    let (mut wasted, mut probes) = (0, 0);
    for instance in DEAD {
        let met = calls.iter().filter(|call| call.fault.is_some() && call.instance == instance);
        let met = met.count();
        let asked: i64 = sqlx::query_scalar(
            "select count(*) from engine.events
            where what = 'breaker_half_opened' and at between $1 and $2 and resource = $3",
        )
        .bind(from)
        .bind(until)
        .bind(resources::instance(instance))
        .fetch_one(house.db.pool())
        .await
        .expect("the store answers");
        let asked = usize::try_from(asked).expect("a count");
        found.say(format!("{instance}: {met} calls met the outage, and there were {asked} probes"));
        wasted += met;
        probes += asked;
    }
    let most = DEAD.len() * threshold() + WORKERS * SLOTS + probes;
    let hours = (until - from).num_hours();
    let line = format!(
        "{wasted} calls were wasted in {hours} hours, of at most {most} (threshold, workers, {probes} probes)"
    );
    found.expect(wasted <= most, line);
}

/// How many failures open an instance's breaker.
fn threshold() -> usize {
    let trips = gates::instance_breaker().trips;
    let threshold = trips.iter().find_map(|trip| match trip {
        Trip::Consecutive { k } => usize::try_from(*k).ok(),
        _ => None,
    });
    threshold.expect("it opens after failures in a row")
}

async fn leaks(house: &House, found: &mut Findings) {
    let places = house.count("select count(*) from engine.holds").await;
    let open =
        house.count("select count(*) from workflow_executions where finished_at is null").await;
    let jobs = house.count("select count(*) from engine.jobs").await;
    found.expect(places == open, format!("places held: {places}, executions open: {open}"));
    found.say(format!("jobs left: {jobs}"));
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    let mended = house.queue.sweep(&mut connection).await.expect("swept");
    found.expect(mended == 0, format!("gates that had to be mended: {mended}"));
}

fn report(house: &House, found: &Findings) {
    let mut text = String::new();
    for line in &found.lines {
        let _ = writeln!(text, "  {line}");
    }
    for line in &found.wrong {
        let _ = writeln!(text, "! {line}");
    }
    let seconds = house.began.elapsed().as_secs();
    let steps = house.steps;
    let verdict = if found.wrong.is_empty() {
        "everything is finished, nothing was lost, nothing was submitted twice"
    } else {
        "NOT as it should be"
    };
    let _ = writeln!(text, "Verdict: {verdict} ({steps} steps in {seconds} s).");
    println!("{text}");
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/weekend.txt");
    fs::write(path, text).expect("the verdict can be written");
}
