//! One workflow on many instances: some succeed and some do not, and what failed is tried again.

use super::site::{SQL, Site, quick};
use crate::harness::eventually::{eventually, eventually_some};
use recomamp::backfill::batches::{self, BatchStatus};
use recomamp::jobs::run_batch_member;
use recomamp::simulator::{Ending, Fault, Kind, Operation, RunTime, Settings, User};
use recomamp::steering::{
    BatchError, BatchRequest, Because, cancel_batch, retry_batch, start_batch,
};
use recomamp::store::collections::CollectionStatus;
use recomamp::store::executions::SubmitMode;
use recomamp::store::weeks::WeekStatus;
use recomamp::store::{InstanceUuid, UserId, events, versions, workflows};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const BECAUSE: Because<'_> = Because { by: "ana", why: Some("a test") };

async fn site(amazon: Settings) -> Site {
    let site = Site::new(amazon).await;
    let workflow = workflows::by_workflow_id(site.db.pool(), "weekly-campaigns").await;
    let workflow = workflow.expect("read").expect("it is there").id;
    let mut tx = site.db.pool().begin().await.expect("begun");
    let declared = json!([{"name": "brand", "type": "string"}, {"name": "note", "type": "string"}]);
    versions::add(&mut *tx, workflow, SQL, &declared, SubmitMode::Inline).await.expect("a version");
    tx.commit().await.expect("committed");
    site.add_instance(&second(&site)).await;
    site
}

fn second(site: &Site) -> String {
    site.amc.settings().accounts[0].instances[1].instance_id.clone()
}

