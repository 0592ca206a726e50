//! A rate: so many starts in any window of a period, decided without I/O.
//!
//! The generic cell rate algorithm (ITU-T I.371, "virtual scheduling"): one time is kept, the
//! theoretical arrival time of the next start, `TAT`. Every start moves it on by the interval `T`,
//! and the next may come when `now ≥ TAT - τ`, with `τ` the tolerance. Starts that follow each
//! other within one window span less than a period, so n of them fit only if
//! `(n - 1) × T < period + τ`. With
//!
//! ```text
//! T = (period + τ) / tokens
//! ```
//!
//! that is n ≤ tokens in **any** half-open window, wherever it begins, while the average is
//! `period / (period + τ)` of the limit. τ is thus what a late claim may catch up, and what it costs.
//! By default τ is 2 % of the period: a claim that comes up to 2 % of a period late loses nothing,
//! and 98 % of the limit can be used. A burst of b starts needs `τ = (b - 1) × T`, which is the
//! better known `T = period / (tokens - b + 1)`: see [`Rate::with_burst`].
//!
//! A job that costs c starts at one instant what would take c intervals, so it must find
//! `(c - 1) × T` of silence before it, less the tolerance. That keeps the promise for any mix of
//! costs. Where costly jobs are the rule, a burst of the usual cost saves them the silence.
//!
//! After a refusal (429) the rate is lowered: multiplicative decrease, additive increase
//! (Chiu & Jain, 1989). The increase is a function of time alone; nobody has to do it.
//!
//! Times count in whole microseconds, as the stores do.

use super::invalid::Invalid;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The tolerance that a rule has by itself: this part of its period.
const DEFAULT_TOLERANCE: i64 = 50;
const LONGEST_PERIOD: Duration = Duration::from_secs(366 * 86_400);
/// 1, as a scale is kept.
const WHOLE: i64 = 1_000_000;
/// A hundredth of the rule, as a scale is kept.
const PERCENT: i64 = WHOLE / 100;
const MINUTE: i64 = 60_000_000;

/// At most `tokens` in any window of a period: rule and state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    tokens: u32,
    /// Microseconds.
    period_us: i64,
    /// τ, in microseconds.
    tolerance_us: i64,
    #[serde(default)]
    slowing: Slowing,
    /// TAT; `None` before the first start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    theoretical_arrival: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slowed: Option<Slowed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<Line>,
}

/// How a rate is lowered after a refusal, and recovers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slowing {
    /// What is left of the present rate after a refusal, in percent: 1 to 100.
    pub to_percent: u8,
    /// The rate never falls below this part of the rule, in percent: 1 to 100.
    pub floor_percent: u8,
    /// What comes back each minute without a refusal, in percent of the rule: at least 1.
    pub recovery_percent_a_minute: u16,
}

impl Default for Slowing {
    fn default() -> Self {
        Self { to_percent: 50, floor_percent: 5, recovery_percent_a_minute: 10 }
    }
}

/// The last decrease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Slowed {
    at: DateTime<Utc>,
    /// What was left of the rule then, in millionths.
    scale_ppm: i64,
}

/// The turns that have been given to those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    last_turn: DateTime<Utc>,
    /// What TAT will be when all have had their turns.
    theoretical_arrival: DateTime<Utc>,
}

impl Rate {
    /// At most `tokens` in any window of `period`, with the default tolerance.
    ///
    /// Refused: no tokens; a period under a millisecond or over 366 days.
    pub fn new(tokens: u32, period: Duration) -> Result<Self, Invalid> {
        if tokens == 0 {
            let remedy = "0 would let nothing start, ever; to stop a resource, pause it";
            return Err(Invalid::new("rate.tokens", remedy));
        }
        if period < Duration::from_millis(1) || period > LONGEST_PERIOD {
            let remedy = format!("{period:?} is not between 1 ms and 366 days");
            return Err(Invalid::new("rate.period", remedy));
        }
        let period_us = i64::try_from(period.as_micros()).expect("366 days fit");
        Ok(Self {
            tokens,
            period_us,
            tolerance_us: period_us / DEFAULT_TOLERANCE,
            slowing: Slowing::default(),
            theoretical_arrival: None,
            slowed: None,
            line: None,
        })
    }

