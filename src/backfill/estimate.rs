//! What a backfill will ask of AMC and how long it may take: arithmetic that a person can check by hand.
//!
//! - Executions run in **rounds**: an instance has so many places, and so has its account. 52 slices in
//!   10 places are 6 rounds.
//! - A round lasts as long as one execution, from its submit to its stored result: half of them are done
//!   within `p50`, nineteen of twenty within `p95`. Both come from the instance's own last executions,
//!   or from what Amazon's documents suggest when there are too few.
//! - We see that an execution has ended when we look, so an assumed time is rounded up to the next look.
//! - Instances work side by side: the slowest one, or its account, says when all is done.
//!
//! Retries, throttling and what others run on the same instance are not in it.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long an execution is assumed to take at AMC while an instance has not finished
/// [`MEASURED_MIN`]: the example of Amazon's documents takes three minutes, and a quarter of an hour is
/// what people report for large queries.
const ASSUMED_P50: Duration = Duration::from_secs(180);
/// See [`ASSUMED_P50`].
const ASSUMED_P95: Duration = Duration::from_secs(900);

/// Fewer finished executions than this say nothing about the next ones.
pub const MEASURED_MIN: u64 = 5;

/// Executions a day and instance that Amazon's own Postman collection speaks of. Nobody has seen it
/// enforced, and we do not enforce it: `recomamp gates set amc_instance:… --quota` does.
pub const AD_HOC_PER_DAY: u64 = 30;

/// How long an access token is good for.
/// <https://developer.amazon.com/docs/login-with-amazon/access-token.html>
const TOKEN_LASTS: Duration = Duration::from_secs(3600);

const DAY: u64 = 86_400;

/// When an execution is looked at: first after `first`, then each pause twice as long, up to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Curve {
    /// Before the first look.
    pub first: Duration,
    /// Between any two looks, at most.
    pub max: Duration,
}

/// How long executions take from their submit to their stored result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RunTime {
    /// Half of them take no longer, in seconds.
    pub p50_seconds: u64,
    /// Nineteen of twenty take no longer, in seconds.
    pub p95_seconds: u64,
    /// How many finished executions of the instance say so; 0 when it is an assumption.
    pub measured_on: u64,
}

impl RunTime {
    /// What the instance's last executions say.
    pub fn measured(p50: Duration, p95: Duration, measured_on: u64) -> Self {
        Self { p50_seconds: p50.as_secs().max(1), p95_seconds: p95.as_secs().max(1), measured_on }
    }

    /// What is assumed when there are too few: as long as Amazon suggests, until the next look.
    pub fn assumed(curve: Curve) -> Self {
        let seen = |run: Duration| looks(run, curve).1.as_secs().max(1);
        Self { p50_seconds: seen(ASSUMED_P50), p95_seconds: seen(ASSUMED_P95), measured_on: 0 }
    }

    fn or_longer(self, other: Self) -> Self {
        Self {
            p50_seconds: self.p50_seconds.max(other.p50_seconds),
            p95_seconds: self.p95_seconds.max(other.p95_seconds),
            measured_on: self.measured_on.min(other.measured_on),
        }
    }
}

/// What one collection needs, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// AMC's id of the instance.
    pub instance: String,
    /// Amazon's id of its account.
    pub account: String,
    /// In whose name.
    pub user: String,
    /// Slices that need an execution.
    pub executions: u64,
    /// How many executions may be open on the instance; none for no limit.
    pub instance_places: Option<u64>,
    /// How many may be open on the account; none for no limit.
    pub account_places: Option<u64>,
    /// How many executions may begin a day on the instance; none for no quota.
    pub per_day: Option<u64>,
    /// How long its executions take.
    pub run_time: RunTime,
}

/// Calls to Amazon, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Executions submitted.
    pub submits: u64,
    /// Looks at an execution, at most: one for each point of the polling curve and one before its result
    /// is fetched. With more than five open on an instance one list call replaces many of them.
    pub status: u64,
    /// Times that the addresses of a result are asked for.
    pub download_addresses: u64,
    /// Result files, at least: one an execution.
    pub files: u64,
    /// Access tokens, each good for an hour.
    pub tokens: u64,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Calls to Amazon.
    pub calls: Calls,
    /// How often the places of the busiest instance or account are filled.
    pub rounds: Option<u64>,
    /// Half of such backfills take no longer, in seconds; none when there is no place at all.
    pub eta_p50_seconds: Option<u64>,
    /// Every execution as slow as the slowest in twenty, in seconds.
    pub eta_p95_seconds: Option<u64>,
    /// On how many days work begins under the instance's daily quota; none without one.
    pub quota_days: Option<u64>,
    /// On how many days work would begin if AMC allowed [`AD_HOC_PER_DAY`] executions an instance.
    pub ad_hoc_days: u64,
}