fn values(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn request(site: &Site) -> BatchRequest {
    BatchRequest {
        workflow: "weekly-campaigns".to_owned(),
        instances: BTreeMap::from([
            (site.amc_instance_id(), Map::new()),
            (second(site), values(&json!({"brand": "Shop"}))),
        ]),
        parameters: values(&json!({"brand": "Acme", "note": "all"})),
        from: "2026-09-01".parse().expect("a date"),
        until: "2026-10-01".parse().expect("a date"),
        zone: chrono_tz::UTC,
        name: None,
        max_attempts: 1,
    }
}

async fn begin(site: &Site) -> String {
    let mut tx = site.db.pool().begin().await.expect("begun");
    let id = start_batch(&mut tx, &site.tools.queue, &request(site), "ana").await.expect("begun");
    tx.commit().await.expect("committed");
    id
}

async fn stands(site: &Site, id: &str) -> BatchStatus {
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    batches::of(&mut connection, id).await.expect("read").expect("there is such a batch")
}

async fn ended(site: &Site, id: &str) -> BatchStatus {
    eventually_some("the batch has ended", async || {
        let batch = stands(site, id).await;
        batch.status.is_terminal().then_some(batch)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_instance_runs_once_with_its_own_values_and_the_batch_ends_once() {
    let site = site(quick()).await;
    let id = begin(&site).await;
    let working = site.work();
    let batch = ended(&site, &id).await;
    site.assert_submitted_once(2).await;
    working.stop().await;
    assert_eq!((batch.status, batch.succeeded), (CollectionStatus::Completed, 2));
    let brands =
        "select string_agg(distinct parameters ->> 'brand' || ' ' || (parameters ->> 'note'), ', ')
        from workflow_executions where origin = 'batch' and window_start = '2026-09-01'";
    assert_eq!(site.text(brands).await, "Acme all, Shop all");
    let events = events::of(site.db.pool(), "batch", &id).await.expect("read");
    let said: Vec<_> = events.iter().filter_map(|event| event.to_status.as_deref()).collect();
    assert_eq!(said, ["pending", "completed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_tried_again_and_the_rest_is_left_alone() {
    let site = site(quick()).await;
    let fails = Kind::EndAs { status: Ending::Failed, reason: "Internal error".to_owned() };
    site.amc.set_fault(Fault::new(fails).times(1));
    let id = begin(&site).await;
    let working = site.work();
    let batch = ended(&site, &id).await;
    assert_eq!(batch.status, CollectionStatus::CompletedWithErrors);
    assert_eq!((batch.succeeded, batch.failed), (1, 1));
    let mut tx = site.db.pool().begin().await.expect("begun");
    let queue = &site.tools.queue;
    let again = retry_batch(&mut tx, queue, &id, &BECAUSE).await.expect("tried again");
    assert_eq!(again.changed, 1);
    assert_eq!(retry_batch(&mut tx, queue, &id, &BECAUSE).await.expect("asked").changed, 0);
    tx.commit().await.expect("committed");
    let batch = ended(&site, &id).await;
    assert_eq!((batch.status, batch.succeeded), (CollectionStatus::Completed, 2));
    assert_eq!(site.amc.counts().accepted(), 3);
    site.assert_nothing_is_left().await;
    working.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_cancelled_stops_at_amc_too() {
    let slow = Settings { run_time: RunTime::Fixed { seconds: 100_000 }, ..quick() };
    let site = site(slow).await;
    let id = begin(&site).await;
    let working = site.work();
    site.until(|counts| counts.accepted() == 2).await;
    let mut tx = site.db.pool().begin().await.expect("begun");
    let queue = &site.tools.queue;
    let without = Because { by: "ana", why: None };
    let refused = cancel_batch(&mut tx, queue, &id, &without).await;
    assert!(matches!(refused, Err(BatchError::NoReason)));
    let cancelled = cancel_batch(&mut tx, queue, &id, &BECAUSE).await.expect("cancelled");
    assert_eq!(cancelled.changed, 2);
    assert_eq!(cancel_batch(&mut tx, queue, &id, &BECAUSE).await.expect("asked").changed, 0);
    tx.commit().await.expect("committed");
    site.assert_nothing_is_left().await;
    working.stop().await;
    assert_eq!(site.amc.counts().calls_of(Operation::CancelExecution), 2);
    let batch = stands(&site, &id).await;
    assert_eq!(batch.status, CollectionStatus::Cancelled);
    assert!(batch.members.iter().all(|member| member.status == WeekStatus::Cancelled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_member_goes_on_when_its_instance_does_and_a_forgotten_one_is_found() {
    let site = site(quick()).await;
    let id = begin(&site).await;
    sqlx::raw_sql("update amc_instances set status = 'blocked', block_reason = 'terms'")
        .execute(site.db.pool())
        .await
        .expect("blocked");
    let working = site.work();
    site.idle().await;
    let batch = stands(&site, &id).await;
    assert!(batch.members.iter().all(|member| member.status == WeekStatus::Blocked), "{batch:?}");
    site.unblock(site.instance).await;
    eventually_some("one has its rows", async || {
        (stands(&site, &id).await.succeeded == 1).then_some(())
    })
    .await;
    site.idle().await;
    // The other one's instance was opened by a hand that told nobody.
    sqlx::raw_sql(
        "update amc_instances set status = 'active', block_reason = null;
         update batch_members set status = 'pending', error_message = null where status = 'blocked'",
    )
    .execute(site.db.pool())
    .await
    .expect("opened");
    let mut connection = site.db.pool().acquire().await.expect("a connection");
    let forgotten = run_batch_member::forgotten(&mut connection).await.expect("asked");
    assert_eq!(forgotten.len(), 1);
    let queue = &site.tools.queue;
    run_batch_member::look_after(queue, &mut connection, &forgotten).await.expect("asked for");
    assert_eq!(ended(&site, &id).await.status, CollectionStatus::Completed);
    working.stop().await;
}

#[tokio::test]
async fn a_batch_that_cannot_be_is_refused_with_the_remedy() {
    let site = site(quick()).await;
    let right = request(&site);
    let date = |text: &str| text.parse().expect("a date");
    let nowhere = BTreeMap::from([("amc9".to_owned(), Map::new())]);
    for (wrong, said) in [
        (BatchRequest { instances: BTreeMap::new(), ..right.clone() }, "name at least one"),
        (BatchRequest { instances: nowhere, ..right.clone() }, "there is no instance \"amc9\""),
        (BatchRequest { until: date("2026-09-01"), ..right.clone() }, "give a later day"),
        (BatchRequest { until: date("2999-09-01"), ..right.clone() }, "after 48 hours: give"),
        (BatchRequest { workflow: "nothing".to_owned(), ..right.clone() }, "there is no workflow"),
    ] {
        let mut tx = site.db.pool().begin().await.expect("begun");
        let refused = start_batch(&mut tx, &site.tools.queue, &wrong, "ana").await;
        let refused = refused.expect_err("it is refused").to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_on_an_instance_that_its_user_may_not_use_asks_once_and_waits_for_access() {
    let mut amazon = quick();
    let elsewhere = vec!["ENTITY2SIMUK".to_owned()];
    amazon.users.push(User { refresh_token: "Atzr|simulator-bob".to_owned(), accounts: elsewhere });
    let site = site(amazon).await;
    let bob = site.add_user("bob@example.com", "Atzr|simulator-bob").await;
    let owner = async |user: UserId| {
        for change in [
            "update workflows set user_id = $1",
            "update batch_executions set user_id = $1",
            "update workflow_executions set user_id = $1",
        ] {
            sqlx::query(change).bind(user).execute(site.db.pool()).await.expect("changed");
        }
    };
    owner(bob).await;
    let id = begin(&site).await;
    let working = site.work();
    eventually("both are kept out", async || {
        site.age_tokens().await;
        site.skip_pauses("refresh_token").await;
        stands(&site, &id).await.members.iter().all(|one| one.status == WeekStatus::Blocked)
    })
    .await;
    site.skip_all_pauses().await;
    site.skip_pauses("run_batch_member").await;
    site.idle().await;
    assert_eq!(site.count("select count(*) from workflow_executions").await, 2, "none again");
    let events = "select count(*) from events where entity = 'instance'";
    assert_eq!(site.count(events).await, 0);
    owner(site.user).await;
    let instances: Vec<InstanceUuid> = sqlx::query_scalar("select id from amc_instances")
        .fetch_all(site.db.pool())
        .await
        .expect("the store answers");
    for instance in instances {
        site.unblock(instance).await;
    }
    assert_eq!(ended(&site, &id).await.succeeded, 2);
    working.stop().await;
}
