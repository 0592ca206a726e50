//! `amc_instances`: the AMC instances that the engine works on.

pub mod health;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};

use super::ids::{AccountUuid, InstanceUuid, UserId};
use super::text;
use super::words::{Region, words};

words! {
    /// Whether work on an instance may start.
    InstanceStatus as "instance_status" {
        /// In use.
        Active = "active",
        /// Amazon refuses us there; `block_reason` says why.
        Blocked = "blocked",
        /// Switched off by a person.
        Disabled = "disabled",
    }
}

/// A row of `amc_instances`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Instance {
    /// Names the instance here; never sent to Amazon.
    pub id: InstanceUuid,
    /// AMC's id of the instance, such as `amcibersblt`.
    pub instance_id: String,
    /// What to call it on a page.
    pub instance_name: String,
    /// The account that owns it.
    pub account_id: AccountUuid,
    /// Where its API answers, when not at the region's host.
    pub endpoint_url: Option<String>,
    /// Whether work on it may start.
    pub status: InstanceStatus,
    /// Why it is blocked, in Amazon's words.
    pub block_reason: Option<String>,
    /// Whether AMC listed it, as ready, when it was last asked.
    pub is_listed: bool,
}

impl Instance {
    /// What a person can do when it is blocked. What AMC does not list is blocked again by the next sync,
    /// whoever unblocks it.
    pub fn remedy(&self) -> String {
        if self.is_listed {
            format!("settle it, then run `recomamp instances unblock {}`", self.instance_id)
        } else {
            "once AMC lists it as ready, run `recomamp instances sync`".to_owned()
        }
    }
}

/// An instance to be added.
#[derive(Debug, Clone, Copy)]
pub struct NewInstance<'a> {
    /// AMC's id of the instance.
    pub instance_id: &'a str,
    /// What to call it on a page.
    pub instance_name: &'a str,
    /// The account that owns it.
    pub account_id: AccountUuid,
    /// Where its API answers, when not at the region's host.
    pub endpoint_url: Option<&'a str>,
}

/// Where an instance answers, and what Amazon calls it and its account.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Address {
    /// Our id of the instance.
    pub id: InstanceUuid,
    /// AMC's id of the instance.
    pub amc_instance_id: String,
    /// Where its API answers, when not at the region's host.
    pub endpoint_url: Option<String>,
    /// The user whose account owns it.
    pub account_user_id: UserId,
    /// Amazon's id of the account.
    pub entity_id: String,
    /// Amazon's id of the marketplace.
    pub marketplace_id: String,
    /// Which of Amazon's hosts answer.
    pub region: Region,
}

/// Where this instance answers.
pub async fn address(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
) -> Result<Option<Address>, sqlx::Error> {
    sqlx::query_as(
        r"-- instances_address
        select instance.id, instance.instance_id as amc_instance_id, endpoint_url,
            account.user_id as account_user_id, account.account_id as entity_id, marketplace_id, region
        from amc_instances instance
        join amc_accounts account on account.id = instance.account_id
        where instance.id = $1",
    )
    .bind(instance)
    .fetch_optional(db)
    .await
}

/// Adds an instance. One that is there already is a unique violation.
pub async fn insert(
    db: impl PgExecutor<'_>,
    instance: &NewInstance<'_>,
) -> Result<InstanceUuid, sqlx::Error> {
    sqlx::query_scalar(
        r"-- instances_insert
        insert into amc_instances (id, instance_id, instance_name, account_id, endpoint_url)
        values ($1, $2, $3, $4, $5)
        returning id",
    )
    .bind(InstanceUuid::fresh())
    .bind(instance.instance_id)
    .bind(instance.instance_name)
    .bind(instance.account_id)
    .bind(instance.endpoint_url)
    .fetch_one(db)
    .await
}

/// Whether its account has no other instance.
pub async fn is_alone(db: impl PgExecutor<'_>, instance_id: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        r"-- instances_is_alone
        select not exists (
            select from amc_instances other
            join amc_instances this on this.account_id = other.account_id
            where this.instance_id = $1
              and other.id <> this.id
        )",
    )
    .bind(instance_id)
    .fetch_one(db)
    .await
}

/// The instance with AMC's id.
pub async fn by_instance_id(
    db: impl PgExecutor<'_>,
    instance_id: &str,
) -> Result<Option<Instance>, sqlx::Error> {
    sqlx::query_as(
        r"-- instances_by_instance_id
        select id, instance_id, instance_name, account_id, endpoint_url, status, block_reason,
            is_listed
        from amc_instances
        where instance_id = $1",
    )
    .bind(instance_id)
    .fetch_optional(db)
    .await
}

/// Keeps the instance as it is until the transaction ends: whoever blocks or unblocks it waits, and then
/// sees what was written meanwhile.
pub async fn hold_still(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- instances_hold_still
        select from amc_instances where id = $1 for share",
    )
    .bind(instance)
    .execute(db)
    .await?;
    Ok(())
}

/// The instance with this id.
pub async fn by_id(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
) -> Result<Option<Instance>, sqlx::Error> {
    sqlx::query_as(
        r"-- instances_by_id
        select id, instance_id, instance_name, account_id, endpoint_url, status, block_reason,
            is_listed
        from amc_instances
        where id = $1",
    )
    .bind(instance)
    .fetch_optional(db)
    .await
}

/// Every instance, by AMC's id.
pub async fn list(db: impl PgExecutor<'_>) -> Result<Vec<Instance>, sqlx::Error> {
    sqlx::query_as(
        r"-- instances_list
        select id, instance_id, instance_name, account_id, endpoint_url, status, block_reason,
            is_listed
        from amc_instances
        order by instance_id",
    )
    .fetch_all(db)
    .await
}

