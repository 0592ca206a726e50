//! The dead-API weekend: nobody looks for three days, and on Monday everything is finished, or is paused
//! with its reason.
//!
//! Ada collects 52 weeks on two instances and Bob on a third; everybody has a schedule that is due every
//! hour. Amazon's North America dies for two days, Carol's Europe does not.
//!
//! | when | what happens |
//! |---|---|
//! | Friday 18:00 | three backfills begin, four schedules run |
//! | 18:04 | a worker is killed with SIGKILL, another one starts |
//! | 18:08 | Bob's grant is revoked |
//! | 18:12 | North America is down: 503 to everything, for 48 hours |
//! | Saturday 03:30 | a deploy: every process gets SIGTERM, new ones start |
//! | Sunday 06:10 | a worker is killed with SIGKILL |
//! | 18:12 | North America is back |
//! | 18:16 | Postgres is restarted |
//! | 18:20 | a deploy |
//! | Monday 08:00 | Bob logs in again |
//! | 10:00 | the verdict |
//!
//! The processes, the signals, the HTTP and the Postgres are real. Time is the store's and Amazon's: it
//! is moved from one thing that is due to the next, so 64 hours pass in minutes.

mod cast;
mod clock;
mod incidents;
mod verdict;

use incidents::{Incident, Script};

/// The whole weekend: `make weekend`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make weekend runs it"]
async fn a_weekend_with_a_dead_api_ends_with_everything_finished_or_paused_with_its_reason() {
    play(&Script::weekend()).await;
}

/// The same people and incidents, with an outage of two hours and fewer weeks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evening_with_a_dead_api_ends_with_everything_finished_or_paused_with_its_reason() {
    play(&Script::evening()).await;
}

async fn play(script: &Script) {
    let mut house = cast::House::open(script.weeks).await;
    for (moment, incident) in &script.incidents {
        house.until(*moment).await;
        if *incident == Incident::BobLogsIn {
            verdict::before_bob_is_back(&house).await;
        }
        house.meet(*incident).await;
    }
    verdict::at_the_end(&mut house, script).await;
}
