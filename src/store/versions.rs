//! `workflow_versions`: what a workflow says, word for word. A row never changes.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, PgExecutor};

use super::executions::SubmitMode;
use super::ids::{VersionId, WorkflowUuid};
use super::words::Sha256;

/// A row of `workflow_versions`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Version {
    /// Names the version here.
    pub id: VersionId,
    /// The workflow it is a wording of.
    pub workflow_id: WorkflowUuid,
    /// The query.
    pub sql_query: String,
    /// The parameters it declares, as AMC takes them.
    pub input_parameters: Value,
    /// Over the query and the declared parameters.
    pub sha256: Sha256,
    /// How the query reaches AMC.
    pub submit_mode: SubmitMode,
}

/// Makes this the workflow's current wording. The same wording twice is one version, if it reaches AMC in the
/// same way.
///
/// `input_parameters` is a list of `{name, dataType, defaultValue, …}`, as AMC takes it.
pub async fn add(
    db: impl PgExecutor<'_>,
    workflow: WorkflowUuid,
    sql_query: &str,
    input_parameters: &Value,
    submit_mode: SubmitMode,
) -> Result<VersionId, sqlx::Error> {
    sqlx::query_scalar(
        r"-- versions_add
        with version as (
            insert into workflow_versions
                (id, workflow_id, sql_query, input_parameters, submit_mode, sha256)
            -- Text made of jsonb has its keys in one order, so equal parameters have equal sums.
            values ($1, $2, $3, $4, $5, sha256(convert_to($3 || E'\n' || $4::jsonb::text, 'UTF8')))
            -- Changes nothing, but also finds a row that another transaction has just added.
            on conflict (workflow_id, sha256, submit_mode) do update set workflow_id = excluded.workflow_id
            returning id, workflow_id
        )
        update workflows
        set current_version_id = version.id
        from version
        where workflows.id = version.workflow_id
        returning version.id",
    )
    .bind(VersionId::fresh())
    .bind(workflow)
    .bind(sql_query)
    .bind(input_parameters)
    .bind(submit_mode)
    .fetch_one(db)
    .await
}

/// The version with this id.
pub async fn by_id(
    db: impl PgExecutor<'_>,
    version: VersionId,
) -> Result<Option<Version>, sqlx::Error> {
    sqlx::query_as(
        r"-- versions_by_id
        select id, workflow_id, sql_query, input_parameters, sha256, submit_mode
        from workflow_versions
        where id = $1",
    )
    .bind(version)
    .fetch_optional(db)
    .await
}

/// A version with all that AMC has said of it.
#[derive(Debug, Clone, PartialEq, FromRow, Serialize)]
pub struct Told {
    /// Names the version here.
    pub id: VersionId,
    /// Whether new executions run it.
    pub is_current: bool,
    /// How the query reaches AMC.
    pub submit_mode: SubmitMode,
    /// Over the query and the declared parameters, as hexadecimal digits.
    pub sha256: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// The query.
    pub sql_query: String,
    /// The parameters it declares.
    pub input_parameters: Value,
    /// Whether AMC compiles it: `{instance, verdict, reason, ended_at}` for each instance that was asked.
    pub checks: Value,
    /// The copies that AMC keeps: `{instance, status, amc_workflow_id, reason, synced_at}` for each.
    pub copies: Value,
}

