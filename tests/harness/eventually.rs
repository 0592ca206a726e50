//! Waits for what has to come true, without saying when.

use std::time::{Duration, Instant};

/// Far longer than anything takes, so that only what is wrong runs into it.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until a condition holds; panics with what was waited for when it never does.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    eventually_some(what, async || holds().await.then_some(())).await;
}

/// Waits until there is something, and gives it back.
pub async fn eventually_some<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain until {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