/// What these collections come to together.
pub fn estimate(loads: &[Load], curve: Curve) -> Estimate {
    let instances = gathered(loads, |load| (&load.instance, load.instance_places));
    let accounts = gathered(loads, |load| (&load.account, load.account_places));
    let crowds = instances.values().chain(accounts.values());
    let most = |of: &dyn Fn(&Crowd) -> Option<u64>| {
        crowds
            .clone()
            .map(of)
            .collect::<Option<Vec<_>>>()
            .map(|all| all.into_iter().max().unwrap_or(0))
    };
    let quota_days = instances.values().filter_map(Crowd::quota_days).max();
    // The last day's share may begin at midnight and is done some rounds later.
    let at_least = quota_days.map_or(0, |days| days.saturating_sub(1) * DAY);
    let eta = |seconds: Option<u64>| seconds.map(|seconds| seconds.max(at_least));
    let eta_p50_seconds = eta(most(&|crowd| Some(crowd.rounds()? * crowd.run_time.p50_seconds)));
    Estimate {
        calls: calls(loads, curve, eta_p50_seconds),
        rounds: most(&Crowd::rounds),
        eta_p50_seconds,
        eta_p95_seconds: eta(most(&|crowd| Some(crowd.rounds()? * crowd.run_time.p95_seconds))),
        quota_days,
        ad_hoc_days: instances
            .values()
            .map(|crowd| crowd.executions.div_ceil(AD_HOC_PER_DAY))
            .max()
            .unwrap_or(0),
    }
}

/// How many looks see the end of an execution that takes so long, and after which time the last does.
pub fn looks(run: Duration, curve: Curve) -> (u64, Duration) {
    let first = curve.first.max(Duration::from_millis(1));
    let max = curve.max.max(first);
    let (mut count, mut at, mut pause) = (1, first, first);
    while at < run && pause < max {
        at += pause;
        pause = pause.saturating_mul(2).min(max);
        count += 1;
    }
    // From here on the looks are evenly spaced.
    let left = run.saturating_sub(at).as_millis().div_ceil(max.as_millis());
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    (count + u64::from(left), at + max * left)
}

fn calls(loads: &[Load], curve: Curve, eta_seconds: Option<u64>) -> Calls {
    let asking = || loads.iter().filter(|load| load.executions > 0);
    let submits = asking().map(|load| load.executions).sum();
    let status = asking().map(|load| load.executions * (load.looks(curve) + 1)).sum();
    let users: BTreeSet<&str> = asking().map(|load| load.user.as_str()).collect();
    let hours = eta_seconds.unwrap_or(0).div_ceil(TOKEN_LASTS.as_secs()).max(1);
    Calls {
        submits,
        status,
        download_addresses: submits,
        files: submits,
        tokens: u64::try_from(users.len()).unwrap_or(u64::MAX) * hours,
    }
}

impl Load {
    fn looks(&self, curve: Curve) -> u64 {
        looks(Duration::from_secs(self.run_time.p50_seconds), curve).0
    }
}

/// All that share an instance or an account.
#[derive(Debug, Clone, Copy)]
struct Crowd {
    executions: u64,
    places: Option<u64>,
    per_day: Option<u64>,
    run_time: RunTime,
}

impl Crowd {
    /// How often its places are filled; none when it has none.
    fn rounds(&self) -> Option<u64> {
        match self.places {
            _ if self.executions == 0 => Some(0),
            None => Some(1),
            Some(places) => (places > 0).then(|| self.executions.div_ceil(places)),
        }
    }

    /// Days under the daily quota.
    fn quota_days(&self) -> Option<u64> {
        Some(self.executions.div_ceil(self.per_day?.max(1)))
    }
}

