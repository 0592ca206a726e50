//! What people are told of a job that waits for Amazon to let it in: whose token or which instance it is
//! about, what Amazon said, and what to do.
//!
//! No job itself: the queue knows what a job waits for, and this what that is.

use super::refresh_token::{RefreshToken, refusal};
use crate::queue::explain::{Explanation, Reason, What};
use crate::queue::postgres::inspect;
use crate::queue::{Job, State};
use crate::store::credentials;
use crate::store::instances::{self, InstanceStatus};
use crate::store::{UserId, users};
use crate::tools::{resources, young};
use sqlx::PgPool;

/// Adds to the explanation of a waiting job what there is to know of the token or the instance that it
/// waits for.
pub async fn explain(db: &PgPool, explanation: &mut Explanation) -> Result<(), sqlx::Error> {
    if explanation.state != State::Waiting {
        return Ok(());
    }
    if explanation.kind == RefreshToken::KIND {
        // Whoever asked later, as a refused one does, leaves no error with the job itself.
        let job = inspect::jobs::whole(&mut *db.acquire().await?, explanation.job_id).await?;
        let asked = job.and_then(|job| serde_json::from_value::<RefreshToken>(job.args).ok());
        let (Some(asked), Some(reason)) = (asked, explanation.reasons.first_mut()) else {
            return Ok(());
        };
        add(reason, token(db, asked.user_id).await?);
        return Ok(());
    }
    for reason in explanation.reasons.iter_mut().filter(|one| one.what == What::Credential) {
        let resource = reason.resource.clone().unwrap_or_default();
        if let Some(user) = resources::user_of_credential(&resource) {
            add(reason, token(db, user).await?);
        } else if let Some(id) = resources::instance_of_access(&resource) {
            add(reason, instance(db, id).await?);
        }
    }
    Ok(())
}

fn add(reason: &mut Reason, told: Option<String>) {
    if let Some(told) = told {
        reason.text = format!("{}. {told}", reason.text);
        reason.why = Some(told);
    }
}

/// What is wrong with a user's token, and what to do about it.
async fn token(db: &PgPool, user: UserId) -> Result<Option<String>, sqlx::Error> {
    let Some(token) = credentials::access_token(db, user).await? else { return Ok(None) };
    let email = users::by_id(db, user).await?.map(|user| user.email).unwrap_or_default();
    let Some(said) = token.error else {
        let refresh = credentials::refresh_token(db, user).await?;
        let trouble =
            refresh.and_then(|t| young::trouble(t.refused_young, t.seconds_since_refresh));
        return Ok(trouble.map(|trouble| format!("The token of {email}: {trouble}")));
    };
    Ok(Some(refusal(token.state, &email, &said)))
}

/// Why Amazon does not let us in to an instance, and what to do about it.
async fn instance(db: &PgPool, id: &str) -> Result<Option<String>, sqlx::Error> {
    let Some(instance) = instances::by_instance_id(db, id).await? else { return Ok(None) };
    if instance.status != InstanceStatus::Blocked {
        return Ok(None);
    }
    let remedy = instance.remedy();
    let reason = instance.block_reason.unwrap_or_default();
    Ok(Some(format!("Instance {id} is blocked ({reason}): {remedy}")))
}
