//! Whether Amazon lets a user's work in: what keeps it out, with the remedy, and the resource whose opening
//! lets it go on.
//!
//! No job itself: whoever resumes asks, so that nothing goes on that would only stand still.

use super::refresh_token::refusal;
use crate::store::credentials::{self, TokenState};
use crate::store::instances::{self, InstanceStatus};
use crate::store::{InstanceUuid, UserId, users};
use crate::tools::resources;
use sqlx::PgConnection;

/// What keeps work out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOut {
    /// What Amazon said, and after the last colon what to do about it.
    pub reason: String,
    /// The resource that is opened when that is done.
    pub opens: String,
}

/// Keeps the answer what it is until the transaction ends: whoever refuses the credential or takes it again,
/// blocks the instance or unblocks it, waits, and then sees what was written meanwhile.
///
/// Those do so before they look for what they pause or let go on. So nothing may be locked by the caller that
/// they look for: only what is paused by a person.
pub async fn hold_still(
    connection: &mut PgConnection,
    user: UserId,
    instance: InstanceUuid,
) -> Result<(), sqlx::Error> {
    credentials::hold_still(&mut *connection, user).await?;
    instances::hold_still(connection, instance).await
}

/// What keeps a user's work out everywhere: the credential is refused.
pub async fn of_user(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Option<KeptOut>, sqlx::Error> {
    let token = credentials::access_token(&mut *connection, user).await?;
    let Some(token) = token.filter(|token| token.state != TokenState::Active) else {
        return Ok(None);
    };
    let email = users::by_id(&mut *connection, user).await?.map(|user| user.email);
    let said = token.error.unwrap_or_else(|| token.state.to_string());
    let reason = refusal(token.state, &email.unwrap_or_default(), &said);
    Ok(Some(KeptOut { reason, opens: resources::credential(user) }))
}

/// What keeps a user's work out of this instance.
pub async fn of_instance(
    connection: &mut PgConnection,
    user: UserId,
    instance: InstanceUuid,
) -> Result<Option<KeptOut>, sqlx::Error> {
    if let Some(refused) = of_user(&mut *connection, user).await? {
        return Ok(Some(refused));
    }
    let instance = instances::by_id(&mut *connection, instance).await?;
    Ok(instance.filter(|instance| instance.status != InstanceStatus::Active).map(|instance| {
        let why = instance.block_reason.as_deref().unwrap_or("the instance is disabled");
        KeptOut {
            reason: format!("Amazon does not let it run ({why}): {}", instance.remedy()),
            opens: resources::access(&instance.instance_id),
        }
    }))
}
