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

/// A host of Amazon's: when it asks for fewer calls, it means everybody.
pub fn host(url: &Url) -> String {
    format!("host:{}", url.host_str().unwrap_or("unknown"))
}

/// The holder of an execution's places.
pub fn holder(execution: ExecutionUuid) -> String {
    format!("execution:{execution}")
}
