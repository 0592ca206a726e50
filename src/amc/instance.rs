//! Accounts and instances: what a person may see at AMC.

use super::access::{Access, Caller};
use super::call::{Call, JSON};
use super::client::Client;
use super::error::Error;
use super::ids::{AmcInstanceId, EntityId};
use super::json::{lenient, text};
use super::operation::Operation;
use super::region::MarketplaceId;
use reqwest::Method;
use serde::Deserialize;

const MEDIA: &str = "application/vnd.amcinstances.v1+json";

/// An AMC account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Account {
    /// Its id, `ENTITY…`.
    pub account_id: EntityId,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub account_name: Option<String>,
    /// Its marketplace.
    #[serde(default, deserialize_with = "lenient")]
    pub marketplace_id: Option<MarketplaceId>,
}

/// An AMC instance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Instance {
    /// AMC's text id.
    pub instance_id: AmcInstanceId,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub instance_name: Option<String>,
    /// `STANDARD`, `SANDBOX` …
    #[serde(default, deserialize_with = "text")]
    pub instance_type: Option<String>,
    /// `REQUESTED`, `IN_PROGRESS`, `COMPLETED`, `FAILED` …; only a completed one can run anything.
    #[serde(default, deserialize_with = "text")]
    pub creation_status: Option<String>,
    /// `SPONSORED_ADS`, `DISPLAY` …: tells which tables exist.
    #[serde(default, deserialize_with = "lenient")]
    pub advertiser_types: Vec<String>,
    /// The account's own bucket, where there is one.
    #[serde(default, deserialize_with = "text")]
    pub s3_bucket_name: Option<String>,
}

impl Client {
    /// All AMC accounts that the token may use. The only AMC call that names no account.
    pub async fn accounts(&self, access: &Access) -> Result<Vec<Account>, Error> {
        let call = Call {
            operation: Operation::ListAccounts,
            method: Method::GET,
            access,
            caller: None,
            path: vec!["amc", "accounts"],
            query: Vec::new(),
            body: None,
            media: JSON,
        };
        self.all_pages(call, "amcAccounts", |json| {
            serde_json::from_str(json)
                .map_err(|_| "an account has no usable `accountId`".to_owned())
        })
        .await
    }

    /// Asks whether the instance lets us in, as cheaply as that can be asked: one page with one workflow.
    pub async fn knock(&self, caller: &Caller, instance: &AmcInstanceId) -> Result<(), Error> {
        let path = vec!["amc", "reporting", instance.as_str(), "workflows"];
        let mut call = Call::get(Operation::ListWorkflows, caller, path, JSON);
        call.query.push(("limit", "1".to_owned()));
        self.call(&call, |_| Ok(())).await
    }

    /// All instances of the account.
    pub async fn instances(&self, caller: &Caller) -> Result<Vec<Instance>, Error> {
        let call = Call::get(Operation::ListInstances, caller, vec!["amc", "instances"], MEDIA);
        self.all_pages(call, "instances", |json| {
            serde_json::from_str(json)
                .map_err(|_| "an instance has no usable `instanceId`".to_owned())
        })
        .await
    }
}
