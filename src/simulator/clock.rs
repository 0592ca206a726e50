//! The simulator's two clocks: AMC's own time, which may run fast, and time as its clients feel it.

use chrono::{DateTime, TimeDelta, Utc};
use std::time::{Duration, Instant};

/// Both clocks start at the same moment. AMC's time runs `speed` times as fast as the client's;
/// with a speed of zero both stand still until [`Clock::advance`].
#[derive(Debug)]
pub(crate) struct Clock {
    origin: DateTime<Utc>,
    since: Instant,
    speed: u32,
    advanced: TimeDelta,
}

impl Clock {
    pub(crate) fn new(origin: DateTime<Utc>, speed: u32) -> Self {
        Self { origin, since: Instant::now(), speed, advanced: TimeDelta::zero() }
    }

    /// AMC's time: when executions run and end, and what their timestamps say.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.origin + self.advanced + delta(self.since.elapsed() * self.speed)
    }

    /// The client's time: what a `Retry-After`, an `expires_in` or the length of a fault is measured in.
    pub(crate) fn felt(&self) -> DateTime<Utc> {
        let elapsed = if self.speed == 0 { Duration::ZERO } else { self.since.elapsed() };
        self.origin + self.advanced + delta(elapsed)
    }

    /// Moves both clocks forward.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.advanced += delta(by);
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_without_speed_stands_still_until_it_is_advanced() {
        let origin = DateTime::UNIX_EPOCH;
        let mut clock = Clock::new(origin, 0);
        assert_eq!((clock.now(), clock.felt()), (origin, origin));
        clock.advance(Duration::from_secs(90));
        let later = origin + TimeDelta::seconds(90);
        assert_eq!((clock.now(), clock.felt()), (later, later));
    }

    #[test]
    fn a_fast_clock_is_never_behind_the_time_that_clients_feel() {
        let clock = Clock::new(DateTime::UNIX_EPOCH, 60);
        let felt = clock.felt();
        assert!(clock.now() >= felt);
    }
}
