//! Jobs that wait are discarded, moved in time and in order; queues and kinds are paused and resumed.

use super::worker::{Act, Running, actor, patient};
use super::{ANN, House, keyed, name_of, named};
use recomamp::queue::steer::{Discarded, Edit, Edited, RunAt, Unfinished};
use recomamp::queue::{Failure, NewJob, Outcome, Priority, State};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

async fn edit(house: &House, id: i64, change: Edit) -> Edited {
    let mut connection = house.connection().await;
    let edited = house.queue.edit(&mut connection, &[id], &change, &ANN).await;
    edited.expect("the store answers").remove(0)
}

fn now() -> Edit {
    Edit { run_at: Some(RunAt::Now), ..Edit::default() }
}

fn of(priority: Priority) -> Edit {
    Edit { priority: Some(priority), ..Edit::default() }
}

async fn later(house: &House, delay: Duration) -> Edit {
    let at = recomamp::clock::now(house.db.pool()).await.expect("a time") + delay;
    Edit { run_at: Some(RunAt::At(at)), ..Edit::default() }
}

async fn discard(house: &House, id: i64) -> Discarded {
    let mut connection = house.connection().await;
    house.queue.discard(&mut connection, &[id], &ANN).await.expect("the store answers")[0]
}

#[tokio::test]
async fn a_waiting_job_is_discarded_with_its_consequence() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a").if_discarded(named("clean up"))).await;
    assert_eq!(discard(&house, id).await, Discarded::Discarded);
    let job = house.job(id).await;
    assert_eq!(job.state, State::Discarded);
    assert_eq!(job.last_error.as_deref(), Some("discarded by ann: a test"));
    let next = house.claim_one().await;
    assert_eq!(name_of(&next), "clean up");
    assert_eq!(house.job(next.job_id).await.parent_id, Some(id));
    assert_eq!(discard(&house, id).await, Discarded::AlreadyFinished(State::Discarded));
    assert_eq!(discard(&house, 0).await, Discarded::Unknown);
    assert_eq!(house.events().await, [format!("discarded job:{id} ann: a test (1)")]);
}

#[tokio::test]
async fn a_running_job_is_not_discarded() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    assert_eq!(discard(&house, id).await, Discarded::Running);
    assert!(house.end(&lease, Ok(Outcome::Done)).await.stale.is_empty());
    assert!(house.events().await.is_empty());
}

#[tokio::test]
async fn of_a_choice_the_waiting_ones_are_discarded() {
    let house = House::new().await;
    let running = house.enqueue_one(named("running")).await;
    house.claim_one().await;
    let waiting = house.enqueue_one(named("waiting").if_discarded(keyed("clean up"))).await;
    let filter = Unfinished { kind: Some("named".into()), ..Unfinished::default() };
    let mut connection = house.connection().await;
    let discarded = house.queue.discard_all(&mut connection, &filter, &ANN).await;
    assert_eq!(discarded.expect("the store answers"), 1);
    assert_eq!(house.state(waiting).await, State::Discarded);
    assert_eq!(house.state(running).await, State::Running);
    assert_eq!(house.waiting_kinds().await, ["keyed"]);
    assert_eq!(house.events().await, ["discarded jobs kind=named ann: a test (1)"]);
}

#[tokio::test]
async fn a_job_for_later_runs_now_and_one_for_now_runs_later() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a").after(HOUR)).await;
    assert!(house.claim(1).await.is_empty());
    assert_eq!(edit(&house, id, now()).await, Edited::Edited);
    let lease = house.claim_one().await;
    assert_eq!(edit(&house, id, now()).await, Edited::Running);
    house.end(&lease, Ok(Outcome::Done)).await;
    assert_eq!(edit(&house, id, now()).await, Edited::AlreadyFinished(State::Done));
    assert_eq!(edit(&house, 0, now()).await, Edited::Unknown);

    let id = house.enqueue_one(named("b")).await;
    let change = later(&house, HOUR).await;
    assert_eq!(edit(&house, id, change).await, Edited::Edited);
    assert!(house.claim(1).await.is_empty());
    house.wait(HOUR).await;
    assert_eq!(house.claim_one().await.job_id, id);
}

#[tokio::test]
async fn a_time_that_has_passed_is_now() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a").after(HOUR)).await;
    house.wait(Duration::from_secs(60)).await;
    let past = later(&house, Duration::ZERO).await;
    edit(&house, id, past).await;
    assert_eq!(house.claim_one().await.job_id, id);
}

#[tokio::test]
async fn a_priority_decides_among_those_that_wait() {
    let house = House::new().await;
    house.enqueue_one(named("first")).await;
    let second = house.enqueue_one(named("second")).await;
    assert_eq!(edit(&house, second, of(Priority::Urgent)).await, Edited::Edited);
    assert_eq!(name_of(&house.claim_one().await), "second");
    let mut connection = house.connection().await;
    let nothing = house.queue.edit(&mut connection, &[second], &Edit::default(), &ANN).await;
    assert!(nothing.expect_err("refused").to_string().starts_with("edit: "));
}

