//! Workflows whose query AMC keeps: saved before they are run, each version under a name of its own.

use super::site::{Site, quick};
use crate::harness::eventually::eventually;
use recomamp::jobs::sync_workflow;
use recomamp::simulator::{Effect, Fault, Kind, Operation};
use recomamp::store::CollectionUuid;
use recomamp::store::collections::CollectionStatus;
use recomamp::store::events::Because;
use recomamp::store::executions::SubmitMode;
use recomamp::store::workflows::{self, SyncStatus, Workflow};
use serde_json::{Value, json};

const SQL: &str = "select campaign, sum(impressions) as impressions from dsp_impressions
    where brand = {{brand}} and day >= @week_start group by campaign";

fn brand() -> Value {
    json!([{"name": "brand", "type": "string"}])
}

impl Site {
    async fn workflow_now(&self) -> Workflow {
        let found = workflows::by_workflow_id(self.db.pool(), "weekly-campaigns").await;
        found.expect("the store answers").expect("there is one")
    }

    async fn ask_saved(&self, sql: &str, declared: &Value, values: Value) -> CollectionUuid {
        self.ask_as(SubmitMode::Saved, sql, declared, values).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_workflow_is_saved_once_and_run_by_its_name_with_the_values_of_each_week() {
    let site = Site::new(quick()).await;
    let collection = site.ask_saved(SQL, &brand(), json!({"brand": "O'Neill\\"})).await;
    let working = site.work();
    site.assert_complete(collection, 2).await;
    working.stop().await;

    assert_eq!(site.amc.counts().calls_of(Operation::CreateWorkflow), 1);
    let workflow = site.workflow_now().await;
    assert_eq!(workflow.amc_sync_status, SyncStatus::Synced);
    let name = workflow.amc_workflow_id.expect("AMC keeps it");
    assert!(name.starts_with("rec-weekly-campaigns-"), "{name}");
    for body in site.submitted() {
        assert_eq!(body["workflowId"], name.as_str());
        assert_eq!(body.get("workflow"), None);
        let start = &body["timeWindowStart"].as_str().expect("a time")[..10];
        assert_eq!(body["parameterValues"], json!({"brand": "O'Neill\\", "week_start": start}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_an_execution_waits_for_uses_what_the_execution_uses() {
    let site = Site::new(quick()).await;
    let hold = Fault::new(Kind::Hold { effect: Effect::Before }).on([Operation::CreateWorkflow]);
    let hold = site.amc.set_fault(hold);
    let collection = site.ask_saved(SQL, &brand(), json!({"brand": "a"})).await;
    let working = site.work();
    site.until_met(hold, 1).await;
    let used = "select string_agg(distinct split_part(used ->> 'resource', ':', 1), ' ')
        from engine.jobs
        cross join jsonb_array_elements(uses) as used
        where kind = 'sync_workflow'";
    assert_eq!(site.text(used).await, "amc_account amc_instance host");
    site.amc.lift_fault(hold);
    site.assert_complete(collection, 2).await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_there_already_is_replaced_and_lost_answers_do_no_harm() {
    let site = Site::new(quick()).await;
    let lost = Kind::Reset { effect: Effect::After };
    site.faults([
        Fault::new(lost.clone()).on([Operation::CreateWorkflow]).times(1),
        Fault::new(lost).on([Operation::CreateExecution]).times(1),
    ]);
    let collection = site.ask_saved(SQL, &brand(), json!({"brand": "a"})).await;
    let working = site.work();
    site.assert_complete(collection, 2).await;
    working.stop().await;
    assert_eq!(site.amc.counts().calls_of(Operation::UpdateWorkflow), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_job_is_lost_is_saved_when_it_is_needed() {
    let site = Site::new(quick()).await;
    let collection = site.ask_saved(SQL, &brand(), json!({"brand": "a"})).await;
    let workflow = site.workflow_now().await;
    let mut tx = site.db.pool().begin().await.expect("begun");
    let asked = sync_workflow::again(
        &site.tools.queue,
        &mut tx,
        &workflow,
        &Because { by: "ada", why: None },
    )
    .await;
    assert_eq!(asked.expect("asked"), Some(SyncStatus::Syncing));
    let lost = sqlx::query("delete from engine.jobs where kind = 'sync_workflow'");
    assert_eq!(lost.execute(&mut *tx).await.expect("lost").rows_affected(), 1);
    tx.commit().await.expect("committed");
    let working = site.work();
    site.assert_complete(collection, 2).await;
    working.stop().await;
    assert_eq!(site.amc.counts().calls_of(Operation::CreateWorkflow), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_copy_fails_its_executions_with_amcs_words_until_it_is_asked_for_again() {
    let site = Site::new(quick()).await;
    let sql = "select a from no_such_table";
    let collection = site.ask_saved(sql, &json!([]), json!({})).await;
    let working = site.work();
    assert_eq!(site.ended(collection).await.status, CollectionStatus::Failed);
    assert_eq!(site.amc.counts().accepted(), 0);
    let why = site.text("select distinct error_message from workflow_executions").await;
    assert!(why.contains("Object 'no_such_table' not found"), "{why}");
    let workflow = site.workflow_now().await;
    assert_eq!(workflow.amc_sync_status, SyncStatus::SyncFailed);

    let mut tx = site.db.pool().begin().await.expect("begun");
    let queue = &site.tools.queue;
    let again = sync_workflow::again(queue, &mut tx, &workflow, &Because { by: "ada", why: None })
        .await
        .expect("asked");
    tx.commit().await.expect("committed");
    assert_eq!(again, Some(SyncStatus::Syncing));
    site.idle().await;
    assert_eq!(site.amc.counts().calls_of(Operation::CreateWorkflow), 2);
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_in_use_at_the_same_time_never_overwrite_each_other() {
    let site = Site::new(quick()).await;
    let old = site.ask_saved(SQL, &brand(), json!({"brand": "a"})).await;
    let new = site.ask_saved(&format!("{SQL}, brand"), &brand(), json!({"brand": "a"})).await;
    let working = site.work();
    site.assert_completed(old, 2).await;
    site.assert_completed(new, 2).await;
    working.stop().await;
    assert_eq!(site.amc.counts().calls_of(Operation::CreateWorkflow), 2);
    assert_eq!(site.amc.counts().calls_of(Operation::UpdateWorkflow), 0);
    let names: std::collections::BTreeSet<_> =
        site.submitted().iter().map(|body| body["workflowId"].to_string()).collect();
    assert_eq!(names.len(), 2);
    assert_eq!(site.count("select count(*) from saved_copies where status = 'synced'").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_somebody_deletes_at_amc_is_saved_again_and_costs_no_week() {
    let site = Site::new(quick()).await;
    let first = site.ask_saved(SQL, &brand(), json!({"brand": "a"})).await;
    let working = site.work();
    site.assert_completed(first, 2).await;
    site.amc.forget_workflows();
    let second = site.ask_saved(SQL, &brand(), json!({"brand": "b"})).await;
    eventually("its weeks are collected", async || {
        site.skip_pauses("submit_execution").await;
        site.progress(second).await.succeeded == 2
    })
    .await;
    assert_eq!(site.amc.counts().calls_of(Operation::CreateWorkflow), 2);
    let executions = "select count(*) from workflow_executions";
    assert_eq!(site.count(executions).await, 4, "none was given up");

    // A person can ask for it too, also when it is there.
    let (workflow, queue) = (site.workflow_now().await, &site.tools.queue);
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let again =
        sync_workflow::again(queue, &mut connection, &workflow, &Because { by: "ada", why: None })
            .await;
    assert_eq!(again.expect("asked"), Some(SyncStatus::Syncing));
    site.idle().await;
    working.stop().await;
    assert_eq!(site.amc.counts().calls_of(Operation::UpdateWorkflow), 1);
    assert_eq!(site.workflow_now().await.amc_sync_status, SyncStatus::Synced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bug_22_a_long_id_reaches_amc_uncut() {
    let site = Site::new(quick()).await;
    let long = "a-workflow-whose-id-is-longer-than-the-twenty-characters-of-before";
    let collection = site.ask_saved(SQL, &brand(), json!({"brand": "a"})).await;
    sqlx::query("update workflows set workflow_id = $1")
        .bind(long)
        .execute(site.db.pool())
        .await
        .expect("the store answers");
    let working = site.work();
    site.assert_complete(collection, 2).await;
    working.stop().await;
    for body in site.submitted() {
        let name = body["workflowId"].as_str().expect("a name");
        assert!(name.starts_with(&format!("rec-{long}-")), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_began_with_a_query_that_is_sent_along_goes_on_so_when_the_next_one_is_saved() {
    let site = Site::new(quick()).await;
    // A list cannot be filled in by AMC, so this one cannot be saved.
    let sql = "select campaign, sum(impressions) as impressions from dsp_impressions
        where asin in ({{asins}}) group by campaign";
    let declared = json!([{"name": "asins", "type": "asin_list"}]);
    let old = site.ask_with(sql, &declared, json!({"asins": ["B000000001"]})).await;
    let new = site.ask_saved(SQL, &brand(), json!({"brand": "a"})).await;
    let working = site.work();
    site.assert_completed(old, 2).await;
    site.assert_completed(new, 2).await;
    working.stop().await;
    let along = site.submitted().iter().filter(|body| body.get("workflow").is_some()).count();
    assert_eq!((along, site.submitted().len()), (2, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wording_that_is_saved_for_a_person_and_for_its_runs_has_one_copy() {
    let site = Site::new(quick()).await;
    let again = async || {
        let mut connection = site.db.pool().acquire().await.expect("a connection");
        let (workflow, queue) = (site.workflow_now().await, &site.tools.queue);
        sync_workflow::again(queue, &mut connection, &workflow, &Because { by: "ada", why: None })
            .await
            .expect("asked")
    };
    // Sent along, but somebody wants to see it at AMC.
    let along = site.ask_with(SQL, &brand(), json!({"brand": "a"})).await;
    assert_eq!(again().await, Some(SyncStatus::Syncing));
    let working = site.work();
    site.assert_completed(along, 2).await;
    // The same query, saved from now on.
    let saved = site.ask_saved(SQL, &brand(), json!({"brand": "b"})).await;
    site.assert_completed(saved, 2).await;
    // And sent along again.
    let along = site.ask_with(SQL, &brand(), json!({"brand": "c"})).await;
    site.assert_completed(along, 2).await;
    assert_eq!(again().await, Some(SyncStatus::Syncing));
    site.idle().await;
    working.stop().await;
    assert_eq!(site.workflow_now().await.amc_sync_status, SyncStatus::Synced);
    assert_eq!(site.count("select count(*) from saved_copies").await, 1);
    assert_eq!(site.amc.counts().calls_of(Operation::CreateWorkflow), 2);
    assert_eq!(site.amc.counts().calls_of(Operation::UpdateWorkflow), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unanswered_submit_of_a_saved_query_is_found_also_when_its_copy_is_saved_anew() {
    let site = Site::new(quick()).await;
    let lost = Fault::new(Kind::Reset { effect: Effect::After }).on([Operation::CreateExecution]);
    site.faults([lost.times(1)]);
    let collection = site.ask_saved(SQL, &brand(), json!({"brand": "a"})).await;
    let working = site.work();
    let unknown = "select count(*) from workflow_executions where status = 'submit_unknown'";
    eventually("a submit is not answered", async || site.count(unknown).await == 1).await;
    // Somebody has the query saved anew, which takes longer than AMC's list.
    site.faults(
        [Fault::new(Kind::Hold { effect: Effect::Before }).on([Operation::CreateWorkflow])],
    );
    sqlx::query("delete from saved_copies")
        .execute(site.db.pool())
        .await
        .expect("the store answers");
    eventually("it is found", async || {
        site.skip_pauses("submit_execution").await;
        site.count(unknown).await == 0
    })
    .await;
    site.amc.lift_faults();
    site.assert_completed(collection, 2).await;
    working.stop().await;
    assert_eq!(site.submitted().len(), 2, "none was sent twice");
}