    /// Lets `burst` tokens be taken at one instant. A larger burst costs throughput: on average
    /// `(tokens - burst + 1) / tokens` of the limit can be used.
    ///
    /// Refused: 0, and more than the rate's tokens.
    pub fn with_burst(self, burst: u32) -> Result<Self, Invalid> {
        if burst == 0 || burst > self.tokens {
            let remedy = format!("{burst} is not between 1 and the rate's tokens, {}", self.tokens);
            return Err(Invalid::new("rate.burst", remedy));
        }
        let spread = i64::from(self.tokens - burst) + 1;
        let tolerance_us = i64::from(burst - 1) * ceil_div(self.period_us, spread);
        Ok(Self { tolerance_us, ..self })
    }

    /// Lowers and recovers in another way than the default.
    ///
    /// Refused: percentages out of their range.
    pub fn with_slowing(self, slowing: Slowing) -> Result<Self, Invalid> {
        let percent = 1..=100;
        if !percent.contains(&slowing.to_percent) || !percent.contains(&slowing.floor_percent) {
            let remedy = "to_percent and floor_percent are between 1 and 100";
            return Err(Invalid::new("rate.slowing", remedy));
        }
        if slowing.recovery_percent_a_minute == 0 {
            let remedy = "0 would never recover; take at least 1";
            return Err(Invalid::new("rate.slowing.recovery_percent_a_minute", remedy));
        }
        Ok(Self { slowing, ..self })
    }

    /// This rule takes the place of another: what was taken under that one stays taken, though
    /// nobody waits longer for it than a window of the new rule. Those who have a turn queue up again.
    #[must_use]
    pub fn in_place_of(self, old: &Self, now: DateTime<Utc>) -> Self {
        let longest = now.timestamp_micros().saturating_add(self.period_us + self.tolerance_us);
        let theoretical_arrival = old.arrival_us().map(|tat| instant(tat.min(longest)));
        Self { theoretical_arrival, slowed: old.slowed, line: None, ..self }
    }

    /// At most so many …
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// … in any window of this length.
    pub fn period(&self) -> Duration {
        Duration::from_micros(self.period_us.unsigned_abs())
    }

    /// Whether a job of this cost can ever start: asked when the job is declared.
    ///
    /// A job that is waiting while the rule is lowered below its cost is not stuck: it then takes
    /// the whole of a window.
    pub fn check_cost(&self, cost: u32) -> Result<(), Invalid> {
        if cost > self.tokens {
            let remedy = format!(
                "{cost} is more than the rate ever gives, {} in {:?}: the job could never start; \
                 split it or raise the rate",
                self.tokens,
                self.period()
            );
            return Err(Invalid::new("cost", remedy));
        }
        Ok(())
    }

    /// How many jobs of this cost may start at this instant. A job that costs nothing always may.
    pub fn available(&self, now: DateTime<Utc>, cost: u32) -> u32 {
        if cost == 0 {
            return u32::MAX;
        }
        let now_us = now.timestamp_micros();
        if self.opens_us(self.arrival_us(), cost) > now_us {
            return 0;
        }
        // The first may. Each further one finds TAT moved on by those before it.
        let ahead = self.arrival_us().map_or(0, |tat| (tat - now_us).max(0));
        let cost = self.clamp(cost);
        let room = self.tolerance_us - ahead - (cost - 1) * self.interval_us();
        let further = room.max(0) / (cost * self.slowed_interval_us(now));
        u32::try_from(further.saturating_add(1)).unwrap_or(u32::MAX)
    }

    /// Takes this cost, of one job or of several together. To be called with no more than
    /// [`available`](Self::available) allowed.
    pub fn take(&mut self, now: DateTime<Utc>, cost_total: u32) {
        if cost_total > 0 {
            let tat = self.after(self.arrival_us(), now, now.timestamp_micros(), cost_total);
            self.theoretical_arrival = Some(instant(tat));
        }
    }

