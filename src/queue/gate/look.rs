//! What a resource's gates look like to somebody who only looks: nothing is taken, nobody queues up.

use super::breaker::Allows;
use super::{Gate, Resource};
use crate::queue::job::Use;
use chrono::{DateTime, Utc};

/// A gate that lets nobody through now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ShutGate {
    /// The gate.
    pub gate: Gate,
    /// When it opens by itself; `None` when something has to happen first.
    pub opens_at: Option<DateTime<Utc>>,
}

impl Resource {
    /// The gates that let no job with this need through now, in the order in which they are asked.
    /// `is_its_turn` is [`Lane::is_its_turn`](super::Lane::is_its_turn).
    pub fn shut_gates(&self, needed: &Use, is_its_turn: bool, now: DateTime<Utc>) -> Vec<ShutGate> {
        // A breaker whose cool-down is over becomes half-open when it is asked: in a copy.
        let mut copy = self.clone();
        let rooms = copy.rooms(needed, is_its_turn, now, &mut |_| {});
        let shut = rooms.into_iter().filter(|(_, room)| *room == 0).map(|(gate, _)| gate);
        shut.map(|gate| ShutGate { gate, opens_at: self.next_opening(gate, needed, now) }).collect()
    }

    /// As `opens_at`, without a place in the line and without jitter.
    fn next_opening(&self, gate: Gate, needed: &Use, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match gate {
            Gate::Paused => self.paused.flatten(),
            Gate::Breaker => match self.breaker.clone()?.allows(now).0 {
                Allows::Shut { until } => until,
                Allows::All | Allows::Probes(_) => None,
            },
            Gate::NotBefore => self.not_before,
            Gate::Rate => {
                let rate = self.rate.as_ref()?;
                Some(rate.opens_at(now, needed.cost).max(rate.line_ends(now).unwrap_or(now)))
            }
            Gate::Quota => Some(self.quota.as_ref()?.opens_at(now, needed.cost)),
            Gate::Limit | Gate::Hold => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::gate::breaker::{Breaker, Rule};
    use crate::queue::gate::quota::Quota;
    use crate::queue::gate::rate::Rate;
    use std::time::Duration;

    fn needs(hold: bool) -> Use {
        Use { resource: "r".to_owned(), cost: 1, hold }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    #[test]
    fn every_shut_gate_is_seen_in_the_order_in_which_they_are_asked() {
        let mut rate = Rate::new(1, Duration::from_secs(10)).expect("a rate");
        rate.take(at(0), 1);
        let resource = Resource {
            paused: Some(None),
            not_before: Some(at(5)),
            max_running: Some(1),
            running: 1,
            max_holds: Some(0),
            rate: Some(rate),
            ..Resource::default()
        };
        let shut = resource.shut_gates(&needs(true), false, at(1));
        let gates: Vec<Gate> = shut.iter().map(|shut| shut.gate).collect();
        assert_eq!(gates, [Gate::Paused, Gate::NotBefore, Gate::Limit, Gate::Rate, Gate::Hold]);
        assert_eq!(shut[0].opens_at, None);
        assert_eq!(shut[1].opens_at, Some(at(5)));
        let opens = shut[3].opens_at.expect("a rate opens by itself");
        assert!(opens > at(9) && opens <= at(11), "{opens}");
        let without_hold = resource.shut_gates(&needs(false), false, at(1));
        assert_eq!(without_hold.len(), 4, "who takes no place waits for none");
    }

    #[test]
    fn where_there_are_places_a_quota_counts_those_who_take_one() {
        let mut quota = Quota::new(1, "UTC").expect("a quota");
        quota.take(at(0), 1);
        let mut resource = Resource { quota: Some(quota), ..Resource::default() };
        let gates = |resource: &Resource, hold| {
            let shut = resource.shut_gates(&needs(hold), false, at(1));
            shut.iter().map(|shut| shut.gate).collect::<Vec<_>>()
        };
        assert_eq!(gates(&resource, false), [Gate::Quota], "without places it counts everybody");
        resource.max_holds = Some(10);
        assert_eq!(gates(&resource, false), []);
        assert_eq!(gates(&resource, true), [Gate::Quota]);
    }

    #[test]
    fn looking_at_a_breaker_whose_cool_down_is_over_does_not_make_it_half_open() {
        let mut breaker = Breaker::new(Rule::default()).expect("a breaker");
        breaker.trip(at(0), "ann", "a test");
        let resource = Resource { breaker: Some(breaker.clone()), ..Resource::default() };
        let shut = resource.shut_gates(&needs(false), false, at(1));
        assert_eq!(shut, [ShutGate { gate: Gate::Breaker, opens_at: None }]);
        assert_eq!(resource.breaker, Some(breaker));
    }

    #[test]
    fn who_is_not_in_line_waits_until_the_line_has_passed() {
        let mut rate = Rate::new(1, Duration::from_secs(10)).expect("a rate");
        rate.take(at(0), 1);
        rate.queue_up(at(0), 1);
        let last_turn = rate.queue_up(at(0), 1);
        let resource = Resource { rate: Some(rate), ..Resource::default() };
        let shut = resource.shut_gates(&needs(false), false, at(1));
        assert_eq!(shut, [ShutGate { gate: Gate::Rate, opens_at: Some(last_turn) }]);
    }
}
