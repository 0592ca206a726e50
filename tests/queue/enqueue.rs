//! A job enters, with its data or not at all.

use super::{House, keyed, named};
use recomamp::queue::{Enqueued, Outcome};
use std::collections::HashSet;

#[tokio::test]
async fn a_job_and_the_data_it_belongs_to_appear_together_or_not_at_all() {
    let house = House::new().await;
    let mut transaction = house.db.pool().begin().await.expect("begun");
    house.queue.enqueue(&mut transaction, &[named("a")]).await.expect("enqueued");
    transaction.rollback().await.expect("rolled back");
    assert!(house.claim(10).await.is_empty());
}

#[tokio::test]
async fn a_duplicate_is_an_answer_and_the_transaction_goes_on() {
    let house = House::new().await;
    let mut transaction = house.db.pool().begin().await.expect("begun");
    let first = house.queue.enqueue(&mut transaction, &[keyed("k")]).await.expect("enqueued")[0];
    let both = house.queue.enqueue(&mut transaction, &[keyed("k"), keyed("other")]).await;
    let both = both.expect("a duplicate is no error");
    transaction.commit().await.expect("the transaction is not aborted");

    assert!(matches!(first, Enqueued::Inserted(_)));
    assert_eq!(both[0], Enqueued::Existing(first.id()));
    assert!(matches!(both[1], Enqueued::Inserted(_)));
    assert_eq!(house.claim(10).await.len(), 2);
}

#[tokio::test]
async fn a_key_given_twice_in_one_batch_makes_one_job() {
    let house = House::new().await;
    let answers = house.enqueue(&[keyed("k"), named("n"), keyed("k")]).await;
    assert!(matches!(answers[0], Enqueued::Inserted(_)));
    assert!(matches!(answers[1], Enqueued::Inserted(_)));
    assert_eq!(answers[2], Enqueued::Existing(answers[0].id()));
}

#[tokio::test]
async fn thousands_of_jobs_are_enqueued_at_once_and_the_answers_are_in_their_order() {
    let house = House::new().await;
    let jobs: Vec<_> = (0..3000)
        .map(|n| if n % 2 == 0 { named(&n.to_string()) } else { keyed(&n.to_string()) })
        .collect();
    let answers = house.enqueue(&jobs).await;

    let ids: HashSet<i64> = answers.iter().map(|answer| answer.id()).collect();
    assert_eq!(ids.len(), 3000);
    for at in [0, 1, 2, 1499, 2998, 2999] {
        let args = house.job(answers[at].id()).await.args;
        let name = args.get("name").or(args.get("key")).expect("it has one of them");
        assert_eq!(name, &at.to_string());
    }
}

#[tokio::test]
async fn a_key_is_free_again_when_its_job_has_finished() {
    let house = House::new().await;
    let first = house.enqueue_one(keyed("k")).await;
    let lease = house.claim_one().await;
    assert_eq!(house.enqueue(&[keyed("k")]).await, [Enqueued::Existing(first)]);
    house.end(&lease, Ok(Outcome::Done)).await;
    assert!(matches!(house.enqueue(&[keyed("k")]).await[0], Enqueued::Inserted(id) if id != first));
}

#[tokio::test]
async fn transactions_that_enqueue_one_key_at_the_same_time_make_one_job() {
    let house = House::new().await;
    let attempts = (0..20).map(|_| async { house.enqueue(&[keyed("k")]).await });
    let answers: Vec<_> = futures::future::join_all(attempts).await.concat();
    let inserted = answers.iter().filter(|a| matches!(a, Enqueued::Inserted(_))).count();
    let ids: HashSet<i64> = answers.iter().map(|answer| answer.id()).collect();
    assert_eq!((inserted, ids.len()), (1, 1));
}

#[tokio::test]
async fn transactions_that_enqueue_the_same_keys_in_another_order_do_not_wait_in_a_ring() {
    let house = House::new().await;
    let mut first = house.db.pool().begin().await.expect("begun");
    house.queue.enqueue(&mut first, &[keyed("a")]).await.expect("enqueued");
    let jobs = [keyed("b"), keyed("a")];
    let second = house.enqueue(&jobs);
    let first = async {
        house.db.until_somebody_waits_for_a_lock().await;
        house.queue.enqueue(&mut first, &[keyed("b")]).await.expect("nobody has it");
        first.commit().await.expect("committed");
    };
    let (answers, ()) = tokio::join!(second, first);
    assert!(answers.iter().all(|answer| matches!(answer, Enqueued::Existing(_))));
}

#[tokio::test]
async fn a_waiting_job_can_be_made_due_at_once_by_its_key() {
    let house = House::new().await;
    house.enqueue(&[keyed("k").after(std::time::Duration::from_secs(3600))]).await;
    assert!(house.claim(1).await.is_empty());
    let mut connection = house.db.pool().acquire().await.expect("a connection");
    assert!(house.queue.hasten(&mut connection, "keyed", "k").await.expect("hastened"));
    assert!(!house.queue.hasten(&mut connection, "keyed", "nobody").await.expect("asked"));
    assert_eq!(house.claim(1).await.len(), 1);
}
