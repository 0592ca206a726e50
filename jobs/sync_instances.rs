//! Takes over from AMC which accounts and instances a user may use.
//!
//! What is new is added, ready for use: nothing runs on an instance before somebody asks for it, and who
//! syncs wants to see what there is. Nothing is ever deleted: what AMC does not list any more, or has not
//! finished creating, is blocked with that reason, and goes on when AMC lists it as ready.

use super::{collect_week, probe_instance};
use crate::amc::{self, Caller, EntityId, Error, MarketplaceId};
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Queue};
use crate::store::accounts::{self, NewAccount};
use crate::store::credentials;
use crate::store::events::{self, NewEvent};
use crate::store::instances::health::{self, Place};
use crate::store::instances::{self, InstanceStatus, NewInstance};
use crate::store::{AccountUuid, InstanceUuid, Region, UserId};
use crate::tools::{Pass, Tools, gates, note_blocked};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use std::collections::BTreeSet;

/// Who writes the events.
const ACTOR: &str = "sync_instances";

/// Takes over from AMC which accounts and instances a user may use.
#[derive(Debug, Serialize, Deserialize)]
pub struct SyncInstances {
    /// Whose credential asks.
    pub user_id: UserId,
}

impl Job for SyncInstances {
    type Tools = Tools;
    const KIND: &'static str = "sync_instances";
    const QUEUE: &'static str = "amc";

    fn unique_key(&self) -> Option<String> {
        Some(self.user_id.to_string())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(credential) = credentials::refresh_token(&tools.db, self.user_id).await? else {
            return Err(Failure::permanent(anyhow::anyhow!("the user has no credential")));
        };
        let answer = self.ask(tools, attempt, credential.region).await?;
        let mut transaction = crate::transaction::begin(&tools.db).await?;
        let mut offered = BTreeSet::new();
        for account in &answer.listed {
            self.take_over(tools, &mut transaction, account, &mut offered).await?;
        }
        self.withdraw_others(&mut transaction, &offered, &answer.nowhere).await?;
        credentials::synced(&mut *transaction, self.user_id).await?;
        let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
        transaction.commit().await?;
        tracing::info!(user = %self.user_id, instances = offered.len(), "instances synced");
        Ok(outcome)
    }
}

/// The job that syncs what this user may use.
pub fn job(user_id: UserId) -> Result<NewJob, crate::queue::Error> {
    NewJob::of(&SyncInstances { user_id })
}

/// Syncs at once, should a sync be waiting for its turn.
pub async fn ask_now(
    queue: &Queue,
    connection: &mut PgConnection,
    user_id: UserId,
) -> Result<(), crate::queue::Error> {
    queue.enqueue(&mut *connection, &[job(user_id)?]).await?;
    queue.hasten(connection, SyncInstances::KIND, &user_id.to_string()).await?;
    Ok(())
}

/// An account as AMC lists it, with its instances.
struct Listed {
    account_id: EntityId,
    name: String,
    marketplace_id: MarketplaceId,
    region: Region,
    instances: Vec<amc::Instance>,
}

/// What AMC lists.
struct Answer {
    listed: Vec<Listed>,
    /// Accounts without a marketplace, whose instances AMC cannot be asked for.
    nowhere: BTreeSet<String>,
}

impl SyncInstances {
    /// Lists everything before anything is written: half a list would block what is on the other half.
    async fn ask(&self, tools: &Tools, attempt: &Attempt, home: Region) -> Result<Answer, Failure> {
        let pass = tools.pass(attempt, self.user_id, home, None).await?;
        let accounts = match tools.amc.accounts(&pass.access).await {
            Ok(accounts) => accounts,
            Err(error) => return Err(judged(tools, &pass, error).await),
        };
        let (mut listed, mut nowhere) = (Vec::new(), BTreeSet::new());
        for account in accounts {
            let Some(marketplace_id) = account.marketplace_id else {
                tracing::warn!(account = %account.account_id, "AMC lists it without a marketplace");
                nowhere.insert(account.account_id.to_string());
                continue;
            };
            let region = marketplace_id.region().map_or(home, own);
            let mut access = pass.access.clone();
            access.base_url = tools.api_url(region, None)?;
            let caller = Caller {
                access,
                entity_id: account.account_id.clone(),
                marketplace_id: marketplace_id.clone(),
            };
            let instances = match tools.amc.instances(&caller).await {
                Ok(instances) => instances,
                Err(error) => return Err(judged(tools, &pass, error).await),
            };
            let name = account.account_name.unwrap_or_else(|| account.account_id.to_string());
            let account_id = account.account_id;
            listed.push(Listed { account_id, name, marketplace_id, region, instances });
        }
        Ok(Answer { listed, nowhere })
    }

