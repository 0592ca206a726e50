//! How instances fare at Amazon: which blocked ones are to be asked, and which AMC still lists.

use super::InstanceStatus;
use crate::store::ids::{AccountUuid, InstanceUuid, UserId};
use crate::store::text;
use crate::store::words::Region;
use rand::Rng;
use sqlx::{FromRow, PgExecutor};
use std::time::Duration;

/// The pause before a blocked instance is first asked; doubled after each answer that stays no.
const PAUSE: Duration = Duration::from_mins(5);
pub(super) const PAUSE_MAX: Duration = Duration::from_hours(6);

/// The pause after so many probes in vain: five minutes doubled each time, six hours at most, and a
/// tenth of jitter.
pub(super) fn pause_after(probes: i32) -> Duration {
    let doublings = u32::try_from(probes).unwrap_or(0).min(10);
    let pause = PAUSE.saturating_mul(1 << doublings).min(PAUSE_MAX);
    pause.mul_f64(rand::rng().random_range(0.9..1.1))
}

/// Where an instance is, and in whose name it is called.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Place {
    /// Our id of the instance.
    pub id: InstanceUuid,
    /// AMC's id of the instance.
    pub instance_id: String,
    /// Where its API answers, when not at the region's host.
    pub endpoint_url: Option<String>,
    /// Whether work on it may start.
    pub status: InstanceStatus,
    /// Why not, when it is blocked.
    pub block_reason: Option<String>,
    /// How often it was asked, or opened, since AMC last took an execution there.
    pub probes: i32,
    /// Whether AMC listed it, as ready for use, when it was last asked.
    pub is_listed: bool,
    /// Amazon's id of the account.
    pub entity_id: String,
    /// Amazon's id of the marketplace.
    pub marketplace_id: String,
    /// Which of Amazon's hosts answer.
    pub region: Region,
    /// The user whose credential reaches it.
    pub user_id: UserId,
}

/// Where the instance is.
pub async fn place(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
) -> Result<Option<Place>, sqlx::Error> {
    sqlx::query_as(
        r"-- instances_place
        select instance.id, instance.instance_id, instance.endpoint_url, instance.status,
            instance.block_reason, instance.probes, instance.is_listed,
            account.account_id as entity_id, account.marketplace_id, account.region, account.user_id
        from amc_instances as instance
        join amc_accounts as account on account.id = instance.account_id
        where instance.id = $1",
    )
    .bind(instance)
    .fetch_optional(db)
    .await
}

/// Every instance that is reached with this user's credential.
pub async fn of_user(db: impl PgExecutor<'_>, user: UserId) -> Result<Vec<Place>, sqlx::Error> {
    sqlx::query_as(
        r"-- instances_of_user
        select instance.id, instance.instance_id, instance.endpoint_url, instance.status,
            instance.block_reason, instance.probes, instance.is_listed,
            account.account_id as entity_id, account.marketplace_id, account.region, account.user_id
        from amc_instances as instance
        join amc_accounts as account on account.id = instance.account_id
        where account.user_id = $1
        order by instance.instance_id",
    )
    .bind(user)
    .fetch_all(db)
    .await
}

/// The blocked instances that are due to be asked, of users whose credential is good: the longest due
/// first.
pub async fn due_probes(
    db: impl PgExecutor<'_>,
    limit: i64,
) -> Result<Vec<InstanceUuid>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- instances_due_probes
        select instance.id
        from amc_instances as instance
        join amc_accounts as account on account.id = instance.account_id
        join lwa_credentials as credential on credential.user_id = account.user_id
        where instance.status = 'blocked'
          and instance.next_probe_at <= (select engine.now())
          and credential.token_state = 'active'
        order by instance.next_probe_at
        limit $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The instance was asked and does not let us in, for this reason if it gave one: it is asked again
/// later, and ever more seldom.
pub async fn probed_in_vain(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
    probes: i32,
    reason: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- instances_probed_in_vain
        update amc_instances
        set probes = probes + 1, block_reason = coalesce($2, block_reason),
            next_probe_at = (select engine.now()) + make_interval(secs => $3)
        where id = $1
          and status = 'blocked'",
    )
    .bind(instance)
    .bind(reason.map(text::message))
    .bind(pause_after(probes.saturating_add(1)).as_secs_f64())
    .execute(db)
    .await?;
    Ok(())
}

/// AMC does not offer the instance: it is blocked for that reason. It is asked again now and then if it
/// `may_come`; if not, only once it is listed. One that a person has switched off stays so. True if that
/// is news.
pub async fn withdraw(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
    reason: &str,
    may_come: bool,
) -> Result<bool, sqlx::Error> {
    let news: Option<bool> = sqlx::query_scalar(
        r"-- instances_withdraw
        update amc_instances as instance
        set is_listed = false,
            next_probe_at = case
                when $3 and before.status <> 'disabled'
                then coalesce(
                    instance.next_probe_at,
                    (select engine.now()) + make_interval(secs => $4)
                )
            end,
            status = case when before.status = 'active' then 'blocked' else before.status end,
            block_reason = case when before.status = 'disabled' then null else $2 end
        from (select id, status from amc_instances where id = $1 for update) as before
        where instance.id = before.id
        returning before.status = 'active'",
    )
    .bind(instance)
    .bind(text::message(reason))
    .bind(may_come)
    .bind(pause_after(0).as_secs_f64())
    .fetch_optional(db)
    .await?;
    Ok(news.unwrap_or(false))
}

