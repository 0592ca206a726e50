//! Jobs that are poison, in all their forms: each ends where it should, and no other one notices.

use super::Fleet;
use super::outside::{Answer, Call, Manner};
use super::worker::caller;
use crate::harness::eventually::eventually;
use recomamp::queue::NewJob;
use std::time::Duration;

const WORKERS: usize = 2;
const SLOTS: usize = 4;
const NEIGHBOURS: usize = 6;

/// How a job ended: its state, its attempts and what was said last.
async fn end(fleet: &Fleet, name: &str) -> (String, i16, String) {
    sqlx::query_as(
        "select state::text, attempt, coalesce(last_error, '') from engine.jobs_history
        where args ->> 'name' = $1",
    )
    .bind(name)
    .fetch_one(fleet.db.pool())
    .await
    .expect("it has ended")
}

async fn put(fleet: &Fleet, kind: &str, args: &str) {
    sqlx::query(
        "insert into engine.jobs (run_at, created_at, timeout_ms, priority, max_attempts, queue,
            kind, args)
        values (engine.now(), engine.now(), 1000, 0, 3, 'default', $1, $2::jsonb)",
    )
    .bind(kind)
    .bind(args)
    .execute(fleet.db.pool())
    .await
    .expect("inserted");
}

/// So many jobs are with the outside now.
async fn all_call(fleet: &Fleet, count: usize) {
    eventually("all are with the outside", async || fleet.outside.in_flight("all") == count).await;
}

async fn none_is_left(fleet: &Fleet, of: &'static str) {
    eventually("they are done", async || fleet.count(of).await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_or_is_not_known_or_panics_ends_where_it_should() {
    let mut fleet = Fleet::with_slots(SLOTS).await;
    fleet.outside.behaves("panics", Manner::WhenTold);
    put(&fleet, "caller", r#"{"name": "unreadable"}"#).await;
    put(&fleet, "unheard_of", r#"{"name": "unknown"}"#).await;
    fleet.enqueue(&[caller("panics", &["all"])]).await;
    fleet.start(WORKERS).await;
    all_call(&fleet, 1).await;
    assert_eq!(fleet.outside.tell(|_| true, &Answer::Panic), 1);
    eventually("it waits to be tried again, or is being so already", async || {
        let again = "select count(*) from engine.jobs
            where args ->> 'name' = 'panics'
              and (attempt = 1 and state = 'waiting' or attempt = 2)";
        fleet.count(again).await == 1
    })
    .await;
    fleet.wait(Duration::from_secs(2)).await;
    all_call(&fleet, 1).await;
    assert_eq!(fleet.outside.tell(|_| true, &Answer::Good), 1);
    fleet.enqueue(&(0..20).map(|n| caller(&n.to_string(), &["all"])).collect::<Vec<_>>()).await;
    none_is_left(&fleet, "select count(*) from engine.jobs where kind = 'caller'").await;

    let (state, _, said) = end(&fleet, "unreadable").await;
    assert_eq!(state, "discarded");
    assert!(said.contains("cannot be read"), "{said}");
    let (state, attempts, said) = end(&fleet, "panics").await;
    assert_eq!((state.as_str(), attempts), ("done", 2));
    assert_eq!(said, "the handler panicked: as told");
    let untouched = "select count(*) from engine.jobs
        where kind = 'unheard_of' and state = 'waiting' and attempt = 0 and snoozes = 0";
    assert_eq!(fleet.count(untouched).await, 1, "it is left to others");
    let others = "select count(*) from engine.jobs_history where state = 'done' and attempt = 1";
    assert_eq!(fleet.count(others).await, 20);
    // The panic and the others are all that these processes have seen.
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_kills_its_process_three_times_is_poison_and_its_neighbours_lose_no_attempt() {
    let mut fleet = Fleet::with_slots(SLOTS).await;
    fleet.outside.behaves("all", Manner::WhenTold);
    fleet.start(WORKERS).await;
    for (killer, answer, signals) in [
        ("overflows", Answer::Overflow, ["SIGABRT", "SIGSEGV"]),
        ("kills", Answer::Kill, ["SIGKILL", "SIGKILL"]),
    ] {
        fleet.enqueue(&[caller(killer, &["all"])]).await;
        for death in 1..=3 {
            let how = one_death(&mut fleet, killer, &answer, death).await;
            assert!(signals.iter().any(|signal| how.contains(signal)), "{how}");
        }
        let (state, _, said) = end(&fleet, killer).await;
        assert_eq!(state, "discarded");
        assert!(said.starts_with("poison: its process died 3 times"), "{said}");
    }
    let spent = "select count(*) from engine.jobs_history
        where args ->> 'name' like 'neighbour%' and (attempt <> 1 or state <> 'done')";
    assert_eq!(fleet.count(spent).await, 0);
    let shared = "select sum(rescues)::bigint from engine.jobs_history
        where args ->> 'name' like 'neighbour%'";
    assert!(fleet.count(shared).await > 0, "some were in the processes that died");
    fleet.stop().await;
}

/// The killer kills its process, in which neighbours are at work. They are done in another one.
async fn one_death(fleet: &mut Fleet, killer: &str, answer: &Answer, death: usize) -> String {
    let neighbours: Vec<NewJob> = (0..NEIGHBOURS)
        .map(|n| caller(&format!("neighbour of {killer} {death} {n}"), &["all"]))
        .collect();
    fleet.enqueue(&neighbours).await;
    all_call(fleet, NEIGHBOURS + 1).await;
    let calls = |call: &&Call| call.ended.is_none() && call.asks.name == killer;
    let pid = fleet.outside.calls(|all| all.iter().find(calls).expect("it calls").asks.pid);
    assert_eq!(fleet.outside.tell(|asks| asks.name == killer, answer), 1);
    let index = fleet.workers.iter().position(|worker| worker.pid() == pid).expect("one of ours");
    let worker = fleet.workers.swap_remove(index);
    let how = fleet.bury(worker).await;
    fleet.start(1).await;
    let lost = "select count(*) from engine.sessions where end_reason = 'lost'";
    let before = fleet.buried;
    eventually("its jobs are taken back", async || fleet.count(lost).await == before).await;
    // After its second death a job waits for a random moment.
    fleet.wait(Duration::from_secs(30)).await;
    let left = usize::from(death < 3);
    all_call(fleet, NEIGHBOURS + left).await;
    let innocent = |name: &str| name.starts_with("neighbour");
    assert_eq!(fleet.outside.tell(|asks| innocent(&asks.name), &Answer::Good), NEIGHBOURS);
    none_is_left(fleet, "select count(*) from engine.jobs where args ->> 'name' like 'neighbour%'")
        .await;
    how
}
