//! What a failed call to Amazon means for the job that made it.

use super::{Place, SignedIn, Tools, resources};
use crate::amc::{Class, Error};
use crate::queue::Failure;
use crate::store::{ExecutionUuid, instances, unexpected_answers};

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
        match error.class() {
            Class::Throttled { retry_after } => {
                // A 429 or 503 speaks for the host; a limit named in a refusal is the instance's own.
                let host_speaks = matches!(error.status(), Some(429 | 503) | None);
                let instance = resources::instance(place.amc_instance_id);
                let resource = if host_speaks { who.host.clone() } else { instance };
                Failure::throttled(error, retry_after, resource)
            }
            Class::Unauthorized | Class::Forbidden => {
                let why = error.to_string();
                match self.ask_for_token(who.user, who.generation, &why).await {
                    Ok(failure) | Err(failure) => failure,
                }
            }
            Class::Blocked => self.block(place, error).await,
            Class::Permanent => Failure::permanent(error),
            Class::Transient | Class::Unknown => Failure::transient(error),
            // AMC has answered, if only "not yet".
            Class::NotFoundYet | Class::NotReady | Class::ExpiredUrl => {
                Failure::transient(error).blameless()
            }
        }
    }

    /// What is open there stays open, keeps its place and is asked about again later.
    async fn block(&self, place: Place<'_>, error: Error) -> Failure {
        match instances::block(&self.db, place.instance, error.reason()).await {
            Ok(true) => tracing::error!(
                instance = place.amc_instance_id,
                reason = error.reason(),
                "the instance is blocked"
            ),
            Ok(false) => {}
            Err(error) => return error.into(),
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
