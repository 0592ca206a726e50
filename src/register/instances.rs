//! The AMC instances that the engine works on: added, asked for at AMC, limited, unblocked.

use super::{RegisterError, users};
use crate::amc::{AmcInstanceId, EntityId, IdError};
use crate::config::Limits;
use crate::jobs::{collect_week, sync_instances};
use crate::queue::Queue;
use crate::queue::gate::Rule;
use crate::store::events::{self, Because, NewEvent};
use crate::store::instances::{self, Instance, InstanceStatus};
use crate::store::{InstanceUuid, UserId, accounts, credentials};
use crate::tools::{gates, resources};
use serde::Serialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use url::Url;

/// An instance to be added.
#[derive(Debug, Clone)]
pub struct NewInstance {
    /// AMC's id of it.
    pub instance_id: AmcInstanceId,
    /// What to call it on a page.
    pub name: String,
    /// Amazon's id of the account that owns it.
    pub account_id: EntityId,
    /// Where its API answers, when not at the region's host.
    pub endpoint_url: Option<Url>,
}

/// An instance as people and programs are told of one.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// AMC's id of it.
    pub instance_id: String,
    /// What to call it on a page.
    pub name: String,
    /// Amazon's id of the account that owns it.
    pub account_id: String,
    /// Where its API answers, when not at the region's host.
    pub endpoint_url: Option<String>,
    /// Whether Amazon lets us in.
    pub status: InstanceStatus,
    /// Why not, when it does not.
    pub block_reason: Option<String>,
}

/// AMC's own id of an instance.
///
/// # Errors
/// It is none.
pub fn id(text: &str) -> Result<AmcInstanceId, IdError> {
    text.parse()
}

/// Where an instance's API may answer.
///
/// # Errors
/// It is no web address, or has a password in it.
pub fn endpoint(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    url.ok_or("give a web address such as https://advertising-api.amazon.com, without credentials")
}

/// Adds an instance, limits how many executions may be open there, and gives it a breaker.
pub async fn add(
    transaction: &mut PgConnection,
    queue: &Queue,
    new: &NewInstance,
    limits: &Limits,
    because: &Because<'_>,
) -> Result<InstanceUuid, RegisterError> {
    let account = accounts::by_account_id(&mut *transaction, new.account_id.as_str()).await?;
    let account =
        account.ok_or_else(|| RegisterError::unknown("account", new.account_id.as_str()))?;
    let instance = instances::NewInstance {
        instance_id: new.instance_id.as_str(),
        instance_name: &new.name,
        account_id: account.id,
        endpoint_url: new.endpoint_url.as_ref().map(Url::as_str),
    };
    let id = instances::insert(&mut *transaction, &instance).await.map_err(|error| {
        let taken = format!(
            "there is an instance {} already: see `recomamp instances list`",
            new.instance_id
        );
        RegisterError::of_insert(error, taken)
    })?;
    let (instance_id, account_id) = (new.instance_id.as_str(), new.account_id.as_str());
    gates::of_new_instance(queue, &mut *transaction, instance_id, account_id, limits).await?;
    let event = NewEvent {
        entity: "instance",
        entity_id: instance_id,
        from_status: None,
        to_status: Some(InstanceStatus::Active.as_str()),
        actor: because.by,
        reason: because.said(),
        detail: &json!({"account": account_id}),
    };
    events::append(transaction, &event).await?;
    Ok(id)
}

/// Every instance.
pub async fn list(db: &PgPool) -> Result<Vec<Told>, RegisterError> {
    let accounts = accounts::list(db).await?.into_iter();
    let accounts: HashMap<_, _> = accounts.map(|a| (a.id, a.account_id)).collect();
    let told = |instance: Instance| Told {
        account_id: accounts.get(&instance.account_id).cloned().unwrap_or_default(),
        instance_id: instance.instance_id,
        name: instance.instance_name,
        endpoint_url: instance.endpoint_url,
        status: instance.status,
        block_reason: instance.block_reason,
    };
    Ok(instances::list(db).await?.into_iter().map(told).collect())
}

/// Has AMC asked which accounts and instances there are: with the token of one user, or with every
/// token that works. With whose.
pub async fn sync(
    transaction: &mut PgConnection,
    queue: &Queue,
    user: Option<&str>,
    because: &Because<'_>,
) -> Result<Vec<UserId>, RegisterError> {
    let chosen = match user {
        None => credentials::usable(&mut *transaction).await?,
        Some(email) => vec![users::find(transaction, email).await?.id],
    };
    for user in &chosen {
        if credentials::refresh_token(&mut *transaction, *user).await?.is_none() {
            let why = "the user has no token: give one with `recomamp users authorise`";
            return Err(RegisterError::wrong("user", why));
        }
        sync_instances::ask_now(queue, &mut *transaction, *user).await?;
        note_sync(&mut *transaction, *user, because).await?;
    }
    Ok(chosen)
}

/// Starts work again on an instance that Amazon refused us. How many weeks, members of batches,
/// collections and schedules.
pub async fn unblock(
    transaction: &mut PgConnection,
    queue: &Queue,
    instance_id: &str,
    because: &Because<'_>,
) -> Result<usize, RegisterError> {
    let instance = find(transaction, instance_id).await?;
    // A week, or a member of a batch, may also be blocked by itself, on an instance that is not.
    let begun = collect_week::unblock(queue, transaction, instance.id, because).await?;
    begun.ok_or_else(|| {
        let why = format!("instance {instance_id} is {}, not blocked", instance.status);
        RegisterError::Refused(why)
    })
}

/// Sets how many executions may be open on an instance at once, from now on. Those that are open stay.
pub async fn limit(
    transaction: &mut PgConnection,
    queue: &Queue,
    (instance_id, max_open): (&str, u16),
    because: &Because<'_>,
) -> Result<(), RegisterError> {
    find(transaction, instance_id).await?;
    let rule = Rule::Holds(Some(i32::from(max_open)));
    let resource = resources::instance(instance_id);
    let why = because.said().unwrap_or("no reason given");
    queue.set_gate_by(transaction, &resource, rule, because.by, why).await?;
    Ok(())
}

/// Writes down that somebody has AMC asked in a user's name.
async fn note_sync(
    connection: &mut PgConnection,
    user: UserId,
    because: &Because<'_>,
) -> Result<(), sqlx::Error> {
    let event = NewEvent {
        entity: "user",
        entity_id: &user.to_string(),
        from_status: None,
        to_status: None,
        actor: because.by,
        reason: because.said(),
        detail: &json!({"asked": "instances sync"}),
    };
    events::append(connection, &event).await
}

/// The instance with AMC's id.
pub async fn find(
    connection: &mut PgConnection,
    instance_id: &str,
) -> Result<Instance, RegisterError> {
    let found = instances::by_instance_id(connection, instance_id).await?;
    found.ok_or_else(|| RegisterError::unknown("instance", instance_id))
}
