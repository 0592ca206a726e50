//! What a doctor looks at in the product: workers, tokens, instances, and where results are kept.

use super::{Check, Verdict};
use crate::clock;
use crate::config::{Keys, Results};
use crate::queue::postgres::inspect;
use crate::reports::files::ResultFiles;
use crate::store::credentials::{self, Credential, TokenState};
use crate::store::instances::{self as amc_instances, Instance, InstanceStatus};
use crate::store::schedules::ScheduleStatus;
use crate::store::{collections, duties, schedules, users};
use crate::tools::{rotation, young};
use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// So many collections are looked through, the newest.
const NEWEST: i64 = 1000;

/// A worker that is alive was heard of within this time, in seconds.
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

/// Whether Amazon takes every token. What stops nobody's work yet, a grant that it has refused of late and
/// access tokens that do not last, is told too: nobody else says so.
pub(super) async fn credentials(db: &PgPool) -> Check {
    const NAME: &str = "credentials";
    let looked = async {
        let mut troubles = Vec::new();
        for credential in credentials::list(db).await? {
            let user = users::by_id(db, credential.user_id).await?;
            troubles.extend(trouble(&user.map(|user| user.email).unwrap_or_default(), credential));
        }
        Ok::<_, sqlx::Error>(troubles)
    };
    let troubles = match looked.await {
        Ok(troubles) => troubles,
        Err(error) => return Check::broken(NAME, error),
    };
    let Some(verdict) = troubles.iter().map(|trouble| trouble.0).max() else {
        return Check::ok(NAME, "Amazon refuses none");
    };
    let details: Vec<&str> = troubles.iter().map(|trouble| trouble.1.as_str()).collect();
    let remedies: BTreeSet<&str> = troubles.iter().map(|trouble| trouble.2.as_str()).collect();
    let remedies: Vec<&str> = remedies.into_iter().collect();
    Check { verdict, ..Check::warn(NAME, details.join("; "), remedies.join("; ")) }
}

/// What is wrong with a credential, how badly, and what to do about it.
fn trouble(email: &str, credential: Credential) -> Option<(Verdict, String, String)> {
    let authorise = || format!("`recomamp users authorise {email}`");
    match (credential.token_state, credential.token_error) {
        (TokenState::NeedsReauth, _) => Some((
            Verdict::Fail,
            format!("{email}: needs_reauth"),
            format!("let the user log in again, then {}", authorise()),
        )),
        (TokenState::ClientInvalid, _) => Some((
            Verdict::Fail,
            format!("{email}: client_invalid"),
            "correct RECOMAMP_LWA_CLIENT_ID and its secret, restart the workers, then `recomamp users resume`"
                .to_owned(),
        )),
        (TokenState::Active, Some(error)) => Some((
            Verdict::Warn,
            format!("Amazon refused the grant of {email}: {error}; it is asked again for ten minutes"),
            format!("if the user has withdrawn the grant: {}", authorise()),
        )),
        (TokenState::Active, None) => {
            let age = credential.seconds_since_refresh;
            let trouble = young::trouble(credential.refused_young, age)?;
            let (what, remedy) = trouble.split_once(": ")?;
            Some((Verdict::Warn, format!("{email}: {what}"), remedy.to_owned()))
        }
    }
}

pub(super) async fn instances(db: &PgPool) -> Check {
    let instances = match amc_instances::list(db).await {
        Ok(instances) => instances,
        Err(error) => return Check::broken("instances", error),
    };
    let blocked: Vec<_> =
        instances.iter().filter(|one| one.status == InstanceStatus::Blocked).collect();
    if blocked.is_empty() {
        return Check::ok("instances", format!("{}, none blocked", instances.len()));
    }
    let said = |one: &&Instance| {
        format!("{} ({})", one.instance_id, one.block_reason.as_deref().unwrap_or_default())
    };
    // One of those that a person can unblock, and one of those that AMC has to list first.
    let first = |listed| blocked.iter().find(|one| one.is_listed == listed);
    let remedies = [true, false].into_iter().filter_map(first).map(|one| one.remedy());
    Check::warn(
        "instances",
        format!("blocked: {}", blocked.iter().map(said).collect::<Vec<_>>().join(", ")),
        remedies.collect::<Vec<_>>().join("; "),
    )
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
