//! Buys a user a new access token, once for all who need it, and lets their jobs go on.
//!
//! A refresh token that Amazon refuses is tried again now and then, and stops the user's work
//! (`needs_reauth`) when it is still refused after a while: Amazon has refused good tokens for minutes
//! before (github.com/amzn/selling-partner-api-models, issue 2798). Afterwards, too, it is tried ever more
//! seldom. A refused client stops everybody's.
//!
//! A new access token that AMC refuses at once is not helped by the next one: they are bought ever more
//! seldom while that goes on.

use super::owner;
use crate::amc::{TokenClass, TokenError, Tokens};
use crate::metrics;
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Priority, Queue};
use crate::store::credentials::{self, Refused, TokenState};
use crate::store::events::{self, NewEvent};
use crate::store::{UserId, users};
use crate::tools::{Tools, resources, young};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use std::time::Duration;

/// The first and the longest pause before a refused token is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(15);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(3600);

/// A refusal is believed when it still comes so long after the first one.
pub(super) const CONFIRMED_AFTER: Duration = Duration::from_secs(600);

/// Buys a user a new access token.
#[derive(Debug, Serialize, Deserialize)]
pub struct RefreshToken {
    /// Whose.
    pub user_id: UserId,
    /// Which token is no longer good. A newer one needs no refresh.
    pub generation: i64,
}

impl Job for RefreshToken {
    type Tools = Tools;
    const KIND: &'static str = "refresh_token";
    const QUEUE: &'static str = "tokens";
    const PRIORITY: Priority = Priority::Urgent;
    const TIMEOUT: Duration = Duration::from_secs(60);
    const MAX_ATTEMPTS: i16 = 10_000;

    fn unique_key(&self) -> Option<String> {
        Some(self.user_id.to_string())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(credential) = credentials::refresh_token(&tools.db, self.user_id).await? else {
            return Err(Failure::permanent(anyhow::anyhow!("the user has no credential")));
        };
        let renewed = credential.generation != self.generation;
        if renewed && credential.state == TokenState::Active {
            return self.open(tools, attempt, Outcome::Done.unasked()).await;
        }
        let age = credential.seconds_since_refresh.unwrap_or(i64::MAX);
        let settles = young::settles(credential.refused_young);
        if !renewed && credential.state == TokenState::Active && age < settles {
            let left = u64::try_from(settles - age).unwrap_or(0);
            return Ok(Outcome::Snooze(Duration::from_secs(left)).unasked());
        }
        let lasted = renewed || young::has_lasted(credential.refused_young, age);
        let refused_young = if lasted { 0 } else { credential.refused_young.saturating_add(1) };
        let secret = tools
            .unseal(&credential.encrypted)
            .map_err(|error| Failure::transient(error).blameless())?;
        let client_id = credential.lwa_client_id.as_deref();
        match tools.refresh(credential.region, client_id, &secret).await {
            Ok(tokens) => {
                self.store(tools, attempt, credential.generation, tokens, refused_young).await
            }
            Err(error) => {
                metrics::token_refreshed(error.class().as_str());
                self.refused(tools, attempt, credential.generation, client_id, error).await
            }
        }
    }
}

/// The job that renews this user's token, if it is still of this generation.
pub fn job(user_id: UserId, generation: i64) -> Result<NewJob, crate::queue::Error> {
    Ok(NewJob::of(&RefreshToken { user_id, generation })?.using([resources::TOKENS.to_owned()]))
}

/// Tries a user's token again at once, should a refused one be waiting for its next try.
pub async fn hasten(
    queue: &Queue,
    connection: &mut PgConnection,
    user_id: UserId,
) -> Result<bool, crate::queue::Error> {
    queue.hasten(connection, RefreshToken::KIND, &user_id.to_string()).await
}

/// What Amazon said to the token of the user with this email, and what to do about it.
pub fn refusal(state: TokenState, email: &str, said: &str) -> String {
    let remedy = state.remedy(email);
    match state {
        TokenState::Active => format!(
            "Amazon refused the grant of {email} ({said}), which stops the user's work if it still does \
             after {} min; {remedy}",
            CONFIRMED_AFTER.as_secs() / 60
        ),
        TokenState::NeedsReauth => {
            format!("Amazon refuses the grant of {email} ({said}): {remedy}")
        }
        TokenState::ClientInvalid => format!("Amazon refuses our client ({said}): {remedy}"),
    }
}

impl RefreshToken {
    /// The token is good: whoever waits for it may go on.
    async fn open(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        then: Outcome,
    ) -> Result<Outcome, Failure> {
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        let credential = resources::credential(self.user_id);
        owner::opened(&tools.queue, &mut transaction, &credential).await?;
        tools.queue.open(&mut transaction, &credential).await?;
        let outcome = attempt.complete_in(&mut transaction, then).await?;
        transaction.commit().await?;
        Ok(outcome)
    }

