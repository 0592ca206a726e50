//! Finished jobs are done again: once, as they were or as somebody wants them, and in their turn.

use super::{ANN, House, boom, keyed, name_of, named};
use recomamp::queue::session::ThisProcess;
use recomamp::queue::steer::{Cancelled, Finished, Replay, Replayable, Replayed, Replays};
use recomamp::queue::store::Store;
use recomamp::queue::{Enqueued, Failure, NewJob, Outcome, Priority, Share, State};
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn discarded() -> Finished {
    Finished { state: Some(State::Discarded), ..Finished::default() }
}

fn never() -> Failure {
    Failure::permanent(anyhow::anyhow!("never: 404"))
}

/// Runs the job to the end that it is to have.
async fn finished(house: &House, job: NewJob, ending: Result<Outcome, Failure>) -> i64 {
    let id = house.enqueue_one(job).await;
    let lease = house.claim_one().await;
    assert_eq!(lease.job_id, id);
    house.end(&lease, ending).await;
    id
}

async fn replay(house: &House, id: i64, how: &Replay) -> Replayed {
    let mut connection = house.connection().await;
    house.queue.replay(&mut connection, id, how, &ANN).await.expect("the store answers")
}

async fn replay_all(house: &House, filter: &Finished, how: &Replay) -> Replays {
    let mut connection = house.connection().await;
    house.queue.replay_all(&mut connection, filter, how, &ANN).await.expect("the store answers")
}

async fn replayable(house: &House, filter: &Finished) -> Replayable {
    let mut connection = house.connection().await;
    let count = house.queue.replayable(&mut connection, filter, &Replay::default()).await;
    count.expect("the store answers")
}

/// Everything that a job is, besides when and how often.
async fn whole(house: &House, id: i64) -> Value {
    sqlx::query_scalar(
        "select to_jsonb(jobs) - array['id', 'run_at', 'created_at', 'claimed_at', 'session', 'fence',
            'attempt', 'due', 'last_error', 'replay_of', 'state']
        from engine.jobs where id = $1",
    )
    .bind(id)
    .fetch_one(house.db.pool())
    .await
    .expect("it is there")
}

async fn lineage(house: &House, old: i64, new: i64) -> (Option<i64>, Option<i64>) {
    sqlx::query_as(
        "select
            (select replay_of from engine.jobs where id = $2),
            (select replayed_as from engine.jobs_history where id = $1)",
    )
    .bind(old)
    .bind(new)
    .fetch_one(house.db.pool())
    .await
    .expect("the store answers")
}

#[tokio::test]
async fn a_discarded_job_is_done_again_with_all_that_it_was() {
    let house = House::new().await;
    let job = keyed("k")
        .with_priority(Priority::Live)
        .with_share(Share::Backfill)
        .of_version(3)
        .using(["host:x".to_owned()])
        .if_discarded(named("clean up"));
    let old = house.enqueue_one(job).await;
    let before = whole(&house, old).await;
    let lease = house.claim_one().await;
    house.end(&lease, Err(never())).await;

    let Replayed::Replayed(new) = replay(&house, old, &Replay::default()).await else {
        panic!("it is replayed");
    };
    assert_eq!(whole(&house, new).await, before);
    assert_eq!(lineage(&house, old, new).await, (Some(old), Some(new)));
    let clean_up = house.claim_one().await;
    assert_eq!(name_of(&clean_up), "clean up", "the first end had its consequence");
    let again = house.claim_one().await;
    assert_eq!((again.job_id, again.attempt, again.fence), (new, 1, 1));
    assert_eq!(house.events().await, [format!("replayed job:{old} ann: a test (1)")]);
}

#[tokio::test]
async fn a_job_is_replayed_once_and_after_that_its_replay_is() {
    let house = House::new().await;
    let old = finished(&house, named("a"), Err(never())).await;
    let how = Replay::default();
    let Replayed::Replayed(new) = replay(&house, old, &how).await else { panic!("replayed") };
    assert_eq!(replay(&house, old, &how).await, Replayed::AlreadyReplayed(new));
    assert_eq!(replay(&house, new, &how).await, Replayed::Unfinished(State::Waiting));
    house.end(&house.claim_one().await, Err(never())).await;
    assert_eq!(replay(&house, old, &how).await, Replayed::AlreadyReplayed(new));
    let Replayed::Replayed(newest) = replay(&house, new, &how).await else { panic!("replayed") };
    house.end(&house.claim_one().await, Ok(Outcome::Done)).await;
    assert_eq!(house.state(newest).await, State::Done);
    assert_eq!(replay(&house, 0, &how).await, Replayed::Unknown);
}