/// AMC lists the instance, under this name.
pub async fn listed(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
    name: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- instances_listed
        update amc_instances
        set is_listed = true, instance_name = $2
        where id = $1
          and (not is_listed or instance_name <> $2)",
    )
    .bind(instance)
    .bind(text::message(name))
    .execute(db)
    .await?;
    Ok(())
}

/// Moves an instance to the account that AMC lists it under.
pub async fn belongs_to(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
    account: AccountUuid,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- instances_belongs_to
        update amc_instances set account_id = $2 where id = $1 and account_id <> $2",
    )
    .bind(instance)
    .bind(account)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::House;
    use crate::store::words::Sealed;
    use crate::store::{credentials, instances};

    #[test]
    fn a_blocked_instance_is_asked_ever_more_seldom() {
        let minutes = |probes| pause_after(probes).as_secs() / 60;
        assert!((4..=5).contains(&minutes(0)), "{}", minutes(0));
        assert!((18..=22).contains(&minutes(2)), "{}", minutes(2));
        assert!((324..=396).contains(&minutes(500)), "{}", minutes(500));
    }

    #[tokio::test]
    async fn one_that_is_blocked_again_before_amc_takes_anything_is_asked_more_seldom() {
        let house = House::new().await;
        let (db, instance) = (house.db(), house.instance);
        let minutes = async || {
            let left: f64 = sqlx::query_scalar(
                "select (extract(epoch from next_probe_at - engine.now()) / 60)::float8
                from amc_instances",
            )
            .fetch_one(db)
            .await
            .unwrap();
            left
        };
        for about in [5.0, 10.0, 20.0] {
            assert!(instances::block(db, instance, "no submits").await.unwrap());
            assert!((minutes().await / about - 1.0).abs() < 0.15, "{}", minutes().await);
            assert!(instances::unblock(db, instance).await.unwrap());
        }
        instances::let_in(db, instance).await.unwrap();
        assert!(instances::block(db, instance, "terms").await.unwrap());
        assert!(minutes().await < 6.0, "{}", minutes().await);
    }

    #[tokio::test]
    async fn only_what_is_blocked_and_due_and_has_a_good_credential_is_asked() {
        let house = House::new().await;
        let (db, user, instance) = (house.db(), house.user, house.instance);
        let token = Sealed::new("gAAAAABnrefresh");
        credentials::authorise(db, user, Region::Na, None, &token).await.unwrap();
        assert_eq!(due_probes(db, 9).await.unwrap(), []);
        instances::block(db, instance, "terms").await.unwrap();
        assert_eq!(due_probes(db, 9).await.unwrap(), [], "not at once");
        house.database.advance_clock(Duration::from_mins(6)).await;
        assert_eq!(due_probes(db, 9).await.unwrap(), [instance]);
        probed_in_vain(db, instance, 0, Some("still")).await.unwrap();
        assert_eq!(due_probes(db, 9).await.unwrap(), []);
        house.database.advance_clock(Duration::from_mins(12)).await;
        credentials::refuse(db, user, 0, "invalid_grant", Duration::ZERO).await.unwrap();
        assert_eq!(due_probes(db, 9).await.unwrap(), [], "nobody could ask");
        credentials::authorise(db, user, Region::Na, None, &token).await.unwrap();
        assert_eq!(due_probes(db, 9).await.unwrap(), [instance]);
        assert!(!withdraw(db, instance, "being created", true).await.unwrap());
        assert_eq!(due_probes(db, 9).await.unwrap(), [instance], "it may have come");
        assert!(!withdraw(db, instance, "no longer listed", false).await.unwrap());
        assert_eq!(due_probes(db, 9).await.unwrap(), [], "AMC does not have it");
    }

    #[tokio::test]
    async fn what_amc_is_still_creating_is_asked_now_and_then_however_often_it_is_listed_so() {
        let house = House::new().await;
        let (db, user, instance) = (house.db(), house.user, house.instance);
        let token = Sealed::new("gAAAAABnrefresh");
        credentials::authorise(db, user, Region::Na, None, &token).await.unwrap();
        assert!(withdraw(db, instance, "being created", true).await.unwrap());
        house.database.advance_clock(Duration::from_mins(3)).await;
        assert!(!withdraw(db, instance, "being created", true).await.unwrap());
        assert_eq!(due_probes(db, 9).await.unwrap(), [], "not at once");
        house.database.advance_clock(Duration::from_mins(3)).await;
        assert_eq!(due_probes(db, 9).await.unwrap(), [instance], "counted from the first time");

        let switch_off = "update amc_instances set status = 'disabled', block_reason = null";
        sqlx::query(switch_off).execute(db).await.unwrap();
        assert!(!withdraw(db, instance, "being created", true).await.unwrap());
        let asked = "select count(*) from amc_instances where next_probe_at is not null";
        let asked: i64 = sqlx::query_scalar(asked).fetch_one(db).await.unwrap();
        assert_eq!(asked, 0, "a person has switched it off");
    }
}