    async fn store(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        generation: i64,
        tokens: Tokens,
        refused_young: i32,
    ) -> Result<Outcome, Failure> {
        let access = tools.seal(&tokens.access_token);
        let refresh = tokens.refresh_token.as_ref().map(|token| tools.seal(token));
        let lives = tokens.expires_in;
        // Committed before the gate opens, so that whoever starts after that finds the new token.
        // Refused when somebody has stored a newer one meanwhile, which is as good.
        credentials::store_refreshed(
            &tools.db,
            self.user_id,
            generation,
            &access,
            lives,
            refresh.as_ref(),
            refused_young,
        )
        .await?;
        metrics::token_refreshed("succeeded");
        tracing::info!(user = %self.user_id, lives_seconds = lives.as_secs(), "token refreshed");
        self.open(tools, attempt, Outcome::Done).await
    }

    async fn refused(
        &self,
        tools: &Tools,
        attempt: &Attempt,
        generation: i64,
        client_id: Option<&str>,
        error: TokenError,
    ) -> Result<Outcome, Failure> {
        match error.class() {
            TokenClass::InvalidGrant => {
                let mut transaction = crate::transaction::begin(&tools.db).await?;
                let (user, said) = (self.user_id, error.to_string());
                let refused = credentials::refuse(
                    &mut *transaction,
                    user,
                    generation,
                    &said,
                    CONFIRMED_AFTER,
                );
                let state = TokenState::NeedsReauth;
                let mut again_in = try_again_in(attempt.snoozes());
                match refused.await? {
                    Refused::Renewed => return Ok(Outcome::Snooze(Duration::ZERO)),
                    // No pause leads past the moment in which it can be believed.
                    Refused::Unconfirmed { left } => again_in = again_in.min(left),
                    Refused::Stopped => tell(&mut transaction, &[user], state, &said).await?,
                    Refused::StoppedBefore => {
                        pause(&mut transaction, &[user], state, &said).await?;
                    }
                }
                transaction.commit().await?;
                Ok(Outcome::Snooze(again_in))
            }
            TokenClass::InvalidClient => {
                let said = error.without_request().to_string();
                let mut transaction = crate::transaction::begin(&tools.db).await?;
                let stopped =
                    credentials::refuse_client(&mut *transaction, client_id, &said).await?;
                let users: Vec<UserId> = stopped.iter().map(|(user, _)| *user).collect();
                if !users.is_empty() {
                    tracing::error!(user = %self.user_id, %error, "the client is refused");
                }
                let state = TokenState::ClientInvalid;
                tell(&mut transaction, &users, state, &said).await?;
                if !users.contains(&self.user_id) {
                    pause(&mut transaction, &[self.user_id], state, &said).await?;
                }
                // Each of them tries again now and then, also one of whom nothing else is under way.
                let others = stopped.into_iter().filter(|(user, _)| *user != self.user_id);
                let others = others.map(|(user, generation)| job(user, generation));
                let others = others.collect::<Result<Vec<_>, _>>()?;
                tools.queue.enqueue(&mut transaction, &others).await?;
                transaction.commit().await?;
                Ok(Outcome::Snooze(try_again_in(attempt.snoozes())))
            }
            TokenClass::Throttled { retry_after } => {
                Err(Failure::throttled(error, retry_after, resources::TOKENS))
            }
            TokenClass::Permanent | TokenClass::Transient => Err(Failure::transient(error)),
        }
    }
}

/// Writes down of each of these users that nothing of theirs can go on, with the remedy, and pauses it until
/// their tokens are good again. `why` is true of every one of them.
async fn tell(
    transaction: &mut PgConnection,
    users: &[UserId],
    state: TokenState,
    why: &str,
) -> Result<(), Failure> {
    for user in users {
        tracing::error!(%user, %state, why, "the user's work stops");
        let email = email(&mut *transaction, *user).await?;
        let event = NewEvent {
            entity: "user",
            entity_id: &user.to_string(),
            from_status: Some(TokenState::Active.as_str()),
            to_status: Some(state.as_str()),
            actor: "engine",
            reason: Some(&refusal(state, &email, why)),
            detail: &serde_json::json!({"email": email}),
        };
        events::append(&mut *transaction, &event).await?;
    }
    pause(transaction, users, state, why).await
}

/// Pauses what can go on for none of these users: also what was resumed, or begun, since they were told.
async fn pause(
    transaction: &mut PgConnection,
    users: &[UserId],
    state: TokenState,
    why: &str,
) -> Result<(), Failure> {
    // Of several users it is the client that is refused, which is the same for all.
    let Some(first) = users.first() else { return Ok(()) };
    let reason = refusal(state, &email(&mut *transaction, *first).await?, why);
    Ok(owner::refused(transaction, users, &reason).await?)
}

async fn email(connection: &mut PgConnection, user: UserId) -> Result<String, sqlx::Error> {
    let user = users::by_id(connection, user).await?;
    Ok(user.map(|user| user.email).unwrap_or_default())
}

fn try_again_in(tries: i32) -> Duration {
    let doublings = u32::try_from(tries).unwrap_or(0).min(12);
    TRY_AGAIN.saturating_mul(1 << doublings).min(TRY_AGAIN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_token_is_tried_again_ever_more_seldom_but_never_given_up() {
        assert_eq!(try_again_in(0), Duration::from_secs(15));
        assert_eq!(try_again_in(2), Duration::from_secs(60));
        assert_eq!(try_again_in(5000), Duration::from_secs(3600));
    }
}
