//! What a failed call to Amazon means for the job that made it.

use super::{SignedIn, Tools};
use crate::amc::{Class, Error};
use crate::queue::Failure;
use crate::store::ExecutionUuid;
use crate::store::unexpected_answers;

impl Tools {
    /// The failure with which the job ends its attempt. A refused token is renewed, once for all who
    /// meet it; an answer that nobody expected is kept.
    pub async fn judge(&self, who: &SignedIn, execution: ExecutionUuid, error: Error) -> Failure {
        if let Err(failure) = self.keep_unexpected(execution, &error).await {
            return failure;
        }
        match error.class() {
            Class::Throttled { retry_after } => {
                Failure::throttled(error, retry_after, who.host.clone())
            }
            Class::Unauthorized | Class::Forbidden => {
                let why = error.to_string();
                match self.ask_for_token(who.user, who.generation, &why).await {
                    Ok(failure) | Err(failure) => failure,
                }
            }
            Class::Blocked | Class::Permanent => Failure::permanent(error),
            Class::Transient
            | Class::NotFoundYet
            | Class::NotReady
            | Class::ExpiredUrl
            | Class::Unknown => Failure::transient(error),
        }
    }

    /// Keeps the body of an answer that could not be read, for a person to look at.
    async fn keep_unexpected(
        &self,
        execution: ExecutionUuid,
        error: &Error,
    ) -> Result<(), Failure> {
        let Some(body) = error.body().filter(|_| error.status().is_some_and(|s| s < 300)) else {
            return Ok(());
        };
        let operation = error.operation().as_str();
        unexpected_answers::insert(&self.db, Some(execution), operation, error.status(), body)
            .await?;
        Ok(())
    }
}
