//! What a doctor looks at in the product: workers, what is paused, webhooks, and where results are kept.

use super::Check;
use crate::clock;
use crate::commands::output;
use crate::config::Results;
use crate::plural::counted;
use crate::queue::gate::breaker::State;
use crate::queue::postgres::inspect;
use crate::queue::postgres::inspect::gates::{self, GatesRow};
use crate::reports::files::ResultFiles;
use crate::store::schedules::ScheduleStatus;
use crate::store::webhooks::{self, Standing, WebhookState};
use crate::store::{collections, duties, schedules};
use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// So many collections are looked through, the newest.
const NEWEST: i64 = 1000;

/// So many gates that are shut are named.
const SHUT: i64 = 100;

/// A worker that is alive was heard of within this time, in seconds.
const SEEN_MAX_SECONDS: i64 = 15;

/// A scheduler that is alive has done one of its duties within this time, in seconds.
const SILENT_MAX_SECONDS: i64 = 60;

/// A schedule that is due fires within this time.
const OVERDUE: Duration = Duration::from_secs(60);

/// So many attempts in a row to tell a webhook are no hiccup: between the second and the third there are
/// five minutes.
const TOLD_IN_VAIN: i64 = 3;

/// The file that shows that results can be written.
const PROBE: &str = "doctor/probe.txt";

pub(super) async fn sessions(db: &PgPool) -> Check {
    let looked = async {
        let mut connection = db.acquire().await?;
        let now = clock::now(&mut *connection).await?;
        let sessions = inspect::sessions(&mut connection).await?;
        let alive = |seen: DateTime<Utc>| (now - seen).num_seconds() <= SEEN_MAX_SECONDS;
        let alive = sessions.iter().filter(|session| alive(session.seen_at)).count();
        Ok::<_, sqlx::Error>((alive, sessions.len() - alive))
    };
    match looked.await {
        Ok((0, _)) => Check::warn("workers", "none is alive", "recomamp work"),
        Ok((alive, 0)) => Check::ok("workers", format!("{alive} alive")),
        Ok((alive, silent)) => Check::warn(
            "workers",
            format!("{alive} alive, {silent} silent"),
            "their jobs are taken over; look at why they died",
        ),
        Err(error) => Check::broken("workers", error),
    }
}

/// Whether a scheduler lives: each does one of its duties every few seconds.
pub(super) async fn scheduler(db: &PgPool) -> Check {
    match duties::silent_for(db).await {
        Ok(Some(seconds)) if seconds <= SILENT_MAX_SECONDS => {
            Check::ok("scheduler", "one is alive")
        }
        Ok(Some(seconds)) => Check::warn(
            "scheduler",
            format!(
                "none has done anything for {seconds} s, so nothing fires and nothing is mended"
            ),
            "recomamp schedule",
        ),
        Ok(None) => Check::warn("scheduler", "none was ever alive", "recomamp schedule"),
        Err(error) => Check::broken("scheduler", error),
    }
}

/// Whether what was due has fired.
pub(super) async fn schedules(db: &PgPool) -> Check {
    match schedules::overdue(db, OVERDUE).await {
        Ok(overdue) if overdue.is_empty() => Check::ok("schedules", "none is overdue"),
        Ok(overdue) => Check::warn(
            "schedules",
            format!("due and not fired: {}", overdue.join(", ")),
            "keep a `recomamp schedule` running; then look at its log",
        ),
        Err(error) => Check::broken("schedules", error),
    }
}

/// What the engine has paused by itself: a person has to look, or at least to know.
pub(super) async fn paused(db: &PgPool) -> Check {
    const NAME: &str = "auto-pauses";
    let found = async {
        let schedules = schedules::list(db).await?.into_iter();
        let schedules = schedules.filter(|one| one.status == ScheduleStatus::AutoPaused);
        let schedules = schedules.map(|one| (one.schedule_id, one.pause_reason, one.paused_for));
        let collections = collections::list(db, NEWEST).await?.into_iter();
        let collections = collections.filter(|one| one.auto_paused);
        let collections =
            collections.map(|one| (one.collection_id, one.pause_reason, one.paused_for));
        Ok::<_, sqlx::Error>(schedules.chain(collections).collect::<Vec<_>>())
    };
    let paused = match found.await {
        Ok(paused) => paused,
        Err(error) => return Check::broken(NAME, error),
    };
    if paused.is_empty() {
        return Check::ok(NAME, "none");
    }
    let goes_on = paused.iter().all(|(_, _, paused_for)| paused_for.is_some());
    let waits = paused.iter().any(|(_, _, paused_for)| paused_for.is_some());
    let resume = "resume it: `recomamp schedules resume`, `recomamp collections resume`";
    let remedy = match (goes_on, waits) {
        (true, _) => "do what each reason says: that lets it go on".to_owned(),
        (false, true) => format!(
            "do what each reason says: what waits for a credential or an instance goes on then; \
             of the rest {resume}"
        ),
        (false, false) => format!("do what each reason says, then {resume}"),
    };
    let said = |(id, reason, _): (String, Option<String>, _)| {
        format!("{id} ({})", reason.unwrap_or_default())
    };
    Check::warn(NAME, paused.into_iter().map(said).collect::<Vec<_>>().join("; "), remedy)
}

