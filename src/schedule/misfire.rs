//! What becomes of the times that were due: which fire, and which are written down as missed.

use crate::store::schedules::CatchUp;
use chrono::{DateTime, TimeDelta, Utc};

/// A time that is no older than this is on time: schedulers restart, and databases fail over.
const GRACE: TimeDelta = TimeDelta::seconds(300);

/// The times that were due, divided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Divided {
    /// Never to run, the earliest first.
    pub missed: Vec<DateTime<Utc>>,
    /// To run, the earliest first.
    pub fire: Vec<DateTime<Utc>>,
}

/// Divides the times that were due up to now, the earliest first. The last one fires if it is on time,
/// whatever the policy; of the others as many as it says.
pub fn divide(
    mut due: Vec<DateTime<Utc>>,
    catch_up: CatchUp,
    max: usize,
    now: DateTime<Utc>,
) -> Divided {
    let on_time = due.last().is_some_and(|last| now - *last <= GRACE);
    let firing = match catch_up {
        CatchUp::None => usize::from(on_time),
        CatchUp::Latest => 1,
        CatchUp::All => max.max(1),
    };
    let fire = due.split_off(due.len().saturating_sub(firing));
    Divided { missed: due, fire }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: &[i64]) -> Vec<DateTime<Utc>> {
        hours.iter().map(|hour| DateTime::UNIX_EPOCH + TimeDelta::hours(*hour)).collect()
    }

    fn divided(due: &[i64], catch_up: CatchUp, now: TimeDelta) -> (usize, usize) {
        let divided = divide(hours(due), catch_up, 2, DateTime::UNIX_EPOCH + now);
        assert_eq!([divided.missed.clone(), divided.fire.clone()].concat(), hours(due));
        (divided.missed.len(), divided.fire.len())
    }

    #[test]
    fn on_time_every_policy_fires() {
        for catch_up in CatchUp::ALL {
            assert_eq!(divided(&[5], *catch_up, TimeDelta::hours(5) + GRACE), (0, 1));
            assert_eq!(divided(&[], *catch_up, TimeDelta::hours(5)), (0, 0));
        }
    }

    #[test]
    fn after_an_outage_the_policy_says_how_many_fire_and_none_is_forgotten() {
        let late = TimeDelta::hours(5) + TimeDelta::minutes(30);
        assert_eq!(divided(&[1, 2, 3, 4, 5], CatchUp::None, late), (5, 0));
        assert_eq!(divided(&[1, 2, 3, 4, 5], CatchUp::Latest, late), (4, 1));
        assert_eq!(divided(&[1, 2, 3, 4, 5], CatchUp::All, late), (3, 2));
        assert_eq!(divided(&[5], CatchUp::All, late), (0, 1));
    }
}
