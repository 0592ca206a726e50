//! `version_checks`: whether AMC can compile a version, asked once for each instance.

use sqlx::{FromRow, PgExecutor};

use super::ids::{ExecutionUuid, InstanceUuid, VersionId, WorkflowUuid};
use super::text;
use super::words::words;

words! {
    /// What AMC says of a version.
    CheckVerdict as "check_verdict" {
        /// AMC has been asked, or is about to be.
        Waiting = "waiting",
        /// AMC compiles it.
        Passed = "passed",
        /// AMC does not, and never will.
        Failed = "failed",
        /// AMC gave no verdict in time: executions go on without one.
        Skipped = "skipped",
    }
}

/// A row of `version_checks`.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Check {
    /// What AMC says of the version.
    pub verdict: CheckVerdict,
    /// AMC's id of the dry run; none before AMC has taken one.
    pub amc_execution_id: Option<String>,
    /// What AMC said, or why it was not asked.
    pub reason: Option<String>,
    /// How long ago somebody first needed the verdict, in seconds of the store's clock.
    pub age_seconds: f64,
}

/// Asks for a verdict, and says whether nobody has asked before.
pub async fn ask(
    db: impl PgExecutor<'_>,
    version: VersionId,
    instance: InstanceUuid,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- checks_ask
        insert into version_checks (workflow_version_id, instance_id, asked_at)
        values ($1, $2, (select engine.now()))
        on conflict do nothing",
    )
    .bind(version)
    .bind(instance)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How the check stands; none when nobody has asked.
pub async fn of(
    db: impl PgExecutor<'_>,
    version: VersionId,
    instance: InstanceUuid,
) -> Result<Option<Check>, sqlx::Error> {
    sqlx::query_as(
        r"-- checks_of
        select verdict, amc_execution_id, reason,
            extract(epoch from (select engine.now()) - asked_at)::float8 as age_seconds
        from version_checks
        where workflow_version_id = $1
          and instance_id = $2",
    )
    .bind(version)
    .bind(instance)
    .fetch_optional(db)
    .await
}

/// Writes down that AMC has taken the dry run.
pub async fn sent(
    db: impl PgExecutor<'_>,
    version: VersionId,
    instance: InstanceUuid,
    amc_execution_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- checks_sent
        update version_checks
        set amc_execution_id = $3
        where workflow_version_id = $1
          and instance_id = $2
          and verdict = 'waiting'",
    )
    .bind(version)
    .bind(instance)
    .bind(amc_execution_id)
    .execute(db)
    .await?;
    Ok(())
}

/// waiting → a verdict. False when there is one already.
pub async fn end(
    db: impl PgExecutor<'_>,
    version: VersionId,
    instance: InstanceUuid,
    verdict: CheckVerdict,
    reason: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- checks_end
        update version_checks
        set verdict = $3, reason = $4, ended_at = (select engine.now())
        where workflow_version_id = $1
          and instance_id = $2
          and verdict = 'waiting'",
    )
    .bind(version)
    .bind(instance)
    .bind(verdict)
    .bind(reason.map(text::message))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets what waits for a verdict on an instance that has opened wait from now on.
pub async fn wait_anew(db: impl PgExecutor<'_>, instance: InstanceUuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- checks_wait_anew
        update version_checks
        set asked_at = (select engine.now())
        where instance_id = $1
          and verdict = 'waiting'",
    )
    .bind(instance)
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets every verdict on a workflow's versions but the good ones, so that AMC is asked again. How many.
pub async fn forget(db: impl PgExecutor<'_>, workflow: WorkflowUuid) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- checks_forget
        delete from version_checks
        using workflow_versions version
        where version.id = workflow_version_id
          and version.workflow_id = $1
          and verdict in ('failed', 'skipped')",
    )
    .bind(workflow)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// The executions of a version that are not yet sent, some of which wait for its verdict. At most a
/// hundred: more than that never hold places on one instance.
pub async fn queued(
    db: impl PgExecutor<'_>,
    version: VersionId,
    instance: InstanceUuid,
) -> Result<Vec<ExecutionUuid>, sqlx::Error> {
    sqlx::query_scalar(
        r"-- checks_queued
        select id
        from workflow_executions
        where instance_id = $2
          and workflow_version_id = $1
          and status = 'queued'
        order by created_at desc
        limit 100",
    )
    .bind(version)
    .bind(instance)
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::House;

    #[tokio::test]
    async fn a_verdict_is_asked_for_once_and_stays_unless_a_person_has_it_forgotten() {
        let house = House::new().await;
        let (db, version, instance) = (house.db(), house.version, house.instance);
        assert_eq!(of(db, version, instance).await.unwrap(), None);
        assert!(ask(db, version, instance).await.unwrap());
        assert!(!ask(db, version, instance).await.unwrap());
        sent(db, version, instance, "b3a77999").await.unwrap();
        assert!(end(db, version, instance, CheckVerdict::Failed, Some("no table")).await.unwrap());
        assert!(!end(db, version, instance, CheckVerdict::Passed, None).await.unwrap());
        let check = of(db, version, instance).await.unwrap().expect("it was asked for");
        assert_eq!(
            (check.verdict, check.reason.as_deref()),
            (CheckVerdict::Failed, Some("no table"))
        );
        assert_eq!(check.amc_execution_id.as_deref(), Some("b3a77999"));

        assert_eq!(forget(db, house.workflow).await.unwrap(), 1);
        assert!(ask(db, version, instance).await.unwrap());
        assert!(end(db, version, instance, CheckVerdict::Passed, None).await.unwrap());
        assert_eq!(forget(db, house.workflow).await.unwrap(), 0);
    }
}
