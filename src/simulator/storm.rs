//! The storm: a bounded, seeded mix of everything that goes wrong on a bad weekend.

use super::call::Operation as Op;
use super::dice;
use super::faults::{Effect, Fault, Kind};

/// Faults for a backfill of some fifty weeks: throttling with and without `Retry-After`, server
/// errors, connections reset before and after the effect, access lost and restored, addresses that
/// expire and downloads that break. Each is over after a few calls or seconds, so that a client
/// that does the right thing always arrives. The seed decides when each begins.
pub fn storm(seed: u64) -> Vec<Fault> {
    let start = |salt: u64, from: u32, spread: u32| from + dice::below(spread, &[seed, salt]);
    let submit = [Op::CreateExecution];
    let look = [Op::GetExecution, Op::ListExecutions];
    let any = [Op::CreateExecution, Op::GetExecution, Op::ListExecutions, Op::DownloadUrls];
    let throttle = |retry_after, html| Fault::new(Kind::Throttle { retry_after, html });
    let broken = |status, effect| Fault::new(Kind::ServerError { status, effect });
    let reset = |effect| Fault::new(Kind::Reset { effect });
    vec![
        // Access is lost for everybody at once, and comes back.
        Fault::new(Kind::Revoke { seconds: Some(4) }).on(any).after(start(1, 60, 30)).times(1),
        Fault::new(Kind::ForgetTokens).on(any).after(start(2, 120, 30)).times(1),
        Fault::new(Kind::Unauthorized).on(any).after(start(3, 25, 15)).times(2),
        broken(503, Effect::Before).on([Op::Token]).after(1).times(1),
        // Submits whose outcome the client cannot know.
        reset(Effect::After).on(submit).after(start(4, 4, 5)).times(2),
        reset(Effect::After).on(submit).after(start(5, 20, 8)).times(1),
        broken(504, Effect::After).on(submit).after(start(6, 10, 6)).times(2),
        reset(Effect::Before).on(submit).after(start(7, 14, 6)).times(1),
        broken(500, Effect::Before).on(submit).after(start(8, 16, 8)).times(1),
        Fault::new(Kind::Truncated).on(submit).after(start(9, 24, 8)).times(1),
        // Too many requests: one burst that says how long to wait, one that does not, one page.
        throttle(Some(2), false).on(submit).after(start(10, 2, 6)).times(4).lasting(3),
        throttle(None, false).on(look).after(start(11, 15, 20)).times(8).lasting(3),
        throttle(None, true).on(submit).after(start(12, 28, 8)).times(2),
        throttle(Some(1), false).on([Op::DownloadUrls]).after(start(13, 10, 10)).times(3),
        // What a retry of a reading call heals.
        broken(502, Effect::Before).on(look).per_mille(40).times(6),
        broken(503, Effect::Before).on([Op::DownloadUrls]).per_mille(80).times(3),
        reset(Effect::Before).on(look).per_mille(30).times(4),
        Fault::new(Kind::NotReady).per_mille(80).times(4),
        Fault::new(Kind::UrlExpired).per_mille(80).times(5),
        Fault::new(Kind::CutBody).on([Op::Download]).per_mille(60).times(4),
        Fault::new(Kind::ShortBody).on([Op::Download]).per_mille(60).times(2),
        broken(503, Effect::Before).on([Op::Download]).per_mille(60).times(3),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_passes() {
        for fault in storm(7) {
            assert!(fault.count.is_some_and(|count| count <= 10), "{fault:?} has no end");
        }
    }

    #[test]
    fn a_storm_is_decided_by_its_seed() {
        assert_eq!(storm(7), storm(7));
        assert_ne!(storm(7), storm(8));
    }
}
