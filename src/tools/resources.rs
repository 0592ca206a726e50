//! The names of the outside things that gates hang on: one place, so that two rooms never differ.

use crate::backfill::preview::Names;
use crate::store::{ExecutionUuid, UserId};
use url::Url;

/// The names for those who look at places before anything begins.
pub const NAMES: Names = Names { instance, account };

/// An AMC instance, by AMC's own id: at most ten executions are open on it.
pub fn instance(amc_instance_id: &str) -> String {
    format!("amc_instance:{amc_instance_id}")
}

/// Being let in to an AMC instance: shut while Amazon refuses us there, opened by a person.
pub fn access(amc_instance_id: &str) -> String {
    format!("amc_access:{amc_instance_id}")
}

/// AMC's id of the instance that this is the being let in to, if it is one.
pub fn instance_of_access(resource: &str) -> Option<&str> {
    resource.strip_prefix("amc_access:")
}

/// An AMC account, by Amazon's own id: at most 200 executions are open on all its instances.
pub fn account(entity_id: &str) -> String {
    format!("amc_account:{entity_id}")
}

/// Where Login with Amazon refreshes tokens: when it asks for fewer calls, it means everybody.
pub const TOKENS: &str = "lwa:token";

/// The tokens of a user.
pub fn credential(user: UserId) -> String {
    format!("lwa_user:{user}")
}

/// The user whose tokens these are, if they are somebody's.
pub fn user_of_credential(resource: &str) -> Option<UserId> {
    resource.strip_prefix("lwa_user:")?.parse().ok()
}

/// A host of Amazon's: when it asks for fewer calls, it means everybody.
pub fn host(url: &Url) -> String {
    format!("host:{}", url.host_str().unwrap_or("unknown"))
}

/// The holder of an execution's places.
pub fn holder(execution: ExecutionUuid) -> String {
    format!("execution:{execution}")
}
