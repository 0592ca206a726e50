//! Who may call what: the four headers that AMC wants, and the accounts and instances lists.

use super::answer::Answer;
use super::call::{Call, Operation};
use super::settings::{Account, User};
use super::world::World;
use axum::http::{Method, header};
use chrono::SecondsFormat;
use serde_json::{Value, json};

/// Header with the Login with Amazon client's id.
const CLIENT_ID: &str = "amazon-advertising-api-clientid";
/// Header with the AMC account's id.
const ADVERTISER_ID: &str = "amazon-advertising-api-advertiserid";
/// Header with the marketplace's id.
const MARKETPLACE_ID: &str = "amazon-advertising-api-marketplaceid";

/// Lets a call to AMC pass, or says why not.
pub(crate) fn check(world: &mut World, call: &Call) -> Result<(), Answer> {
    if !has_its_headers(world, call) {
        world.witness.counts.wrong_headers += 1;
    }
    media(call)?;
    let refresh_token = user(world, call)?.refresh_token.clone();
    if call.header(CLIENT_ID) != Some(&world.settings.client_id) {
        return Err(forbidden());
    }
    if call.operation == Operation::ListAccounts {
        return Ok(());
    }
    let account = account(world, call).ok_or_else(forbidden)?;
    let may = |user: &User| {
        user.refresh_token == refresh_token
            && (user.accounts.is_empty() || user.accounts.contains(&account.account_id))
    };
    if !world.settings.users.iter().any(may) {
        return Err(forbidden());
    }
    if call.operation == Operation::ListInstances {
        return Ok(());
    }
    let instance = account.instances.iter().find(|one| one.instance_id == call.instance);
    match instance {
        None => Err(forbidden()),
        Some(instance) if !instance.terms_accepted => Err(terms()),
        Some(_) => Ok(()),
    }
}

/// The answer to a call on what is not the caller's.
fn forbidden() -> Answer {
    Answer::error(403, "Unauthorized request.")
}

/// The answer while Amazon's terms wait for the owner.
pub(crate) fn terms() -> Answer {
    Answer::error(403, "Terms and conditions must be accepted to continue.")
}

/// The answer to a call without a good access token.
pub(crate) fn unauthorized() -> Answer {
    Answer::error(401, "Authentication failed")
}

fn has_its_headers(world: &World, call: &Call) -> bool {
    let bearer = call.header(header::AUTHORIZATION.as_str()).unwrap_or_default();
    bearer.starts_with("Bearer ")
        && call.header(CLIENT_ID) == Some(&world.settings.client_id)
        && (call.operation == Operation::ListAccounts || account(world, call).is_some())
}

fn account<'a>(world: &'a World, call: &Call) -> Option<&'a Account> {
    let (id, marketplace) = (call.header(ADVERTISER_ID)?, call.header(MARKETPLACE_ID)?);
    let named = |one: &&Account| one.account_id == id && one.marketplace_id == marketplace;
    world.settings.accounts.iter().find(named)
}

fn user<'a>(world: &'a World, call: &Call) -> Result<&'a User, Answer> {
    let bearer = call.header(header::AUTHORIZATION.as_str()).unwrap_or_default();
    let access_token = bearer.strip_prefix("Bearer ").unwrap_or_default();
    let lifetime = world.settings.token_lifetime;
    let owner = world.tokens.owner(access_token, world.clocks(), lifetime);
    let user = world.settings.users.iter().find(|user| Some(user.refresh_token.as_str()) == owner);
    user.ok_or_else(unauthorized)
}

fn media(call: &Call) -> Result<(), Answer> {
    let known = |media: &str| {
        ["application/json", "application/vnd.amc"].iter().any(|one| media.starts_with(one))
    };
    let body = call.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if matches!(call.method, Method::POST | Method::PUT) && !known(body) {
        return Err(Answer::error(415, "Unsupported Media Type"));
    }
    let accept = call.header(header::ACCEPT.as_str()).unwrap_or("*/*");
    if accept.split(',').map(str::trim).any(|one| one.starts_with("*/*") || known(one)) {
        Ok(())
    } else {
        Err(Answer::error(406, "Not Acceptable"))
    }
}

/// Answers `GET /amc/accounts`.
pub(crate) fn list_accounts(world: &World, call: &Call) -> Result<Answer, Answer> {
    let user = user(world, call)?;
    let seen = |account: &&Account| {
        user.accounts.is_empty() || user.accounts.contains(&account.account_id)
    };
    let accounts: Vec<Value> = world
        .settings
        .accounts
        .iter()
        .filter(seen)
        .map(|account| {
            json!({
                "accountId": account.account_id,
                "accountName": account.name,
                "marketplaceId": account.marketplace_id,
            })
        })
        .collect();
    super::paging::page(call, "amcAccounts", accounts)
}

/// Answers `GET /amc/instances`.
pub(crate) fn list_instances(world: &World, call: &Call) -> Result<Answer, Answer> {
    let account = account(world, call).ok_or_else(forbidden)?;
    let created = world.born_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let instances: Vec<Value> = account
        .instances
        .iter()
        .map(|instance| {
            json!({
                "instanceId": instance.instance_id,
                "instanceName": instance.name,
                "instanceType": "STANDARD",
                "customerCanonicalName": account.name,
                "creationStatus": "COMPLETED",
                "creationDatetime": created,
                "advertiserTypes": instance.advertiser_types,
                "entities": [account.account_id],
            })
        })
        .collect();
    super::paging::page(call, "instances", instances)
}
