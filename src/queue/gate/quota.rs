//! A quota: so many a day, where the day begins at midnight somewhere. Decided without I/O.
//!
//! Days follow the zone's own calendar: one of them may have 23 or 25 hours. Where midnight does
//! not exist because the clocks are put forward then, the day begins at the first instant after
//! it; where it comes twice, at the first of the two.

use super::invalid::Invalid;
use chrono::{DateTime, LocalResult, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use serde::{Deserialize, Serialize};

/// At most `limit` a day: rule and state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    limit: u32,
    /// Where the day begins.
    zone: Tz,
    /// What has been taken, and on which day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken: Option<Taken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    day: NaiveDate,
    used: u32,
}

impl Quota {
    /// At most `limit` a day in `zone`, a name of the IANA time zone database.
    ///
    /// Refused: a limit of 0, a zone nobody knows.
    pub fn new(limit: u32, zone: &str) -> Result<Self, Invalid> {
        if limit == 0 {
            let remedy = "0 would let nothing start, ever; to stop a resource, pause it";
            return Err(Invalid::new("quota.limit", remedy));
        }
        let zone = zone.parse().map_err(|_| {
            let remedy = format!("{zone:?} is no IANA time zone; write it like \"Europe/Berlin\"");
            Invalid::new("quota.zone", remedy)
        })?;
        Ok(Self { limit, zone, taken: None })
    }

    /// This rule takes the place of another: what was taken today stays taken.
    #[must_use]
    pub fn in_place_of(self, old: &Self) -> Self {
        Self { taken: old.taken, ..self }
    }

    /// Whether a job of this cost can ever start: asked when the job is declared.
    ///
    /// A job that is waiting while the limit is lowered below its cost is not stuck: it then takes
    /// the whole of a day.
    pub fn check_cost(&self, cost: u32) -> Result<(), Invalid> {
        if cost > self.limit {
            let remedy = format!(
                "{cost} is more than a day's quota, {}: the job could never start; split it or \
                 raise the quota",
                self.limit
            );
            return Err(Invalid::new("cost", remedy));
        }
        Ok(())
    }

    /// How many jobs of this cost may start at this instant. A job that costs nothing always may.
    pub fn available(&self, now: DateTime<Utc>, cost: u32) -> u32 {
        let left = self.limit.saturating_sub(self.used_today(now));
        left.checked_div(cost.min(self.limit)).unwrap_or(u32::MAX)
    }

    /// Takes this cost, of one job or of several together. To be called with no more than
    /// [`available`](Self::available) allowed.
    pub fn take(&mut self, now: DateTime<Utc>, cost_total: u32) {
        let used = self.used_today(now).saturating_add(cost_total);
        self.taken = Some(Taken { day: self.today(now), used });
    }

    /// When one job of this cost may start, if no other takes its place: `now`, or the next day.
    pub fn opens_at(&self, now: DateTime<Utc>, cost: u32) -> DateTime<Utc> {
        if self.available(now, cost) > 0 {
            return now;
        }
        let tomorrow = self.today(now).succ_opt().unwrap_or(NaiveDate::MAX);
        beginning_of(tomorrow, self.zone)
    }

    /// What has been taken since the day began.
    pub fn used_today(&self, now: DateTime<Utc>) -> u32 {
        let today = self.today(now);
        self.taken.filter(|taken| taken.day == today).map_or(0, |taken| taken.used)
    }

    /// What may be taken in a day.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Where its day begins, as the IANA time zone database calls it.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The day in the zone. A day that has begun is not left for the one before it, though the
    /// clocks may be put back over midnight: a quota would be given out twice.
    fn today(&self, now: DateTime<Utc>) -> NaiveDate {
        let today = now.with_timezone(&self.zone).date_naive();
        self.taken.map_or(today, |taken| taken.day.max(today))
    }
}

