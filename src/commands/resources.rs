//! The names of the queue's resources that commands limit or open.

use crate::store::UserId;

/// The places of one AMC instance.
pub fn instance(instance_id: &str) -> String {
    format!("amc_instance:{instance_id}")
}

/// The places of all instances of one account.
pub fn account(account_id: &str) -> String {
    format!("amc_account:{account_id}")
}

/// A user's credential.
pub fn credential(user: UserId) -> String {
    format!("lwa_user:{user}")
}