#[tokio::test]
async fn a_job_that_waits_for_a_credential_goes_on_waiting_for_it() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    let refused = Failure::unauthorized(anyhow::anyhow!("401"), "lwa_user:x");
    house.end(&lease, Err(refused)).await;
    let change = Edit { priority: Some(Priority::Urgent), ..now() };
    assert_eq!(edit(&house, id, change).await, Edited::Blocked("lwa_user:x".to_owned()));
    let mut connection = house.connection().await;
    house.queue.sweep(&mut connection).await.expect("swept");
    assert!(house.claim(1).await.is_empty());
    assert_eq!(edit(&house, id, of(Priority::Low)).await, Edited::Edited);
    house.queue.open(&mut connection, "lwa_user:x").await.expect("opened");
    let lease = house.claim_one().await;
    assert_eq!(lease.job_id, id);
}

#[tokio::test]
async fn a_choice_is_edited_with_one_request() {
    let house = House::new().await;
    let jobs: Vec<NewJob> = (0..20).map(|n| named(&n.to_string()).after(HOUR)).collect();
    house.enqueue(&jobs).await;
    house.enqueue_one(keyed("other").after(HOUR)).await;
    let filter = Unfinished { kind: Some("named".into()), ..Unfinished::default() };
    let mut connection = house.connection().await;
    let edited = house.queue.edit_all(&mut connection, &filter, &now(), &ANN).await;
    assert_eq!(edited.expect("the store answers"), 20);
    assert_eq!(house.claim(100).await.len(), 20);
    assert_eq!(house.events().await, ["edited jobs kind=named ann: a test (20)"]);
}

#[tokio::test]
async fn the_turn_of_a_job_that_was_put_off_goes_to_the_next_one() {
    let house = House::new().await;
    house.limit("place", 1).await;
    let holding =
        |job: NewJob, holder: &str| job.using(["place".to_owned()]).holding_as(holder.to_owned());
    house.enqueue_one(holding(named("first"), "first")).await;
    let lease = house.claim_one().await;
    house.end(&lease, Ok(Outcome::Done)).await;
    let second = house.enqueue_one(holding(named("second"), "second")).await;
    assert!(house.claim(1).await.is_empty());
    let third = house.enqueue_one(holding(keyed("third"), "third")).await;
    assert!(house.claim(1).await.is_empty());
    house.release("first").await;
    let change = later(&house, HOUR).await;
    edit(&house, second, change).await;
    assert_eq!(house.claim_one().await.job_id, third);
}

#[tokio::test]
async fn a_worker_hears_at_once_that_a_job_is_to_run_now() {
    let mut running = Running::listening().await;
    let id = running.house.enqueue_one(actor("soon", Act::Finish).after(HOUR)).await;
    assert_eq!(edit(&running.house, id, now()).await, Edited::Edited);
    assert_eq!(running.next_start().await, "soon 1");
    running.stop().await;
}

#[tokio::test]
async fn nothing_of_a_paused_queue_or_kind_starts_until_it_is_resumed() {
    for resource in ["queue:default", "kind:patient"] {
        let mut running = Running::listening().await;
        let first = running.house.enqueue_one(patient("first", Act::WaitForPermit)).await;
        assert_eq!(running.next_start().await, "first 1");
        let mut connection = running.house.connection().await;
        let queue = running.house.queue.clone();
        queue.pause(&mut connection, resource, "ann", "a test", None).await.expect("paused");

        // What runs may finish; what is enqueued now waits, however often anybody looks.
        let second = running.house.enqueue_one(patient("second", Act::Finish)).await;
        running.tools.may_end.add_permits(1);
        running.until_state(first, State::Done).await;
        if resource == "kind:patient" {
            running.house.enqueue_one(actor("other kind", Act::Finish)).await;
            assert_eq!(running.next_start().await, "other kind 1");
        }
        assert!(running.house.claim(10).await.is_empty(), "{resource}");
        assert_eq!(running.house.state(second).await, State::Waiting);

        let resumed = queue.resume(&mut connection, resource, "ann").await;
        assert!(resumed.expect("the store answers"));
        assert_eq!(running.next_start().await, "second 1");
        let events = running.house.events().await;
        let expected =
            [format!("paused {resource} ann: a test"), format!("resumed {resource} ann: resumed")];
        assert_eq!(events, expected);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_job_that_comes_back_while_its_kind_is_paused_waits() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    let lease = house.claim_one().await;
    let mut connection = house.connection().await;
    let queue = &house.queue;
    queue.pause(&mut connection, "kind:named", "ann", "a test", None).await.expect("paused");
    house.end(&lease, Err(Failure::interrupted())).await;
    assert!(house.claim(1).await.is_empty());
    queue.resume(&mut connection, "kind:named", "ann").await.expect("resumed");
    assert_eq!(house.claim_one().await.job_id, id);
}
