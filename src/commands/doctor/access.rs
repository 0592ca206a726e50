//! What a doctor looks at in the access to Amazon: keys, tokens and instances.

use super::{Check, Verdict};
use crate::config::Keys;
use crate::store::credentials::{self, Credential, TokenState};
use crate::store::instances::{self as amc_instances, Instance, InstanceStatus};
use crate::store::users;
use crate::tools::{rotation, young};
use sqlx::PgPool;
use std::collections::BTreeSet;

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
    let state = credential.token_state;
    match (state, credential.token_error) {
        (TokenState::NeedsReauth | TokenState::ClientInvalid, _) => {
            Some((Verdict::Fail, format!("{email}: {state}"), state.remedy(email)))
        }
        (TokenState::Active, Some(error)) => Some((
            Verdict::Warn,
            format!(
                "Amazon refused the grant of {email}: {error}; it is asked again for ten minutes"
            ),
            state.remedy(email),
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