#[tokio::test]
async fn of_many_who_replay_the_same_job_at_once_one_does() {
    let house = House::new().await;
    let old = finished(&house, named("a"), Err(never())).await;
    let how = Replay::default();
    let answers = futures::future::join_all((0..8).map(|_| replay(&house, old, &how))).await;
    let new = house.claim(10).await;
    assert_eq!(new.len(), 1);
    let new = new[0].job_id;
    let replayed = answers.iter().filter(|answer| **answer == Replayed::Replayed(new)).count();
    let already = answers.iter().filter(|answer| **answer == Replayed::AlreadyReplayed(new));
    assert_eq!((replayed, already.count()), (1, 7));
}

#[tokio::test]
async fn what_was_done_or_has_killed_is_done_again_only_by_who_says_so() {
    let mut house = House::new().await;
    let done = finished(&house, named("done"), Ok(Outcome::Done)).await;
    assert_eq!(replay(&house, done, &Replay::default()).await, Replayed::Done);
    let how = Replay { done: true, ..Replay::default() };
    assert!(matches!(replay(&house, done, &how).await, Replayed::Replayed(_)));
    house.end(&house.claim_one().await, Ok(Outcome::Done)).await;

    let killer = house.enqueue_one(named("killer")).await;
    for _ in 1..=3 {
        house.db.advance_clock(Duration::from_secs(30)).await;
        house.session = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
        house.claim_one().await;
        house.db.advance_clock(Duration::from_secs(30)).await;
        house.store.rescue(Duration::from_secs(9)).await.expect("answered");
    }
    assert_eq!(replay(&house, killer, &Replay::default()).await, Replayed::Poison);
    let counted = replayable(&house, &discarded()).await;
    assert_eq!(counted, Replayable { jobs: 0, poison: 1, already: 0 });
    assert_eq!(replay_all(&house, &discarded(), &Replay::default()).await, Replays::default());
    let force = Replay { force: true, ..Replay::default() };
    let Replayed::Replayed(new) = replay(&house, killer, &force).await else { panic!("forced") };
    assert_eq!(house.job(new).await.rescues, 0, "it begins anew");
}

#[tokio::test]
async fn arguments_can_be_changed_as_a_merge_patch() {
    let house = House::new().await;
    let old = finished(&house, named("wrong"), Err(never())).await;
    let patch = Some(json!({"name": "right", "more": {"a": 1, "b": null}}));
    replay(&house, old, &Replay { patch, ..Replay::default() }).await;
    let lease = house.claim_one().await;
    assert_eq!(lease.args, json!({"name": "right", "more": {"a": 1}}));

    let mut connection = house.connection().await;
    let list = Replay { patch: Some(json!(["a"])), ..Replay::default() };
    let refused = house.queue.replay(&mut connection, old, &list, &ANN).await;
    assert_eq!(refused.expect_err("refused").to_string(), "patch: give a JSON object (RFC 7396)");
}

#[tokio::test]
async fn a_merge_patch_is_that_of_rfc_7396() {
    let house = House::new().await;
    // Its appendix A.
    for (target, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        let merged: Value = sqlx::query_scalar("select engine.merge_patch($1, $2)")
            .bind(&target)
            .bind(&patch)
            .fetch_one(house.db.pool())
            .await
            .expect("merged");
        assert_eq!(merged, result, "{target} + {patch}");
    }
}

#[tokio::test]
async fn a_key_that_an_unfinished_job_has_is_an_answer_and_no_error() {
    let house = House::new().await;
    let first = finished(&house, keyed("k"), Err(never())).await;
    let second = finished(&house, keyed("k"), Err(never())).await;
    let other = house.enqueue_one(keyed("k")).await;
    assert_eq!(replay(&house, first, &Replay::default()).await, Replayed::Existing(other));
    assert_eq!(house.cancel(other).await, Cancelled::Cancelled);
    // Of two with the same key, one can be done again now.
    let replays = replay_all(&house, &discarded(), &Replay::default()).await;
    assert_eq!((replays.replayed.len(), &*replays.existing), (1, &[second][..]));
    assert_eq!(replays.replayed[0].0, first);
    let counted = replayable(&house, &discarded()).await;
    assert_eq!(counted, Replayable { jobs: 1, poison: 0, already: 1 });
}

