//! What AMC lists of a user: accounts with their instances, which of those are ready, and the accounts of
//! which it tells nothing.

use crate::amc::{self, Caller, Class, EntityId, MarketplaceId};
use crate::queue::{Attempt, Failure};
use crate::store::{Region, UserId};
use crate::tools::{Pass, Tools};
use std::collections::BTreeMap;

/// An account as AMC lists it, with its instances.
pub struct Listed {
    /// Amazon's id of it.
    pub account_id: EntityId,
    /// What to call it on a page.
    pub name: String,
    /// Amazon's id of its marketplace.
    pub marketplace_id: MarketplaceId,
    /// Which of Amazon's hosts answer for it.
    pub region: Region,
    /// Also those that are not ready.
    pub instances: Vec<amc::Instance>,
}

/// What AMC lists.
pub struct Answer {
    /// Accounts with their instances.
    pub listed: Vec<Listed>,
    /// Accounts whose instances AMC does not tell, and why.
    pub untold: BTreeMap<String, String>,
}

/// Lists everything before anything is written: half a list would block what is on the other half.
pub async fn ask(
    tools: &Tools,
    attempt: &Attempt,
    user: UserId,
    home: Region,
) -> Result<Answer, Failure> {
    let pass = tools.pass(attempt, user, home, None).await?;
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

/// Why an instance cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The reason.
    pub why: String,
    /// Whether that will pass by itself.
    pub may_come: bool,
}

/// Whether and why an instance that AMC lists cannot be used.
pub fn unusable(listed: &amc::Instance) -> Option<Unusable> {
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
    use serde_json::json;

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
