//! Takes over from AMC which accounts and instances a user may use.
//!
//! What is new is added, ready for use: nothing runs on an instance before somebody asks for it, and who
//! syncs wants to see what there is. Nothing is ever deleted: what AMC does not list any more, or has not
//! finished creating, is blocked with that reason, and goes on when AMC lists it as ready. An account whose
//! instances AMC does not tell keeps them as they are, and stands in no other's way.

pub(super) mod listing;

use self::listing::{Listed, Unusable, unusable};
use super::collect_week;
use crate::amc;
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome, Queue};
use crate::store::accounts::{self, NewAccount};
use crate::store::credentials;
use crate::store::events::{self, Because, NewEvent};
use crate::store::instances::health::{self, Place};
use crate::store::instances::{self, InstanceStatus, NewInstance};
use crate::store::{AccountUuid, InstanceUuid, UserId};
use crate::tools::{Tools, gates, note_blocked};
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
        let answer = listing::ask(tools, attempt, self.user_id, credential.region).await?;
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

impl SyncInstances {
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
            let gone = Unusable { why: why.to_owned(), may_come: true };
            withdraw(connection, place, &gone).await?;
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
    if let Some(unusable) = unusable(found) {
        return withdraw(connection, &place, &unusable).await;
    }
    health::listed(&mut *connection, instance, name).await?;
    if place.status == InstanceStatus::Blocked && !place.is_listed {
        let because = Because { by: ACTOR, why: Some("AMC lists it as ready") };
        collect_week::unblock(&tools.queue, connection, instance, &because).await?;
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
