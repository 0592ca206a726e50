//! Takes over from AMC which accounts and instances a user may use.
//!
//! What is new is added, ready for use: nothing runs on an instance before somebody asks for it, and who
//! syncs wants to see what there is. Nothing is ever deleted: what AMC does not list any more, or has not
//! finished creating, is blocked with that reason, and goes on when AMC lists it as ready. An account whose
//! instances AMC does not tell keeps them as they are, and stands in no other's way.

use super::{collect_week, probe_instance};
use crate::amc::{self, Caller, Class, EntityId, MarketplaceId};
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
use std::collections::{BTreeMap, BTreeSet};

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
        for (account, why) in &answer.untold {
            self.tell(&mut transaction, account, Some(why)).await?;
        }
        self.withdraw_others(&mut transaction, &offered, &answer.untold).await?;
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
    /// Accounts whose instances AMC does not tell, and why.
    untold: BTreeMap<String, String>,
}

impl SyncInstances {
    /// Lists everything before anything is written: half a list would block what is on the other half.
    async fn ask(&self, tools: &Tools, attempt: &Attempt, home: Region) -> Result<Answer, Failure> {
        let pass = tools.pass(attempt, self.user_id, home, None).await?;
        let accounts = match tools.amc.accounts(&pass.access).await {
            Ok(accounts) => accounts,
            Err(error) => return Err(tools.judge_call(&pass.bearer, error).await),
        };
        let (mut listed, mut untold) = (Vec::new(), BTreeMap::new());
        for account in accounts {
            let id = account.account_id.to_string();
            match ask_for(tools, &pass, account, home).await? {
                Ok(account) => listed.push(account),
                Err(why) => {
                    tracing::warn!(account = id, why, "AMC does not tell its instances");
                    untold.insert(id, why);
                }
            }
        }
        Ok(Answer { listed, untold })
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
        self.tell(&mut *connection, listed.account_id.as_str(), None).await?;
        for instance in &listed.instances {
            offered.insert(instance.instance_id.to_string());
            take_over_instance(tools, connection, listed, account, instance).await?;
        }
        Ok(())
    }

    /// Tells why AMC does not tell an account's instances, or that it does again: not with every sync, and
    /// nothing of an account that another user brought.
    async fn tell(
        &self,
        connection: &mut PgConnection,
        account: &str,
        why_not: Option<&str>,
    ) -> Result<(), sqlx::Error> {
        let known = accounts::by_account_id(&mut *connection, account).await?;
        if known.is_some_and(|known| known.user_id != self.user_id) {
            return Ok(());
        }
        let told = events::of(&mut *connection, "account", account).await?;
        let last = told.into_iter().rev().find(|event| event.actor == ACTOR);
        let last = last.and_then(|event| event.reason);
        let reason = match why_not {
            Some(why) => format!("AMC does not tell its instances, which stay as they are: {why}"),
            None if last.is_none() => return Ok(()),
            None => "AMC tells its instances again".to_owned(),
        };
        if last.as_ref() == Some(&reason) {
            return Ok(());
        }
        let event = NewEvent {
            entity: "account",
            entity_id: account,
            from_status: None,
            to_status: None,
            actor: ACTOR,
            reason: Some(&reason),
            detail: &json!({"user": self.user_id}),
        };
        events::append(connection, &event).await
    }

    /// What this user had and AMC does not list any more. Of accounts that are `untold` nothing is known:
    /// their instances stay as they are.
    async fn withdraw_others(
        &self,
        connection: &mut PgConnection,
        offered: &BTreeSet<String>,
        untold: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let mine = health::of_user(&mut *connection, self.user_id).await?;
        let seen = |place: &&Place| {
            offered.contains(&place.instance_id) || untold.contains_key(&place.entity_id)
        };
        for place in mine.iter().filter(|place| !seen(place)) {
            let why = "AMC does not list it any more: it was deleted, or the user may not use it";
            let gone = Unusable { why: why.to_owned(), may_come: false };
            withdraw(connection, place, &gone).await?;
        }
        Ok(())
    }
}

/// Asks for an account's instances, or says why AMC does not tell them. What goes wrong on the way ends
/// the attempt; a refusal is this account's own.
async fn ask_for(
    tools: &Tools,
    pass: &Pass,
    account: amc::Account,
    home: Region,
) -> Result<Result<Listed, String>, Failure> {
    let Some(marketplace_id) = account.marketplace_id else {
        return Ok(Err("AMC lists it without a marketplace".to_owned()));
    };
    let region = marketplace_id.region().map_or(home, own);
    let pass = pass.at(tools.api_url(region, None)?);
    let account_id = account.account_id;
    let caller = Caller {
        access: pass.access,
        entity_id: account_id.clone(),
        marketplace_id: marketplace_id.clone(),
    };
    let instances = match tools.amc.instances(&caller).await {
        Ok(instances) => instances,
        Err(error) if matches!(pass.bearer.class(&error), Class::Blocked | Class::Permanent) => {
            return Ok(Err(error.reason().to_owned()));
        }
        Err(error) => return Err(tools.judge_call(&pass.bearer, error).await),
    };
    let name = account.account_name.unwrap_or_else(|| account_id.to_string());
    Ok(Ok(Listed { account_id, name, marketplace_id, region, instances }))
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
    if let Some(unusable) = unusable(found) {
        return withdraw(connection, &place, &unusable).await;
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

async fn withdraw(
    connection: &mut PgConnection,
    place: &Place,
    Unusable { why, may_come }: &Unusable,
) -> Result<(), Failure> {
    if health::withdraw(&mut *connection, place.id, why, *may_come).await? {
        note_blocked(connection, &place.instance_id, why).await?;
    }
    Ok(())
}

/// Why an instance cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    pub why: String,
    /// Whether that will pass by itself.
    pub may_come: bool,
}

/// Whether and why an instance that AMC lists cannot be used.
pub(super) fn unusable(listed: &amc::Instance) -> Option<Unusable> {
    let (why, may_come) = match listed.creation_status.as_deref() {
        None | Some("COMPLETED" | "SUCCEEDED") => return None,
        Some("FAILED") => ("AMC failed to create it: create another one there".to_owned(), false),
        Some(status) => (format!("AMC is still creating it ({status})"), true),
    };
    Some(Unusable { why, may_come })
}

fn own(region: amc::Region) -> Region {
    match region {
        amc::Region::Na => Region::Na,
        amc::Region::Eu => Region::Eu,
        amc::Region::Fe => Region::Fe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_amc_has_finished_creating_can_be_used() {
        let listed = |status: Option<&str>| {
            let told = json!({"instanceId": "amcnew01", "creationStatus": status});
            unusable(&serde_json::from_value(told).unwrap())
        };
        for ready in [None, Some("COMPLETED"), Some("SUCCEEDED")] {
            assert_eq!(listed(ready), None);
        }
        let why = |status| listed(Some(status)).unwrap();
        let creating = why("IN_PROGRESS");
        assert!(creating.may_come && creating.why.contains("still creating"), "{creating:?}");
        let failed = why("FAILED");
        assert!(!failed.may_come && failed.why.contains("failed to create"), "{failed:?}");
    }
}