/// Every version of a workflow with all that AMC has said of it, the newest first.
pub async fn told(
    db: impl PgExecutor<'_>,
    workflow: WorkflowUuid,
) -> Result<Vec<Told>, sqlx::Error> {
    sqlx::query_as(
        r"-- versions_told
        select version.id, version.id is not distinct from workflow.current_version_id as is_current, submit_mode,
            encode(version.sha256, 'hex') as sha256, version.created_at, sql_query, input_parameters,
            coalesce((
                select jsonb_agg(jsonb_build_object('instance', instance.instance_id, 'verdict', verdict,
                    'reason', reason, 'ended_at', ended_at) order by instance.instance_id)
                from version_checks
                join amc_instances instance on instance.id = version_checks.instance_id
                where workflow_version_id = version.id
            ), '[]') as checks,
            coalesce((
                select jsonb_agg(jsonb_build_object('instance', instance.instance_id, 'status', copy.status,
                    'amc_workflow_id', copy.amc_workflow_id, 'reason', reason, 'synced_at', synced_at)
                    order by instance.instance_id)
                from saved_copies copy
                join amc_instances instance on instance.id = copy.instance_id
                where workflow_version_id = version.id
            ), '[]') as copies
        from workflow_versions version
        join workflows workflow on workflow.id = version.workflow_id
        where version.workflow_id = $1
        order by version.created_at desc, version.id desc",
    )
    .bind(workflow)
    .fetch_all(db)
    .await
}

/// What a version is the wording of.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Named {
    /// The public id of its workflow.
    pub workflow: String,
    /// Over the query and the declared parameters.
    pub sha256: Sha256,
}

/// What this version is the wording of.
pub async fn named(
    db: impl PgExecutor<'_>,
    version: VersionId,
) -> Result<Option<Named>, sqlx::Error> {
    sqlx::query_as(
        r"-- versions_named
        select workflow.workflow_id as workflow, version.sha256
        from workflow_versions version
        join workflows workflow on workflow.id = version.workflow_id
        where version.id = $1",
    )
    .bind(version)
    .fetch_optional(db)
    .await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::fixture::House;
    use crate::store::workflows;
    use SubmitMode::{Inline, Saved};

    async fn current(house: &House) -> Option<VersionId> {
        let workflow = workflows::by_workflow_id(house.db(), "wf_campaigns").await.unwrap();
        workflow.expect("it was inserted").current_version_id
    }

    #[tokio::test]
    async fn the_same_wording_is_the_same_version_and_current_again() {
        let house = House::new().await;
        let (db, workflow) = (house.db(), house.workflow);
        assert_eq!(current(&house).await, Some(house.version));
        let second = add(db, workflow, "select 2", &json!([]), Inline).await.unwrap();
        assert_ne!(second, house.version);
        assert_eq!(current(&house).await, Some(second));
        assert_eq!(add(db, workflow, "select 1", &json!([]), Inline).await.unwrap(), house.version);
        assert_eq!(current(&house).await, Some(house.version));
        let saved = add(db, workflow, "select 1", &json!([]), Saved).await.unwrap();
        assert_ne!(saved, house.version, "it reaches AMC in another way");
        let stored = by_id(db, saved).await.unwrap().expect("it was added");
        assert_eq!(stored.submit_mode, Saved);
    }

    #[tokio::test]
    async fn other_declared_parameters_are_another_version_but_not_their_order_of_keys() {
        let house = House::new().await;
        let (db, workflow) = (house.db(), house.workflow);
        let one: Value = serde_json::from_str(r#"[{"name": "x", "dataType": "STRING"}]"#).unwrap();
        let same: Value = serde_json::from_str(r#"[{"dataType":"STRING","name":"x"}]"#).unwrap();
        let with_parameter = add(db, workflow, "select 1", &one, Inline).await.unwrap();
        assert_ne!(with_parameter, house.version);
        assert_eq!(add(db, workflow, "select 1", &same, Inline).await.unwrap(), with_parameter);
        let stored = by_id(db, with_parameter).await.unwrap().expect("it was added");
        assert_eq!((stored.sql_query.as_str(), stored.input_parameters), ("select 1", one));
    }

    #[tokio::test]
    async fn a_version_never_changes() {
        let house = House::new().await;
        let changed =
            sqlx::query("update workflow_versions set sql_query = 'select 3' where id = $1")
                .bind(house.version)
                .execute(house.db())
                .await;
        assert!(changed.unwrap_err().to_string().contains("never changes"));
    }
}