    /// When one job of this cost may start, if no other takes its place: `now` or later.
    pub fn opens_at(&self, now: DateTime<Utc>, cost: u32) -> DateTime<Utc> {
        if cost == 0 {
            return now;
        }
        let opens = self.opens_us(self.arrival_us(), cost);
        if opens <= now.timestamp_micros() { now } else { instant(opens) }
    }

    /// Gives a turn of its own to one who waits to start a job of this cost: when to come again.
    ///
    /// Turns follow each other as the starts do that are to come, so that a token wakes one who
    /// waits and not all. A turn is a time to come, not a claim: who comes and finds the rate shut
    /// after all (it was lowered, or one before was late) queues up again; who takes more than one
    /// job's cost takes it from those behind. A turn that nobody uses is lost.
    pub fn queue_up(&mut self, now: DateTime<Utc>, cost: u32) -> DateTime<Utc> {
        if cost == 0 {
            return now;
        }
        let in_line =
            self.line.filter(|_| self.is_queued(now)).map(|line| line.theoretical_arrival);
        let tat = self.arrival_us().max(in_line.map(|tat| tat.timestamp_micros()));
        let turn = self.opens_us(tat, cost).max(now.timestamp_micros());
        let theoretical_arrival = instant(self.after(tat, now, turn, cost));
        self.line = Some(Line { last_turn: instant(turn), theoretical_arrival });
        instant(turn)
    }

    /// Whether turns are still to come, so that a newcomer has to queue up behind them even when
    /// something is available.
    pub fn is_queued(&self, now: DateTime<Utc>) -> bool {
        self.line.is_some_and(|line| line.last_turn > now)
    }

    /// Takes back all turns: some of those who have one do not come any more. False if there were none.
    pub fn line_up_anew(&mut self, now: DateTime<Utc>) -> bool {
        let was_queued = self.is_queued(now);
        self.line = None;
        was_queued
    }

    /// When the last of the turns comes that have been given and are still to come.
    pub fn line_ends(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.line.map(|line| line.last_turn).filter(|last| *last > now)
    }

    /// Lowers the rate because an attempt that began at `began_at` was refused for coming too often.
    /// True if it did; false for an attempt that began before the last decrease, since it says
    /// nothing about the rate as it is now.
    pub fn slow_down(&mut self, now: DateTime<Utc>, began_at: DateTime<Utc>) -> bool {
        if self.slowed.is_some_and(|last| began_at <= last.at) {
            return false;
        }
        let left = self.scale_ppm(now) * i64::from(self.slowing.to_percent) / 100;
        let scale_ppm = left.max(i64::from(self.slowing.floor_percent) * PERCENT);
        self.slowed = Some(Slowed { at: now, scale_ppm });
        true
    }

    /// The part of the rule that is in force: 1 when it has recovered.
    #[expect(clippy::cast_precision_loss, reason = "at most a million")]
    pub fn scale(&self, now: DateTime<Utc>) -> f64 {
        self.scale_ppm(now) as f64 / WHOLE as f64
    }

    fn scale_ppm(&self, now: DateTime<Utc>) -> i64 {
        let Some(slowed) = self.slowed else { return WHOLE };
        let elapsed = (now - slowed.at).num_microseconds().unwrap_or(i64::MAX / WHOLE).max(0);
        let a_minute = i64::from(self.slowing.recovery_percent_a_minute) * PERCENT;
        // Past a hundred minutes even the slowest recovery is over: no need to multiply further.
        let back = elapsed.min(100 * MINUTE) / 1000 * a_minute / (MINUTE / 1000);
        slowed.scale_ppm.saturating_add(back).clamp(1, WHOLE)
    }

    /// T.
    fn interval_us(&self) -> i64 {
        ceil_div(self.period_us + self.tolerance_us, i64::from(self.tokens.max(1))).max(1)
    }

    /// T, as long as the rate is lowered.
    fn slowed_interval_us(&self, now: DateTime<Utc>) -> i64 {
        let slowed = i128::from(self.interval_us()) * i128::from(WHOLE);
        let scale = i128::from(self.scale_ppm(now));
        i64::try_from((slowed + scale - 1) / scale).unwrap_or(i64::MAX)
    }