/// Moves where an instance's API answers; `None` is the region's host again.
pub async fn set_endpoint(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
    endpoint_url: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- instances_set_endpoint
        update amc_instances
        set endpoint_url = $2
        where id = $1",
    )
    .bind(instance)
    .bind(endpoint_url)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stops work on an instance because Amazon refuses us there; says whether that is news. It is asked
/// now and then whether it lets us in again: see [`health`].
pub async fn block(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- instances_block
        update amc_instances
        set status = 'blocked', block_reason = $2,
            next_probe_at = (select engine.now()) + least(
                make_interval(secs => $3 * 2 ^ least(probes, 10)), make_interval(secs => $4)
            )
        where id = $1
          and status = 'active'",
    )
    .bind(instance)
    .bind(text::message(reason))
    .bind(health::pause_after(0).as_secs_f64())
    .bind(health::PAUSE_MAX.as_secs_f64())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets work on a blocked instance start again, which takes it for one that AMC lists; says whether it
/// was blocked. Should it be blocked again before AMC takes an execution there, it is asked as seldom as if it
/// had not opened in between.
pub async fn unblock(db: impl PgExecutor<'_>, instance: InstanceUuid) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- instances_unblock
        update amc_instances
        set status = 'active', block_reason = null, next_probe_at = null, probes = probes + 1,
            is_listed = true
        where id = $1
          and status = 'blocked'",
    )
    .bind(instance)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// AMC has taken an execution there: whatever kept us out before is over.
pub async fn let_in(db: impl PgExecutor<'_>, instance: InstanceUuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- instances_let_in
        update amc_instances
        set probes = 0
        where id = $1
          and status = 'active'
          and probes > 0",
    )
    .bind(instance)
    .execute(db)
    .await?;
    Ok(())
}

/// When the instance's executions were last listed at AMC.
pub async fn last_listed(
    db: impl PgExecutor<'_>,
    instance_id: &str,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- instances_last_listed
        select last_listed_at
        from amc_instances
        where instance_id = $1",
    )
    .bind(instance_id)
    .fetch_optional(db)
    .await
    .map(Option::flatten)
}

/// Takes it upon the caller to list the instance's executions at AMC.
///
/// False when somebody else has done so within `interval`: what that one learned is in the rows.
pub async fn begin_listing(
    db: impl PgExecutor<'_>,
    instance_id: &str,
    interval: Duration,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- instances_begin_listing
        update amc_instances
        set last_listed_at = (select engine.now())
        where instance_id = $1
          and (last_listed_at is null
               or last_listed_at <= (select engine.now()) - make_interval(secs => $2))",
    )
    .bind(instance_id)
    .bind(interval.as_secs_f64())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{AMC_INSTANCE, House};

    async fn instance(house: &House) -> Instance {
        by_instance_id(house.db(), AMC_INSTANCE).await.unwrap().expect("it was inserted")
    }

    #[tokio::test]
    async fn an_instance_is_blocked_once_with_its_first_reason_until_it_is_unblocked() {
        let house = House::new().await;
        assert!(block(house.db(), house.instance, "terms").await.unwrap());
        assert!(!block(house.db(), house.instance, "other").await.unwrap());
        let blocked = instance(&house).await;
        assert_eq!(blocked.status, InstanceStatus::Blocked);
        assert_eq!(blocked.block_reason.as_deref(), Some("terms"));

        assert!(unblock(house.db(), house.instance).await.unwrap());
        assert!(!unblock(house.db(), house.instance).await.unwrap());
        let active = instance(&house).await;
        assert_eq!((active.status, active.block_reason), (InstanceStatus::Active, None));
    }

    #[tokio::test]
    async fn within_an_interval_one_of_all_lists_an_instance() {
        let house = House::new().await;
        let interval = Duration::from_secs(20);
        assert_eq!(last_listed(house.db(), AMC_INSTANCE).await.unwrap(), None);
        assert!(begin_listing(house.db(), AMC_INSTANCE, interval).await.unwrap());
        assert!(!begin_listing(house.db(), AMC_INSTANCE, interval).await.unwrap());
        assert!(last_listed(house.db(), AMC_INSTANCE).await.unwrap().is_some());

        house.database.advance_clock(interval).await;
        assert!(begin_listing(house.db(), AMC_INSTANCE, interval).await.unwrap());
    }

    #[tokio::test]
    async fn a_uuid_is_no_instance_id_of_amc() {
        let house = House::new().await;
        let known = instance(&house).await;
        assert_eq!(list(house.db()).await.unwrap(), std::slice::from_ref(&known));
        let uuid = house.instance.to_string();
        let new = NewInstance {
            instance_id: &uuid,
            instance_name: "Two",
            account_id: known.account_id,
            endpoint_url: None,
        };
        let error = insert(house.db(), &new).await.unwrap_err();
        let constraint = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(constraint, Some("instance_id_is_amcs_not_a_uuid"));
    }

    #[tokio::test]
    async fn an_endpoint_can_be_moved_and_taken_back() {
        let house = House::new().await;
        assert!(set_endpoint(house.db(), house.instance, Some("https://amc.test")).await.unwrap());
        assert_eq!(instance(&house).await.endpoint_url.as_deref(), Some("https://amc.test"));
        assert!(set_endpoint(house.db(), house.instance, None).await.unwrap());
        assert_eq!(instance(&house).await.endpoint_url, None);
    }
}
