//! What has to happen again and again, whoever works: schedules fire, tokens are renewed before they
//! end, the past is dropped, what should never be wrong is mended.
//!
//! Any number of schedulers may run. Every duty is safe to do twice, so none of them has to lead.
//!
//! On paper: [`cron`] (when a schedule is due), [`window`] (which days its run asks for), [`misfire`]
//! (which of the times that passed still fire). In the store: [`fire`] (a run for each due time),
//! [`manage`] and [`change`] (what people do), [`view`] (what they are shown), [`due`] (a stored schedule,
//! read), [`pauses`] (when it was paused). What a run then does, and when failures pause its schedule, is the job `run_schedule`.

pub mod change;
pub mod cron;
pub mod due;
pub mod duties;
pub mod fire;
pub mod manage;
pub mod misfire;
pub mod pauses;
pub mod view;
pub mod window;

use crate::queue::Queue;
use crate::store::duties as duties_done;
use duties::Duty;
use rand::Rng;
use sqlx::PgPool;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the duties need.
#[derive(Clone)]
pub struct Desk {
    /// Everything that is stored.
    pub db: PgPool,
    /// Where jobs are asked for.
    pub queue: Queue,
    /// How long finished jobs are kept.
    pub retention: Duration,
}

/// Does every duty, each at its own pace, until `stop` is cancelled.
pub async fn run(desk: Desk, stop: CancellationToken) {
    let mut duties = JoinSet::new();
    for duty in Duty::ALL {
        duties.spawn(again_and_again(*duty, desk.clone(), stop.clone()));
    }
    duties.spawn(fire::run(desk, stop));
    duties.join_all().await;
}

async fn again_and_again(duty: Duty, desk: Desk, stop: CancellationToken) {
    let mut contact: Option<Instant> = None;
    loop {
        // After an outage of the store everybody looks dead, until they have been heard of again.
        let steady = contact.is_some_and(|at| at.elapsed() < 2 * duty.every());
        let fulfilled = async {
            duty.fulfil(&desk, steady).await?;
            Ok::<_, anyhow::Error>(duties_done::done(&desk.db, duty.as_str()).await?)
        };
        match fulfilled.await {
            Ok(()) => contact = Some(Instant::now()),
            Err(error) => {
                contact = None;
                tracing::warn!(%error, duty = duty.as_str(), "will be tried again");
            }
        }
        // Jitter, so that several schedulers do not do the same at the same moment.
        let pause = duty.every().mul_f64(rand::rng().random_range(0.9..1.1));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}
