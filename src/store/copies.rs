//! `saved_copies`: the copies that AMC keeps of versions, each under a name that tells the version.

use sqlx::{FromRow, PgConnection, PgExecutor};

use super::ids::{InstanceUuid, VersionId, WorkflowUuid};
use super::text;
use super::words::Sha256;
use super::workflows::SyncStatus;

/// A row of `saved_copies`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct SavedCopy {
    /// The name AMC keeps it under.
    pub amc_workflow_id: String,
    /// Whether AMC has it.
    pub status: SyncStatus,
    /// Why AMC refused it.
    pub reason: Option<String>,
}

/// The name that AMC keeps a version under. Nothing of it is cut off, so no two are the same but for the
/// same wording of the same workflow.
pub fn name(workflow_id: &str, sha256: &Sha256) -> String {
    format!("rec-{workflow_id}-{}", hex::encode(&sha256[..8]))
}

/// Asks for a copy. One of the same wording, which another version sends along, is taken over as it stands.
pub async fn ask(
    connection: &mut PgConnection,
    version: VersionId,
    instance: InstanceUuid,
    amc_workflow_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- copies_take_over
        update saved_copies
        set workflow_version_id = $1
        where instance_id = $2
          and amc_workflow_id = $3",
    )
    .bind(version)
    .bind(instance)
    .bind(amc_workflow_id)
    .execute(&mut *connection)
    .await?;
    // One that somebody else has just asked for is taken over by whoever asks next.
    sqlx::query(
        r"-- copies_ask
        insert into saved_copies (workflow_version_id, instance_id, amc_workflow_id, asked_at)
        values ($1, $2, $3, (select engine.now()))
        on conflict do nothing",
    )
    .bind(version)
    .bind(instance)
    .bind(amc_workflow_id)
    .execute(connection)
    .await?;
    Ok(())
}

/// How the copy stands; none when nobody has asked.
pub async fn of(
    db: impl PgExecutor<'_>,
    version: VersionId,
    instance: InstanceUuid,
) -> Result<Option<SavedCopy>, sqlx::Error> {
    sqlx::query_as(
        r"-- copies_of
        select amc_workflow_id, status, reason
        from saved_copies
        where workflow_version_id = $1
          and instance_id = $2",
    )
    .bind(version)
    .bind(instance)
    .fetch_optional(db)
    .await
}

/// syncing → synced, or `sync_failed` with AMC's reason; the workflow itself shows it where it is the
/// current version on its own instance. False when it has ended already.
pub async fn end(
    connection: &mut PgConnection,
    version: VersionId,
    instance: InstanceUuid,
    refused: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        r"-- copies_end
        update saved_copies
        set status = case when $3::text is null then 'synced' else 'sync_failed' end::workflow_sync_status,
            reason = $3,
            synced_at = case when $3::text is null then (select engine.now()) end
        where workflow_version_id = $1
          and instance_id = $2
          and status = 'syncing'",
    )
    .bind(version)
    .bind(instance)
    .bind(refused.map(text::message))
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    show(connection, version, instance).await?;
    Ok(true)
}

/// Lets the workflow show how the copy of its current version stands on its own instance.
pub async fn show(
    db: impl PgExecutor<'_>,
    version: VersionId,
    instance: InstanceUuid,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- copies_show
        update workflows
        set amc_sync_status = copy.status,
            amc_workflow_id = case when copy.status = 'synced' then copy.amc_workflow_id else workflows.amc_workflow_id end,
            amc_synced_at = coalesce(copy.synced_at, workflows.amc_synced_at),
            amc_definition_hash = case when copy.status = 'synced' then version.sha256 else workflows.amc_definition_hash end
        from saved_copies copy
        join workflow_versions version on version.id = copy.workflow_version_id
        where copy.workflow_version_id = $1
          and copy.instance_id = $2
          and workflows.current_version_id = $1
          and workflows.instance_id = $2",
    )
    .bind(version)
    .bind(instance)
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the copy of this name, so that it is asked for again; one that is under way stays.
pub async fn lose(
    db: impl PgExecutor<'_>,
    instance: InstanceUuid,
    amc_workflow_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        r"-- copies_lose
        delete from saved_copies
        where instance_id = $1
          and amc_workflow_id = $2
          and status <> 'syncing'",
    )
    .bind(instance)
    .bind(amc_workflow_id)
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets the copies of a workflow that AMC refused, so that it is asked again. How many.
pub async fn forget(db: impl PgExecutor<'_>, workflow: WorkflowUuid) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        r"-- copies_forget
        delete from saved_copies
        using workflow_versions version
        where version.id = workflow_version_id
          and version.workflow_id = $1
          and status = 'sync_failed'",
    )
    .bind(workflow)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::House;
    use crate::store::{versions, workflows};

    #[test]
    fn bug_22_names_are_never_cut_off_to_be_the_same() {
        let long = "a-workflow-with-a-very-long-name-that-goes-on-and-on-and-on-for-ever";
        let (one, other) =
            (name(&format!("{long}-1"), &[7; 32]), name(&format!("{long}-2"), &[7; 32]));
        assert_ne!(one, other);
        assert!(one.contains(long));
        assert_ne!(name("a", &[7; 32]), name("a", &[8; 32]));
        assert_eq!(name("weekly", &[0xab; 32]), "rec-weekly-abababababababab");
    }

    #[tokio::test]
    async fn a_workflow_shows_how_the_copy_of_its_current_version_stands() {
        let house = House::new().await;
        let (db, version, instance) = (house.db(), house.version, house.instance);
        let mut connection = db.acquire().await.unwrap();
        let shown = async || {
            let workflow = workflows::by_workflow_id(db, "wf_campaigns").await.unwrap();
            workflow.expect("it was inserted")
        };
        ask(&mut connection, version, instance, "rec-1").await.unwrap();
        ask(&mut connection, version, instance, "rec-1").await.unwrap();
        show(db, version, instance).await.unwrap();
        assert_eq!(shown().await.amc_sync_status, SyncStatus::Syncing);
        assert!(end(&mut connection, version, instance, Some("no table")).await.unwrap());
        assert_eq!(shown().await.amc_sync_status, SyncStatus::SyncFailed);
        assert_eq!(
            of(db, version, instance).await.unwrap().unwrap().reason.as_deref(),
            Some("no table")
        );

        assert_eq!(forget(db, house.workflow).await.unwrap(), 1);
        ask(&mut connection, version, instance, "rec-1").await.unwrap();
        assert!(end(&mut connection, version, instance, None).await.unwrap());
        assert!(!end(&mut connection, version, instance, None).await.unwrap());
        let stored = versions::by_id(db, version).await.unwrap().expect("it exists");
        let synced = shown().await;
        assert_eq!(synced.amc_sync_status, SyncStatus::Synced);
        assert_eq!(synced.amc_workflow_id.as_deref(), Some("rec-1"));
        assert_eq!(synced.amc_definition_hash, Some(stored.sha256));
    }
}
