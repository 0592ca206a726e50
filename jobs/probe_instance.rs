//! Asks with one cheap call whether Amazon lets us in to a blocked instance again. If so, all that waited
//! goes on; if not, it is asked again later, ever more seldom. Of an instance that AMC is still creating
//! it is the account's list that tells: what the instance itself would answer is not documented.

use super::collect_week;
use super::sync_instances::listing::unusable;
use crate::amc::{AmcInstanceId, Caller, Class, EntityId, Error, IdError, MarketplaceId};
use crate::queue::{Attempt, Failure, Job, NewJob, Outcome};
use crate::store::InstanceUuid;
use crate::store::events::Because;
use crate::store::instances::InstanceStatus;
use crate::store::instances::health::{self, Place};
use crate::tools::Tools;
use serde::{Deserialize, Serialize};

/// Asks a blocked instance whether Amazon lets us in again.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProbeInstance {
    /// Which one.
    pub instance_id: InstanceUuid,
}

impl Job for ProbeInstance {
    type Tools = Tools;
    const KIND: &'static str = "probe_instance";
    const QUEUE: &'static str = "amc";

    fn unique_key(&self) -> Option<String> {
        Some(self.instance_id.to_string())
    }

    async fn run(&self, tools: &Tools, attempt: &Attempt) -> Result<Outcome, Failure> {
        let Some(place) = health::place(&tools.db, self.instance_id).await? else {
            return Ok(Outcome::Done);
        };
        if place.status != InstanceStatus::Blocked {
            return Ok(Outcome::Done);
        }
        // What an account has, its region's host tells.
        let endpoint = place.endpoint_url.as_deref().filter(|_| place.is_listed);
        let pass = tools.pass(attempt, place.user_id, place.region, endpoint).await?;
        let named = |error: IdError| Failure::permanent(error);
        let instance = AmcInstanceId::new(&place.instance_id).map_err(named)?;
        let caller = Caller {
            access: pass.access,
            entity_id: EntityId::new(&place.entity_id).map_err(named)?,
            marketplace_id: MarketplaceId::new(&place.marketplace_id).map_err(named)?,
        };
        match ask(tools, &place, &caller, &instance).await {
            Ok(None) => open(tools, attempt, &place).await,
            Ok(Some(why)) => self.in_vain(tools, &place, Some(&why)).await,
            Err(error)
                if matches!(error.class(), Class::Throttled { .. } | Class::Unauthorized) =>
            {
                Err(tools.judge_call(&pass.bearer, error).await)
            }
            Err(error) => {
                let refused =
                    matches!(error.class(), Class::Blocked | Class::Forbidden | Class::Permanent);
                // What is down says nothing about why we are kept out.
                let reason = (refused && place.is_listed).then(|| error.reason());
                tracing::info!(instance = place.instance_id, %error, "no answer that opens it");
                self.in_vain(tools, &place, reason).await
            }
        }
    }
}

impl ProbeInstance {
    /// It stays blocked, for this reason if that is known.
    async fn in_vain(
        &self,
        tools: &Tools,
        place: &Place,
        reason: Option<&str>,
    ) -> Result<Outcome, Failure> {
        health::probed_in_vain(&tools.db, self.instance_id, place.probes, reason).await?;
        tracing::info!(instance = place.instance_id, reason, "it is still blocked");
        Ok(Outcome::Done)
    }
}

/// Why the instance cannot be used, when Amazon tells us; nothing when it lets us in.
async fn ask(
    tools: &Tools,
    place: &Place,
    caller: &Caller,
    instance: &AmcInstanceId,
) -> Result<Option<String>, Error> {
    if place.is_listed {
        return tools.amc.knock(caller, instance).await.map(|()| None);
    }
    let listed = tools.amc.instances(caller).await?;
    Ok(match listed.iter().find(|found| found.instance_id == *instance) {
        None => Some("AMC does not list it any more".to_owned()),
        Some(found) => unusable(found).map(|unusable| unusable.why),
    })
}

/// The job that asks this instance.
pub fn job(instance_id: InstanceUuid) -> Result<NewJob, crate::queue::Error> {
    NewJob::of(&ProbeInstance { instance_id })
}

/// Amazon lets us in: what waited goes on.
async fn open(tools: &Tools, attempt: &Attempt, place: &Place) -> Result<Outcome, Failure> {
    let mut transaction = crate::transaction::begin(&tools.db).await?;
    let because = Because { by: ProbeInstance::KIND, why: Some("Amazon lets us in again") };
    let begun = collect_week::unblock(&tools.queue, &mut transaction, place.id, &because).await?;
    let outcome = attempt.complete_in(&mut transaction, Outcome::Done).await?;
    transaction.commit().await?;
    tracing::info!(instance = place.instance_id, begun, "the instance is open again");
    Ok(outcome)
}