/// The first instant of this day in this zone.
fn beginning_of(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(NaiveTime::MIN);
    let begins = match zone.from_local_datetime(&midnight) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at),
        LocalResult::None => GapInfo::new(&midnight, &zone).and_then(|gap| gap.end),
    };
    // No zone leaves a gap without an end.
    begins.map_or_else(|| midnight.and_utc(), |at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn used_up(limit: u32, zone: &str, now: DateTime<Utc>) -> Quota {
        let mut quota = Quota::new(limit, zone).expect("a rule");
        quota.take(now, limit);
        quota
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_refused_with_its_remedy() {
        let message = |r: Result<Quota, Invalid>| r.expect_err("refused").to_string();
        assert!(message(Quota::new(0, "UTC")).contains("pause it"));
        let berlin = message(Quota::new(30, "Berlin"));
        assert_eq!(
            berlin,
            r#"quota.zone: "Berlin" is no IANA time zone; write it like "Europe/Berlin""#
        );
        let quota = Quota::new(30, "UTC").expect("a rule");
        assert!(quota.check_cost(30).is_ok());
        assert!(
            quota.check_cost(31).expect_err("refused").to_string().contains("a day's quota, 30")
        );
    }

    #[test]
    fn what_was_taken_today_comes_back_at_midnight_in_the_zone() {
        let now = utc("2024-01-10T12:00:00Z");
        let quota = used_up(30, "America/Los_Angeles", now);
        assert_eq!((quota.available(now, 1), quota.used_today(now)), (0, 30));
        let opens = quota.opens_at(now, 1);
        assert_eq!(opens, utc("2024-01-11T08:00:00Z"));
        assert_eq!(quota.available(opens, 7), 4);
        assert_eq!(quota.used_today(opens), 0);
    }

    #[test]
    fn a_day_without_midnight_begins_with_its_first_instant() {
        // Beirut and (until 2018) São Paulo put the clocks forward at midnight.
        let eve = utc("2018-11-03T12:00:00Z");
        let opens = used_up(1, "America/Sao_Paulo", eve).opens_at(eve, 1);
        assert_eq!(opens, utc("2018-11-04T03:00:00Z"));
        let eve = utc("2024-03-30T12:00:00Z");
        let opens = used_up(1, "Asia/Beirut", eve).opens_at(eve, 1);
        assert_eq!(opens, utc("2024-03-30T22:00:00Z"));
        // Samoa left out the 30th of December 2011.
        let eve = utc("2011-12-29T12:00:00Z");
        let quota = used_up(1, "Pacific/Apia", eve);
        let opens = quota.opens_at(eve, 1);
        assert_eq!(opens, utc("2011-12-30T10:00:00Z"));
        assert_eq!(quota.available(opens, 1), 1);
    }

    #[test]
    fn clocks_put_back_over_midnight_do_not_give_the_day_out_twice() {
        // In Havana, one o'clock of 2024-11-03 becomes midnight again.
        let eve = utc("2024-11-02T12:00:00Z");
        let quota = used_up(1, "America/Havana", eve);
        let opens = quota.opens_at(eve, 1);
        assert_eq!(opens, utc("2024-11-03T04:00:00Z"), "the first of the two midnights");
        let mut quota = quota;
        quota.take(opens, 1);
        assert_eq!(quota.available(opens + TimeDelta::minutes(90), 1), 0);
        assert_eq!(quota.opens_at(opens, 1), utc("2024-11-04T05:00:00Z"), "25 hours later");
    }

    #[test]
    fn a_job_that_costs_more_than_a_lowered_limit_takes_a_whole_day() {
        let now = utc("2024-01-10T12:00:00Z");
        let lowered = Quota::new(5, "UTC").expect("a rule");
        let mut quota = lowered.in_place_of(&used_up(30, "UTC", now));
        assert_eq!(quota.available(now, 10), 0);
        let opens = quota.opens_at(now, 10);
        assert_eq!(quota.available(opens, 10), 1);
        quota.take(opens, 10);
        assert_eq!(quota.available(opens, 1), 0);
    }

    proptest! {
        #[test]
        fn no_day_gives_more_than_its_limit_and_every_wait_is_the_shortest(
            limit in 1..20_u32,
            zone in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/Havana", "Asia/Beirut", "Pacific/Apia",
                "Australia/Lord_Howe", "America/Los_Angeles", "Asia/Kathmandu",
            ]),
            steps in prop::collection::vec((0..200_000_i64, 0..25_u32), 1..200),
        ) {
            let mut quota = Quota::new(limit, zone).expect("a rule");
            let tz: Tz = zone.parse().expect("a zone");
            let mut now = utc("2024-01-01T00:00:00Z");
            let mut days = std::collections::HashMap::<NaiveDate, u32>::new();
            for (seconds, cost) in steps {
                now += TimeDelta::seconds(seconds);
                if quota.check_cost(cost).is_err() {
                    continue;
                }
                let opens = quota.opens_at(now, cost);
                if opens > now {
                    prop_assert_eq!(quota.available(opens - TimeDelta::microseconds(1), cost), 0);
                }
                prop_assert!(quota.available(opens, cost) > 0);
                if quota.available(now, cost) > 0 {
                    quota.take(now, cost);
                    *days.entry(now.with_timezone(&tz).date_naive()).or_default() += cost;
                }
                let text = serde_json::to_string(&quota).expect("JSON");
                prop_assert_eq!(&serde_json::from_str::<Quota>(&text).expect("read back"), &quota);
            }
            prop_assert!(days.values().all(|used| *used <= limit), "{:?}", days);
        }
    }
}