    async fn take_over(
        &self,
        tools: &Tools,
        connection: &mut PgConnection,
        listed: &Listed,
        offered: &mut BTreeSet<String>,
    ) -> Result<(), Failure> {
        let known = accounts::by_account_id(&mut *connection, listed.account_id.as_str()).await?;
        let account = match known {
            // Two users may use one account: it is the first one's who brought it.
            Some(account) if account.user_id != self.user_id => return Ok(()),
            Some(account) => {
                accounts::rename(&mut *connection, account.id, &listed.name).await?;
                account.id
            }
            None => {
                let account = NewAccount {
                    account_id: listed.account_id.as_str(),
                    account_name: &listed.name,
                    marketplace_id: listed.marketplace_id.as_str(),
                    region: listed.region,
                    user_id: self.user_id,
                };
                accounts::insert(&mut *connection, &account).await?
            }
        };
        for instance in &listed.instances {
            offered.insert(instance.instance_id.to_string());
            take_over_instance(tools, connection, listed, account, instance).await?;
        }
        Ok(())
    }

    /// What this user had and AMC does not list any more. Of accounts that are `nowhere` nothing is known:
    /// their instances stay as they are.
    async fn withdraw_others(
        &self,
        connection: &mut PgConnection,
        offered: &BTreeSet<String>,
        nowhere: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        let mine = health::of_user(&mut *connection, self.user_id).await?;
        let seen = |place: &&Place| {
            offered.contains(&place.instance_id) || nowhere.contains(&place.entity_id)
        };
        for place in mine.iter().filter(|place| !seen(place)) {
            let why = "AMC does not list it any more: it was deleted, or the user may not use it";
            withdraw(connection, place, why).await?;
        }
        Ok(())
    }
}

async fn take_over_instance(
    tools: &Tools,
    connection: &mut PgConnection,
    listed: &Listed,
    account: AccountUuid,
    found: &amc::Instance,
) -> Result<(), Failure> {
    let id = found.instance_id.as_str();
    let name = found.instance_name.as_deref().unwrap_or(id);
    let known = instances::by_instance_id(&mut *connection, id).await?;
    let instance = match known {
        Some(known) => {
            health::belongs_to(&mut *connection, known.id, account).await?;
            known.id
        }
        None => add(tools, connection, listed, account, (id, name)).await?,
    };
    let Some(place) = health::place(&mut *connection, instance).await? else { return Ok(()) };
    if let Some(why) = unusable(found.creation_status.as_deref()) {
        return withdraw(connection, &place, &why).await;
    }
    health::listed(&mut *connection, instance, name).await?;
    if place.status == InstanceStatus::Blocked && !place.is_listed {
        let weeks = collect_week::unblock(&tools.queue, &mut *connection, instance).await?;
        let why = "AMC lists it as ready";
        probe_instance::note_open(connection, id, ACTOR, why, weeks).await?;
    }
    Ok(())
}

async fn add(
    tools: &Tools,
    connection: &mut PgConnection,
    listed: &Listed,
    account: AccountUuid,
    (id, name): (&str, &str),
) -> Result<InstanceUuid, Failure> {
    let new = NewInstance {
        instance_id: id,
        instance_name: name,
        account_id: account,
        endpoint_url: None,
    };
    let instance = instances::insert(&mut *connection, &new).await?;
    let entity = listed.account_id.as_str();
    gates::of_new_instance(&tools.queue, &mut *connection, id, entity, &tools.limits).await?;
    let event = NewEvent {
        entity: "instance",
        entity_id: id,
        from_status: None,
        to_status: Some(InstanceStatus::Active.as_str()),
        actor: ACTOR,
        reason: Some("AMC lists it"),
        detail: &json!({"account": entity}),
    };
    events::append(connection, &event).await?;
    Ok(instance)
}

async fn withdraw(connection: &mut PgConnection, place: &Place, why: &str) -> Result<(), Failure> {
    if health::withdraw(&mut *connection, place.id, why).await? {
        note_blocked(connection, &place.instance_id, why).await?;
    }
    Ok(())
}

/// Why an instance with this creation status cannot be used, if so.
fn unusable(creation_status: Option<&str>) -> Option<String> {
    match creation_status {
        None | Some("COMPLETED" | "SUCCEEDED") => None,
        Some("FAILED") => Some("AMC failed to create it: create another one there".to_owned()),
        Some(status) => Some(format!("AMC is still creating it ({status}): sync again later")),
    }
}

fn own(region: amc::Region) -> Region {
    match region {
        amc::Region::Na => Region::Na,
        amc::Region::Eu => Region::Eu,
        amc::Region::Fe => Region::Fe,
    }
}

async fn judged(tools: &Tools, pass: &Pass, error: Error) -> Failure {
    tools.judge_call(&pass.bearer, error).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_amc_has_finished_creating_can_be_used() {
        for ready in [None, Some("COMPLETED"), Some("SUCCEEDED")] {
            assert_eq!(unusable(ready), None);
        }
        for (status, said) in [("IN_PROGRESS", "still creating"), ("FAILED", "failed to create")] {
            assert!(unusable(Some(status)).is_some_and(|why| why.contains(said)));
        }
    }
}