    fn arrival_us(&self) -> Option<i64> {
        self.theoretical_arrival.map(|tat| tat.timestamp_micros())
    }

    /// No job takes more than a whole window.
    fn clamp(&self, cost: u32) -> i64 {
        i64::from(cost.min(self.tokens))
    }

    /// When a job of this cost may start, with TAT here.
    fn opens_us(&self, tat: Option<i64>, cost: u32) -> i64 {
        let silence = (self.clamp(cost) - 1) * self.interval_us() - self.tolerance_us;
        tat.map_or(i64::MIN, |tat| tat + silence)
    }

    /// TAT after a start at `at`, at the rate in force `now`.
    fn after(&self, tat: Option<i64>, now: DateTime<Utc>, at: i64, cost: u32) -> i64 {
        let cost = self.clamp(cost).saturating_mul(self.slowed_interval_us(now));
        tat.map_or(at, |tat| tat.max(at)).saturating_add(cost)
    }
}

/// A time in microseconds since 1970; the last that can be told if it is beyond.
fn instant(us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(us).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// `a / b`, rounded up; both positive.
fn ceil_div(a: i64, b: i64) -> i64 {
    (a + b - 1) / b
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn start() -> DateTime<Utc> {
        "2024-01-01T00:00:00Z".parse().expect("a time")
    }

    fn rate(tokens: u32, millis: u64) -> Rate {
        Rate::new(tokens, Duration::from_millis(millis)).expect("a rule")
    }

    fn us(n: i64) -> TimeDelta {
        TimeDelta::microseconds(n)
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_refused_with_its_remedy() {
        let message = |r: Result<Rate, Invalid>| r.expect_err("refused").to_string();
        assert!(message(Rate::new(0, Duration::from_secs(1))).contains("pause it"));
        let no_time = message(Rate::new(1, Duration::ZERO));
        assert_eq!(no_time, "rate.period: 0ns is not between 1 ms and 366 days");
        let burst = message(rate(10, 1000).with_burst(11));
        assert_eq!(burst, "rate.burst: 11 is not between 1 and the rate's tokens, 10");
        let slowing = Slowing { recovery_percent_a_minute: 0, ..Slowing::default() };
        assert!(message(rate(10, 1000).with_slowing(slowing)).contains("never recover"));
        let costly = rate(10, 1000).check_cost(11).expect_err("refused").to_string();
        assert!(
            costly.starts_with("cost: 11 is more than the rate ever gives, 10 in 1s"),
            "{costly}"
        );
        assert!(rate(10, 1000).check_cost(10).is_ok());
    }

    #[test]
    fn a_burst_is_given_at_once_and_no_more() {
        let mut rate = rate(10, 1000).with_burst(4).expect("a rule");
        assert_eq!(rate.available(start(), 1), 4);
        assert_eq!(rate.available(start(), 2), 2);
        rate.take(start(), 4);
        assert_eq!(rate.available(start(), 1), 0);
        assert_eq!(rate.opens_at(start(), 1), start() + us(142_858), "a seventh of the period");
    }

    #[test]
    fn what_costs_more_than_the_burst_waits_for_silence_and_then_starts() {
        let mut rate = rate(10, 1000).with_burst(1).expect("a rule");
        rate.take(start(), 1);
        assert_eq!(rate.opens_at(start(), 10), start() + us(1_000_000));
        let opens = rate.opens_at(start(), 10);
        assert_eq!(rate.available(opens, 10), 1);
    }

    #[test]
    fn a_job_that_costs_more_than_a_lowered_rule_takes_a_whole_window() {
        let mut rate = rate(5, 1000).in_place_of(&rate(100, 1000), start());
        rate.take(start(), 1);
        let opens = rate.opens_at(start(), 50);
        assert_eq!(rate.available(opens, 50), 1);
        rate.take(opens, 50);
        assert!(rate.opens_at(opens, 1) >= opens + us(1_000_000));
    }

    #[test]
    fn five_hundred_who_wait_get_five_hundred_turns_and_each_turn_lets_one_start() {
        let mut rate = rate(10, 1000);
        rate.take(start(), 1);
        assert!(!rate.is_queued(start()));
        let turns: Vec<_> = (0..500).map(|_| rate.queue_up(start(), 1)).collect();
        assert!(turns.is_sorted_by(|a, b| *b - *a == us(102_000)), "one interval apart");
        for turn in &turns {
            // A little late, as people and processes are.
            let come = *turn + us(15_000);
            assert_eq!(rate.available(*turn - us(1), 1), 0);
            assert_eq!(rate.available(come, 1), 1);
            rate.take(come, 1);
        }
        assert!(rate.is_queued(turns[498]));
        assert!(!rate.is_queued(turns[499]), "the line is empty");
    }

    #[test]
    fn behind_a_new_rule_nobody_stands_in_the_line_of_the_old_one() {
        let mut old = rate(1, 60_000);
        old.take(start(), 1);
        let turns: Vec<_> = (0..100).map(|_| old.queue_up(start(), 1)).collect();
        assert!(turns[99] > start() + TimeDelta::minutes(100));
        let now = start() + TimeDelta::minutes(2);
        let mut new = rate(10, 1000).in_place_of(&old, now);
        assert!(!new.is_queued(now));
        assert_eq!(new.available(now, 1), 1);
        new.take(now, 1);
        assert!(new.queue_up(now, 1) <= now + us(102_000));
    }

    #[test]
    fn a_new_rule_waits_for_what_the_old_one_gave_a_window_of_its_own_and_no_longer() {
        let mut old = rate(1, 3_600_000);
        old.take(start(), 1);
        let new = rate(10, 1000).in_place_of(&old, start());
        assert_eq!(new.opens_at(start(), 1), start() + us(1_000_000));
    }

    #[test]
    fn one_refusal_halves_the_rate_and_others_of_its_generation_do_not() {
        let mut rate = rate(100, 1000);
        let (began, now) = (start(), start() + us(500_000));
        assert!(rate.slow_down(now, began));
        for late in 0..50 {
            assert!(!rate.slow_down(now + us(late), began));
        }
        assert!((rate.scale(now) - 0.5).abs() < 1e-6);
        assert!(rate.slow_down(now + us(10), now + us(5)), "it began after the decrease");
        assert!((rate.scale(now + us(10)) - 0.25).abs() < 1e-6);
        assert!((rate.scale(now + TimeDelta::minutes(3)) - 0.55).abs() < 1e-4);
        assert!((rate.scale(now + TimeDelta::days(400)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_rate_is_never_lowered_below_its_floor() {
        let mut rate = rate(100, 1000);
        for n in 1..20 {
            assert!(rate.slow_down(start() + us(2 * n), start() + us(2 * n - 1)));
        }
        assert!((rate.scale(start()) - 0.05).abs() < 1e-6);
        rate.take(start(), 1);
        rate.take(start(), 1);
        assert!(rate.opens_at(start(), 1) > start() + us(350_000), "20 times as slow");
    }

    fn rule() -> impl Strategy<Value = Rate> {
        (1..60_u32, 1..3_000_u64, prop::option::of(1..60_u32)).prop_map(
            |(tokens, millis, burst)| {
                let rate = rate(tokens, millis);
                match burst {
                    Some(burst) => rate.with_burst(burst.min(tokens)).expect("a rule"),
                    None => rate,
                }
            },
        )
    }

    #[derive(Debug, Clone)]
    struct Step {
        /// In thousandths of the period.
        wait: i64,
        cost: u32,
        wanted: u32,
        refused: bool,
        /// Waits for the gate, to the microsecond, before it tries.
        eager: bool,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let wait = prop_oneof![4 => Just(0_i64), 4 => 0..60_i64, 1 => 0..2_500_i64];
        let cost = prop_oneof![3 => Just(1_u32), 1 => 1..60_u32];
        let step = (wait, cost, 1..60_u32, prop::bool::weighted(0.02), any::<bool>()).prop_map(
            |(wait, cost, wanted, refused, eager)| Step { wait, cost, wanted, refused, eager },
        );
        prop::collection::vec(step, 1..300)
    }

    proptest! {
        #[test]
        fn no_window_ever_sees_more_than_the_tokens(mut rate in rule(), steps in steps()) {
            let (tokens, period) = (rate.tokens, us(rate.period_us));
            let mut now = start();
            let mut starts: Vec<(DateTime<Utc>, u32)> = Vec::new();
            for step in steps {
                now += us(step.wait * period.num_microseconds().expect("short") / 1000);
                let cost = step.cost.min(tokens);
                if step.refused {
                    rate.slow_down(now, now);
                }
                if step.eager {
                    now = rate.opens_at(now, cost);
                }
                let jobs = rate.available(now, cost).min(step.wanted);
                rate.take(now, jobs * cost);
                starts.push((now, jobs * cost));
            }
            let text = serde_json::to_string(&rate).expect("JSON");
            prop_assert_eq!(&serde_json::from_str::<Rate>(&text).expect("read back"), &rate);
            for (first, (from, _)) in starts.iter().enumerate() {
                let seen: u32 = starts[first..]
                    .iter()
                    .take_while(|(at, _)| *at < *from + period)
                    .map(|(_, cost)| cost)
                    .sum();
                prop_assert!(seen <= tokens, "{} in the window from {}", seen, from);
            }
        }

        #[test]
        fn a_gate_opens_when_it_says_and_not_a_microsecond_earlier(
            mut rate in rule(),
            steps in steps(),
        ) {
            let mut now = start();
            for step in steps {
                now += us(step.wait * rate.period_us / 1000);
                if step.refused {
                    rate.slow_down(now, now);
                }
                let cost = step.cost.min(rate.tokens);
                let opens = rate.opens_at(now, cost);
                prop_assert!(opens >= now && rate.available(opens, cost) >= 1);
                if opens > now {
                    prop_assert_eq!(rate.available(now, cost), 0);
                    prop_assert_eq!(rate.available(opens - us(1), cost), 0);
                }
                let jobs = rate.available(now, cost).min(step.wanted);
                rate.take(now, jobs * cost);
            }
        }

        #[test]
        fn what_is_available_together_is_what_is_available_one_by_one(
            mut rate in rule(),
            steps in steps(),
        ) {
            let mut now = start();
            for step in steps {
                now += us(step.wait * rate.period_us / 1000);
                let cost = step.cost.min(rate.tokens);
                let together = rate.available(now, cost);
                let mut alone = 0;
                while rate.available(now, cost) > 0 {
                    rate.take(now, cost);
                    alone += 1;
                }
                prop_assert_eq!(together, alone);
            }
        }

        #[test]
        fn claims_that_come_late_within_the_tolerance_use_97_percent(
            tokens in 1..200_u32,
            millis in 100..5_000_u64,
            lates in prop::collection::vec(0.0..1.0_f64, 2_000),
        ) {
            let mut rate = rate(tokens, millis);
            let mut now = start();
            let mut used = 0_u32;
            for late in lates {
                #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "short")]
                let late = (late * rate.tolerance_us as f64) as i64;
                now = rate.opens_at(now, 1) + us(late);
                let jobs = rate.available(now, 1);
                rate.take(now, jobs);
                used += jobs;
            }
            let elapsed = (now - start()).num_microseconds().expect("short");
            let allowed = elapsed * i64::from(tokens) / rate.period_us;
            prop_assert!(i64::from(used) * 100 >= allowed * 97, "{} of {}", used, allowed);
        }

        #[test]
        fn turns_never_overtake_each_other(mut rate in rule(), steps in steps()) {
            let mut now = start();
            let mut last = start();
            for step in steps {
                now += us(step.wait * rate.period_us / 1000);
                let queued = rate.is_queued(now);
                let turn = rate.queue_up(now, step.cost.min(rate.tokens));
                prop_assert!(turn >= now && turn >= rate.opens_at(now, step.cost.min(rate.tokens)));
                prop_assert!(turn > last || !queued || rate.tolerance_us > 0);
                prop_assert!(turn >= last || !queued);
                last = turn;
                if step.refused {
                    rate.take(now, rate.available(now, 1));
                }
            }
        }
    }
}
