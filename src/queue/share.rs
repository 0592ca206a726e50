//! Shares: which part of a process's slots a job comes out of, and how the free ones are given out.
//!
//! What a claim promises to those who wait, in each process that works on their queue (several only
//! make it sooner). "Ready" means due, with no gate shut:
//!
//! 1. *A part is kept.* While a share that has a job ready runs fewer than its part of the slots, no
//!    slot that falls free is lent to another one. What is lent comes back as its jobs end.
//! 2. *Nobody starves.* A share that has a job ready and runs none is served at the latest by the 3rd
//!    start from now if it is live, the 4th if it is backfill, the 12th if it is maintenance, however
//!    few slots there are and whatever the others have waiting. Of those that run nothing, each comes
//!    after `⌊its percent / mine⌋ + 1` of my starts at most: their order is that of start-time fair
//!    queueing (Goyal, Vin, Cheng, 1996), in which an idle share saves up no claim to be first.
//! 3. *Lanes take turns.* In a turn a lane starts as many jobs as its weight. So between two starts of
//!    a lane that has a job ready, and before its first, no other lane of the share starts more than
//!    its weight in jobs: with L lanes of weight 1, a lane is served by the share's L-th start at
//!    the latest, a new one too, wherever it stands in the order. How many jobs wait in a lane does not
//!    matter: 260,000 are one lane. A claim of many slots serves that many rounds at once. A turn is
//!    lost when another process has locked what the lane uses in that moment: it is starting jobs that
//!    use the same, or ending them.
//!
//! So a single live run that arrives while another tenant's backfill has lent itself every slot starts
//! with the first one of these jobs that ends.

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

/// How many of a queue's slots are free, how many run for each share, and whose turn it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slots {
    /// All slots of the queue in this process.
    pub all: usize,
    /// Those in use, by share.
    pub used: [usize; 3],
    /// Virtual time: the start tag of the job that started last.
    now: u64,
    /// By share, the finish tag of its last start.
    finish: [u64; 3],
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
        Self { all, ..Self::default() }
    }

    /// A job of this share starts.
    pub fn take(&mut self, share: Share) {
        self.now = self.start_tag(share);
        self.finish[share as usize] = self.now + 1000 / share.percent() as u64;
        self.used[share as usize] += 1;
    }

    /// A job of this share has ended.
    pub fn give(&mut self, share: Share) {
        let used = &mut self.used[share as usize];
        *used = used.saturating_sub(1);
    }

    /// Who has started less than its part lately has the lower one.
    fn start_tag(&self, share: Share) -> u64 {
        self.now.max(self.finish[share as usize])
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.all.saturating_sub(self.used.iter().sum())
    }

    /// Who may take how many of the free ones, in this order. First each takes up to its part, whoever
    /// is furthest below it before the others, and of those who are equally far the one whose turn it is;
    /// then, in the same order, what is left is lent.
    pub fn allot(&self) -> [(Share, usize); 6] {
        let mut order = Share::ALL;
        order.sort_by_key(|share| (self.fullness(*share), self.start_tag(*share)));
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
            (0..takes).for_each(|_| slots.take(share));
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
        let all_lent = Slots { used: [0, 9, 0], ..Slots::free_of_all(10) };
        let (first, most) = all_lent.allot()[0];
        assert_eq!((first, most), (Share::Live, 1));
    }

    #[test]
    fn even_a_single_slot_goes_to_live_work_first_and_then_to_whoever_wants_it() {
        let order = Slots::free_of_all(1).allot().map(|(share, _)| share);
        assert_eq!(order[0], Share::Live);
        assert_eq!(serve(Slots::free_of_all(1), [0, 0, 3]).used, [0, 0, 1]);
    }

    /// How many starts there are, at most, until each share that always has a job ready and runs none
    /// is served.
    const PATIENCE: [usize; 3] = [3, 4, 12];

    proptest! {
        #[test]
        fn a_share_that_runs_nothing_is_served_within_its_bound(
            all in 1..12_usize,
            ends in proptest::collection::vec((0..3_usize, proptest::array::uniform3(0..5_u8)), 1..400),
        ) {
            let mut slots = serve(Slots::free_of_all(all), [1000; 3]);
            let mut waited = [0; 3];
            let mut ready_before = [false; 3];
            for (ending, dice) in ends {
                // Whoever is chosen to end a job, or else another one that can.
                let who = (0..3).map(|n| Share::ALL[(ending + n) % 3]);
                if let Some(who) = who.into_iter().find(|share| slots.used[*share as usize] > 0) {
                    slots.give(who);
                }
                // A share stays ready until it is served; others come and go.
                let ready = std::array::from_fn(|n| ready_before[n] || dice[n] > 0);
                let before = slots;
                slots = serve(slots, ready.map(usize::from));
                for at in 0..3 {
                    let served = slots.used[at] > before.used[at];
                    let starts = slots.used.iter().sum::<usize>() - before.used.iter().sum::<usize>();
                    let waits = ready[at] && !served && before.used[at] == 0;
                    waited[at] = if waits { waited[at] + starts } else { 0 };
                    prop_assert!(waited[at] < PATIENCE[at], "{waited:?} {slots:?}");
                    ready_before[at] = waits;
                }
            }
        }

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
            let slots = Slots { used, ..Slots::free_of_all(all) };
            for (_, most) in slots.allot() {
                prop_assert!(most <= slots.free());
            }
        }
    }
}
