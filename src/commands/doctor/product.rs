//! What a doctor looks at in the product: workers, tokens, instances, and where results are kept.

use super::Check;
use crate::clock;
use crate::config::{Keys, Results};
use crate::queue::postgres::inspect;
use crate::reports::files::ResultFiles;
use crate::store::credentials::{self, TokenState};
use crate::store::instances::{self as amc_instances, InstanceStatus};
use crate::store::schedules::ScheduleStatus;
use crate::store::{collections, duties, schedules, users};
use crate::tools::rotation;
use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// A worker that is alive was heard of within this time, in seconds.
/// So many collections are looked through, the newest.
const NEWEST: i64 = 1000;

const SEEN_MAX_SECONDS: i64 = 15;

/// A scheduler that is alive has done one of its duties within this time, in seconds.
const SILENT_MAX_SECONDS: i64 = 60;

/// A schedule that is due fires within this time.
const OVERDUE: Duration = Duration::from_secs(60);

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

/// Whether the keys open every stored secret: tokens, and what signs for webhooks.
pub(super) async fn secrets(db: &PgPool, keys: Option<&Keys>) -> Check {
    const NAME: &str = "stored secrets";
    let Some(keys) = keys else {
        let remedy = "set RECOMAMP_ENCRYPTION_KEYS";
        return Check::fail(NAME, "there is no key to open them", remedy);
    };
    let sealings = match rotation::look(db, keys).await {
        Ok(sealings) => sealings,
        Err(error) => return Check::broken(NAME, error),
    };
    let (shut, older) = (sealings.said(|one| one.shut), sealings.said(|one| one.older));
    if !shut.is_empty() {
        return Check::fail(
            NAME,
            format!("no key opens {shut}"),
            "put the key they were encrypted with behind the others in RECOMAMP_ENCRYPTION_KEYS",
        );
    }
    if !older.is_empty() {
        return Check::warn(
            NAME,
            format!("an older key is needed for {older}"),
            "recomamp keys rotate",
        );
    }
    let open = sealings.said(|one| one.newest);
    let open = if open.is_empty() { "there is none yet" } else { &open };
    Check::ok(NAME, format!("the first key opens all: {open}"))
}

/// Whether Amazon takes every token. A grant that it has refused of late, and that is still tried again,
/// is told too: nobody else says so before the user's work stops.
pub(super) async fn credentials(db: &PgPool) -> Check {
    let looked = async {
        let (mut refused, mut doubted) = (Vec::new(), Vec::new());
        for credential in credentials::list(db).await? {
            let is_active = credential.token_state == TokenState::Active;
            if is_active && credential.token_error.is_none() {
                continue;
            }
            let user = users::by_id(db, credential.user_id).await?;
            let email = user.map(|user| user.email).unwrap_or_default();
            match credential.token_error {
                Some(error) if is_active => doubted.push(format!("{email}: {error}")),
                _ => refused.push(format!("{email}: {}", credential.token_state)),
            }
        }
        Ok::<_, sqlx::Error>((refused, doubted))
    };
    match looked.await {
        Ok((refused, doubted)) if refused.is_empty() && doubted.is_empty() => {
            Check::ok("credentials", "Amazon refuses none")
        }
        Ok((refused, doubted)) if refused.is_empty() => Check::warn(
            "credentials",
            format!("Amazon refused, and is asked again for ten minutes: {}", doubted.join(", ")),
            "if the user has withdrawn the grant: `recomamp users authorise EMAIL`",
        ),
        Ok((refused, doubted)) => Check::fail(
            "credentials",
            [refused, doubted].concat().join(", "),
            "needs_reauth: `recomamp users authorise EMAIL`; client_invalid: correct RECOMAMP_LWA_CLIENT_ID and RECOMAMP_LWA_CLIENT_SECRET, then `recomamp users resume`",
        ),
        Err(error) => Check::broken("credentials", error),
    }
}

pub(super) async fn instances(db: &PgPool) -> Check {
    let instances = match amc_instances::list(db).await {
        Ok(instances) => instances,
        Err(error) => return Check::broken("instances", error),
    };
    let blocked = instances.iter().filter(|instance| instance.status == InstanceStatus::Blocked);
    let blocked: Vec<_> = blocked.map(|instance| instance.instance_id.as_str()).collect();
    match blocked.first() {
        None => Check::ok("instances", format!("{}, none blocked", instances.len())),
        Some(first) => Check::warn(
            "instances",
            format!("blocked: {}", blocked.join(", ")),
            format!("settle it with Amazon, then `recomamp instances unblock {first}`"),
        ),
    }
}

/// What the engine has paused by itself: a person has to look, or at least to know.
pub(super) async fn paused(db: &PgPool) -> Check {
    let found = async {
        let schedules = schedules::list(db).await?.into_iter();
        let schedules = schedules.filter(|one| one.status == ScheduleStatus::AutoPaused);
        let mut paused: Vec<String> = schedules
            .map(|one| format!("{} ({})", one.schedule_id, one.pause_reason.unwrap_or_default()))
            .collect();
        let collections = collections::list(db, NEWEST).await?.into_iter();
        paused.extend(collections.filter(|one| one.auto_paused).map(|one| {
            format!("{} ({})", one.collection_id, one.pause_reason.unwrap_or_default())
        }));
        Ok::<_, sqlx::Error>(paused)
    };
    match found.await {
        Ok(paused) if paused.is_empty() => Check::ok("auto-pauses", "none"),
        Ok(paused) => Check::warn(
            "auto-pauses",
            paused.join("; "),
            "do what each reason says, then resume it: `recomamp schedules resume`, `recomamp collections resume`",
        ),
        Err(error) => Check::broken("auto-pauses", error),
    }
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
