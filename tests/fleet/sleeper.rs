//! A process that is stopped past its lease and woken again: it can change nothing any more.

use super::Fleet;
use super::outside::{Answer, Manner};
use super::worker::{caller, holder};
use crate::harness::eventually::eventually;
use nix::sys::signal::Signal;
use recomamp::queue::gate::Rule;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_slept_past_its_lease_writes_nothing_and_frees_no_slot_a_second_time() {
    let mut fleet = Fleet::with_slots(4).await;
    fleet.gate("narrow", Rule::Running(Some(2))).await;
    fleet.gate("places", Rule::Holds(Some(1))).await;
    for resource in ["narrow", "places"] {
        fleet.outside.behaves(resource, Manner::WhenTold);
    }
    fleet.enqueue(&["a", "b", "c"].map(|name| caller(name, &["narrow"]))).await;
    fleet.enqueue(&["d", "e"].map(|name| holder(name, "places"))).await;
    fleet.start(1).await;
    let calls = async |narrow, places| {
        eventually("they call", async || {
            (fleet.outside.in_flight("narrow"), fleet.outside.in_flight("places"))
                == (narrow, places)
        })
        .await;
    };
    calls(2, 1).await;
    let asleep = fleet.workers[0].pid();
    fleet.workers[0].signal(Signal::SIGSTOP);
    let second = fleet.spawn().await;
    fleet.workers.push(second);
    // A renewal may have been on its way when it fell asleep.
    eventually("it is given up for lost", async || {
        fleet.fell_silent(asleep).await;
        let lost = "select count(*) from engine.sessions where end_reason = 'lost'";
        fleet.count(lost).await == 1
    })
    .await;
    // Its jobs run again elsewhere, as many as may and no more; its own calls still hang.
    eventually("their jobs call again", async || {
        let again = |call: &&super::outside::Call| call.ended.is_none() && call.asks.pid != asleep;
        fleet.outside.calls(|calls| calls.iter().filter(again).count()) == 3
    })
    .await;
    let counted = "select count(*) from engine.resources
        where (name = 'narrow' and running = 2) or (name = 'places' and held = 1)";
    assert_eq!(fleet.count(counted).await, 2);

    // Now it gets its answers, and wakes.
    assert_eq!(fleet.outside.tell(|asks| asks.pid == asleep, &Answer::Good), 3);
    fleet.outside.gone(asleep);
    fleet.workers[0].signal(Signal::SIGCONT);
    fleet.workers[0].line("what it wrote was refused").await;
    fleet.workers[0].line("working under a new session").await;
    assert_eq!(fleet.count(counted).await, 2, "no slot and no place was freed by it");
    let done = "select count(*) from engine.jobs_history";
    assert_eq!(fleet.count(done).await, 0, "nothing is done yet");
    let mut connection = fleet.db.pool().acquire().await.expect("a connection");
    let mended = recomamp::queue::Queue::new().sweep(&mut connection).await.expect("swept");
    assert_eq!(mended, 0, "there was something to mend");

    // The others finish, and who waited comes in their place.
    assert_eq!(fleet.outside.tell(|_| true, &Answer::Good), 3);
    calls(1, 1).await;
    assert_eq!(fleet.outside.tell(|_| true, &Answer::Good), 2);
    fleet.until_all_is_done().await;
    let spent = "select count(*) from engine.jobs_history where attempt <> 1 or state <> 'done'";
    assert_eq!(fleet.count(spent).await, 0);
    fleet.assert_nothing_leaked().await;
    fleet.stop().await;
}
