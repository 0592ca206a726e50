//! Shares: which part of a process's slots a job comes out of, and how the free ones are given out.

use serde::{Deserialize, Serialize};

/// The part of a process's slots that a job comes out of. What one share does not need is lent to the
/// others, and comes back slot by slot as their jobs end.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[repr(i16)]
pub enum Share {
    /// Somebody waits for it.
    #[default]
    Live = 0,
    /// The past, by the thousand.
    Backfill = 1,
    /// Nobody waits for it: pruning, tidying.
    Maintenance = 2,
}

/// How many of a lane's slots are free, and how many run for each share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slots {
    /// All slots of the queue in this process.
    pub all: usize,
    /// Those in use, by share.
    pub used: [usize; 3],
}

impl Share {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Live, Self::Backfill, Self::Maintenance];

    /// Of a hundred slots, how many are kept for it whenever it has something to do.
    pub fn percent(self) -> usize {
        match self {
            Self::Live => 50,
            Self::Backfill => 40,
            Self::Maintenance => 10,
        }
    }

    /// The word used on pages and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Backfill => "backfill",
            Self::Maintenance => "maintenance",
        }
    }

    /// As the store keeps it; an unknown number is [`Share::Live`].
    pub fn from_code(code: i16) -> Self {
        Self::ALL.into_iter().find(|share| *share as i16 == code).unwrap_or_default()
    }
}

impl Slots {
    /// None of `all` is in use.
    pub fn free_of_all(all: usize) -> Self {
        Self { all, used: [0; 3] }
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.all.saturating_sub(self.used.iter().sum())
    }

    /// Who may take how many of the free ones, in this order. First each takes up to its part, whoever
    /// is furthest below it before the others; then, in the same order, what is left is lent.
    pub fn allot(&self) -> [(Share, usize); 6] {
        let mut order = Share::ALL;
        order.sort_by_key(|share| self.fullness(*share));
        let [first, second, third] = order;
        let own = |share| (share, self.missing(share));
        let lent = |share| (share, self.free());
        [own(first), own(second), own(third), lent(first), lent(second), lent(third)]
    }

    /// Used slots for each slot of its part, in thousandths.
    fn fullness(&self, share: Share) -> usize {
        self.used[share as usize] * 100_000 / share.percent()
    }

    /// How many slots are missing to its part, which is at least one.
    fn missing(&self, share: Share) -> usize {
        let part = (self.all * share.percent() / 100).max(1);
        part.saturating_sub(self.used[share as usize]).min(self.free())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives slots out to those who want them, as one claim does.
    fn serve(mut slots: Slots, mut wants: [usize; 3]) -> Slots {
        for (share, most) in slots.allot() {
            let at = share as usize;
            let takes = most.min(wants[at]).min(slots.free());
            slots.used[at] += takes;
            wants[at] -= takes;
        }
        slots
    }

    #[test]
    fn each_share_gets_its_part_when_all_want_everything() {
        let slots = serve(Slots::free_of_all(100), [1000; 3]);
        assert_eq!(slots.used, [50, 40, 10]);
    }

    #[test]
    fn what_a_share_does_not_need_is_lent() {
        assert_eq!(serve(Slots::free_of_all(100), [0, 1000, 0]).used, [0, 100, 0]);
        assert_eq!(serve(Slots::free_of_all(100), [5, 1000, 0]).used, [5, 95, 0]);
    }

    #[test]
    fn a_slot_that_was_lent_goes_back_to_its_share_first() {
        let all_lent = Slots { all: 10, used: [0, 9, 0] };
        let (first, most) = all_lent.allot()[0];
        assert_eq!((first, most), (Share::Live, 1));
    }

    #[test]
    fn even_a_single_slot_goes_to_live_work_first_and_then_to_whoever_wants_it() {
        let order = Slots::free_of_all(1).allot().map(|(share, _)| share);
        assert_eq!(order[0], Share::Live);
        assert_eq!(serve(Slots::free_of_all(1), [0, 0, 3]).used, [0, 0, 1]);
    }

    proptest! {
        #[test]
        fn no_slot_stays_free_while_somebody_wants_one(
            all in 1..200_usize,
            wants in proptest::array::uniform3(0..300_usize),
        ) {
            let slots = serve(Slots::free_of_all(all), wants);
            prop_assert_eq!(slots.used.iter().sum::<usize>(), all.min(wants.iter().sum()));
        }

        #[test]
        fn a_share_below_its_part_is_never_passed_over(
            all in 1..200_usize,
            wants in proptest::array::uniform3(0..300_usize),
        ) {
            let slots = serve(Slots::free_of_all(all), wants);
            for share in Share::ALL {
                let at = share as usize;
                let part = all * share.percent() / 100;
                prop_assert!(slots.used[at] >= part.min(wants[at]), "{share:?} of {slots:?}");
            }
        }

        #[test]
        fn never_more_is_allotted_to_one_than_is_free(
            all in 1..200_usize,
            used in proptest::array::uniform3(0..70_usize),
        ) {
            let slots = Slots { all, used };
            for (_, most) in slots.allot() {
                prop_assert!(most <= slots.free());
            }
        }
    }
}
