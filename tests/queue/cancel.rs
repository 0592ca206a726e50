//! Jobs that nobody wants any more end, wherever they are and whatever happens meanwhile.

use super::worker::{Act, Running, patient};
use super::{ANN, House, boom, keyed, named};
use recomamp::queue::error::Class;
use recomamp::queue::gate::Rule;
use recomamp::queue::postgres::Mode;
use recomamp::queue::session::ThisProcess;
use recomamp::queue::steer::{Because, Cancelled, Chosen, Unfinished};
use recomamp::queue::store::{Store, ToCancel};
use recomamp::queue::{Enqueued, Failure, Outcome, Priority, Queue, Share, State, retry};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

async fn cancel_all(house: &House, filter: &Unfinished) -> Chosen {
    let mut connection = house.connection().await;
    house.queue.cancel_all(&mut connection, filter, &ANN).await.expect("the store answers")
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_and_says_by_whom_and_why_and_nothing_follows() {
    let house = House::new().await;
    let id = house.enqueue_one(named("a").if_discarded(named("clean up"))).await;
    assert_eq!(house.cancel(id).await, Cancelled::Cancelled);
    let job = house.job(id).await;
    assert_eq!(job.state, State::Cancelled);
    assert_eq!(job.last_error.as_deref(), Some("cancelled by ann: a test"));
    assert!(house.claim(10).await.is_empty());

    assert_eq!(house.cancel(id).await, Cancelled::AlreadyFinished(State::Cancelled));
    assert_eq!(house.cancel(id + 1000).await, Cancelled::Unknown);
    assert_eq!(house.events().await, [format!("cancelled job:{id} ann: a test (1)")]);
}

#[tokio::test]
async fn several_are_answered_in_their_order() {
    let house = House::new().await;
    let done = house.enqueue_one(named("done")).await;
    house.end(&house.claim_one().await, Ok(Outcome::Done)).await;
    let running = house.enqueue_one(named("running")).await;
    house.claim_one().await;
    let waiting = house.enqueue_one(named("waiting")).await;
    let mut connection = house.connection().await;
    let ids = [waiting, 0, running, done];
    let answers = house.queue.cancel(&mut connection, &ids, &ANN).await.expect("answered");
    let expected = [
        Cancelled::Cancelled,
        Cancelled::Unknown,
        Cancelled::Requested,
        Cancelled::AlreadyFinished(State::Done),
    ];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn one_who_says_not_who_and_why_is_refused() {
    let house = House::new().await;
    let mut connection = house.connection().await;
    for because in [Because { by: "", why: "x" }, Because { by: "ann", why: " " }] {
        let refused = house.queue.cancel(&mut connection, &[1], &because).await;
        assert!(refused.expect_err("refused").to_string().contains("give 1 to"));
    }
}

#[tokio::test]
async fn a_request_that_is_rolled_back_was_none() {
    let house = House::new().await;
    let waiting = house.enqueue_one(named("a")).await;
    let mut transaction = house.db.pool().begin().await.expect("begun");
    house.queue.cancel(&mut transaction, &[waiting], &ANN).await.expect("answered");
    transaction.rollback().await.expect("rolled back");
    assert_eq!(house.claim_one().await.job_id, waiting);
    assert!(house.events().await.is_empty());
}

#[tokio::test]
async fn a_running_job_that_would_wait_again_is_cancelled_instead() {
    let house = House::new().await;
    let error = || anyhow::anyhow!("x");
    let endings: [Result<Outcome, Failure>; 6] = [
        Ok(Outcome::Snooze(HOUR)),
        Err(boom()),
        Err(Failure::throttled(error(), None, "host:x")),
        Err(Failure::unauthorized(error(), "lwa_user:x")),
        Err(Failure::interrupted()),
        Err(Failure::new(Class::Cancelled, error())),
    ];
    for ending in endings {
        let id = house.enqueue_one(named("a")).await;
        let lease = house.claim_one().await;
        assert_eq!(house.cancel(id).await, Cancelled::Requested);
        assert_eq!(house.cancel(id).await, Cancelled::Requested, "asking twice is asking once");
        let asked = house.store.to_cancel(house.session).await.expect("answered");
        let said = "cancelled by ann: a test".to_owned();
        assert_eq!(asked, [ToCancel { job_id: id, fence: lease.fence, said: said.clone() }]);
        let acked = house.end(&lease, ending).await;
        assert!(acked.stale.is_empty());
        let job = house.job(id).await;
        assert_eq!((job.state, job.last_error), (State::Cancelled, Some(said)));
        assert!(house.store.to_cancel(house.session).await.expect("answered").is_empty());
    }
    assert_eq!(house.events().await.len(), 6, "one event each");
}

#[tokio::test]
async fn a_job_that_ends_in_spite_of_the_request_has_ended_as_it_did() {
    let house = House::new().await;
    for (ending, state) in [
        (Ok(Outcome::then(named("next"))), State::Done),
        (Err(Failure::permanent(anyhow::anyhow!("never"))), State::Discarded),
    ] {
        let id = house.enqueue_one(named("a").with_priority(Priority::Urgent)).await;
        let lease = house.claim_one().await;
        house.cancel(id).await;
        house.end(&lease, ending).await;
        assert_eq!(house.state(id).await, state);
        assert_eq!(house.cancel(id).await, Cancelled::AlreadyFinished(state));
    }
    assert_eq!(house.waiting_kinds().await, ["named"], "what the first one asked for");
}

#[tokio::test]
async fn a_job_whose_process_died_after_the_request_does_not_run_again() {
    let mut house = House::new().await;
    let id = house.enqueue_one(named("a").if_discarded(named("clean up"))).await;
    house.claim_one().await;
    house.cancel(id).await;
    house.db.advance_clock(Duration::from_secs(10)).await;
    let rescued = house.store.rescue(Duration::from_secs(9)).await.expect("answered");
    assert_eq!((rescued.cancelled, rescued.requeued, rescued.poisoned), (1, 0, 0));
    let job = house.job(id).await;
    assert_eq!((job.state, job.rescues), (State::Cancelled, 1));
    assert_eq!(job.last_error.as_deref(), Some("cancelled by ann: a test"));
    house.session = house.store.begin_session(&ThisProcess::new()).await.expect("a session");
    assert!(house.claim(10).await.is_empty());
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_gives_back_what_is_wanted_and_ends_the_rest() {
    let house = House::new().await;
    let unwanted = house.enqueue_one(named("a")).await;
    let wanted = house.enqueue_one(named("b")).await;
    house.claim(2).await;
    house.cancel(unwanted).await;
    let given = house
        .store
        .give_back(house.session, "default", &[], Duration::ZERO)
        .await
        .expect("answered");
    assert_eq!(given, 2);
    assert_eq!(house.state(unwanted).await, State::Cancelled);
    assert_eq!(house.state(wanted).await, State::Waiting);
}

#[tokio::test]
async fn a_key_names_a_job_and_is_free_again() {
    let house = House::new().await;
    let first = house.enqueue_one(keyed("k")).await;
    let mut connection = house.connection().await;
    let mut cancel = async || {
        let cancelled = house.queue.cancel_by_key(&mut connection, "keyed", "k", &ANN).await;
        cancelled.expect("answered")
    };
    assert_eq!(cancel().await, Cancelled::Cancelled);
    assert_eq!(cancel().await, Cancelled::Unknown);
    assert_ne!(house.enqueue_one(keyed("k")).await, first);
}

#[tokio::test]
async fn a_choice_takes_what_it_says_and_no_more() {
    let house = House::new().await;
    let all = [
        named("plain"),
        keyed("other kind"),
        named("backfill").with_share(Share::Backfill),
        named("uses").using(["host:x".to_owned()]),
    ];
    let ids: Vec<i64> = house.enqueue(&all).await.into_iter().map(Enqueued::id).collect();
    house.wait(HOUR).await;
    let late = house.enqueue_one(named("late")).await;
    let created = recomamp::clock::now(house.db.pool()).await.expect("a time") - HOUR / 2;

    let none = Unfinished { queue: Some("elsewhere".into()), ..Unfinished::default() };
    let others = Unfinished { kind: Some("keyed".into()), ..Unfinished::default() };
    let backfill = Unfinished { share: Some(Share::Backfill), ..Unfinished::default() };
    let host = Unfinished { resource: Some("host:x".into()), ..Unfinished::default() };
    let new = Unfinished { created_after: Some(created), ..Unfinished::default() };
    let old = Unfinished { created_before: Some(created), ..Unfinished::default() };
    for (filter, gone) in [
        (none, None),
        (others, Some(ids[1])),
        (backfill, Some(ids[2])),
        (host, Some(ids[3])),
        (new, Some(late)),
        (old, Some(ids[0])),
    ] {
        let expected = Chosen { waiting: u64::from(gone.is_some()), running: 0 };
        let mut connection = house.connection().await;
        let counted = house.queue.count(&mut connection, &filter).await.expect("counted");
        assert_eq!(counted, expected, "{filter}: a look changes nothing");
        assert_eq!(cancel_all(&house, &filter).await, expected, "{filter}");
        if let Some(id) = gone {
            assert_eq!(house.state(id).await, State::Cancelled, "{filter}");
        }
    }
    let mut connection = house.connection().await;
    let everything = Unfinished::default();
    let refused = house.queue.cancel_all(&mut connection, &everything, &ANN).await;
    assert!(refused.expect_err("refused").to_string().starts_with("filter: "));
    assert_eq!(house.events().await.len(), 5, "one event a choice, and none for nothing");
}

#[tokio::test]
async fn a_queue_a_kind_and_a_state_can_be_chosen_together() {
    let house = House::new().await;
    let running = house.enqueue_one(named("running")).await;
    house.claim_one().await;
    let waiting = house.enqueue_one(named("waiting")).await;
    let filter = Unfinished {
        resource: Some("queue:default".into()),
        kind: Some("named".into()),
        state: Some(State::Waiting),
        ..Unfinished::default()
    };
    assert_eq!(cancel_all(&house, &filter).await, Chosen { waiting: 1, running: 0 });
    assert_eq!(house.state(waiting).await, State::Cancelled);
    let filter = Unfinished { state: None, ..filter };
    assert_eq!(cancel_all(&house, &filter).await, Chosen { waiting: 0, running: 1 });
    assert_eq!(house.state(running).await, State::Running, "it has still to hear of it");
}

#[tokio::test]
async fn a_cancelled_attempt_gives_its_slot_back_and_keeps_its_hold() {
    let house = House::new().await;
    let mut connection = house.connection().await;
    let one = Rule::Running(Some(1));
    house.queue.set_gate(&mut connection, "host:x", one).await.expect("set");
    house.limit("place", 1).await;
    let first = named("first").using(["host:x".to_owned(), "place".to_owned()]);
    let first = house.enqueue_one(first.holding_as("holder".to_owned())).await;
    let lease = house.claim_one().await;
    let second = house.enqueue_one(named("second").using(["host:x".to_owned()])).await;
    assert!(house.claim(1).await.is_empty(), "there is one slot");
    house.cancel(first).await;
    house.end(&lease, Err(Failure::interrupted())).await;
    assert_eq!(house.claim_one().await.job_id, second);
    assert!(house.release("holder").await, "the place was still held");
}

#[tokio::test]
async fn the_turn_of_a_job_that_was_cancelled_goes_to_the_next_one() {
    let house = House::new().await;
    house.limit("place", 1).await;
    let wanting = |name: &str, kind: &str| {
        let job = if kind == "named" { named(name) } else { keyed(name) };
        job.using(["place".to_owned()]).holding_as(name.to_owned())
    };
    house.enqueue_one(wanting("first", "named")).await;
    let first = house.claim_one().await;
    house.end(&first, Ok(Outcome::Done)).await;
    let second = house.enqueue_one(wanting("second", "named")).await;
    assert!(house.claim(1).await.is_empty());
    let third = house.enqueue_one(wanting("third", "keyed")).await;
    assert!(house.claim(1).await.is_empty());
    // The lane of the second one is opened; the other stays shut, because there is one place.
    assert!(house.release("first").await);
    house.cancel(second).await;
    assert_eq!(house.claim_one().await.job_id, third);
}

#[tokio::test]
async fn cancels_meet_claims_and_acks_and_every_job_ends_as_was_answered() {
    let house = House::new().await;
    let jobs: Vec<_> = (0..300).map(|n| named(&n.to_string())).collect();
    let ids: Vec<i64> = house.enqueue(&jobs).await.into_iter().map(Enqueued::id).collect();

    // Runs everything there is, in batches, in an order that is nobody's; every second one would run again.
    let works = async {
        loop {
            let mut leases = house.claim(16).await;
            if leases.is_empty() {
                break;
            }
            leases.reverse();
            let ending = |job_id: i64| match job_id % 2 {
                0 => Outcome::Done,
                _ => Outcome::Snooze(Duration::ZERO),
            };
            let acks: Vec<_> = leases
                .iter()
                .filter_map(|lease| retry::verdict(lease, Ok(ending(lease.job_id))))
                .collect();
            let acked = house.store.ack(&acks).await.expect("no deadlock");
            assert!(acked.stale.is_empty(), "nobody else runs them");
            tokio::task::yield_now().await;
        }
    };
    let stops = async {
        let mut answers = Vec::new();
        for some in ids.chunks(25) {
            let mut connection = house.connection().await;
            let given = Queue::new().cancel(&mut connection, some, &ANN).await;
            answers.extend(given.expect("no deadlock"));
        }
        answers
    };
    let (answers, ()) = tokio::join!(stops, works);
    for (id, answer) in ids.iter().zip(answers) {
        let state = house.state(*id).await;
        match answer {
            Cancelled::Cancelled => assert_eq!(state, State::Cancelled),
            Cancelled::Requested if id % 2 == 1 => assert_eq!(state, State::Cancelled),
            Cancelled::Requested => assert_eq!(state, State::Done),
            Cancelled::AlreadyFinished(before) => {
                assert_eq!((state, before), (State::Done, before));
            }
            Cancelled::Unknown => panic!("job {id} is somewhere"),
        }
    }
}

#[tokio::test]
async fn two_who_cancel_the_same_jobs_do_not_stand_in_each_others_way() {
    let house = House::new().await;
    let jobs: Vec<_> = (0..200).map(|n| named(&n.to_string())).collect();
    let mut ids: Vec<i64> = house.enqueue(&jobs).await.into_iter().map(Enqueued::id).collect();
    house.claim(100).await;
    let (mut one, mut other) = (house.connection().await, house.connection().await);
    let forwards = ids.clone();
    ids.reverse();
    let (first, second) = tokio::join!(
        house.queue.cancel(&mut one, &forwards, &ANN),
        house.queue.cancel(&mut other, &ids, &ANN)
    );
    let (first, second) = (first.expect("no deadlock"), second.expect("no deadlock"));
    let ended = |answers: &[Cancelled]| {
        answers.iter().filter(|answer| **answer == Cancelled::Cancelled).count()
    };
    assert_eq!(ended(&first) + ended(&second), 100, "each waiting job was cancelled once");
}

#[tokio::test]
async fn a_running_handler_is_stopped_without_waiting_for_the_heartbeat() {
    let mut running = Running::with(Mode::Listen, |settings| {
        settings.renew_every = HOUR;
        settings.patience = 3 * HOUR;
        settings.poll_every = HOUR;
    })
    .await;
    let id = running.house.enqueue_one(patient("w", Act::WatchToken)).await;
    assert_eq!(running.next_start().await, "w 1");
    assert_eq!(running.house.cancel(id).await, Cancelled::Requested);
    assert_eq!(running.next_start().await, "w stopped");
    running.until_state(id, State::Cancelled).await;
    let job = running.house.job(id).await;
    assert_eq!((job.attempt, job.interruptions), (1, 0), "it was not handed back");
    running.stop().await;
}

#[tokio::test]
async fn a_job_that_is_cancelled_on_its_way_to_the_handler_is_stopped_too() {
    let running = Running::with(Mode::Listen, |settings| {
        settings.renew_every = HOUR;
        settings.patience = 3 * HOUR;
    })
    .await;
    // Cancelled at every moment of its way from the queue to the handler.
    for n in 0..40 {
        let id = running.house.enqueue_one(patient(&n.to_string(), Act::WatchToken)).await;
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
        running.house.cancel(id).await;
        running.until_state(id, State::Cancelled).await;
    }
    running.tools.may_end.add_permits(1);
    running.stop().await;
}

#[tokio::test]
async fn without_hints_a_running_handler_is_stopped_with_the_next_heartbeat() {
    let mut running = Running::with(Mode::Poll, |settings| {
        settings.renew_every = Duration::from_millis(100);
        settings.poll_every = Duration::from_millis(50);
    })
    .await;
    let id = running.house.enqueue_one(patient("w", Act::WatchToken)).await;
    assert_eq!(running.next_start().await, "w 1");
    running.house.cancel(id).await;
    assert_eq!(running.next_start().await, "w stopped");
    running.until_state(id, State::Cancelled).await;
    running.stop().await;
}