fn gathered<'a>(
    loads: &'a [Load],
    place: impl Fn(&'a Load) -> (&'a String, Option<u64>),
) -> BTreeMap<&'a str, Crowd> {
    let mut crowds: BTreeMap<&str, Crowd> = BTreeMap::new();
    for load in loads.iter().filter(|load| load.executions > 0) {
        let (name, places) = place(load);
        let alone = Crowd { executions: 0, places, per_day: load.per_day, run_time: load.run_time };
        let crowd = crowds.entry(name).or_insert(alone);
        crowd.executions += load.executions;
        crowd.run_time = crowd.run_time.or_longer(load.run_time);
    }
    crowds
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURVE: Curve = Curve { first: Duration::from_secs(20), max: Duration::from_secs(300) };

    fn load(instance: &str, executions: u64) -> Load {
        Load {
            instance: instance.to_owned(),
            account: "ENTITY1".to_owned(),
            user: "ana@example.com".to_owned(),
            executions,
            instance_places: Some(10),
            account_places: Some(200),
            per_day: None,
            run_time: RunTime::assumed(CURVE),
        }
    }

    #[test]
    fn looks_come_after_20_40_80_160_320_620_and_920_seconds() {
        for (run, count, seen) in [(1, 1, 20), (20, 1, 20), (21, 2, 40), (180, 5, 320)] {
            let expected = (count, Duration::from_secs(seen));
            assert_eq!(looks(Duration::from_secs(run), CURVE), expected, "{run} s");
        }
        assert_eq!(looks(Duration::from_secs(900), CURVE), (7, Duration::from_secs(920)));
        assert_eq!(looks(Duration::from_secs(21_600), CURVE), (76, Duration::from_secs(21_620)));
        let none = Curve { first: Duration::ZERO, max: Duration::ZERO };
        assert_eq!(looks(Duration::from_millis(3), none), (3, Duration::from_millis(3)));
    }

    #[test]
    fn fifty_two_weeks_on_a_new_instance_as_worked_out_by_hand() {
        let estimate = estimate(&[load("amc1", 52)], CURVE);
        // 52 in 10 places are 6 rounds; 180 s are seen after 320 s, by the 5th look; 900 s after 920 s.
        assert_eq!(estimate.rounds, Some(6));
        assert_eq!(estimate.eta_p50_seconds, Some(6 * 320));
        assert_eq!(estimate.eta_p95_seconds, Some(6 * 920));
        let expected = Calls {
            submits: 52,
            status: 52 * (5 + 1),
            download_addresses: 52,
            files: 52,
            tokens: 1,
        };
        assert_eq!(estimate.calls, expected);
        assert_eq!((estimate.quota_days, estimate.ad_hoc_days), (None, 2));
    }

    #[test]
    fn what_the_instance_measured_counts_as_it_is() {
        let minute = Duration::from_secs(60);
        let run_time = RunTime::measured(minute, minute * 4, 200);
        let estimate = estimate(&[Load { run_time, ..load("amc1", 11) }], CURVE);
        assert_eq!((estimate.eta_p50_seconds, estimate.eta_p95_seconds), (Some(120), Some(480)));
        assert_eq!(estimate.calls.status, 11 * (3 + 1), "looked at after 20, 40 and 80 s");
    }

    #[test]
    fn instances_work_side_by_side_until_their_account_is_full() {
        let two = [load("amc1", 52), load("amc2", 20)];
        assert_eq!(estimate(&two, CURVE).rounds, Some(6), "the slower of the two");
        let same = [load("amc1", 52), load("amc1", 20)];
        assert_eq!(estimate(&same, CURVE).rounds, Some(8), "72 in 10 places");
        let crowded: Vec<_> = (0..500).map(|n| load(&format!("amc{n}"), 520)).collect();
        let estimate = estimate(&crowded, CURVE);
        assert_eq!(estimate.rounds, Some(1_300), "260,000 in the account's 200 places");
        assert_eq!(estimate.calls.submits, 260_000);
        // 1,300 rounds of 320 s are 115 h 33 min: one user, a token an hour.
        assert_eq!(estimate.calls.tokens, 116);
    }

    #[test]
    fn without_a_place_there_is_no_end_and_without_a_limit_one_round() {
        let shut = estimate(&[Load { instance_places: Some(0), ..load("amc1", 1) }], CURVE);
        assert_eq!((shut.rounds, shut.eta_p50_seconds, shut.eta_p95_seconds), (None, None, None));
        let open = Load { instance_places: None, account_places: None, ..load("amc1", 52) };
        assert_eq!(estimate(&[open], CURVE).rounds, Some(1));
    }

    #[test]
    fn a_daily_quota_counts_executions_and_stretches_the_estimate() {
        let with_quota = Load { per_day: Some(15), ..load("amc1", 52) };
        let estimate = estimate(&[with_quota], CURVE);
        assert_eq!(estimate.quota_days, Some(4));
        assert_eq!(estimate.eta_p50_seconds, Some(3 * DAY));
    }

    #[test]
    fn nothing_to_ask_takes_no_call_and_no_time() {
        let nothing = estimate(&[load("amc1", 0)], CURVE);
        assert_eq!(nothing.calls, Calls::default());
        assert_eq!((nothing.rounds, nothing.eta_p50_seconds), (Some(0), Some(0)));
        assert_eq!((nothing.ad_hoc_days, nothing.quota_days), (0, None));
    }
}