#[tokio::test]
async fn a_choice_takes_what_it_says_and_no_more() {
    let house = House::new().await;
    let mut ids = Vec::new();
    for (job, ending) in [
        (named("old"), Err(never())),
        (keyed("other kind"), Err(never())),
        (named("other error"), Err(Failure::permanent(anyhow::anyhow!("400")))),
        (named("done"), Ok(Outcome::Done)),
    ] {
        ids.push(finished(&house, job, ending).await);
    }
    let cancelled = house.enqueue_one(named("cancelled")).await;
    house.cancel(cancelled).await;
    house.wait(HOUR).await;
    let late = finished(&house, named("late"), Err(never())).await;
    let between = recomamp::clock::now(house.db.pool()).await.expect("a time") - HOUR / 2;

    let default = Finished::default;
    for (filter, chosen) in [
        (Finished { queue: Some("elsewhere".into()), ..default() }, vec![]),
        (Finished { kind: Some("keyed".into()), ..default() }, vec![ids[1]]),
        (Finished { error: Some("400".into()), ..default() }, vec![ids[2]]),
        (Finished { state: Some(State::Cancelled), ..default() }, vec![cancelled]),
        (Finished { state: Some(State::Done), ..default() }, vec![ids[3]]),
        (Finished { finished_after: Some(between), ..default() }, vec![late]),
        (Finished { finished_before: Some(between), ..default() }, vec![ids[0]]),
    ] {
        let expected = u64::try_from(chosen.len()).expect("a few");
        let counted = replayable(&house, &filter).await;
        assert_eq!(counted.jobs, expected, "{filter}: a look changes nothing");
        let replays = replay_all(&house, &filter, &Replay::default()).await;
        let old: Vec<i64> = replays.replayed.iter().map(|(old, _)| *old).collect();
        assert_eq!(old, chosen, "{filter}");
        assert_eq!(replay_all(&house, &filter, &Replay::default()).await, Replays::default());
    }
    let mut connection = house.connection().await;
    let (all, how) = (default(), Replay::default());
    let refused = house.queue.replay_all(&mut connection, &all, &how, &ANN).await;
    assert!(refused.expect_err("refused").to_string().starts_with("filter: "));
}

#[tokio::test]
async fn a_rate_spreads_the_replays_in_the_order_in_which_they_failed() {
    let house = House::new().await;
    let mut failed = Vec::new();
    for n in 0..5 {
        failed.push(finished(&house, named(&n.to_string()), Err(never())).await);
        house.wait(Duration::from_secs(1)).await;
    }
    let how = Replay { per_second: Some(0.005), ..Replay::default() };
    let replays = replay_all(&house, &discarded(), &how).await;
    assert_eq!(replays.replayed.iter().map(|(old, _)| *old).collect::<Vec<_>>(), failed);
    for n in 0..5 {
        let due = house.claim(10).await;
        assert_eq!(due.len(), 1, "one every two hundred seconds");
        assert_eq!(name_of(&due[0]), n.to_string());
        house.wait(Duration::from_secs(200)).await;
    }
}

#[tokio::test]
async fn ten_thousand_are_replayed_with_one_request() {
    let house = House::new().await;
    let jobs: Vec<NewJob> = (0..10_000).map(|n| keyed(&n.to_string())).collect();
    let ids: Vec<i64> = house.enqueue(&jobs).await.into_iter().map(Enqueued::id).collect();
    let mut connection = house.connection().await;
    let cancelled = house.queue.cancel(&mut connection, &ids, &ANN).await.expect("cancelled");
    assert!(cancelled.iter().all(|answer| *answer == Cancelled::Cancelled));
    let filter = Finished { kind: Some("keyed".into()), ..Finished::default() };
    let replays = replay_all(&house, &filter, &Replay::default()).await;
    assert_eq!((replays.replayed.len(), replays.existing.len()), (10_000, 0));
    assert_eq!(replay_all(&house, &filter, &Replay::default()).await, Replays::default());
    let last = house.events().await.pop().expect("an event");
    assert_eq!(last, "replayed jobs kind=keyed ann: a test (10000)");
}

#[tokio::test]
async fn a_replay_takes_a_place_again_unless_its_holder_still_has_it() {
    let house = House::new().await;
    house.limit("place", 1).await;
    let holding = || named("a").using(["place".to_owned()]).holding_as("holder".to_owned());
    let old = finished(&house, holding(), Err(never())).await;
    let Replayed::Replayed(new) = replay(&house, old, &Replay::default()).await else {
        panic!("it is replayed");
    };
    let lease = house.claim_one().await;
    assert_eq!(lease.job_id, new, "the place is its own");
    house.end(&lease, Err(never())).await;
    assert!(house.release("holder").await);

    replay(&house, new, &Replay::default()).await;
    let lease = house.claim_one().await;
    house.end(&lease, Ok(Outcome::Done)).await;
    assert!(house.release("holder").await, "it took one again");
}

#[tokio::test]
async fn a_replay_spends_its_own_attempts() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a")).await;
    for _ in 0..3 {
        house.wait(HOUR).await;
        let lease = house.claim_one().await;
        house.end(&lease, Err(boom())).await;
    }
    assert_eq!(house.state(id).await, State::Discarded);
    replay(&house, id, &Replay::default()).await;
    for attempt in 1..=3 {
        house.wait(HOUR).await;
        let lease = house.claim_one().await;
        assert_eq!((lease.attempt, lease.max_attempts), (attempt, 3));
        house.end(&lease, Err(boom())).await;
    }
}