/// What lets nobody through: a pause that somebody forgot to end looks like an engine with nothing to do.
pub(super) async fn gates(db: &PgPool) -> Check {
    const NAME: &str = "gates";
    let stopped = async {
        let mut connection = db.acquire().await?;
        gates::stopped(&mut connection, SHUT).await
    };
    let stopped = match stopped.await {
        Ok(stopped) => stopped,
        Err(error) => return Check::broken(NAME, error),
    };
    if stopped.is_empty() {
        return Check::ok(NAME, "none is paused, no breaker is open");
    }
    let (mut details, mut remedies) = (Vec::new(), Vec::new());
    for row in &stopped {
        details.extend(pause_of(row).into_iter().chain(breaker_of(row)));
        if waits_for_a_person(row) {
            remedies.push(format!("`recomamp gates resume {}`", row.name));
        }
    }
    let remedy = if remedies.is_empty() {
        "mend what each breaker says: an open breaker asks by itself whether it is back".to_owned()
    } else {
        format!("once there is no reason any more, run {}", remedies.join(", "))
    };
    Check::warn(NAME, details.join("; "), remedy)
}

fn pause_of(row: &GatesRow) -> Option<String> {
    let (by, at) = (row.paused_by.as_deref()?, row.paused_at?);
    let until = row.paused_until.map(|until| format!(" until {}", output::time(until)));
    Some(format!(
        "{} is paused by {by} since {}{} ({})",
        row.name,
        output::time(at),
        until.unwrap_or_default(),
        row.pause_reason.as_deref().unwrap_or_default()
    ))
}

fn breaker_of(row: &GatesRow) -> Option<String> {
    let State::Open { since, until, why, .. } = row.breaker.as_ref()?.state() else { return None };
    let then = match until {
        Some(until) => format!("it asks by itself at {} whether it is back", output::time(*until)),
        None => "until a person resumes".to_owned(),
    };
    Some(format!(
        "the breaker of {} is open since {} ({why}), {then}",
        row.name,
        output::time(*since)
    ))
}

/// Whether a person has paused or opened it, or has to.
fn waits_for_a_person(row: &GatesRow) -> bool {
    let breaker = row.breaker.as_ref().map(|breaker| breaker.state());
    row.paused_at.is_some() || matches!(breaker, Some(State::Open { until: None, .. }))
}

/// Whether those who want to be told are told: a receiver that wants no more, and one that never answers, is
/// found out by nobody else. What a person has disabled is as it should be.
pub(super) async fn webhooks(db: &PgPool) -> Check {
    const NAME: &str = "webhooks";
    let standing = match webhooks::standing(db).await {
        Ok(standing) => standing,
        Err(error) => return Check::broken(NAME, error),
    };
    let (mut details, mut remedies) = (Vec::new(), Vec::new());
    for one in &standing {
        let Standing { id, url, failures, .. } = one;
        match (one.state, one.failing_since) {
            (WebhookState::Disabled, _) if one.why.as_deref() == Some(webhooks::MOVED) => {
                details.push(format!("{id} ({url}) is disabled: {}", webhooks::MOVED));
                remedies.push(format!(
                    "`recomamp webhooks remove {id}`, then `recomamp webhooks add` with its address"
                ));
            }
            (WebhookState::Disabled, _) if one.why.as_deref() == Some(webhooks::GONE) => {
                details.push(format!("{id} ({url}) is disabled: {}", webhooks::GONE));
                remedies.push(format!(
                    "once the receiver is back, `recomamp webhooks enable {id}`; or `recomamp webhooks \
                     remove {id}`"
                ));
            }
            (WebhookState::Active, Some(since)) if *failures >= TOLD_IN_VAIN => {
                let since = output::time(since);
                let said = one.last_error.as_deref().unwrap_or_default();
                details.push(format!(
                    "{id} ({url}) has been told in vain since {since}, {failures} times: {said}"
                ));
                remedies.push(format!(
                    "mend the receiver, then `recomamp webhooks test {id}` and `recomamp webhooks \
                     deliveries {id}`"
                ));
            }
            _ => {}
        }
    }
    if details.is_empty() {
        let many = counted(standing.len(), "webhook", "webhooks");
        return Check::ok(NAME, format!("{many}, none is told in vain"));
    }
    Check::warn(NAME, details.join("; "), remedies.join("; "))
}

pub(super) async fn results(settings: &Results) -> Check {
    match written_and_read(settings).await {
        Ok(()) => Check::ok("results", format!("{} can be written and read", settings.url)),
        Err(error) => Check::fail(
            "results",
            format!("{} cannot be used: {error:#}", settings.url),
            "make it writable, or name another place in RECOMAMP_RESULTS_URL",
        ),
    }
}

async fn written_and_read(settings: &Results) -> Result<()> {
    let files = ResultFiles::open(settings.url.as_str())?;
    let said = b"recomamp doctor was here\n";
    let stored = files.put(PROBE, said.as_slice()).await?;
    let mut read = Vec::new();
    files.get(&stored.uri).await?.read_to_end(&mut read).await?;
    ensure!(read == said, "what was written came back different");
    Ok(())
}
