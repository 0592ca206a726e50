//! What a failed call to Amazon means for the job that made it.

use super::{Bearer, Place, SignedIn, Tools, resources};
use crate::amc::{Class, Error};
use crate::queue::Failure;
use crate::store::events::{self, NewEvent};
use crate::store::instances::{self, InstanceStatus};
use crate::store::{ExecutionUuid, InstanceUuid, unexpected_answers};
use sqlx::PgConnection;

/// Blocks an instance, by our id and AMC's, because Amazon refuses us there, with its event. Nothing
/// happens to one that is blocked already, or switched off.
pub async fn block_instance(
    connection: &mut PgConnection,
    (id, amc_instance_id): (InstanceUuid, &str),
    reason: &str,
) -> Result<(), sqlx::Error> {
    if instances::block(&mut *connection, id, reason).await? {
        let told = format!(
            "Amazon does not let us in ({reason}): settle it with Amazon, then run `recomamp instances \
             unblock {amc_instance_id}`; without that it is asked ever more seldom whether it does again"
        );
        note_blocked(connection, amc_instance_id, &told).await?;
    }
    Ok(())
}

/// Tells that an active instance is blocked.
pub async fn note_blocked(
    connection: &mut PgConnection,
    amc_instance_id: &str,
    reason: &str,
) -> Result<(), sqlx::Error> {
    tracing::error!(instance = amc_instance_id, reason, "the instance is blocked");
    let event = NewEvent {
        entity: "instance",
        entity_id: amc_instance_id,
        from_status: Some(InstanceStatus::Active.as_str()),
        to_status: Some(InstanceStatus::Blocked.as_str()),
        actor: "engine",
        reason: Some(reason),
        detail: &serde_json::json!({}),
    };
    events::append(connection, &event).await
}

impl Bearer {
    /// What a failed call asks for. A refusal that may be about an old token is about us when the token
    /// is a new one: another would not help, and a person has to look.
    pub fn class(&self, error: &Error) -> Class {
        match error.class() {
            Class::Forbidden if self.is_renewed() => Class::Blocked,
            class => class,
        }
    }
}

impl Tools {
    /// The failure with which the job ends its attempt. A refused token is renewed, once for all who
    /// meet it; an answer that nobody expected is kept; an instance that we are kept out of is
    /// blocked, and the job waits until it is opened again.
    pub async fn judge<'a>(
        &self,
        who: &SignedIn,
        place: impl Into<Place<'a>>,
        error: Error,
    ) -> Failure {
        let place = place.into();
        if let Err(failure) = self.keep_unexpected(place.execution, &error).await {
            return failure;
        }
        match who.bearer.class(&error) {
            Class::Throttled { retry_after } => {
                // A 429 or 503 speaks for the host; a limit named in a refusal is the instance's own.
                let host_speaks = matches!(error.status(), Some(429 | 503) | None);
                let instance = resources::instance(place.amc_instance_id);
                let resource = if host_speaks { who.bearer.host.clone() } else { instance };
                Failure::throttled(error, retry_after, resource)
            }
            Class::Blocked => self.block(place, error).await,
            _ => self.judge_call(&who.bearer, error).await,
        }
    }

    /// The same for a call that has no execution. Where a refusal names no token, the caller decides.
    pub async fn judge_call(&self, bearer: &Bearer, error: Error) -> Failure {
        match bearer.class(&error) {
            Class::Throttled { retry_after } => {
                Failure::throttled(error, retry_after, &*bearer.host)
            }
            Class::Unauthorized | Class::Forbidden => {
                let why = error.to_string();
                let asked = async {
                    bearer.remember().await?;
                    self.ask_for_token(bearer.user, bearer.generation, &why).await
                };
                match asked.await {
                    Ok(failure) | Err(failure) => failure,
                }
            }
            Class::Blocked | Class::Permanent => Failure::permanent(error),
            Class::Transient | Class::Unknown => Failure::transient(error),
            // AMC has answered, if only "not yet".
            Class::NotFoundYet | Class::NotReady | Class::ExpiredUrl => {
                Failure::transient(error).blameless()
            }
        }
    }

    /// What is open there stays open, keeps its place and is asked about again later. A user who may not use
    /// another's instance blocks nobody else there.
    async fn block(&self, place: Place<'_>, error: Error) -> Failure {
        let instance = (place.instance, place.amc_instance_id);
        let blocked = async {
            if place.is_own {
                let mut transaction = crate::transaction::begin(&self.db).await?;
                block_instance(&mut transaction, instance, error.reason()).await?;
                transaction.commit().await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = blocked.await {
            return failure;
        }
        Failure::unauthorized(error, resources::access(place.amc_instance_id))
    }

    /// Keeps the body of an answer that could not be read, for a person to look at.
    async fn keep_unexpected(
        &self,
        execution: Option<ExecutionUuid>,
        error: &Error,
    ) -> Result<(), Failure> {
        let Some(body) = error.body().filter(|_| error.status().is_some_and(|s| s < 300)) else {
            return Ok(());
        };
        let operation = error.operation().as_str();
        unexpected_answers::insert(&self.db, execution, operation, error.status(), body).await?;
        Ok(())
    }
}
