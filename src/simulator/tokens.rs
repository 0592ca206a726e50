//! Login with Amazon: refresh tokens in, access tokens out.

use super::answer::{Answer, Payload};
use super::call::Call;
use super::settings::{Lifetime, Pace};
use super::world::World;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::collections::HashMap;
use uuid::Uuid;

/// What has been issued, and what has been taken back.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    issued: HashMap<String, Issued>,
    /// Refresh tokens that are good for nothing until then, in felt time.
    revoked: HashMap<String, DateTime<Utc>>,
}

#[derive(Debug)]
struct Issued {
    refresh_token: String,
    expires_at: DateTime<Utc>,
}

impl Tokens {
    /// The refresh token behind an access token that is still good.
    pub(crate) fn owner(
        &self,
        access_token: &str,
        clocks: [DateTime<Utc>; 2],
        lifetime: Lifetime,
    ) -> Option<&str> {
        let issued = self.issued.get(access_token)?;
        (lifetime.pick(clocks) < issued.expires_at).then_some(issued.refresh_token.as_str())
    }

    /// Makes every access token issued so far worthless.
    pub(crate) fn forget(&mut self) {
        self.issued.clear();
    }

    /// Makes a refresh token, and the access tokens it gave, worthless until then.
    pub(crate) fn revoke(&mut self, refresh_token: &str, until: DateTime<Utc>) {
        self.issued.retain(|_, issued| issued.refresh_token != refresh_token);
        self.revoked.insert(refresh_token.to_owned(), until);
    }

    /// Makes a refresh token good again.
    pub(crate) fn restore(&mut self, refresh_token: &str) {
        self.revoked.remove(refresh_token);
    }

    fn issue(&mut self, refresh_token: &str, expires_at: DateTime<Utc>) -> String {
        let access_token = format!("Atza|{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let issued = Issued { refresh_token: refresh_token.to_owned(), expires_at };
        self.issued.insert(access_token.clone(), issued);
        access_token
    }
}

impl Lifetime {
    /// The clock that counts: of AMC's and the client's.
    pub(crate) fn pick(self, [amc, felt]: [DateTime<Utc>; 2]) -> DateTime<Utc> {
        match self.clock {
            Pace::Amc => amc,
            Pace::Felt => felt,
        }
    }

    /// Its length.
    pub(crate) fn length(self) -> TimeDelta {
        TimeDelta::seconds(self.seconds.into())
    }
}

/// Answers a token request.
pub(crate) fn grant(world: &mut World, call: &Call) -> Result<Answer, Answer> {
    let form = call.form();
    let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let answer = match field("grant_type") {
        Some("refresh_token") => match (field("client_id"), field("client_secret")) {
            (Some(id), Some(secret))
                if id == world.settings.client_id && secret == world.settings.client_secret =>
            {
                refresh(world, field("refresh_token"))
            }
            _ => Err(invalid_client()),
        },
        Some(_) => Err(refusal(400, "unsupported_grant_type", UNSUPPORTED)),
        None => Err(refusal(400, "invalid_request", "Malformed request")),
    };
    if let Some(refresh_token) = field("refresh_token") {
        world.witness.counts.refreshed(refresh_token, answer.is_ok());
    }
    answer
}

const UNSUPPORTED: &str =
    "The authorization grant type is not supported by the authorization server";

fn refresh(world: &mut World, refresh_token: Option<&str>) -> Result<Answer, Answer> {
    let Some(refresh_token) = refresh_token else {
        let description = "The request is missing a required parameter : refresh_token";
        return Err(refusal(400, "invalid_request", description));
    };
    let known = world.settings.users.iter().any(|user| user.refresh_token == refresh_token);
    let revoked = world.tokens.revoked.get(refresh_token);
    if !known || revoked.is_some_and(|until| world.clock.felt() < *until) {
        return Err(invalid_grant());
    }
    let lifetime = world.settings.token_lifetime;
    let expires_at = lifetime.pick(world.clocks()) + lifetime.length();
    let mut body = json!({
        "access_token": world.tokens.issue(refresh_token, expires_at),
        "token_type": "bearer",
        "expires_in": lifetime.seconds,
    });
    if world.settings.refresh_token_echoed {
        body["refresh_token"] = json!(refresh_token);
    }
    Ok(Answer::ok(body))
}

/// The refresh token is good for nothing.
pub(crate) fn invalid_grant() -> Answer {
    let description = "The request has an invalid grant parameter : refresh_token. \
                       User may have revoked or didn't grant the permission.";
    refusal(400, "invalid_grant", description)
}

/// The client's id or secret is wrong.
pub(crate) fn invalid_client() -> Answer {
    refusal(401, "invalid_client", "Client authentication failed")
}

fn refusal(status: u16, error: &str, description: &str) -> Answer {
    let body = json!({
        "error": error,
        "error_description": description,
        "request_id": Uuid::new_v4().to_string(),
    });
    Answer { status, headers: Vec::new(), body: Payload::Json(body) }
}
