//! A small model of the queue, and long random sequences of what may happen to it, on the model and
//! on a real Postgres.
//!
//! `RECOMAMP_TEST_STEPS` says how many steps each test takes, `RECOMAMP_TEST_SEED` which sequence it
//! takes instead of its own. A sequence that fails is printed with its seed, and made shorter first.

mod attempts;
mod checks;
mod claims;
mod ends;
mod expected;
mod gating;
mod jobs;
mod probes;
mod resources;
mod snapshot;
mod steering;
mod steps;
mod world;

use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::{Duration, Instant};
use steps::{GATED, How, Set, Step};
use world::World;

const STEPS: usize = 2_500;
/// How long a sequence that fails is made shorter.
const SHORTEN_FOR: Duration = Duration::from_secs(20);

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok().map(|text| text.parse().ok().expect("a number"))
}

/// Where it fails, and how.
async fn fails(steps: &[Step]) -> Option<(usize, String)> {
    let mut world = match World::new().await {
        Ok(world) => world,
        Err(error) => return Some((0, format!("{error:#}"))),
    };
    for (nth, step) in steps.iter().enumerate() {
        if let Err(error) = world.apply(step).await {
            return Some((nth, format!("{error:#}")));
        }
    }
    world.drain().await.err().map(|error| (steps.len(), format!("in the end: {error:#}")))
}

/// Leaves out what does not matter, as long as there is time.
async fn shortened(mut steps: Vec<Step>, mut why: String) -> (Vec<Step>, String) {
    let began = Instant::now();
    let mut part = steps.len() / 2;
    while part > 0 {
        let mut from = 0;
        while from < steps.len() && began.elapsed() < SHORTEN_FOR {
            let to = (from + part).min(steps.len());
            let fewer = [&steps[..from], &steps[to..]].concat();
            match Box::pin(fails(&fewer)).await {
                Some((nth, error)) => {
                    why = error;
                    steps = fewer;
                    steps.truncate(nth + 1);
                }
                None => from = to,
            }
        }
        part /= 2;
    }
    (steps, why)
}

async fn run(seed: u64) {
    let seed = number("RECOMAMP_TEST_SEED").unwrap_or(seed);
    let count = number("RECOMAMP_TEST_STEPS").unwrap_or(STEPS);
    let mut steps = steps::steps(&mut StdRng::seed_from_u64(seed), count);
    let Some((nth, why)) = Box::pin(fails(&steps)).await else { return };
    steps.truncate(nth + 1);
    let (few, again) = shortened(steps, why.clone()).await;
    let few: Vec<String> = few.iter().map(|step| format!("  {step:?}")).collect();
    panic!(
        "step {nth} of RECOMAMP_TEST_SEED={seed} RECOMAMP_TEST_STEPS={count}: {why}\n\
         {} steps are enough:\n{}\n{again}",
        few.len(),
        few.join("\n")
    );
}

impl World {
    /// Opens every gate and lets everything end: nothing stays behind.
    async fn drain(&mut self) -> anyhow::Result<()> {
        for name in GATED {
            for set in [
                Set::Holds(None),
                Set::Running(None),
                Set::Rate(None),
                Set::Quota(None),
                Set::Breaker(None),
            ] {
                self.apply(&Step::Gate(name, set)).await?;
            }
            self.apply(&Step::Resume(name)).await?;
        }
        for _ in 0..200 {
            if self.model.jobs.is_empty() {
                break;
            }
            for at in 0..3 {
                for queue in [false, true] {
                    let (session, slots) = (at, 1_000);
                    let claim = Step::Claim { session, slots, queue, old: false, dry: true };
                    self.apply(&claim).await?;
                }
            }
            let ends = (0..self.leases.len()).map(|nth| (nth, How::Done)).collect();
            self.apply(&Step::Ack(ends)).await?;
            self.apply(&Step::Wait(1_000_000)).await?;
            self.apply(&Step::Rescue).await?;
            self.apply(&Step::Sweep).await?;
        }
        anyhow::ensure!(self.model.jobs.is_empty(), "never ended: {:?}", self.model.jobs);
        while self.model.resources.values().any(|resource| !resource.holders.is_empty()) {
            self.apply(&Step::Release(0)).await?;
        }
        let left: i64 = sqlx::query_scalar(
            "select (select count(*) from engine.jobs) + (select count(*) from engine.holds)
                + (select coalesce(sum(held + running), 0) from engine.resources)",
        )
        .fetch_one(self.connection())
        .await?;
        anyhow::ensure!(left == 0, "{left} are left of jobs, holds and counts");
        self.apply(&Step::Sweep).await
    }
}

#[tokio::test]
async fn whatever_happens_the_store_comes_to_what_the_model_says_seed_1() {
    run(1).await;
}

#[tokio::test]
async fn whatever_happens_the_store_comes_to_what_the_model_says_seed_2() {
    run(2).await;
}

#[tokio::test]
async fn whatever_happens_the_store_comes_to_what_the_model_says_seed_3() {
    run(3).await;
}

#[tokio::test]
async fn whatever_happens_the_store_comes_to_what_the_model_says_seed_4() {
    run(4).await;
}
